//! Time-outs: behaviours 162 to 169.

use std::time::Duration;

use trioxide_runtime::{
    CancelScope, checkpoint, fail_after, fail_at, move_on_after, move_on_at, now, run, sleep, sleep_forever,
    sleep_until,
};
use trioxide_testing::on_each_with_clock;

use crate::common::{ALL, Count, panic_in};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn c162_sleeps_take_their_time_and_a_sleep_of_nothing_is_a_checkpoint() {
    on_each_with_clock(ALL, async |clock| {
        sleep(3 * SECOND).await;
        assert_eq!(clock.elapsed(), 3 * SECOND);
        sleep_until(now() + 2 * SECOND).await;
        assert_eq!(clock.elapsed(), 5 * SECOND);
        sleep(Duration::ZERO).await;
        sleep_until(now() - SECOND).await;
        assert_eq!(clock.elapsed(), 5 * SECOND);
        let scope = CancelScope::new();
        scope.handle().cancel("cuts it");
        assert!(scope.run(sleep(Duration::ZERO)).await.is_err());
        let steps = Count::default();
        let body = async {
            steps.add();
            checkpoint().await;
            steps.add();
        };
        assert_eq!(move_on_at(now(), body).await, None);
        assert_eq!(steps.get(), 1);
    });
}

#[test]
fn c163_move_on_after_cuts_a_long_sleep() {
    on_each_with_clock(ALL, async |clock| {
        assert_eq!(move_on_after(SECOND, sleep(100 * SECOND)).await, None);
        assert_eq!(clock.elapsed(), SECOND);
    });
}

#[test]
fn c164_fail_at_and_fail_after_fail_only_when_the_time_is_up() {
    on_each_with_clock(ALL, async |clock| {
        assert!(fail_after(SECOND, sleep(5 * SECOND)).await.is_err());
        assert!(fail_at(now() + SECOND, sleep(5 * SECOND)).await.is_err());
        assert_eq!(clock.elapsed(), 2 * SECOND);
        assert_eq!(fail_after(5 * SECOND, sleep(SECOND)).await, Ok(()));
        assert_eq!(fail_at(now() + 5 * SECOND, async { 7 }).await, Ok(7));
        // Cut by something else, it is no failure of the time-out.
        let scope = CancelScope::new();
        scope.handle().cancel("something else");
        assert!(scope.run(fail_after(SECOND, sleep_forever())).await.is_err());
    });
}

#[test]
fn c165_a_shielded_time_out_ignores_the_outer_cancel_and_keeps_its_own_deadline() {
    on_each_with_clock(ALL, async |clock| {
        let outer = CancelScope::new();
        let handle = outer.handle();
        let steps = Count::default();
        let body = async {
            handle.cancel("outer");
            assert!(CancelScope::new().deadline_after(3 * SECOND).shield().run(sleep(SECOND)).await.is_ok());
            steps.add();
            let late = CancelScope::new().deadline_after(3 * SECOND).shield();
            assert!(late.run(sleep(10 * SECOND)).await.is_err());
            steps.add();
            checkpoint().await;
            steps.add();
        };
        assert!(outer.run(body).await.is_err());
        assert_eq!((steps.get(), clock.elapsed()), (2, 4 * SECOND));
    });
}

#[test]
fn c166_a_relative_deadline_counts_from_entry_and_both_views_agree() {
    on_each_with_clock(ALL, async |clock| {
        let scope = CancelScope::new().deadline_after(SECOND);
        let handle = scope.handle();
        clock.jump(10 * SECOND);
        let body = async {
            assert_eq!(handle.deadline(), Some(now() + SECOND));
            assert_eq!(handle.time_left(), Some(SECOND));
            handle.set_deadline_after(3 * SECOND);
            assert_eq!(handle.deadline(), Some(now() + 3 * SECOND));
            handle.set_deadline(Some(now() + 2 * SECOND));
            assert_eq!(handle.time_left(), Some(2 * SECOND));
            clock.jump(SECOND);
            assert_eq!(handle.time_left(), Some(SECOND));
            handle.set_deadline(None);
            assert_eq!((handle.deadline(), handle.time_left()), (None, None));
            handle.set_deadline_after(SECOND);
            sleep_forever().await;
        };
        assert!(scope.run(body).await.is_err());
        assert_eq!(clock.elapsed(), 12 * SECOND);
    });
}

#[test]
fn c167_before_entry_a_relative_deadline_is_no_moment() {
    on_each_with_clock(ALL, async |clock| {
        let scope = CancelScope::new().deadline_after(2 * SECOND);
        let handle = scope.handle();
        // Asking changes nothing.
        assert_eq!((handle.deadline(), handle.time_left()), (None, Some(2 * SECOND)));
        clock.jump(SECOND);
        assert_eq!((handle.deadline(), handle.time_left()), (None, Some(2 * SECOND)));
        assert!(scope.run(sleep(SECOND)).await.is_ok());
        // The other kind takes its place.
        let scope = CancelScope::new().deadline_after(2 * SECOND).deadline_at(now() + SECOND);
        assert_eq!(scope.handle().deadline(), Some(now() + SECOND));
        assert!(scope.run(sleep_forever()).await.is_err());
        assert_eq!(clock.elapsed(), 3 * SECOND);
    });
}

#[test]
fn c168_a_deadline_before_all_time_has_passed_and_one_beyond_all_time_never_comes() {
    // A `Duration` is neither negative nor not a number, and an `Instant` may lie in the past.
    on_each_with_clock(ALL, async |clock| {
        clock.jump(100 * SECOND);
        assert_eq!(move_on_at(now() - 50 * SECOND, checkpoint()).await, None);
        assert_eq!(move_on_after(Duration::MAX, sleep(SECOND)).await, Some(()));
        let scope = CancelScope::new().deadline_after(Duration::MAX);
        assert_eq!(scope.handle().time_left(), Some(Duration::MAX));
        assert!(scope.run(checkpoint()).await.is_ok());
    });
}

#[test]
fn c169_a_wake_that_nobody_has_asked_for_does_not_end_sleep_forever() {
    on_each_with_clock(ALL, async |_| {
        let mut wakes = 0;
        let woken = std::future::poll_fn(|cx| {
            wakes += 1;
            if wakes < 100 {
                cx.waker().wake_by_ref();
            }
            std::task::Poll::<()>::Pending
        });
        let both = async { futures_util::join!(sleep_forever(), woken) };
        assert!(
            move_on_after(SECOND, futures_util::future::select(Box::pin(both), Box::pin(sleep(SECOND / 2))))
                .await
                .is_some()
        );
    });
    assert!(panic_in(|| futures_util::FutureExt::now_or_never(sleep_forever())).contains("outside a run"));
    run(async {});
}
