//! What the torture test has found, each in the smallest form that showed it.

use std::pin::pin;
use std::time::Duration;

use crate::common::{ALL, Flag, Gate, a_while, all_wait, panic_of};
use futures_util::future::{self, LocalBoxFuture};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt, poll};
use trioxide_runtime::{CancelScope, checkpoint, finally, join, move_on_after, nursery, race, shield, sleep_forever};
use trioxide_testing::{on_each, on_each_with_clock, pending_once};

/// A combinator polls again only what was woken: so the new task alone does not bring the deadline back.
#[test]
fn a_deadline_in_a_combinator_that_was_moved_comes_although_its_first_task_has_ended() {
    on_each_with_clock(ALL, async |_| {
        nursery(async |n| {
            let other = n.clone();
            n.spawn(async move {
                let mut arms = FuturesUnordered::new();
                arms.push(Box::pin(move_on_after(Duration::from_secs(3600), sleep_forever())));
                assert!(poll!(arms.next()).is_pending());
                other.spawn(async move { assert_eq!(arms.next().await, Some(None)) });
            });
        })
        .await;
    });
}

#[test]
fn a_shield_that_was_left_aside_and_given_up_says_so_when_it_is_polled_again() {
    on_each(ALL, async || {
        let scope = CancelScope::new();
        let handle = scope.handle();
        let mut aside = Box::pin(shield(sleep_forever()));
        let inside = async {
            assert!(poll!(aside.as_mut()).is_pending());
            handle.cancel("enough");
            sleep_forever().await;
        };
        assert!(scope.run(inside).await.is_err());
        let text = panic_of(aside).await;
        assert!(text.contains("a `shield` was polled again after a scope had cancelled it"), "{text}");
    });
}

/// The shield began to hold in the place of the nursery, which took itself for suspended, and never stored its waker.
#[test]
fn a_nursery_whose_body_shields_it_at_once_is_woken_by_its_children() {
    on_each(ALL, async || {
        nursery(async |n| {
            n.scope().set_shield(true);
            n.spawn(checkpoint());
        })
        .await;
    });
}

/// Both were woken for the poll in which one of them won: the wake of the other was spent, and its cancel gave it no new one.
#[test]
fn a_loser_that_was_woken_together_with_the_winner_is_polled_again() {
    on_each(ALL, async || {
        for polls in 1..4 {
            let winner = async {
                for _ in 0..polls {
                    checkpoint().await;
                }
            };
            let loser = async {
                loop {
                    checkpoint().await;
                }
            };
            race!(winner, finally(loser, async {}));
        }
    });
}

/// A leaf that begins in a cancelled scope takes nothing, and waited for nothing: a combinator never polled it again when the cancel was hidden.
#[test]
fn what_began_in_a_cancelled_scope_goes_on_when_a_shield_hides_that() {
    on_each(ALL, async || {
        let (outer, inner) = (CancelScope::new(), CancelScope::new());
        let (cancelled, hidden) = (outer.handle(), inner.handle());
        let (begin, went_on) = (Gate::default(), Flag::default());
        let leaf = async {
            begin.pass().await;
            checkpoint().await;
            went_on.set();
        };
        let switcher = shield(async {
            cancelled.cancel("enough");
            begin.open();
            a_while().await;
            assert!(!went_on.is_set());
            hidden.set_shield(true);
            went_on.wait().await;
        });
        let arms: FuturesUnordered<LocalBoxFuture<'_, ()>> =
            [leaf.boxed_local(), switcher.boxed_local()].into_iter().collect();
        let inside = inner.run(arms.for_each(async |()| {}));
        assert!(outer.run(inside).await.unwrap().is_ok());
    });
}

/// Beside something that wakes the task, the branch that asked its silent shield to show itself was woken past its node, and so not polled again.
#[test]
fn a_shield_that_a_branch_has_left_aside_is_given_up_while_other_parts_are_busy() {
    on_each(ALL, async || {
        let scope = CancelScope::new();
        let handle = scope.handle();
        let busy = shield(async {
            for _ in 0..5 {
                pending_once().await;
            }
        });
        let leaves_aside = async {
            let mut aside = pin!(shield(sleep_forever()));
            assert!(poll!(aside.as_mut()).is_pending());
            handle.cancel("enough");
            sleep_forever().await;
        };
        let branch = async {
            join!(leaves_aside, busy);
        };
        let arms: FuturesUnordered<LocalBoxFuture<'_, ()>> = [branch.boxed_local()].into_iter().collect();
        assert!(scope.run(arms.for_each(async |()| {})).await.is_err());
    });
}

/// It had left its inside to the cancelled scope around it, to which it became invisible then. So it had to see to itself, and was not told.
#[test]
fn a_cancelled_scope_is_the_outermost_when_a_shield_comes_between() {
    on_each(ALL, async || {
        let (around, shielded, inner) = (CancelScope::new(), CancelScope::new(), CancelScope::new());
        let (cancel_all, shield_it, cancel_it) = (around.handle(), shielded.handle(), inner.handle());
        let (gate, ended) = (Gate::default(), Flag::default());
        nursery(async |n| {
            let (held, cut) = (gate.clone(), ended.clone());
            n.spawn(async move {
                let inside = async {
                    // It polls again only what was woken.
                    let mut arms: FuturesUnordered<_> = [Box::pin(inner.run(sleep_forever()))].into_iter().collect();
                    assert!(matches!(arms.next().await, Some(Err(_))));
                    cut.set();
                };
                let _ = around.run(future::join(shield(held.pass()), shielded.run(inside))).await;
            });
            all_wait().await;
            cancel_all.cancel("everything, which the other shield holds up");
            all_wait().await;
            cancel_it.cancel("this too");
            all_wait().await;
            shield_it.set_shield(true);
            ended.wait().await;
            gate.open();
        })
        .await;
    });
}
