//! Limiters and semaphores.

use crate::common::{ALL, all_wait, cancel_while_waiting};
use futures_util::poll;
use std::pin::pin;
use std::sync::Arc;
use trioxide_runtime::{nursery, run};
use trioxide_sync::{Borrower, CapacityLimiter, NoPermits, Semaphore};
use trioxide_testing::on_each;

#[test]
fn c133_the_limiter_knows_its_borrowers_and_refuses_a_second_token_to_one() {
    run(async {
        let limiter = CapacityLimiter::new(2);
        let (one, two) = (Borrower::new(), Borrower::new());
        let token = limiter.acquire_for(one).await.unwrap();
        assert_eq!(limiter.statistics().borrowers, [one]);
        assert!(limiter.acquire_for(one).await.is_err());
        assert!(limiter.try_acquire_for(one).unwrap_err().is_already_borrowing());
        let other = limiter.try_acquire_for(two).unwrap();
        assert_eq!(limiter.statistics().borrowed, 2);
        drop((token, other));
        assert_eq!(limiter.statistics().borrowed, 0);
        assert!(limiter.acquire_for(one).await.is_ok());
    });
}

#[test]
fn c134_nobody_snatches_a_token_from_who_waits() {
    on_each(ALL, async || {
        let limiter = Arc::new(CapacityLimiter::new(1));
        nursery(async |n| {
            let token = limiter.acquire().await;
            let waiting = limiter.clone();
            n.spawn(async move { drop(waiting.acquire().await) });
            all_wait().await;
            assert_eq!(limiter.statistics().tasks_waiting, 1);
            let mut mine = pin!(limiter.acquire());
            assert!(poll!(mine.as_mut()).is_pending());
            drop(token);
            // Either it is on its way to the other, or the other has had it and given it to this one.
            if limiter.try_acquire().is_ok() {
                panic!("snatched");
            }
            drop(mine.await);
        })
        .await;
        assert!(limiter.try_acquire().is_ok());
    });
}

#[test]
fn c135_the_total_is_changed_at_any_time() {
    run(async {
        let limiter = CapacityLimiter::new(0);
        let mut waits: Vec<_> = (0..3).map(|_| Box::pin(limiter.acquire())).collect();
        for wait in &mut waits {
            assert!(poll!(wait.as_mut()).is_pending());
        }
        limiter.set_total(2);
        assert_eq!(limiter.statistics().tasks_waiting, 1);
        let (last, first) = (waits.pop().unwrap(), (waits.remove(0).await, waits.remove(0).await));
        limiter.set_total(1);
        drop(first.0);
        let mut last = last;
        assert!(poll!(last.as_mut()).is_pending());
        drop(first.1);
        drop(last.await);
        let unlimited = CapacityLimiter::new(CapacityLimiter::UNLIMITED);
        let many: Vec<_> = (0..1000).map(|_| unlimited.try_acquire().unwrap()).collect();
        assert_eq!(unlimited.statistics().borrowed, many.len());
    });
}

#[test]
fn c136_a_cancelled_wait_for_a_token_leaves_nothing_behind() {
    run(async {
        let limiter = CapacityLimiter::new(1);
        let token = limiter.try_acquire().unwrap();
        let one = Borrower::new();
        for _ in 0..100 {
            cancel_while_waiting(async { drop(limiter.acquire_for(one).await) }).await;
        }
        assert_eq!(limiter.statistics().tasks_waiting, 0);
        drop(token);
        assert!(limiter.try_acquire_for(one).is_ok());
    });
}

#[test]
fn c137_a_semaphore_counts_has_a_bound_and_hands_over() {
    run(async {
        let semaphore = Semaphore::with_most(1, 2);
        let permit = semaphore.acquire().await;
        assert_eq!(semaphore.available(), 0);
        assert_eq!(semaphore.try_acquire().unwrap_err(), NoPermits);
        let mut waits = pin!(semaphore.acquire());
        assert!(poll!(waits.as_mut()).is_pending());
        assert_eq!(semaphore.statistics().tasks_waiting, 1);
        drop(permit);
        // Handed over, so it was never free.
        assert_eq!(semaphore.available(), 0);
        assert_eq!(semaphore.try_acquire().unwrap_err(), NoPermits);
        let permit = waits.await;
        assert!(semaphore.add_permits(2).is_err());
        semaphore.add_permits(1).unwrap();
        drop(permit);
        assert_eq!(semaphore.available(), 2);
        let error = semaphore.add_permits(1).unwrap_err();
        assert_eq!(error.to_string(), "there may be 2 permits at most, held ones included");
    });
}
