//! What the torture test has found, each in the smallest form that showed it.

use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common::{ALL, Flag, Gate, a_while, all_wait, panic_of};
use futures_util::future::{self, LocalBoxFuture};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt, poll};
use trioxide_runtime::{
    CancelScope, blocking, checkpoint, finally, join, local_nursery, move_on_after, nursery, parallel, race, shield,
    sleep_forever,
};
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

/// What was cut stayed pending for the cancelled scope to drop it, and left nobody its waker. A shield that was switched on then waited for it for ever: what polls only what was woken
/// did not come to it.
#[test]
fn what_was_cut_in_a_part_that_must_be_woken_makes_a_later_shield_give_way() {
    type Part = fn() -> LocalBoxFuture<'static, ()>;
    let parts: [Part; 5] = [
        || Box::pin(async { ((), ()) = join!(sleep_forever(), sleep_forever()) }),
        || Box::pin(finally(sleep_forever(), async {})),
        || Box::pin(parallel::race_all([sleep_forever()])),
        || Box::pin(nursery(async |n| n.spawn(sleep_forever()).await.unwrap_or(()))),
        || Box::pin(local_nursery(async |_| sleep_forever().await)),
    ];
    for part in parts {
        on_each(ALL, async move || {
            let (around, shielded) = (CancelScope::new(), CancelScope::new());
            let (cancel_all, shield_it) = (around.handle(), shielded.handle());
            let gate = Gate::default();
            let held = gate.clone();
            let inside = async {
                let arms: FuturesUnordered<_> = [part()].into_iter().collect();
                arms.for_each(async |()| {}).await;
            };
            let switch = async {
                all_wait().await;
                cancel_all.cancel("everything, which the other shield holds up");
                shield(async {
                    all_wait().await;
                    shield_it.set_shield(true);
                    all_wait().await;
                    gate.open();
                })
                .await;
            };
            let ended = around.run(future::join3(shield(held.pass()), shielded.run(inside), switch)).await;
            assert!(ended.is_err());
        });
    }
}

/// Its body was polled with the waker of the task: so the cancelled scope that waited for it did not hear that it had been woken, and that nobody polled it.
#[test]
fn a_nursery_with_a_late_shield_that_is_left_aside_is_given_up() {
    on_each(ALL, async || {
        let scope = CancelScope::new();
        let handle = scope.handle();
        let inside = async {
            let mut left = pin!(nursery(async |n| {
                checkpoint().await;
                n.scope().set_shield(true);
                loop {
                    checkpoint().await;
                }
            }));
            assert!(poll!(left.as_mut()).is_pending());
            assert!(poll!(left.as_mut()).is_pending());
            handle.cancel("with a nursery inside, which is shielded");
            assert!(poll!(left.as_mut()).is_pending());
            checkpoint().await; // and nobody polls it any more
        };
        assert!(scope.run(inside).await.is_err());
    });
}

/// What was in it was taken out of it when its first task had ended. So a later cancel did not come to that, and waited for it for ever.
#[test]
fn a_scope_that_was_moved_finds_what_is_left_aside_in_it() {
    on_each(ALL, async || {
        let scope = CancelScope::new();
        let handle = scope.handle();
        let moved = begun_elsewhere(scope.run(async {
            let mut left = pin!(shield(sleep_forever()));
            assert!(poll!(left.as_mut()).is_pending());
            sleep_forever().await;
        }));
        let cancel = async {
            all_wait().await;
            handle.cancel("in its second task");
        };
        assert!(future::join(moved.await, cancel).await.0.is_err());
    });
}

/// `future`, polled once by a task that has ended since.
async fn begun_elsewhere<F: Future + Send + 'static>(future: F) -> Pin<Box<F>> {
    let begun = Arc::new(Mutex::new(None));
    let child = Arc::clone(&begun);
    nursery(async move |n| {
        n.spawn(async move {
            let mut future = Box::pin(future);
            assert!(poll!(future.as_mut()).is_pending());
            *child.lock().unwrap() = Some(future);
        });
    })
    .await;
    begun.lock().unwrap().take().expect("begun")
}

/// It went to the task in which it had begun, which had ended.
#[test]
fn the_panic_of_a_call_that_was_moved_is_that_of_the_task_which_drops_it() {
    on_each(ALL, async || {
        let moved = begun_elsewhere(blocking(|| panic!("of the thread"))).await;
        let text = panic_of(nursery(async move |n| {
            n.spawn(async { drop::<Pin<Box<_>>>(moved) });
        }));
        assert_eq!(text.await, "of the thread");
    });
}
