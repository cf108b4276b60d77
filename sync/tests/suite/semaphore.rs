//! Semaphores: so many at once, several permits at a time, nothing lost.

use crate::common::{WORKERS, begin_in_cancelled_scope, cancel_while_waiting, drop_after};
use futures_util::poll;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use trioxide_runtime::{blocking, checkpoint, nursery, run};
use trioxide_sync::{NoPermits, Semaphore};
use trioxide_testing::on_each;

/// Tasks that want one, two, three … permits of five; a third of the waits are given up.
#[test]
fn never_more_than_there_are_and_all_come_back() {
    const PERMITS: usize = 5;
    on_each(WORKERS, async || {
        let semaphore = Arc::new(Semaphore::new(PERMITS));
        let inside = Arc::new(AtomicUsize::new(0));
        nursery(async |n| {
            for task in 0..8usize {
                let (semaphore, inside) = (semaphore.clone(), inside.clone());
                n.spawn(async move {
                    for round in 0..150 {
                        let wanted = 1 + (task + round) % PERMITS;
                        if (task + round) % 3 == 0 {
                            let mut wait = pin!(semaphore.acquire_many(wanted));
                            if poll!(wait.as_mut()).is_pending() {
                                checkpoint().await;
                            }
                        }
                        let permit = semaphore.acquire_many(wanted).await;
                        assert!(inside.fetch_add(wanted, Ordering::SeqCst) + wanted <= PERMITS);
                        checkpoint().await;
                        inside.fetch_sub(wanted, Ordering::SeqCst);
                        drop(permit);
                    }
                });
            }
        })
        .await;
        let now = semaphore.statistics();
        assert_eq!((now.available, now.total, now.tasks_waiting), (PERMITS, PERMITS, 0));
    });
}

/// Who wants many is not passed by who wants few.
#[test]
fn who_wants_many_is_not_starved_by_who_want_few() {
    run(async {
        let semaphore = Semaphore::new(2);
        let one = semaphore.acquire().await;
        let mut both = pin!(semaphore.acquire_many(2));
        assert!(poll!(both.as_mut()).is_pending());
        assert_eq!(semaphore.available(), 1);
        assert_eq!(semaphore.try_acquire().unwrap_err(), NoPermits);
        let mut few = pin!(semaphore.acquire());
        assert!(poll!(few.as_mut()).is_pending());
        drop(one);
        let both = both.await;
        assert!(poll!(few.as_mut()).is_pending());
        drop(both);
        drop(few.await);
    });
}

/// When who wants many gives up, those behind it that want few go on at once.
#[test]
fn a_cancelled_wait_has_taken_nothing_and_lets_others_by() {
    on_each(WORKERS, async || {
        let semaphore = Semaphore::new(2);
        begin_in_cancelled_scope(async { drop(semaphore.acquire().await) }).await;
        let _one = semaphore.acquire().await;
        let mut few = pin!(semaphore.acquire());
        {
            let mut many = pin!(semaphore.acquire_many(2));
            assert!(poll!(many.as_mut()).is_pending());
            assert!(poll!(few.as_mut()).is_pending());
        }
        let few = few.await;
        cancel_while_waiting(async { drop(semaphore.acquire().await) }).await;
        drop(few);
        assert_eq!(semaphore.available(), 1);
    });
}

#[test]
fn dropped_right_after_the_hand_over_it_gives_all_permits_back() {
    on_each(WORKERS, async || {
        let semaphore = Semaphore::new(3);
        let all = semaphore.acquire_many(3).await;
        drop_after(semaphore.acquire_many(2), || drop(all)).await;
        assert_eq!(semaphore.available(), 3);
    });
}

#[test]
fn permits_are_split_merged_forgotten_and_added() {
    on_each(WORKERS, async || {
        let semaphore = Arc::new(Semaphore::new(4));
        let mut three = semaphore.clone().acquire_many_owned(3).await;
        let one = three.split(1).unwrap();
        assert_eq!((three.permits(), one.permits()), (2, 1));
        assert!(three.split(3).is_none());
        three.merge(one);
        assert_eq!((three.permits(), semaphore.available()), (3, 1));
        three.forget();
        assert_eq!(semaphore.statistics().total, 1);
        let mut waits = pin!(semaphore.acquire_many(3));
        assert!(poll!(waits.as_mut()).is_pending());
        semaphore.add_permits(2).unwrap();
        assert_eq!(waits.await.permits(), 3);
        assert_eq!(semaphore.available(), 3);
    });
}

#[test]
fn permits_of_two_semaphores_do_not_mix() {
    let (one, two) = (Semaphore::new(1), Semaphore::new(1));
    let mut permit = one.try_acquire().unwrap();
    let panic = catch_unwind(AssertUnwindSafe(|| permit.merge(two.try_acquire().unwrap()))).unwrap_err();
    assert!(panic.downcast_ref::<&str>().unwrap().contains("keep them apart"));
    drop(permit);
    assert_eq!((one.available(), two.available()), (1, 1));
}

#[test]
fn threads_stand_in_the_same_line() {
    on_each(WORKERS, async || {
        let semaphore = Arc::new(Semaphore::new(2));
        let all = semaphore.acquire_many(2).await;
        nursery(async |n| {
            let other = semaphore.clone();
            n.spawn(async move { blocking(move || drop(other.blocking_acquire_many(2))).await });
            while semaphore.statistics().tasks_waiting == 0 {
                checkpoint().await; // retry: a thread waits, and so not all is quiet
            }
            drop(all);
        })
        .await;
        assert_eq!(semaphore.available(), 2);
    });
}
