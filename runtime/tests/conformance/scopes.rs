//! Cancel scopes: behaviours 44 to 60.

use std::time::Duration;

use trioxide_runtime::{
    CancelScope, CancelSource, ScopeHandle, checkpoint, finally, move_on_after, now, nursery, shield, sleep,
    sleep_forever,
};
use trioxide_testing::{on_each, on_each_with_clock};

use crate::common::{ALL, Count, Flag, a_while, hold};

const SECOND: Duration = Duration::from_secs(1);

/// Runs `body` in a scope whose handle it gets; whether the scope was cut, and the handle.
pub(crate) async fn scoped(body: impl AsyncFnOnce(ScopeHandle)) -> (bool, ScopeHandle) {
    let scope = CancelScope::new();
    let handle = scope.handle();
    (scope.run(body(handle.clone())).await.is_err(), handle)
}

#[test]
fn c044_checkpoints_and_sleeps_are_cut_and_what_is_shielded_is_not() {
    on_each(ALL, async || {
        for leaf in 0..3 {
            let (cut, _) = scoped(async |scope| {
                scope.cancel("now");
                for _ in 0..10 {
                    shield(checkpoint()).await;
                }
                match leaf {
                    0 => checkpoint().await,
                    1 => sleep(SECOND).await, // real time: none, the scope is cancelled
                    _ => sleep_forever().await,
                }
                panic!("cut before this");
            })
            .await;
            assert!(cut);
        }
    });
}

#[test]
fn c045_cancelling_twice_is_the_same_as_once() {
    on_each(ALL, async || {
        let (cut, handle) = scoped(async |scope| {
            scope.cancel("once");
            scope.cancel("twice");
            checkpoint().await;
        })
        .await;
        assert!(cut && handle.cancel_called() && handle.cancelled_caught());
    });
}

#[test]
fn c046_cancellation_is_a_level() {
    on_each(ALL, async || {
        let (mut cleaned, mut again) = (false, false);
        let (cut, _) = scoped(async |scope| {
            scope.cancel("level");
            // The clean-up is the code that comes after the first cut; what it waits for outside of a shield of its own is cut again.
            let inner = finally(checkpoint(), async {
                cleaned = true;
                again = move_on_after(Duration::ZERO, checkpoint()).await.is_none();
            });
            inner.await;
        })
        .await;
        assert!(cut && cleaned && again);
        // And between two scopes: the inner one is cut, goes on, and is cut once more.
        let outer = CancelScope::new();
        let outer_handle = outer.handle();
        let inner_cut = Flag::default();
        let body = async {
            let inner = CancelScope::new().shield();
            outer_handle.cancel("outer");
            inner.handle().cancel("inner");
            assert!(inner.run(checkpoint()).await.is_err());
            inner_cut.set();
            checkpoint().await;
            panic!("cut before this");
        };
        assert!(outer.run(body).await.is_err());
        assert!(inner_cut.is_set());
    });
}

#[test]
fn c047_a_shield_hides_the_outer_cancel_as_long_as_it_is_on() {
    on_each(ALL, async || {
        let steps = Count::default();
        let (cut, _) = scoped(async |outer| {
            let inner = CancelScope::new().shield();
            let handle = inner.handle();
            outer.cancel("outer");
            let body = async {
                checkpoint().await;
                steps.add();
                handle.set_shield(false);
                handle.set_shield(true); // On again before anything was suspended.
                assert!(handle.is_shielded());
                checkpoint().await;
                steps.add();
                handle.set_shield(false);
                checkpoint().await;
                steps.add();
            };
            assert!(inner.run(body).await.is_ok(), "the outer scope does the cutting");
        })
        .await;
        assert!(cut);
        assert_eq!(steps.get(), 2);
    });
}

#[test]
fn c048_a_scope_inside_a_shield_can_be_cancelled() {
    on_each(ALL, async || {
        let (cut, _) = scoped(async |outer| {
            outer.cancel("outer");
            let (cut, _) = shield(scoped(async |inner| {
                inner.cancel("inner");
                checkpoint().await;
            }))
            .await;
            assert!(cut);
        })
        .await;
        assert!(!cut, "nothing was suspended outside of the shield");
    });
}

#[test]
fn c049_a_shield_does_not_protect_from_its_own_scope() {
    on_each(ALL, async || {
        let scope = CancelScope::new().shield();
        let handle = scope.handle();
        let body = async {
            handle.cancel("own");
            checkpoint().await;
        };
        assert!(scope.run(body).await.is_err());
    });
}

#[test]
fn c050_switching_a_shield_off_cuts_what_sleeps_at_once() {
    on_each(ALL, async || {
        let (asleep, dropped) = (Flag::default(), Flag::default());
        let (cut, _) = scoped(async |outer| {
            let inner = CancelScope::new().shield();
            let handle = inner.handle();
            let body = nursery(async |n| {
                let held = (asleep.clone(), crate::common::SetOnDrop(dropped.clone()));
                n.spawn(async move {
                    held.0.set();
                    hold(held.1).await;
                });
                outer.cancel("outer");
                asleep.wait().await;
                a_while().await;
                assert!(!dropped.is_set());
                handle.set_shield(false);
                shield(dropped.wait()).await;
                checkpoint().await;
            });
            assert!(inner.run(body).await.is_ok(), "the outer scope does the cutting");
        })
        .await;
        assert!(cut && dropped.is_set());
    });
}

#[test]
fn c051_a_deadline_after_the_end_of_the_scope_has_no_effect() {
    on_each_with_clock(ALL, async |clock| {
        let scope = CancelScope::new().deadline_after(SECOND);
        let handle = scope.handle();
        assert!(scope.run(checkpoint()).await.is_ok());
        clock.jump(2 * SECOND);
        checkpoint().await;
        assert!(!handle.cancel_called());
        handle.set_deadline(Some(now()));
        assert!(!handle.cancel_called() && !handle.cancelled_caught());
    });
}

#[test]
fn c052_a_deadline_that_passes_in_a_sleep_cancels_and_is_caught() {
    on_each_with_clock(ALL, async |clock| {
        let scope = CancelScope::new().deadline_after(SECOND);
        let handle = scope.handle();
        assert!(scope.run(sleep(10 * SECOND)).await.is_err());
        assert!(handle.cancel_called() && handle.cancelled_caught());
        assert_eq!(clock.elapsed(), SECOND);
    });
}

#[test]
fn c053_a_deadline_that_is_moved_into_the_past_cancels_for_good() {
    on_each_with_clock(ALL, async |clock| {
        clock.jump(10 * SECOND);
        let scope = CancelScope::new().deadline_after(SECOND);
        let handle = scope.handle();
        let body = async {
            checkpoint().await;
            handle.set_deadline(Some(now() - SECOND));
            assert!(handle.cancel_called());
            handle.set_deadline(None);
            shield(checkpoint()).await;
            checkpoint().await;
            panic!("cut before this");
        };
        let cancelled = scope.run(body).await.unwrap_err();
        assert_eq!(cancelled.reason().source(), CancelSource::Deadline);
    });
}

#[test]
fn c054_of_two_nested_cancelled_scopes_the_outer_one_catches() {
    on_each(ALL, async || {
        let mut inner_handle = None;
        let (cut, outer) = scoped(async |outer| {
            let (_, _) = scoped(async |inner| {
                inner_handle = Some(inner.clone());
                inner.cancel("inner");
                outer.cancel("outer");
                checkpoint().await;
            })
            .await;
            panic!("the outer scope drops this");
        })
        .await;
        let inner = inner_handle.unwrap();
        assert!(cut && outer.cancelled_caught());
        assert!(inner.cancel_called() && !inner.cancelled_caught());
    });
}

#[test]
fn c055_a_cancel_that_no_suspension_meets_is_not_delivered() {
    on_each(ALL, async || {
        let (cut, handle) = scoped(async |scope| scope.cancel("too late")).await;
        assert!(!cut && handle.cancel_called() && !handle.cancelled_caught());
        checkpoint().await;
    });
}

#[test]
fn c056_a_shield_that_comes_too_late_gives_way() {
    on_each(ALL, async || {
        // In a nursery, in a clean-up, and in a combinator: something was cut before the shield was there.
        for kind in 0..3 {
            let mut inner_handle = None;
            let (cut, outer) = scoped(async |outer| {
                let (_, _) = scoped(async |inner| {
                    inner_handle = Some(inner.clone());
                    let late = async {
                        checkpoint().await;
                        inner.set_shield(true);
                        a_while().await;
                    };
                    outer.cancel("outer");
                    match kind {
                        0 => nursery(async |_| finally(sleep_forever(), late).await).await,
                        1 => finally(sleep_forever(), late).await,
                        _ => {
                            trioxide_runtime::join!(finally(sleep_forever(), late), sleep_forever());
                        }
                    }
                    panic!("what was cut has no value");
                })
                .await;
                panic!("the outer scope drops this");
            })
            .await;
            let inner = inner_handle.unwrap();
            assert!(cut && outer.cancelled_caught(), "{kind}");
            assert!(!inner.cancelled_caught() && !inner.is_shielded(), "{kind}");
        }
    });
}

#[test]
fn c056_a_shield_that_comes_in_time_holds() {
    on_each(ALL, async || {
        let (cut, _) = scoped(async |outer| {
            let (cut, inner) = scoped(async |inner| {
                inner.set_shield(true);
                outer.cancel("outer");
                nursery(async |n| drop(n.spawn(a_while()))).await;
                checkpoint().await;
            })
            .await;
            assert!(!cut && !inner.cancel_called() && inner.is_shielded());
            checkpoint().await;
        })
        .await;
        assert!(cut);
    });
}

#[test]
fn c057_a_cancel_before_entry_cuts_the_first_suspension() {
    on_each(ALL, async || {
        let scope = CancelScope::new();
        let handle = scope.handle();
        handle.cancel("before");
        let began = Flag::default();
        let body = async {
            began.set();
            checkpoint().await;
        };
        assert!(scope.run(body).await.is_err());
        assert!(began.is_set() && handle.cancelled_caught());
    });
}

#[test]
fn c058_a_shield_before_entry_works() {
    on_each(ALL, async || {
        let (cut, _) = scoped(async |outer| {
            let inner = CancelScope::new();
            inner.handle().set_shield(true);
            outer.cancel("outer");
            assert!(inner.run(checkpoint()).await.is_ok());
        })
        .await;
        assert!(!cut);
    });
}

#[test]
fn c060_a_scope_that_was_not_entered_knows_that_its_deadline_has_passed() {
    on_each_with_clock(ALL, async |clock| {
        for asked in [true, false] {
            let scope = CancelScope::new().deadline_at(now() + SECOND);
            let handle = scope.handle();
            assert!(!handle.cancel_called());
            clock.jump(2 * SECOND);
            assert!(!asked || handle.cancel_called());
            handle.set_deadline(Some(now() + 10 * SECOND));
            assert!(handle.cancel_called());
            assert!(scope.run(checkpoint()).await.is_err());
        }
    });
}
