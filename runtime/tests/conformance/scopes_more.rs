//! Cancel scopes: behaviours 61 to 73.

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use futures_util::{FutureExt, join, poll};
use trioxide_runtime::{
    CancelScope, EffectiveDeadline, ScopeHandle, blocking, checkpoint, current_effective_deadline, finally,
    move_on_after, move_on_at, now, nursery, run, shield, sleep_forever,
};
use trioxide_testing::{on_each, on_each_with_clock, pending_once};

use super::scopes::scoped;
use crate::common::{ALL, Count, Flag, Gate, Never, a_while};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn c061_scopes_that_are_left_out_of_order_are_cut_with_the_outer_one() {
    // Entering and leaving are one future here, so the order cannot be broken; but a future can be moved out of the scope that it was
    // entered in. It stands where it was entered.
    on_each(ALL, async || {
        let mut moved = Box::pin(scoped(async |_| pending::<()>().await));
        let (cut, _) = scoped(async |outer| {
            assert!(poll!(&mut moved).is_pending());
            outer.cancel("outer");
        })
        .await;
        assert!(!cut);
        let (cut, inner) = moved.await;
        assert!(cut && !inner.cancel_called(), "cut by the scope that it was entered in");
    });
}

#[test]
fn c062_a_scope_that_another_task_polls_changes_nothing_there() {
    on_each(ALL, async || {
        nursery(async |n| {
            let entered = n.spawn(async {
                let scope = CancelScope::new();
                let handle = scope.handle();
                let mut inside: Pin<Box<dyn Future<Output = bool> + Send>> =
                    Box::pin(async move { scope.run(sleep_forever()).await.is_err() });
                assert!(poll!(&mut inside).is_pending());
                Ok::<_, Never>((inside, handle))
            });
            let (inside, handle) = entered.await.unwrap();
            handle.cancel("from here");
            assert!(inside.await);
            checkpoint().await; // Nothing of ours was cancelled.
        })
        .await;
    });
}

/// The text of a scope at each stage of its life.
#[test]
fn c064_the_text_of_a_scope_shows_its_stage_cancellation_and_deadline() {
    on_each_with_clock(ALL, async |clock| {
        let scope = CancelScope::new();
        let handle = scope.handle();
        assert_eq!(format!("{scope:?}"), "CancelScope { stage: not entered }");
        handle.set_deadline_after(3 * SECOND);
        assert_eq!(format!("{handle:?}"), "ScopeHandle { stage: not entered, deadline: 3s after entry }");
        let body = async {
            assert_eq!(format!("{handle:?}"), "ScopeHandle { stage: running, deadline: in 3s }");
            clock.jump(SECOND);
            assert_eq!(format!("{handle:?}"), "ScopeHandle { stage: running, deadline: in 2s }");
            handle.set_shield(true);
            handle.set_deadline(None);
            assert_eq!(format!("{handle:?}"), "ScopeHandle { stage: running, shield: true }");
            handle.set_shield(false);
            handle.cancel("why not");
            handle.set_deadline(Some(now() - SECOND));
            let text = "ScopeHandle { stage: running, cancelled: on request: why not, deadline: 1s ago }";
            assert_eq!(format!("{handle:?}"), text);
        };
        assert!(scope.run(body).await.is_ok());
        assert_eq!(format!("{handle:?}"), "ScopeHandle { stage: ended, cancelled: on request: why not }");
    });
}

#[test]
fn c065_the_effective_deadline_is_the_earliest_that_is_visible() {
    on_each_with_clock(ALL, async |_| {
        let start = now();
        let at = move |seconds: u32| EffectiveDeadline::At(start + seconds * SECOND);
        assert_eq!(current_effective_deadline(), EffectiveDeadline::Never);
        assert_eq!(current_effective_deadline().remaining(), None);
        let outer = CancelScope::new().deadline_after(10 * SECOND);
        let outer_handle = outer.handle();
        let body = async {
            assert_eq!(current_effective_deadline(), at(10));
            move_on_after(20 * SECOND, async { assert_eq!(current_effective_deadline(), at(10)) }).await;
            move_on_after(5 * SECOND, async { assert_eq!(current_effective_deadline(), at(5)) }).await;
            // Also in children, of the nursery's surroundings.
            nursery(async |n| n.spawn(async move { assert_eq!(current_effective_deadline(), at(10)) }).await)
                .await
                .ok();
            let shielded = CancelScope::new().shield();
            let handle = shielded.handle();
            let in_shield = async {
                assert_eq!(current_effective_deadline(), EffectiveDeadline::Never);
                handle.set_deadline(Some(start + 15 * SECOND));
                assert_eq!(current_effective_deadline(), at(15));
                outer_handle.cancel("outer");
                assert_eq!(current_effective_deadline(), at(15));
                handle.set_shield(false);
                assert_eq!(current_effective_deadline(), EffectiveDeadline::Cancelled);
                assert_eq!(current_effective_deadline().remaining(), Some(Duration::ZERO));
                handle.set_shield(true);
            };
            shielded.run(in_shield).await.unwrap();
            assert_eq!(current_effective_deadline(), EffectiveDeadline::Cancelled);
        };
        assert!(outer.run(body).await.is_ok());
    });
}

fn nested(depth: usize, deepest: Flag) -> Pin<Box<dyn Future<Output = ()>>> {
    Box::pin(async move {
        if depth == 0 {
            deepest.set();
            sleep_forever().await;
        } else {
            scoped(async |_| nested(depth - 1, deepest).await).await;
        }
    })
}

#[test]
fn c066_five_thousand_nested_scopes_are_cancelled_from_the_outermost() {
    // What is polled from the inside of 5000 futures needs the stack for that; the cancel itself needs none.
    let on_a_big_stack = || {
        on_each(ALL, async || {
            let deepest = Flag::default();
            let (cut, _) = scoped(async |scope| {
                let cancel = async {
                    deepest.wait().await;
                    scope.cancel("from the top");
                };
                join!(nested(5000, deepest.clone()), cancel);
            })
            .await;
            assert!(cut);
        });
    };
    std::thread::Builder::new().stack_size(1 << 30).spawn(on_a_big_stack).unwrap().join().unwrap();
}

#[test]
fn c067_thousands_of_changes_of_one_deadline_leave_one_timer() {
    on_each_with_clock(ALL, async |clock| {
        let scope = CancelScope::new();
        let handle = scope.handle();
        let body = async {
            for round in 0..10_000_u32 {
                handle.set_deadline(Some(now() + (1000 + round % 7) * SECOND));
                if round % 100 == 0 {
                    checkpoint().await;
                }
            }
            // If the old ones were still there, the clock would stop at each of them.
            handle.set_deadline(Some(now() + 5000 * SECOND));
            sleep_forever().await;
        };
        assert!(scope.run(body).await.is_err());
        assert_eq!(clock.elapsed(), 5000 * SECOND);
    });
}

#[test]
fn c068_a_scope_whose_inside_fails_by_itself_does_not_claim_to_have_caught() {
    on_each(ALL, async || {
        let scope = CancelScope::new();
        let handle = scope.handle();
        let failed = nursery(async |n| {
            n.spawn(async { Err::<(), _>("a child") });
            handle.cancel("as well");
            Ok::<(), &str>(())
        });
        let outcome = scope.run(failed).await.expect("it has completed, with an error");
        assert_eq!(outcome.unwrap_err().to_string().lines().count(), 2);
        assert!(handle.cancel_called() && !handle.cancelled_caught());
    });
}

#[test]
fn c069_a_deadline_that_passes_in_the_yield_of_a_checkpoint_is_seen_by_that() {
    on_each_with_clock(ALL, async |clock| {
        let scope = CancelScope::new().deadline_after(SECOND);
        let passed = Flag::default();
        let body = async {
            let jump = async { clock.jump(2 * SECOND) };
            join!(
                async {
                    for _ in 0..1000 {
                        checkpoint().await;
                    }
                    passed.set();
                },
                jump
            );
        };
        assert!(scope.run(body).await.is_err());
        assert!(!passed.is_set());
    });
}

#[test]
fn c070_a_wake_hands_its_value_to_exactly_the_task_that_sleeps() {
    on_each(ALL, async || {
        nursery(async |n| {
            let (gates, passed): (Vec<_>, Vec<_>) = (0..5).map(|_| (Gate::default(), Flag::default())).unzip();
            for (gate, passed) in gates.iter().cloned().zip(passed.iter().cloned()) {
                n.spawn(async move {
                    gate.pass().await;
                    passed.set();
                });
            }
            a_while().await;
            gates[3].open();
            passed[3].wait().await;
            a_while().await;
            assert_eq!(passed.iter().filter(|flag| flag.is_set()).count(), 1);
            gates.iter().for_each(Gate::open);
        })
        .await;
    });
}

#[test]
fn c071_what_refuses_to_be_cut_gives_its_value_and_the_cancel_comes_next() {
    on_each(ALL, async || {
        let value = Count::default();
        let (cut, _) = scoped(async |scope| {
            let (gate, opened) = std::sync::mpsc::channel::<()>();
            let call = async {
                // A call on the thread pool can not be cut.
                let got = blocking(move || opened.recv().map(|()| 7)).await;
                (0..got.unwrap()).for_each(|_| value.add());
                checkpoint().await;
            };
            let cancel = async {
                checkpoint().await;
                scope.cancel("not yet");
                shield(a_while()).await;
                gate.send(()).unwrap();
            };
            join!(call, shield(cancel));
        })
        .await;
        assert!(cut);
        assert_eq!(value.get(), 7);
    });
}

#[test]
fn c072_an_operation_may_take_its_time_to_be_cut() {
    on_each(ALL, async || {
        let gate = Gate::default();
        let cleaned = Flag::default();
        let (cut, _) = scoped(async |scope| {
            let slow = finally(sleep_forever(), async {
                gate.pass().await;
                cleaned.set();
            });
            let cancel = async {
                scope.cancel("take your time");
                shield(a_while()).await;
                gate.open();
            };
            join!(slow, shield(cancel));
        })
        .await;
        assert!(cut && cleaned.is_set());
    });
}

struct CountWakes(Waker, Count);

impl Wake for CountWakes {
    fn wake(self: Arc<Self>) {
        self.1.add();
        self.0.wake_by_ref();
    }
}

#[test]
fn c073_two_cancels_around_a_wait_wake_before_they_return_and_a_later_shield_takes_none_back() {
    on_each(ALL, async || {
        let cleaned = Count::default();
        let mut states = Vec::new();
        let (cut, _) = scoped(async |outer| {
            let (_, _) = scoped(async |inner| {
                let wakes = Count::default();
                let cleanup = async { cleaned.add() };
                let mut wait = Box::pin(finally(sleep_forever(), cleanup));
                let own = std::future::poll_fn(|cx| {
                    let waker = Waker::from(Arc::new(CountWakes(cx.waker().clone(), wakes.clone())));
                    wait.as_mut().poll(&mut Context::from_waker(&waker))
                });
                let cancels = async {
                    checkpoint().await;
                    outer.cancel("outer");
                    states.push(wakes.get());
                    inner.cancel("inner");
                    states.push(wakes.get());
                    inner.set_shield(true); // Too late: what is under way is delivered.
                    pending::<()>().await;
                };
                join!(own, cancels);
            })
            .await;
            pending_once().await;
        })
        .await;
        assert!(cut);
        assert_eq!(cleaned.get(), 1, "cut once");
        assert_eq!(states, [1, 1], "woken once, inside of the first cancel");
    });
}

#[test]
fn c073_a_scope_that_is_cancelled_by_both_itself_and_its_surroundings_ends() {
    run(async {
        let (cut, _) = scoped(async |outer| {
            let at = move_on_at(now(), outer_then_inner(outer)).boxed_local();
            at.await;
        })
        .await;
        assert!(cut);
    });
}

async fn outer_then_inner(outer: ScopeHandle) {
    outer.cancel("outer");
    sleep_forever().await;
}
