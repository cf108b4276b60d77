//! Conditions, barriers, cells that are filled once.

use crate::common::{WORKERS, begin_in_cancelled_scope, cancel_while_waiting, drop_after};
use futures_util::future::FutureExt;
use futures_util::poll;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use trioxide_runtime::{checkpoint, nursery, run};
use trioxide_sync::{Barrier, Condition, Event, Lazy, Mutex, OnceCell};
use trioxide_testing::{on_each, wait_all_tasks_blocked};

/// A queue with room for one, by two conditions at one lock.
#[test]
fn producers_and_consumers_meet_by_two_conditions() {
    on_each(WORKERS, async || {
        let slot = Arc::new((Mutex::new(None::<u64>), Condition::new(), Condition::new()));
        let sum = Arc::new(AtomicUsize::new(0));
        nursery(async |n| {
            for first in 0..4 {
                let slot = slot.clone();
                n.spawn(async move {
                    let (lock, filled, emptied) = &*slot;
                    for number in 0..100 {
                        let guard = lock.lock().await.unwrap();
                        let mut guard = emptied.wait_while(guard, |slot| slot.is_some()).await.unwrap();
                        *guard = Some(first * 100 + number);
                        filled.notify_one(&guard);
                    }
                });
            }
            for _ in 0..4 {
                let (slot, sum) = (slot.clone(), sum.clone());
                n.spawn(async move {
                    let (lock, filled, emptied) = &*slot;
                    for _ in 0..100 {
                        let guard = lock.lock().await.unwrap();
                        let mut guard = filled.wait_while(guard, |slot| slot.is_none()).await.unwrap();
                        sum.fetch_add(guard.take().unwrap() as usize, Ordering::Relaxed);
                        emptied.notify_one(&guard);
                    }
                });
            }
        })
        .await;
        assert_eq!(sum.load(Ordering::Relaxed), 400 * 399 / 2);
    });
}

#[test]
fn conditions_at_one_lock_are_told_apart() {
    run(async {
        let (lock, one, two) = (Mutex::new(()), Condition::new(), Condition::new());
        let mut waits_one = pin!(one.wait(lock.lock().await.unwrap()));
        assert!(poll!(waits_one.as_mut()).is_pending());
        let mut waits_two = pin!(two.wait(lock.lock().await.unwrap()));
        assert!(poll!(waits_two.as_mut()).is_pending());
        let guard = lock.lock().await.unwrap();
        assert_eq!((two.notify_all(&guard), two.notify_all(&guard)), (1, 0));
        drop(guard);
        drop(waits_two.await.unwrap());
        assert!(poll!(waits_one.as_mut()).is_pending());
        assert_eq!(one.statistics(&lock).tasks_waiting, 1);
    });
}

#[test]
fn a_barrier_lets_rounds_through_together() {
    const TASKS: usize = 5;
    on_each(WORKERS, async || {
        let barrier = Arc::new(Barrier::new(TASKS));
        let (arrived, leaders) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        nursery(async |n| {
            for _ in 0..TASKS {
                let (barrier, arrived, leaders) = (barrier.clone(), arrived.clone(), leaders.clone());
                n.spawn(async move {
                    for round in 1..=50 {
                        arrived.fetch_add(1, Ordering::SeqCst);
                        if barrier.wait().await.is_leader() {
                            leaders.fetch_add(1, Ordering::SeqCst);
                        }
                        assert!(arrived.load(Ordering::SeqCst) >= round * TASKS);
                    }
                });
            }
        })
        .await;
        assert_eq!(leaders.load(Ordering::SeqCst), 50);
        assert_eq!(barrier.statistics().tasks_waiting, 0);
    });
}

#[test]
fn a_cancelled_wait_at_a_barrier_does_not_count_and_one_dropped_after_all_have_come_does() {
    on_each(WORKERS, async || {
        let barrier = Barrier::new(2);
        begin_in_cancelled_scope(barrier.wait()).await;
        cancel_while_waiting(barrier.wait()).await;
        assert_eq!(barrier.statistics().tasks_waiting, 0);
        drop_after(barrier.wait(), || assert!(barrier.wait().now_or_never().unwrap().is_leader())).await;
        assert_eq!(barrier.statistics().tasks_waiting, 0);
        assert!(Barrier::new(1).wait().await.is_leader());
        assert!(Barrier::new(0).wait().await.is_leader());
    });
}

#[test]
fn a_cell_is_filled_once_by_many() {
    on_each(WORKERS, async || {
        let (cell, made) = (Arc::new(OnceCell::new()), Arc::new(AtomicUsize::new(0)));
        nursery(async |n| {
            for number in 0..20 {
                let (cell, made) = (cell.clone(), made.clone());
                n.spawn(async move {
                    let value = *cell
                        .get_or_init(async || {
                            made.fetch_add(1, Ordering::SeqCst);
                            checkpoint().await;
                            number
                        })
                        .await;
                    assert_eq!(Some(&value), cell.get());
                });
            }
        })
        .await;
        assert_eq!(made.load(Ordering::SeqCst), 1);
        assert_eq!(cell.set(99).unwrap_err().0, 99);
        begin_in_cancelled_scope(cell.get_or_init(async || 7)).await;
    });
}

/// Cancelled or failed, the making of the value goes on to the first that waits.
#[test]
fn a_cell_whose_maker_is_cancelled_or_fails_is_filled_by_the_next() {
    on_each(WORKERS, async || {
        let cell = OnceCell::new();
        cancel_while_waiting(cell.get_or_init(std::future::pending)).await;
        assert_eq!(cell.get(), None);
        assert_eq!(cell.get_or_try_init(async || Err::<u32, _>("no")).await, Err("no"));
        let mut second = pin!(cell.get_or_init(async || 2));
        {
            let mut first = pin!(cell.get_or_init(std::future::pending));
            assert!(poll!(first.as_mut()).is_pending());
            assert!(poll!(second.as_mut()).is_pending());
            assert_eq!(cell.set(3).unwrap_err().0, 3);
        }
        assert_eq!(second.await, &2);
        assert_eq!(cell.get(), Some(&2));
    });
}

#[test]
fn dropped_right_after_it_was_handed_the_right_to_fill_the_cell_it_passes_it_on() {
    run(async {
        let cell = OnceCell::new();
        let mut first = Box::pin(cell.get_or_init(std::future::pending::<u32>));
        assert!(poll!(first.as_mut()).is_pending());
        drop_after(cell.get_or_init(async || 2), || drop(first)).await;
        assert_eq!(cell.get_or_init(async || 3).await, &3);
    });
}

#[test]
fn a_lazy_value_is_made_when_it_is_needed() {
    let made = Arc::new(AtomicUsize::new(0));
    let counted = made.clone();
    let lazy = Lazy::new(async || counted.fetch_add(1, Ordering::SeqCst) + 1);
    assert_eq!((lazy.get(), made.load(Ordering::SeqCst)), (None, 0));
    run(async {
        assert_eq!((*lazy.force().await, *lazy.force().await), (1, 1));
        assert_eq!(lazy.get(), Some(&1));
    });
}

#[test]
fn statistics_of_a_cell_say_who_waits_for_its_value() {
    on_each(WORKERS, async || {
        let (cell, go_on) = (Arc::new(OnceCell::new()), Arc::new(Event::new()));
        let all = |cell: &OnceCell<u32>| {
            let now = cell.statistics();
            (now.is_set, now.is_being_made, now.tasks_waiting)
        };
        assert_eq!(all(&cell), (false, false, 0));
        nursery(async |n| {
            for _ in 0..3 {
                let (cell, go_on) = (cell.clone(), go_on.clone());
                n.spawn(async move {
                    let make = async || {
                        go_on.wait().await;
                        7
                    };
                    assert_eq!(*cell.get_or_init(make).await, 7);
                });
            }
            wait_all_tasks_blocked(Duration::ZERO).await;
            assert_eq!(all(&cell), (false, true, 2));
            go_on.set();
        })
        .await;
        assert_eq!(all(&cell), (true, false, 0));
    });
}
