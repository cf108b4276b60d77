//! Mutexes: one at a time, nothing lost, told when there is nothing to wait for.

use crate::common::{WORKERS, all_wait, begin_in_cancelled_scope, cancel_while_waiting, drop_after};
use futures_util::poll;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use trioxide_runtime::{blocking, checkpoint, nursery, run};
use trioxide_sync::{Event, Mutex, MutexGuard, OwnedMutexGuard, TryLockError};
use trioxide_testing::on_each;

#[test]
fn one_at_a_time_on_all_workers() {
    on_each(WORKERS, async || {
        let total = Arc::new(Mutex::new(0u64));
        let inside = Arc::new(AtomicBool::new(false));
        nursery(async |n| {
            for task in 0..8 {
                let (total, inside) = (total.clone(), inside.clone());
                n.spawn(async move {
                    for round in 0..200 {
                        let mut guard = total.lock().await.unwrap();
                        assert!(!inside.swap(true, Ordering::SeqCst));
                        if (task + round) % 3 == 0 {
                            checkpoint().await;
                        }
                        *guard += 1;
                        inside.store(false, Ordering::SeqCst);
                    }
                });
            }
        })
        .await;
        assert_eq!(*total.lock().await.unwrap(), 1600);
        assert_eq!(total.statistics().tasks_waiting, 0);
    });
}

/// Each round, a third of the waits are given up, before or after they were handed the lock.
#[test]
fn nothing_is_lost_when_waits_are_given_up() {
    on_each(WORKERS, async || {
        let total = Arc::new(Mutex::new(0u64));
        nursery(async |n| {
            for task in 0..8 {
                let total = total.clone();
                n.spawn(async move {
                    for round in 0..200 {
                        if (task + round) % 3 == 0 {
                            let mut wait = pin!(total.lock());
                            if poll!(wait.as_mut()).is_pending() {
                                checkpoint().await;
                            }
                        }
                        *total.lock().await.unwrap() += 1;
                    }
                });
            }
        })
        .await;
        assert_eq!(*total.try_lock().unwrap(), 1600);
    });
}

#[test]
fn can_be_a_static_and_mapped() {
    static PAIR: Mutex<(u32, &str)> = Mutex::new((1, "one"));
    run(async {
        let mut name = MutexGuard::map(PAIR.lock().await.unwrap(), |pair| &mut pair.1);
        assert_eq!(*name, "one");
        *name = "two";
        drop(name);
        assert_eq!(PAIR.lock().await.unwrap().1, "two");
        assert_eq!(format!("{PAIR:?}"), "Mutex { value: (1, \"two\"), .. }");
    });
}

#[test]
fn a_cancelled_wait_has_taken_nothing() {
    on_each(WORKERS, async || {
        let lock = Mutex::new(());
        begin_in_cancelled_scope(async { drop(lock.lock().await) }).await;
        let guard = lock.lock().await.unwrap();
        cancel_while_waiting(async { drop(lock.lock().await) }).await;
        assert_eq!(lock.statistics().tasks_waiting, 0);
        drop(guard);
        assert!(lock.try_lock().is_ok());
    });
}

#[test]
fn dropped_right_after_the_hand_over_it_passes_the_lock_on() {
    on_each(WORKERS, async || {
        let lock = Mutex::new(());
        let guard = lock.lock().await.unwrap();
        drop_after(lock.lock(), || drop(guard)).await;
        let guard = lock.try_lock().unwrap();
        let mut second = None;
        drop_after(lock.lock(), || {
            let mut next = Box::pin(lock.lock());
            assert!(futures_util::FutureExt::now_or_never(next.as_mut()).is_none());
            second = Some(next);
            drop(guard);
        })
        .await;
        drop(second.unwrap().await.unwrap());
    });
}

#[test]
fn a_guard_dropped_by_a_panic_breaks_the_lock_for_who_waits_and_who_comes() {
    on_each(WORKERS, async || {
        let lock = Arc::new(Mutex::new(1));
        let guard = lock.clone().lock_owned().await.unwrap();
        let mut waits = pin!(lock.lock());
        assert!(poll!(waits.as_mut()).is_pending());
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _guard = guard;
            panic!("while it holds the lock");
        }));
        assert!(panicked.is_err());
        let broken = waits.await.unwrap_err();
        assert!(broken.is_panic() && broken.holder().is_some());
        assert_eq!(lock.try_lock().unwrap_err(), TryLockError::Broken(broken));
        assert_eq!(lock.lock().await.unwrap_err(), broken);
        assert_eq!(lock.broken(), Some(broken));
        assert!(broken.to_string().contains("has panicked"), "{broken}");
        lock.repair();
        assert_eq!(*lock.lock().await.unwrap(), 1);
    });
}

/// A panic elsewhere that drops a guard which was made during it breaks nothing.
#[test]
fn a_guard_that_was_taken_during_a_panic_breaks_nothing() {
    struct Locks<'a>(&'a Mutex<u32>);
    impl Drop for Locks<'_> {
        fn drop(&mut self) {
            *self.0.try_lock().unwrap() += 1;
        }
    }
    let lock = Mutex::new(0);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _locks = Locks(&lock);
        panic!("on the way out a lock is taken");
    }));
    assert!(panicked.is_err());
    assert_eq!(*lock.try_lock().unwrap(), 1);
}

#[test]
fn a_leaked_guard_is_reported_when_its_task_has_ended() {
    on_each(WORKERS, async || {
        let lock = Arc::new(Mutex::new(()));
        let leaked = Arc::new(Event::new());
        nursery(async |n| {
            let (leaky, has_leaked) = (lock.clone(), leaked.clone());
            let waiting = lock.clone();
            n.spawn(async move {
                std::mem::forget(leaky.lock().await.unwrap());
                has_leaked.set();
                all_wait().await;
                assert_eq!(leaky.statistics().tasks_waiting, 1);
            });
            leaked.wait().await;
            n.spawn(async move {
                let broken = waiting.lock().await.map(drop).unwrap_err();
                assert!(!broken.is_panic() && broken.holder().is_some());
                assert!(
                    broken.to_string().contains("has not dropped") || broken.to_string().contains("dropped the guard")
                );
            });
        })
        .await;
        // Who comes now is told, too; and there is nothing to repair.
        assert!(lock.lock().await.is_err());
        lock.repair();
        assert!(lock.try_lock().is_err());
    });
}

/// So many that a task's count of them, which has sixteen bits, is zero again.
#[test]
fn of_very_many_guards_that_a_task_leaks_none_is_forgotten() {
    on_each(WORKERS, async || {
        let locks: Arc<Vec<_>> = Arc::new((0..1 << 16).map(Mutex::new).collect());
        nursery(async |n| {
            let leaky = locks.clone();
            n.spawn(async move { leaky.iter().for_each(|lock| std::mem::forget(lock.try_lock().unwrap())) });
        })
        .await;
        for lock in [&locks[0], &locks[4711], &locks[(1 << 16) - 1]] {
            assert!(lock.lock().await.is_err());
        }
    });
}

/// The first to wait comes after the holder has ended: the line learns of it then.
#[test]
fn who_comes_after_the_end_of_the_holder_is_told() {
    on_each(WORKERS, async || {
        let lock = Arc::new(Mutex::new(()));
        nursery(async |n| {
            let leaky = lock.clone();
            n.spawn(async move { std::mem::forget(leaky.lock().await.unwrap()) });
        })
        .await;
        let broken = lock.lock().await.map(drop).unwrap_err();
        assert!(!broken.is_panic());
    });
}

#[test]
fn a_guard_that_was_given_away_and_is_dropped_after_all_mends_the_lock() {
    on_each(WORKERS, async || {
        let lock = Arc::new(Mutex::new(()));
        let (sender, receiver) = trioxide_sync::channel::oneshot();
        nursery(async |n| {
            let lock = lock.clone();
            n.spawn(async move {
                let guard = lock.lock_owned().await.unwrap();
                sender.send(guard).expect("the receiver is there");
            });
        })
        .await;
        let mut guard = receiver.await.unwrap();
        assert!(lock.lock().await.is_err());
        OwnedMutexGuard::adopt(&mut guard);
        let mut waits = pin!(lock.lock());
        assert!(poll!(waits.as_mut()).is_pending());
        drop(guard);
        drop(waits.await.unwrap());
        assert_eq!(lock.broken(), None);
    });
}

#[test]
fn threads_stand_in_the_same_line() {
    on_each(WORKERS, async || {
        let lock = Arc::new(Mutex::new(0));
        let guard = lock.lock().await.unwrap();
        nursery(async |n| {
            let other = lock.clone();
            n.spawn(async move {
                blocking(move || *other.blocking_lock().unwrap() += 1).await;
            });
            while lock.statistics().tasks_waiting == 0 {
                checkpoint().await; // retry: a thread waits, and so not all is quiet
            }
            drop(guard);
        })
        .await;
        assert_eq!(*lock.lock().await.unwrap(), 1);
    });
}

#[test]
fn blocking_in_a_task_is_refused() {
    let panic = run(async {
        let lock = Mutex::new(());
        catch_unwind(AssertUnwindSafe(|| drop(lock.blocking_lock()))).unwrap_err()
    });
    let text = panic.downcast_ref::<String>().unwrap();
    assert!(text.contains("`Mutex::blocking_lock`") && text.contains("await `Mutex::lock` instead"), "{text}");
}

#[test]
fn works_between_plain_threads() {
    let lock = Mutex::new(0);
    thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| {
                for _ in 0..500 {
                    *lock.blocking_lock().unwrap() += 1;
                }
            });
        }
    });
    assert_eq!(lock.into_inner(), 2000);
}
