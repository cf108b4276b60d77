//! Locks and conditions.

use crate::common::{ALL, all_wait, cancel_while_waiting};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, poll};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex as StdMutex};
use trioxide_runtime::{checkpoint, current_task, nursery, run};
use trioxide_sync::{CapacityLimiter, Condition, Event, Mutex, RwLock, Semaphore, TryLockError, channel};
use trioxide_testing::on_each;

/// In Rust it is a guard's, and whoever has that may give it back; so release by another is no error. Nor is waiting for a lock that one holds: another branch of the task may give it back.
#[test]
fn c138_a_lock_is_its_holders_and_is_not_taken_twice() {
    run(async {
        let lock = Mutex::new(());
        assert!(!lock.statistics().locked);
        let guard = lock.lock().await.unwrap();
        let now = lock.statistics();
        assert_eq!((now.locked, now.holder), (true, Some(current_task().id())));
        assert_eq!(lock.try_lock().map(drop), Err(TryLockError::WouldBlock));
        {
            let mut again = pin!(lock.lock());
            assert!(poll!(again.as_mut()).is_pending());
            assert_eq!(lock.statistics().tasks_waiting, 1);
        }
        assert_eq!(lock.statistics().tasks_waiting, 0);
        drop(guard);
        assert!(!lock.statistics().locked);
        // A cancelled holder, and a cancelled waiter, leave it free.
        cancel_while_waiting(async {
            let _guard = lock.lock().await.unwrap();
            std::future::pending::<()>().await;
        })
        .await;
        assert!(lock.try_lock().is_ok());
    });
}

/// That it needs the lock is checked when it compiles: it takes the guard.
#[test]
fn c139_a_condition_wakes_in_order_into_the_line_of_the_lock() {
    run(nursery(async |n| {
        let (lock, condition) = (Arc::new(Mutex::new(vec![])), Arc::new(Condition::new()));
        for number in 0..5 {
            let (waiting, awaited) = (lock.clone(), condition.clone());
            n.spawn(async move {
                let guard = waiting.lock().await.unwrap();
                let mut guard = awaited.wait(guard).await.unwrap();
                guard.push(number);
            });
            all_wait().await;
            assert_eq!(condition.statistics(&lock).tasks_waiting, number + 1);
        }
        {
            let guard = lock.lock().await.unwrap();
            assert!(condition.notify_one(&guard));
            // It is in the line of the lock, which is still held.
            assert_eq!((condition.statistics(&lock).tasks_waiting, lock.statistics().tasks_waiting), (4, 1));
            assert!(guard.is_empty());
        }
        all_wait().await;
        assert!(lock.try_lock().is_ok_and(|guard| *guard == [0]));
        {
            let guard = lock.lock().await.unwrap();
            assert_eq!(condition.notify(&guard, 2), 2);
            assert_eq!(lock.statistics().tasks_waiting, 2);
        }
        all_wait().await;
        assert!(lock.try_lock().is_ok_and(|guard| *guard == [0, 1, 2]));
        {
            let guard = lock.lock().await.unwrap();
            assert_eq!(condition.notify_all(&guard), 2);
            assert!(!condition.notify_one(&guard));
        }
        all_wait().await;
        assert!(lock.try_lock().is_ok_and(|guard| *guard == [0, 1, 2, 3, 4]));
    }));
}

/// Restated: the guard goes into the wait, and a cut drops the two together, so nothing runs that could need the lock. What is left is in order: the lock is free, and nobody is in line.
#[test]
fn c140_a_cancelled_wait_on_a_condition_leaves_the_lock_in_order() {
    run(async {
        let (lock, condition) = (Mutex::new(()), Condition::new());
        let wait = async {
            let guard = lock.lock().await.unwrap();
            drop(condition.wait(guard).await);
        };
        cancel_while_waiting(wait).await;
        assert_eq!(condition.statistics(&lock).tasks_waiting, 0);
        assert!(lock.try_lock().is_ok());
        // And one that was notified, and waits for the lock.
        let mut wait = async {
            let guard = lock.lock().await.unwrap();
            drop(condition.wait(guard).await);
        }
        .boxed_local();
        assert!(poll!(wait.as_mut()).is_pending());
        let guard = lock.lock().await.unwrap();
        condition.notify_all(&guard);
        assert_eq!(lock.statistics().tasks_waiting, 1);
        drop(wait);
        assert_eq!(lock.statistics().tasks_waiting, 0);
        drop(guard);
        assert!(lock.try_lock().is_ok());
    });
}

/// Locks by different means: `with(inside)` runs `inside` with the lock.
trait Exclusion: Send + Sync {
    fn with<'a>(&'a self, inside: Inside<'a>) -> Inside<'a>;

    /// How many are in line.
    fn waiting(&self) -> usize;
}

type Inside<'a> = BoxFuture<'a, ()>;

struct ByLimiter(CapacityLimiter);
struct BySemaphore(Semaphore);
struct ByMutex(Mutex<()>);
struct ByWriting(RwLock<()>);
/// One token goes round through a channel with that capacity.
struct ByToken(channel::Sender<()>, channel::Receiver<()>);
/// Who has put its token into a channel of one has the lock.
struct ByRoom(channel::Sender<()>, channel::Receiver<()>);

impl Exclusion for ByLimiter {
    fn with<'a>(&'a self, inside: Inside<'a>) -> Inside<'a> {
        Box::pin(async move {
            let _token = self.0.acquire().await;
            inside.await;
        })
    }

    fn waiting(&self) -> usize {
        self.0.statistics().tasks_waiting
    }
}

impl Exclusion for BySemaphore {
    fn with<'a>(&'a self, inside: Inside<'a>) -> Inside<'a> {
        Box::pin(async move {
            let _permit = self.0.acquire().await;
            inside.await;
        })
    }

    fn waiting(&self) -> usize {
        self.0.statistics().tasks_waiting
    }
}

impl Exclusion for ByMutex {
    fn with<'a>(&'a self, inside: Inside<'a>) -> Inside<'a> {
        Box::pin(async move {
            let _guard = self.0.lock().await.unwrap();
            inside.await;
        })
    }

    fn waiting(&self) -> usize {
        self.0.statistics().tasks_waiting
    }
}

impl Exclusion for ByWriting {
    fn with<'a>(&'a self, inside: Inside<'a>) -> Inside<'a> {
        Box::pin(async move {
            let _guard = self.0.write().await.unwrap();
            inside.await;
        })
    }

    fn waiting(&self) -> usize {
        self.0.statistics().tasks_waiting
    }
}

impl Exclusion for ByToken {
    fn with<'a>(&'a self, inside: Inside<'a>) -> Inside<'a> {
        Box::pin(async move {
            self.1.recv().await.unwrap();
            inside.await;
            self.0.try_send(()).unwrap();
        })
    }

    fn waiting(&self) -> usize {
        self.1.statistics().tasks_waiting_recv
    }
}

impl Exclusion for ByRoom {
    fn with<'a>(&'a self, inside: Inside<'a>) -> Inside<'a> {
        Box::pin(async move {
            self.0.send(()).await.unwrap();
            inside.await;
            self.1.try_recv().unwrap();
        })
    }

    fn waiting(&self) -> usize {
        self.0.statistics().tasks_waiting_send
    }
}

fn exclusions() -> Vec<(&'static str, Arc<dyn Exclusion>)> {
    let (sender, receiver) = channel::bounded(1);
    sender.try_send(()).unwrap();
    let (wide_sender, wide_receiver) = channel::bounded(8);
    wide_sender.try_send(()).unwrap();
    let (room_sender, room_receiver) = channel::bounded(1);
    vec![
        ("limiter", Arc::new(ByLimiter(CapacityLimiter::new(1)))),
        ("semaphore", Arc::new(BySemaphore(Semaphore::new(1)))),
        ("mutex", Arc::new(ByMutex(Mutex::new(())))),
        ("writing", Arc::new(ByWriting(RwLock::new(())))),
        ("token", Arc::new(ByToken(sender, receiver))),
        ("token with room", Arc::new(ByToken(wide_sender, wide_receiver))),
        ("room", Arc::new(ByRoom(room_sender, room_receiver))),
    ]
}

#[test]
fn c141_one_at_a_time_by_any_lock() {
    on_each(ALL, async || {
        for (name, lock) in exclusions() {
            let inside = Arc::new(AtomicBool::new(false));
            nursery(async |n| {
                for _ in 0..5 {
                    let (lock, inside) = (lock.clone(), inside.clone());
                    n.spawn(async move {
                        for _ in 0..10 {
                            checkpoint().await;
                            let inside = inside.clone();
                            lock.with(Box::pin(async move {
                                assert!(!inside.swap(true, Ordering::SeqCst), "{name}");
                                checkpoint().await;
                                inside.store(false, Ordering::SeqCst);
                            }))
                            .await;
                        }
                    });
                }
            })
            .await;
        }
    });
}

#[test]
fn c142_those_who_take_turns_keep_their_order() {
    const ROUNDS: usize = 20;
    on_each(ALL, async || {
        for (name, lock) in exclusions() {
            let record = Arc::new(StdMutex::new(vec![]));
            nursery(async |n| {
                for number in 0..3 {
                    let (lock, record) = (lock.clone(), record.clone());
                    n.spawn(async move {
                        for round in 0..ROUNDS {
                            let (line, record) = (lock.clone(), record.clone());
                            lock.with(Box::pin(async move {
                                record.lock().unwrap().push(number);
                                // Gives it back when both others are in line; in the last round they may be gone.
                                all_wait().await;
                                assert!(line.waiting() == 2 || round == ROUNDS - 1);
                            }))
                            .await;
                        }
                    });
                }
            })
            .await;
            let record = record.lock().unwrap();
            let rounds: Vec<_> = record.chunks(3).collect();
            assert!(rounds.iter().all(|round| *round == rounds[0]), "{name}: {record:?}");
        }
    });
}

#[test]
fn c143_taking_without_waiting_blocks_who_comes_later() {
    run(async {
        let lock = Mutex::new(());
        let guard = lock.try_lock().unwrap();
        let mut later = pin!(lock.lock());
        assert!(poll!(later.as_mut()).is_pending());
        drop(guard);
        drop(later.await.unwrap());

        let semaphore = Semaphore::new(1);
        let permit = semaphore.try_acquire().unwrap();
        let mut later = pin!(semaphore.acquire());
        assert!(poll!(later.as_mut()).is_pending());
        drop(permit);
        drop(later.await);
    });
}

#[test]
fn c144_a_lock_whose_holder_has_ended_is_broken_and_says_whose_it_was() {
    run(nursery(async |n| {
        let lock = Arc::new(Mutex::new(()));
        let (leaking, held) = (lock.clone(), Arc::new(Event::new()));
        let is_held = held.clone();
        let waiting = lock.clone();
        let holder = n.spawn(async move {
            std::mem::forget(leaking.lock().await.unwrap());
            is_held.set();
            all_wait().await;
            assert_eq!(leaking.statistics().tasks_waiting, 2);
        });
        held.wait().await;
        for _ in 0..2 {
            let (waiting, holder) = (waiting.clone(), holder.id());
            n.spawn(async move {
                let broken = waiting.lock().await.map(drop).unwrap_err();
                assert_eq!(broken.holder(), Some(holder));
                assert!(broken.to_string().contains(&format!("task {holder}")));
            });
        }
        let id = holder.id();
        holder.await.unwrap();
        assert_eq!(lock.lock().await.map(drop).unwrap_err().holder(), Some(id));
        assert!(matches!(lock.try_lock().map(drop), Err(TryLockError::Broken(_))));
    }));
}

#[test]
fn c145_who_is_handed_the_lock_is_its_holder_from_then_on() {
    run(nursery(async |n| {
        let lock = Arc::new(Mutex::new(()));
        let guard = lock.clone().lock_owned().await.unwrap();
        let (leaking, release) = (lock.clone(), Arc::new(Event::new()));
        let released = release.clone();
        let heir = n.spawn(async move {
            let guard = leaking.lock().await.unwrap();
            released.wait().await;
            std::mem::forget(guard);
        });
        all_wait().await;
        assert_eq!(lock.statistics().tasks_waiting, 1);
        drop(guard);
        all_wait().await;
        assert_eq!(lock.statistics().holder, Some(heir.id()));
        let mut waits = pin!(lock.lock());
        assert!(poll!(waits.as_mut()).is_pending());
        release.set();
        assert_eq!(waits.await.map(drop).unwrap_err().holder(), Some(heir.id()));
    }));
}
