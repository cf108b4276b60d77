//! Each public async function of the sync crate but those of channels (which stand beside this), cancelled and dropped at each of its suspensions: nothing is lost, and nobody else hangs. All in virtual time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use trioxide_runtime::{checkpoint, move_on_after, sleep};
use trioxide_sync::{Barrier, Condition, Event, Lazy, Mutex, Notify, OnceCell, ParkingLot, RwLock, Semaphore};
use trioxide_testing::cancel_everywhere;

const MOMENT: Duration = Duration::from_millis(1);

#[test]
fn semaphore() {
    let runs = cancel_everywhere(
        async |n| {
            let semaphore = Arc::new(Semaphore::new(3));
            for permits in 1..=3 {
                let semaphore = semaphore.clone();
                n.spawn(async move {
                    for _ in 0..2 {
                        let _held = semaphore.acquire_many(permits).await;
                        sleep(MOMENT).await;
                    }
                });
            }
            semaphore
        },
        async |semaphore| {
            drop(semaphore.acquire().await);
            drop(semaphore.acquire_many(3).await);
            drop(semaphore.clone().acquire_owned().await);
            let _held = semaphore.clone().acquire_many_owned(2).await;
            checkpoint().await;
        },
        async |semaphore, cut| {
            assert_eq!(semaphore.available(), 3, "{cut}");
            assert_eq!(semaphore.statistics().tasks_waiting, 0, "{cut}");
            drop(semaphore.acquire_many(3).await);
        },
    );
    assert!(runs > 100, "{runs}");
}

#[test]
fn mutex() {
    let runs = cancel_everywhere(
        async |n| {
            let (mutex, added) = (Arc::new(Mutex::new(0)), Arc::new(AtomicUsize::new(0)));
            for _ in 0..3 {
                let (mutex, added) = (mutex.clone(), added.clone());
                n.spawn(async move { add(&mutex, &added).await });
            }
            (mutex, added)
        },
        async |(mutex, added)| {
            add(mutex, added).await;
            let mut guard = mutex.clone().lock_owned().await.unwrap();
            checkpoint().await;
            *guard += 1;
            added.fetch_add(1, Relaxed);
        },
        async |(mutex, added), cut| {
            assert!(mutex.broken().is_none(), "{cut}");
            assert_eq!(*mutex.try_lock().unwrap(), added.load(Relaxed), "{cut}");
        },
    );
    assert!(runs > 100, "{runs}");
}

async fn add(mutex: &Mutex<usize>, added: &AtomicUsize) {
    let mut guard = mutex.lock().await.unwrap();
    let read = *guard;
    checkpoint().await;
    *guard = read + 1;
    added.fetch_add(1, Relaxed);
}

/// Each job is signalled once, to two who take them; what the one that is cut was told of goes to the other.
#[test]
fn notify() {
    const JOBS: usize = 3;
    #[derive(Default)]
    struct State {
        more: Notify,
        todo: AtomicUsize,
        done: AtomicUsize,
    }
    impl State {
        async fn work(&self) {
            while self.done.load(Relaxed) < JOBS {
                self.more.wait().await;
                if self.todo.fetch_update(Relaxed, Relaxed, |todo| todo.checked_sub(1)).is_ok() {
                    self.done.fetch_add(1, Relaxed);
                }
                if self.todo.load(Relaxed) > 0 || self.done.load(Relaxed) == JOBS {
                    self.more.notify_one();
                }
            }
        }
    }
    let runs = cancel_everywhere(
        async |n| {
            let state = Arc::new(State::default());
            let (worker, giver) = (state.clone(), state.clone());
            n.spawn(async move { worker.work().await });
            n.spawn(async move {
                for _ in 0..JOBS {
                    sleep(MOMENT).await;
                    giver.todo.fetch_add(1, Relaxed);
                    giver.more.notify_one();
                }
            });
            state
        },
        async |state| state.work().await,
        async |state, cut| {
            assert_eq!((state.todo.load(Relaxed), state.done.load(Relaxed)), (0, JOBS), "{cut}");
            assert_eq!(state.more.statistics().tasks_waiting, 0, "{cut}");
        },
    );
    assert!(runs > 20, "{runs}");
}

#[test]
fn rw_lock() {
    let runs = cancel_everywhere(
        async |n| {
            let lock = Arc::new(RwLock::new([0, 0]));
            for task in 0..4 {
                let lock = lock.clone();
                n.spawn(async move {
                    if task % 2 == 0 {
                        let read = lock.read().await.unwrap();
                        checkpoint().await;
                        assert_eq!(read[0], read[1]);
                    } else {
                        let mut written = lock.write().await.unwrap();
                        written[0] += 1;
                        checkpoint().await;
                        written[1] += 1;
                    }
                });
            }
            lock
        },
        async |lock| {
            // One after the other: a second read waits for a writer that waits for the first.
            let numbers = *lock.read().await.unwrap();
            assert!(numbers[0] <= lock.clone().read_owned().await.unwrap()[0]);
            lock.write().await.unwrap()[0] += 0;
            let owned = lock.clone().write_owned().await.unwrap();
            checkpoint().await;
            assert_eq!(owned[0], owned[1]);
        },
        async |lock, cut| {
            assert!(lock.broken().is_none(), "{cut}");
            assert_eq!(*lock.try_write().unwrap(), [2, 2], "{cut}");
        },
    );
    assert!(runs > 100, "{runs}");
}

#[test]
fn condition() {
    struct State {
        mutex: Mutex<usize>,
        condition: Condition,
    }
    let runs = cancel_everywhere(
        async |n| {
            let state = Arc::new(State { mutex: Mutex::new(0), condition: Condition::new() });
            let (waiter, notifier) = (state.clone(), state.clone());
            n.spawn(async move {
                let guard = waiter.mutex.lock().await.unwrap();
                drop(waiter.condition.wait_while(guard, |value| *value < 2).await.unwrap());
            });
            n.spawn(async move {
                for _ in 0..3 {
                    sleep(MOMENT).await;
                    let mut guard = notifier.mutex.lock().await.unwrap();
                    *guard += 1;
                    notifier.condition.notify_all(&guard);
                }
            });
            state
        },
        async |state| {
            let guard = state.mutex.lock().await.unwrap();
            let guard = state.condition.wait(guard).await.unwrap();
            let guard = state.condition.wait_while(guard, |value| *value < 3).await.unwrap();
            assert_eq!(*guard, 3);
        },
        async |state, cut| {
            assert_eq!(*state.mutex.try_lock().unwrap(), 3, "{cut}");
            assert_eq!(state.condition.statistics(&state.mutex).tasks_waiting, 0, "{cut}");
        },
    );
    assert!(runs > 60, "{runs}");
}

#[test]
fn barrier() {
    cancel_everywhere(
        async |n| {
            let (barrier, passed, leaders) =
                (Arc::new(Barrier::new(3)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            for delay in 0..2 {
                let (barrier, passed, leaders) = (barrier.clone(), passed.clone(), leaders.clone());
                n.spawn(async move {
                    sleep(MOMENT * delay).await;
                    if let Some(pass) = move_on_after(Duration::from_secs(1), barrier.wait()).await {
                        passed.fetch_add(1, Relaxed);
                        leaders.fetch_add(usize::from(pass.is_leader()), Relaxed);
                    }
                });
            }
            (barrier, passed, leaders)
        },
        async |(barrier, _, leaders)| {
            let pass = barrier.wait().await;
            leaders.fetch_add(usize::from(pass.is_leader()), Relaxed);
        },
        async |(barrier, passed, leaders), cut| {
            let passed = passed.load(Relaxed);
            assert!(passed == 0 || passed == 2, "{cut}: all or none");
            if cut.outcome().is_some() {
                assert_eq!((passed, leaders.load(Relaxed)), (2, 1), "{cut}");
            }
            assert_eq!(barrier.statistics().tasks_waiting, 0, "{cut}");
        },
    );
}

#[test]
fn once_cell() {
    cancel_everywhere(
        async |n| {
            let (cell, making) = (Arc::new(OnceCell::new()), Arc::new(AtomicUsize::new(0)));
            let (other, other_making) = (cell.clone(), making.clone());
            n.spawn(async move {
                let value = other.get_or_init(async || make(&other_making).await).await;
                assert_eq!(*value, 7);
            });
            (cell, making)
        },
        async |(cell, making)| {
            let failed = cell.get_or_try_init(async || {
                checkpoint().await;
                Err(())
            });
            let _ = failed.await;
            *cell.get_or_init(async || make(making).await).await
        },
        async |(cell, making), cut| {
            assert_eq!((cell.get(), making.load(Relaxed)), (Some(&7), 0), "{cut}");
            assert!(cut.outcome().is_none_or(|value| *value == 7));
        },
    );
}

/// Alone, or cut.
async fn make(making: &AtomicUsize) -> u32 {
    struct Alone<'a>(&'a AtomicUsize);
    impl Drop for Alone<'_> {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Relaxed);
        }
    }
    assert_eq!(making.fetch_add(1, Relaxed), 0, "one makes it at a time");
    let _alone = Alone(making);
    sleep(MOMENT).await;
    7
}

#[test]
fn lazy() {
    cancel_everywhere(
        async |n| {
            let lazy = Arc::new(Lazy::new(async || {
                sleep(MOMENT).await;
                7
            }));
            let other = lazy.clone();
            n.spawn(async move { assert_eq!(*other.force().await, 7) });
            lazy
        },
        async |lazy| *lazy.force().await,
        async |lazy, cut| assert_eq!(lazy.get(), Some(&7), "{cut}"),
    );
}

#[test]
fn parking_lot() {
    cancel_everywhere(
        async |n| {
            let (lot, woken, unparked) =
                (ParkingLot::new(), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let (other, counts) = (lot.clone(), woken.clone());
            n.spawn(async move {
                if let Some(parked) = move_on_after(Duration::from_secs(9), other.park()).await {
                    parked.unwrap();
                    counts.fetch_add(1, Relaxed);
                }
            });
            let (other, counts) = (lot.clone(), unparked.clone());
            n.spawn(async move {
                sleep(Duration::from_secs(1)).await;
                counts.fetch_add(other.unpark(1), Relaxed);
            });
            (lot, woken, unparked)
        },
        async |(lot, woken, _)| {
            if let Some(parked) = move_on_after(Duration::from_secs(9), lot.park()).await {
                parked.unwrap();
                woken.fetch_add(1, Relaxed);
            }
        },
        async |(lot, woken, unparked), cut| {
            assert_eq!((woken.load(Relaxed), unparked.load(Relaxed)), (1, 1), "{cut}: passed on");
            assert_eq!(lot.statistics().tasks_waiting, 0, "{cut}");
        },
    );
}

#[test]
fn event() {
    cancel_everywhere(
        async |n| {
            let event = Arc::new(Event::new());
            let (waiter, setter) = (event.clone(), event.clone());
            n.spawn(async move { waiter.wait().await });
            n.spawn(async move {
                sleep(MOMENT).await;
                setter.set();
            });
            event
        },
        async |event| {
            event.wait().await;
            event.wait().await;
        },
        async |event, cut| assert_eq!(event.statistics().tasks_waiting, 0, "{cut}"),
    );
}
