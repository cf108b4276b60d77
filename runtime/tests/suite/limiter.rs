//! `CapacityLimiter`: order, hand-over, changes of the total, and that no token is lost.

use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use crate::common::{ALL, Count, a_while, all_wait};
use trioxide_runtime::{
    AlreadyBorrowing, Borrower, CancelScope, CapacityLimiter, Runtime, TryAcquireError, checkpoint, nursery, run,
};
use trioxide_testing::on_each;

fn poll_once<F: Future + Unpin>(mut future: F) -> Poll<F::Output> {
    std::pin::Pin::new(&mut future).poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn lets_in_as_many_as_there_are_tokens() {
    on_each(ALL, async || {
        let limiter = Arc::new(CapacityLimiter::new(3));
        let (inside, most) = (Count::default(), Arc::new(Mutex::new(0)));
        nursery(async |n| {
            for _ in 0..100 {
                let (limiter, most, inside) = (Arc::clone(&limiter), Arc::clone(&most), inside.clone());
                n.spawn(async move {
                    let _token = limiter.acquire().await;
                    let now = limiter.statistics().borrowed;
                    checkpoint().await;
                    let mut most = most.lock().unwrap();
                    *most = now.max(*most);
                    inside.add();
                });
            }
        })
        .await;
        assert_eq!(inside.get(), 100);
        assert!(*most.lock().unwrap() <= 3);
        assert_eq!(limiter.statistics().borrowed, 0);
    });
}

#[test]
fn first_come_first_served_and_nobody_snatches() {
    on_each(ALL, async || {
        let limiter = Arc::new(CapacityLimiter::new(1));
        let order = Arc::new(Mutex::new(Vec::new()));
        let token = limiter.try_acquire().unwrap();
        nursery(async |n| {
            for at in 0..10 {
                let (waiting, order) = (Arc::clone(&limiter), Arc::clone(&order));
                n.spawn(async move {
                    let _token = waiting.acquire().await;
                    order.lock().unwrap().push(at);
                    checkpoint().await;
                });
                all_wait().await;
                assert_eq!(limiter.statistics().tasks_waiting, at + 1);
            }
            drop(token);
            assert_eq!(
                limiter.try_acquire().unwrap_err(),
                TryAcquireError::WouldBlock,
                "it belongs to the first in line"
            );
        })
        .await;
        assert_eq!(*order.lock().unwrap(), (0..10).collect::<Vec<_>>());
    });
}

#[test]
fn the_total_changes_at_any_time() {
    on_each(ALL, async || {
        let limiter = Arc::new(CapacityLimiter::new(0));
        let (entered, go) = (Count::default(), crate::common::Flag::default());
        nursery(async |n| {
            for _ in 0..5 {
                let (limiter, entered, go) = (Arc::clone(&limiter), entered.clone(), go.clone());
                n.spawn(async move {
                    let _token = limiter.acquire().await;
                    entered.add();
                    go.wait().await;
                });
            }
            all_wait().await;
            assert_eq!(limiter.statistics().tasks_waiting, 5);
            limiter.set_total(2);
            all_wait().await;
            assert_eq!(entered.get(), 2);
            a_while().await;
            assert_eq!(entered.get(), 2);
            limiter.set_total(CapacityLimiter::UNLIMITED);
            all_wait().await;
            assert_eq!(entered.get(), 5);
            limiter.set_total(1);
            assert_eq!(limiter.statistics().borrowed, 5, "nothing is taken away");
            assert_eq!(limiter.total(), 1);
            go.set();
        })
        .await;
        assert_eq!(limiter.statistics().borrowed, 0);
        drop(limiter.try_acquire().unwrap());
    });
}

#[test]
fn lowered_below_what_is_borrowed_it_lets_nobody_in_until_enough_have_left() {
    run(async {
        let limiter = CapacityLimiter::new(3);
        let tokens: Vec<_> = (0..3).map(|_| limiter.try_acquire().unwrap()).collect();
        limiter.set_total(1);
        let mut waiting = pin!(limiter.acquire());
        assert!(poll_once(waiting.as_mut()).is_pending());
        for (left, token) in tokens.into_iter().enumerate() {
            assert!(poll_once(waiting.as_mut()).is_pending(), "{left} have left");
            drop(token);
        }
        assert!(poll_once(waiting).is_ready());
    });
}

#[test]
fn a_borrower_has_one_token_at_a_time() {
    run(async {
        let limiter = CapacityLimiter::new(2);
        let (one, other) = (Borrower::new(), Borrower::new());
        let token = limiter.acquire_for(one).await.unwrap();
        assert_eq!(limiter.acquire_for(one).await.unwrap_err(), AlreadyBorrowing(one));
        assert_eq!(limiter.try_acquire_for(one).unwrap_err(), TryAcquireError::AlreadyBorrowing(one));
        let token_of_other = limiter.acquire_for(other).await.unwrap();
        assert_eq!(limiter.statistics().borrowers, [one, other]);
        drop(token);
        assert_eq!(limiter.statistics().borrowers, [other]);
        let again = limiter.acquire_for(one).await.unwrap();

        // Who waits counts as well, until the wait ends one way or another.
        let third = Borrower::new();
        {
            let mut waiting = pin!(limiter.acquire_for(third));
            assert!(poll_once(waiting.as_mut()).is_pending());
            assert!(limiter.try_acquire_for(third).unwrap_err().is_already_borrowing());
            assert_eq!(limiter.statistics().borrowers, [one, other], "it waits");
        }
        assert!(limiter.try_acquire_for(third).unwrap_err().is_would_block());
        {
            let mut waiting = pin!(limiter.acquire_for(third));
            assert!(poll_once(waiting.as_mut()).is_pending());
            drop(again);
            let now = limiter.statistics();
            assert_eq!((now.borrowed, now.borrowers), (2, vec![other]), "on its way");
            let Poll::Ready(Ok(token)) = poll_once(waiting.as_mut()) else { panic!("it was handed a token") };
            assert_eq!(limiter.statistics().borrowers, [other, third]);
            drop(token);
        }
        assert_eq!(limiter.statistics().borrowers, [other]);
        drop(token_of_other);
        assert_eq!(limiter.statistics().borrowed, 0);
        let text = AlreadyBorrowing(third).to_string();
        assert!(text.contains("has a token of this limiter already"), "{text}");
    });
}

#[test]
fn a_token_handed_to_a_wait_that_is_dropped_goes_to_the_next() {
    run(async {
        let limiter = CapacityLimiter::new(1);
        let token = limiter.try_acquire().unwrap();
        let mut second = pin!(limiter.acquire());
        {
            let mut first = pin!(limiter.acquire());
            assert!(poll_once(first.as_mut()).is_pending());
            assert!(poll_once(second.as_mut()).is_pending());
            drop(token);
            assert!(poll_once(second.as_mut()).is_pending());
        }
        let second = poll_once(second);
        assert!(second.is_ready());
        assert_eq!(limiter.statistics().borrowed, 1);
        drop(second);
        assert_eq!(limiter.statistics().borrowed, 0);
    });
}

#[test]
fn a_cancelled_wait_leaves_nothing_behind() {
    on_each(ALL, async || {
        let limiter = CapacityLimiter::new(1);
        let token = limiter.try_acquire().unwrap();
        let scope = CancelScope::new();
        let handle = scope.handle();
        nursery(async |n| {
            n.spawn(async move {
                a_while().await;
                handle.cancel("enough");
            });
            assert!(scope.run(limiter.acquire()).await.is_err());
        })
        .await;
        assert_eq!(limiter.statistics().tasks_waiting, 0);
        drop(token);
        drop(limiter.acquire().await);
    });
}

#[test]
fn an_owned_token_keeps_its_limiter() {
    let limiter = Arc::new(CapacityLimiter::new(1));
    let runtime = Runtime::builder().workers(2).build().unwrap();
    let token = runtime.run(Arc::clone(&limiter).acquire_owned());
    assert!(Arc::clone(&limiter).try_acquire_owned().is_err());
    drop(token);
    drop(Arc::clone(&limiter).try_acquire_owned().unwrap());
}

#[test]
fn the_total_is_changed_while_tokens_come_and_go() {
    on_each(ALL, async || {
        let limiter = Arc::new(CapacityLimiter::new(1));
        let done = Count::default();
        nursery(async |n| {
            for _ in 0..200 {
                let (limiter, done) = (Arc::clone(&limiter), done.clone());
                n.spawn(async move {
                    let _token = limiter.acquire().await;
                    checkpoint().await;
                    done.add();
                });
            }
            for total in [0, 3, 1, 0, 7, 2, CapacityLimiter::UNLIMITED, 0, 1].into_iter().cycle() {
                limiter.set_total(total);
                checkpoint().await;
                if done.get() == 200 {
                    return;
                }
            }
        })
        .await;
        assert_eq!(limiter.statistics().borrowed, 0);
    });
}
