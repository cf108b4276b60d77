//! `move_on_when` and `finally_within`: what ends by an event, and what may not take for ever.

use std::future::{pending, ready};
use std::pin::pin;
use std::time::Duration;

use crate::common::{ALL, Flag, SetOnDrop, a_while, blow, hold, panic_in};
use futures_util::poll;
use trioxide_runtime::{
    CancelScope, Runtime, checkpoint, finally, finally_within, move_on_after, move_on_when, now, nursery, run, sleep,
    sleep_forever,
};
use trioxide_testing::{MockClock, on_each};

#[test]
fn the_condition_cuts_the_future_and_waits_for_its_guards() {
    on_each(ALL, async || {
        let (hung_up, unwound, child) = (Flag::default(), Flag::default(), Flag::default());
        let condition = {
            let hung_up = hung_up.clone();
            async move { hung_up.wait().await }
        };
        let work = finally(
            nursery(async |n| {
                n.spawn(hold(SetOnDrop(child.clone())));
                hung_up.set();
                sleep_forever().await;
            }),
            async {
                a_while().await;
                unwound.set();
            },
        );
        assert_eq!(move_on_when(condition, work).await, None);
        assert!(unwound.is_set() && child.is_set());
    });
}

#[test]
fn the_scopes_inside_are_dropped_and_not_cancelled_themselves() {
    run(async {
        let cut = Flag::default();
        let scope = CancelScope::new();
        let inner = scope.handle();
        let work = finally(scope.run(sleep_forever()), async { cut.set() });
        assert!(move_on_when(a_while(), work).await.is_none());
        assert!(cut.is_set() && !inner.cancel_called());
    });
}

#[test]
fn what_completes_gives_its_value_also_when_the_condition_is_ready() {
    run(async {
        assert_eq!(move_on_when(ready(()), ready(1)).await, Some(1));
        assert_eq!(move_on_when(pending::<()>(), ready(2)).await, Some(2));
        let slow = async {
            checkpoint().await;
            3
        };
        assert_eq!(move_on_when(pending::<()>(), slow).await, Some(3));
    });
}

/// Both are dropped with it, by a scope around and by anything else; the condition when it is no longer needed.
#[test]
fn cancelled_while_it_waits_it_drops_both() {
    run(async {
        let (condition, work) = (Flag::default(), Flag::default());
        let waiting = move_on_when(hold(SetOnDrop(condition.clone())), hold(SetOnDrop(work.clone())));
        assert_eq!(move_on_after(Duration::ZERO, waiting).await, None);
        assert!(condition.is_set() && work.is_set());

        let (condition, work) = (Flag::default(), Flag::default());
        {
            let mut waiting = pin!(move_on_when(hold(SetOnDrop(condition.clone())), hold(SetOnDrop(work.clone()))));
            assert!(poll!(&mut waiting).is_pending());
            assert!(!condition.is_set() && !work.is_set());
        }
        assert!(condition.is_set() && work.is_set());
    });
}

#[test]
fn a_condition_that_panics_takes_the_future_along() {
    let work = Flag::default();
    let held = SetOnDrop(work.clone());
    let panic = panic_in(|| run(move_on_when(async { blow("the condition") }, hold(held))));
    assert_eq!(panic, "the condition");
    assert!(work.is_set());
}

#[test]
fn a_clean_up_that_takes_too_long_is_cut_at_its_limit() {
    for &workers in ALL {
        let clock = MockClock::autojump();
        Runtime::builder().workers(workers).clock(clock.clone()).build().unwrap().run(async {
            let begun = now();
            let (unwound, too_far) = (Flag::default(), Flag::default());
            let cleanup = async {
                sleep(Duration::from_secs(1)).await;
                finally(sleep_forever(), async {
                    sleep(Duration::from_secs(2)).await;
                    unwound.set();
                })
                .await;
                too_far.set();
            };
            // In a scope that is cancelled: the limit counts all the same, and from the beginning of the clean-up.
            let scope = CancelScope::new().deadline_after(Duration::from_secs(10));
            let outcome = scope.run(finally_within(Duration::from_secs(5), sleep_forever(), cleanup)).await;
            assert!(outcome.is_err());
            assert_eq!(now() - begun, Duration::from_secs(10 + 5 + 2));
            assert!(unwound.is_set() && !too_far.is_set());
        });
    }
}

#[test]
fn a_clean_up_within_its_limit_runs_to_its_end_and_the_value_comes_out() {
    let clock = MockClock::autojump();
    Runtime::builder().workers(1).clock(clock).build().unwrap().run(async {
        let begun = now();
        let done = Flag::default();
        let cleanup = async {
            sleep(Duration::from_secs(1)).await;
            done.set();
        };
        assert_eq!(finally_within(Duration::from_secs(5), async { 42 }, cleanup).await, 42);
        assert!(done.is_set());
        assert_eq!(now() - begun, Duration::from_secs(1));
    });
}
