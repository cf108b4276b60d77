//! `CancelGroup`: one handle for scopes that have nothing else in common.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake};
use std::{sync::Arc, thread};

use crate::common::{ALL, Count, Flag, a_while, until};
use futures_util::poll;
use trioxide_runtime::{
    CancelGroup, CancelScope, Nursery, NurseryError, checkpoint, finally, nursery, nursery_with, run, sleep_forever,
};
use trioxide_testing::on_each;

fn message(error: &trioxide_runtime::Cancelled) -> Option<&str> {
    error.reason().message()
}

#[test]
fn scopes_of_many_tasks_are_cancelled_at_once_and_others_are_not() {
    on_each(ALL, async || {
        let group = CancelGroup::new();
        let (begun, cut) = (Count::default(), Count::default());
        let other = Flag::default();
        nursery(async |n: Nursery<Infallible>| {
            for _ in 0..50 {
                let (scope, begun, cut) = (group.scope(), begun.clone(), cut.clone());
                n.spawn(async move {
                    let outcome = scope
                        .run(async {
                            begun.add();
                            sleep_forever().await;
                        })
                        .await;
                    assert_eq!(message(&outcome.unwrap_err()), Some("enough"));
                    cut.add();
                });
            }
            n.spawn({
                let (other, cut) = (other.clone(), cut.clone());
                async move {
                    until(|| cut.get() == 50).await;
                    a_while().await;
                    other.set();
                }
            });
            until(|| begun.get() == 50).await;
            group.cancel("enough");
        })
        .await;
        assert!(other.is_set());
    });
}

#[test]
fn who_joins_a_cancelled_group_is_cancelled_at_once_with_the_first_reason() {
    run(async {
        let group = CancelGroup::new();
        group.cancel("first");
        group.clone().cancel("second");
        assert!(group.cancel_called());
        assert_eq!(message(&group.run(sleep_forever()).await.unwrap_err()), Some("first"));

        let scope = CancelScope::new();
        let handle = scope.handle();
        let outcome = scope
            .run(async {
                checkpoint().await;
                group.add(&handle);
                assert!(handle.cancel_called());
                checkpoint().await;
            })
            .await;
        assert_eq!(message(&outcome.unwrap_err()), Some("first"));
    });
}

#[test]
fn a_nursery_may_join_and_is_waited_for_by_itself() {
    on_each(ALL, async || {
        let group = CancelGroup::new();
        let cleaned = Flag::default();
        let outcome: Result<(), NurseryError<Infallible>> = nursery(async |n| {
            group.add(&n.scope());
            let cleaned = cleaned.clone();
            n.spawn(finally(sleep_forever(), async move {
                checkpoint().await;
                cleaned.set();
            }));
            group.cancel("enough");
            checkpoint().await;
            Ok(())
        })
        .await;
        assert!(matches!(outcome, Err(NurseryError::Cancelled(reason)) if reason.message() == Some("enough")));
        assert!(cleaned.is_set());
    });
}

#[test]
fn a_scope_in_two_groups_is_cancelled_by_either() {
    run(async {
        for which in [0, 1] {
            let groups = [CancelGroup::new(), CancelGroup::new()];
            let scope = CancelScope::new();
            groups.iter().for_each(|group| group.add(&scope.handle()));
            let outcome = scope
                .run(async {
                    groups[which].cancel("either");
                    checkpoint().await;
                })
                .await;
            assert_eq!(message(&outcome.unwrap_err()), Some("either"));
            assert!(!groups[1 - which].cancel_called());
        }
    });
}

#[test]
fn whoever_has_ended_has_left_and_a_scope_counts_once() {
    run(async {
        let group = CancelGroup::new();
        for _ in 0..10_000 {
            group.run(checkpoint()).await.unwrap();
        }
        assert_eq!(group.len(), 0);
        let scope = group.scope();
        for _ in 0..100 {
            group.add(&scope.handle());
            group.run(async { group.add(&scope.handle()) }).await.unwrap();
        }
        assert_eq!(group.len(), 1);
        drop(scope);
        assert_eq!(group.len(), 0);
        assert_eq!(format!("{group:?}"), "CancelGroup { len: 0, cancel_called: false }");
    });
}

#[test]
fn a_group_cancels_from_a_plain_thread_while_scopes_come_and_go() {
    on_each(ALL, async || {
        let group = CancelGroup::new();
        let rounds = AtomicUsize::new(0);
        nursery_with((group.clone(), rounds), async |s| {
            for _ in 0..8 {
                let (group, rounds) = s.env();
                s.spawn(async move {
                    // Each scope ends by itself or is cut; once the group is cancelled, every one is.
                    while group.run(checkpoint()).await.is_ok() {
                        rounds.fetch_add(1, Ordering::Relaxed);
                    }
                    assert!(group.run(sleep_forever()).await.is_err());
                });
            }
            let rounds = &s.env().1;
            until(|| rounds.load(Ordering::Relaxed) > 100).await;
            let group = group.clone();
            thread::spawn(move || group.cancel("from outside")).join().unwrap();
        })
        .await;
    });
}

/// The members are told outside the group's lock: what they wake may use the group.
#[test]
fn what_is_woken_by_the_cancel_may_use_the_group() {
    run(async {
        let group = CancelGroup::new();
        let mut waiting = pin!(group.run(sleep_forever()));
        let waker = Arc::new(Asks(group.clone()));
        assert!(waiting.as_mut().poll(&mut Context::from_waker(&waker.into())).is_pending());
        group.cancel("enough");
        assert!(poll!(waiting).is_ready());
    });
}

struct Asks(CancelGroup);

impl Wake for Asks {
    fn wake(self: Arc<Self>) {
        assert_eq!(self.0.len(), 1);
        self.0.cancel("again");
    }
}
