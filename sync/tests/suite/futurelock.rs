//! A future that nobody polls holds nobody up (*futurelock*). The first test is the program of Oxide's RFD 609.

use crate::common::{WORKERS, all_wait};
use futures_util::future::{BoxFuture, Either, FutureExt, join_all, select};
use futures_util::poll;
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;
use trioxide_runtime::{checkpoint, nursery, sleep};
use trioxide_sync::{Borrower, CapacityLimiter, Event, Mutex, RwLock, Semaphore, channel};
use trioxide_testing::{on_each, on_each_with_clock};

async fn do_async_thing(label: &'static str, lock: Arc<Mutex<Vec<&'static str>>>) {
    let mut order = lock.lock().await.unwrap();
    sleep(Duration::from_millis(10)).await; // virtual time: in tests with a mock clock only
    order.push(label);
}

/// A background task holds the lock for five seconds. The main task waits for it in `future1`, gives up waiting after half a second without dropping that, and then waits for the lock once more. The lock
/// is handed to `future1`, which nobody polls.
#[test]
fn the_program_of_rfd_609_ends() {
    on_each_with_clock(WORKERS, async |clock| {
        let lock = Arc::new(Mutex::new(vec![]));
        nursery(async |n| {
            let held = Arc::new(Event::new());
            let (background, is_held) = (lock.clone(), held.clone());
            n.spawn(async move {
                let _guard = background.lock().await.unwrap();
                is_held.set();
                sleep(Duration::from_secs(5)).await;
            });
            held.wait().await;

            let mut future1 = do_async_thing("op1", lock.clone()).boxed();
            match select(&mut future1, pin!(sleep(Duration::from_millis(500)))).await {
                Either::Left(_) => unreachable!("the lock is held for five seconds"),
                Either::Right(_) => do_async_thing("op2", lock.clone()).await,
            }
            assert_eq!(clock.elapsed(), Duration::from_millis(5010));
            // It was passed over, and goes on as if nothing had been.
            future1.await;
        })
        .await;
        assert_eq!(*lock.try_lock().unwrap(), ["op2", "op1"]);
    });
}

/// As above, but it is another task that wants the lock, and the one with the future waits for that.
#[test]
fn the_lock_goes_to_another_task_on_which_the_first_waits() {
    on_each(WORKERS, async || {
        let lock = Arc::new(Mutex::new(()));
        let guard = lock.clone().lock_owned().await.unwrap();
        let mut unpolled = lock.lock().boxed();
        assert!(poll!(unpolled.as_mut()).is_pending());
        nursery(async |n| {
            let done = Arc::new(Event::new());
            let (other, is_done) = (lock.clone(), done.clone());
            n.spawn(async move {
                let _guard = other.lock().await.unwrap();
                checkpoint().await;
                is_done.set();
            });
            all_wait().await;
            assert_eq!(lock.statistics().tasks_waiting, 2);
            drop(guard);
            done.wait().await;
            // Its place was kept: it comes before one who has come meanwhile.
            let _mine = unpolled.await.unwrap();
        })
        .await;
    });
}

/// Somebody who comes only after the turn is over finds the lock free.
#[test]
fn who_comes_late_finds_a_lock_free_that_was_handed_to_an_unpolled_future() {
    on_each(WORKERS, async || {
        let lock = Mutex::new(0);
        let guard = lock.lock().await.unwrap();
        let mut unpolled = Box::pin(lock.lock());
        assert!(poll!(unpolled.as_mut()).is_pending());
        drop(guard);
        assert!(lock.try_lock().is_err()); // The turn has not been yet.
        checkpoint().await;
        checkpoint().await; // After that turn the task was due again, so there is another one.
        checkpoint().await;
        *lock.try_lock().unwrap() += 1;
        *lock.lock().await.unwrap() += 1;
        *unpolled.await.unwrap() += 1;
        assert_eq!(*lock.try_lock().unwrap(), 3);
    });
}

/// Who was passed over comes before those that came after it, as soon as it is polled.
#[test]
fn a_wait_that_was_passed_over_keeps_its_place() {
    on_each(WORKERS, async || {
        let lock = Mutex::new(());
        let guard = lock.lock().await.unwrap();
        let mut first = Box::pin(lock.lock());
        let mut second = Box::pin(lock.lock());
        let mut third = Box::pin(lock.lock());
        for wait in [&mut first, &mut second, &mut third] {
            assert!(poll!(wait.as_mut()).is_pending());
        }
        drop(guard);
        checkpoint().await; // The first is passed over, perhaps the second as well.
        let guard = second.await.unwrap();
        assert!(poll!(first.as_mut()).is_pending());
        drop(guard);
        assert!(poll!(third.as_mut()).is_pending());
        drop(first.await.unwrap());
        drop(third.await.unwrap());
        assert_eq!(lock.statistics().tasks_waiting, 0);
    });
}

/// A combinator that polls only what was woken claims in its own turn: nobody is passed over.
#[test]
fn parts_of_a_combinator_are_not_passed_over() {
    on_each(WORKERS, async || {
        let lock = Mutex::new(vec![]);
        let guard = lock.lock().await.unwrap();
        let mut parts: FuturesUnordered<_> = (0..20)
            .map(|number| {
                let lock = &lock;
                async move {
                    let mut order = lock.lock().await.unwrap();
                    checkpoint().await;
                    order.push(number);
                }
            })
            .collect();
        assert!(poll!(parts.next()).is_pending());
        drop(guard);
        while parts.next().await.is_some() {}
        drop(parts);
        assert_eq!(lock.into_inner(), (0..20).collect::<Vec<_>>());
    });
}

/// A combinator that has itself woken comes by in the turn after: `FuturesUnordered` does, when another thread is just telling it who is woken.
#[test]
fn who_comes_by_in_the_second_of_two_turns_is_not_passed_over() {
    on_each(WORKERS, async || {
        let lock = Arc::new(Mutex::new(vec![]));
        let guard = lock.clone().lock_owned().await.unwrap();
        nursery(async |n| {
            let (mutex, waits) = (lock.clone(), Arc::new(Event::new()));
            let is_waiting = waits.clone();
            n.spawn(async move {
                let mut wait = pin!(mutex.lock());
                let mut turns = 0;
                let mut order = poll_fn(|cx| {
                    turns += 1;
                    if turns == 2 {
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    let polled = wait.as_mut().poll(cx);
                    is_waiting.set();
                    polled
                })
                .await
                .unwrap();
                order.push("first");
            });
            waits.wait().await;
            let mutex = lock.clone();
            n.spawn(async move { mutex.lock().await.unwrap().push("second") });
            all_wait().await;
            assert_eq!(lock.statistics().tasks_waiting, 2);
            drop(guard);
        })
        .await;
        assert_eq!(*lock.try_lock().unwrap(), ["first", "second"]);
    });
}

/// As above, but it goes on waking itself, and never comes by.
#[test]
fn a_task_that_is_always_due_again_holds_nobody_up() {
    on_each(WORKERS, async || {
        let lock = Arc::new(Mutex::new(()));
        let guard = lock.clone().lock_owned().await.unwrap();
        let mut unpolled = lock.lock().boxed();
        assert!(poll!(unpolled.as_mut()).is_pending());
        nursery(async |n| {
            let mutex = lock.clone();
            let second = n.spawn(async move { drop(mutex.lock().await.unwrap()) });
            all_wait().await;
            assert_eq!(lock.statistics().tasks_waiting, 2);
            drop(guard);
            while !second.is_finished() {
                checkpoint().await; // retry: it is this task that is to be due again and again
            }
        })
        .await;
        drop(unpolled.await.unwrap());
    });
}

/// The future has left its task, and that has ended: nobody's turn will come.
#[test]
fn a_wait_whose_task_has_ended_holds_nobody_up() {
    on_each(WORKERS, async || {
        let lock = Arc::new(Mutex::new(()));
        let guard = lock.lock().await.unwrap();
        let (sender, receiver) = channel::oneshot();
        nursery(async |n| {
            let lock = lock.clone();
            n.spawn(async move {
                let mut wait = lock.lock_owned().boxed();
                assert!(poll!(wait.as_mut()).is_pending());
                sender.send(wait).unwrap_or_else(|_| panic!("the receiver is there"));
            });
        })
        .await;
        let orphan = receiver.await.unwrap();
        drop(guard);
        drop(lock.lock().await.unwrap());
        // Whoever has it now may go on with it.
        drop(orphan.await.unwrap());
    });
}

/// As above, but the lock is handed over in the very last turn of the task, which does not count: it began before. With a handle of the task, one that is awaited, and none.
#[test]
fn a_wait_that_is_handed_the_lock_in_the_last_turn_of_its_task_holds_nobody_up() {
    on_each(WORKERS, async || {
        for handle in 0..3 {
            let lock = Arc::new(Mutex::new(()));
            let (sender, receiver) = channel::oneshot();
            nursery(async |n| {
                let lock = lock.clone();
                let task = n.spawn(async move {
                    let guard = lock.lock().await.unwrap();
                    let mut wait = lock.clone().lock_owned().boxed();
                    assert!(poll!(wait.as_mut()).is_pending());
                    sender.send(wait).unwrap_or_else(|_| panic!("the receiver is there"));
                    drop(guard);
                });
                match handle {
                    0 => drop(task),
                    1 => task.await.unwrap(),
                    _ => {
                        checkpoint().await;
                        checkpoint().await;
                        drop(task);
                    }
                }
            })
            .await;
            let orphan = receiver.await.unwrap();
            drop(lock.lock().await.unwrap());
            drop(orphan.await.unwrap());
        }
    });
}

/// Permits, too: those of one who does not claim them go to those behind.
#[test]
fn permits_of_a_semaphore_pass_over_an_unpolled_future() {
    on_each(WORKERS, async || {
        let semaphore = Semaphore::new(3);
        let all = semaphore.acquire_many(3).await;
        let mut unpolled = Box::pin(semaphore.acquire_many(3));
        assert!(poll!(unpolled.as_mut()).is_pending());
        let others = join_all((0..3).map(|_| semaphore.acquire()));
        let release = async {
            checkpoint().await;
            drop(all);
        };
        let (others, ()) = futures_util::future::join(others, release).await;
        assert_eq!(others.len(), 3);
        drop(others);
        assert_eq!(unpolled.await.permits(), 3);
    });
}

/// Tokens of a limiter, too; also for one that borrows in its own name, and after fewer have become of them.
#[test]
fn a_limiter_passes_over_an_unpolled_future() {
    on_each(WORKERS, async || {
        let limiter = CapacityLimiter::new(2);
        let (one, two) = (limiter.acquire().await, limiter.acquire().await);
        let name = Borrower::new();
        let mut unpolled = Box::pin(limiter.acquire_for(name));
        assert!(poll!(unpolled.as_mut()).is_pending());
        limiter.set_total(1);
        let release = async {
            checkpoint().await;
            drop(one); // This one is taken away.
            checkpoint().await;
            drop(two);
        };
        let (other, ()) = futures_util::future::join(limiter.acquire(), release).await;
        let now = limiter.statistics();
        assert_eq!((now.borrowed, now.borrowers, now.tasks_waiting), (1, vec![], 1));
        drop(other);
        let token = unpolled.await.unwrap();
        assert_eq!(limiter.statistics().borrowers, [name]);
        drop(token);
        assert_eq!(limiter.statistics().borrowed, 0);
    });
}

/// A writer that nobody polls lets readers by, and the other way round.
#[test]
fn a_lock_for_readers_passes_over_an_unpolled_writer() {
    on_each(WORKERS, async || {
        let lock = RwLock::new(1);
        let reader = lock.read().await.unwrap();
        let mut writer = Box::pin(lock.write());
        assert!(poll!(writer.as_mut()).is_pending());
        let mut later = Box::pin(lock.read());
        assert!(poll!(later.as_mut()).is_pending());
        drop(reader);
        assert_eq!(*later.await.unwrap(), 1);
        *writer.await.unwrap() = 2;
        assert_eq!(*lock.read().await.unwrap(), 2);
    });
}

/// A waker that asks for the lock when it is dropped: under the lock of the line it would hang.
struct AsksWhenDropped(Arc<Mutex<()>>);

impl Wake for AsksWhenDropped {
    fn wake(self: Arc<Self>) {}
}

impl Drop for AsksWhenDropped {
    fn drop(&mut self) {
        let _ = self.0.statistics();
    }
}

/// Wherever a wait stands (in line, handed the lock, passed over, passed over with the lock free), polling it again and dropping it drop no waker under the lock of the line.
#[test]
fn wakers_are_not_dropped_under_the_lock_of_the_line() {
    on_each(WORKERS, async || {
        let lock = Arc::new(Mutex::new(()));
        let foreign = || Waker::from(Arc::new(AsksWhenDropped(Arc::clone(&lock))));
        let poll = |wait: &mut BoxFuture<'static, _>| wait.as_mut().poll(&mut Context::from_waker(&foreign()));
        for (stands, polled_again) in [Stands::InLine, Stands::Handed, Stands::PassedOver, Stands::PassedOverAndFree]
            .into_iter()
            .flat_map(|stands| (0..3).map(move |polls| (stands, polls)))
        {
            let mut guard = Some(lock.clone().lock_owned().await.unwrap());
            let mut wait = lock.clone().lock_owned().boxed();
            assert!(poll(&mut wait).is_pending());
            if stands != Stands::InLine {
                drop(guard.take());
            }
            if matches!(stands, Stands::PassedOver | Stands::PassedOverAndFree) {
                guard = Some(lock.clone().lock_owned().await.unwrap());
            }
            if stands == Stands::PassedOverAndFree {
                drop(guard.take());
            }
            for _ in 0..polled_again {
                match (poll(&mut wait), &guard) {
                    (Poll::Ready(taken), None) => {
                        guard = Some(taken.unwrap());
                        break;
                    }
                    (polled, guard) => assert_eq!((polled.is_pending(), guard.is_some()), (true, true), "{stands:?}"),
                }
            }
            drop((wait, guard));
            assert!(lock.try_lock().is_ok(), "{stands:?}");
        }
    });
}

/// For the test above.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Stands {
    InLine,
    Handed,
    PassedOver,
    PassedOverAndFree,
}
