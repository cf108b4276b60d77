//! Promise 3, by the clock: deadlines, time-outs, and the two phases of stopping.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use crate::common::{ALL, Count, Flag, Never, SetOnDrop, a_while, hold};
use futures_util::future::join;
use futures_util::{FutureExt, poll};
use trioxide_runtime::{
    CancelScope, CancelSource, Runtime, checkpoint, fail_after, fail_at, move_on_after, move_on_at, now, nursery,
    shield, sleep, sleep_forever, sleep_until, stopping, until_stopping,
};
use trioxide_testing::{on_each, on_each_with_clock, pending_once};

const SECOND: Duration = Duration::from_secs(1);
const SHORT: Duration = Duration::from_millis(2);

#[test]
fn a_deadline_cuts_at_its_moment() {
    on_each_with_clock(ALL, async |clock| {
        assert_eq!(move_on_after(3 * SECOND, sleep_forever()).await, None);
        assert_eq!(clock.elapsed(), 3 * SECOND);
        assert_eq!(move_on_at(now() + SECOND, sleep_forever()).await, None);
        assert_eq!(clock.elapsed(), 4 * SECOND);
        assert_eq!(move_on_after(3 * SECOND, sleep(SECOND)).await, Some(()));
        assert_eq!(clock.elapsed(), 5 * SECOND);
        sleep_until(now() + SECOND).await;
        assert_eq!(clock.elapsed(), 6 * SECOND);
    });
}

#[test]
fn a_deadline_fires_by_the_real_clock_too() {
    on_each(ALL, async || {
        assert_eq!(move_on_after(SHORT, sleep_forever()).await, None);
        let body = async {
            nursery(async |n| {
                (0..20).for_each(|_| drop(n.spawn(move_on_after(SHORT, sleep_forever()).map(drop))));
                sleep_forever().await;
            })
            .await;
        };
        assert_eq!(move_on_after(2 * SHORT, body).await, None);
        let before = now();
        sleep(SHORT).await;
        assert!(now() >= before + SHORT);
    });
}

#[test]
fn a_deadline_of_zero_or_in_the_past_cuts_the_first_suspension() {
    on_each(ALL, async || {
        let past = now();
        let reached = Count::default();
        let body = async || {
            reached.add();
            pending_once().await;
            panic!("cut before this");
        };
        assert_eq!(move_on_after(Duration::ZERO, body()).await, None::<()>);
        assert_eq!(move_on_at(past, body()).await, None);
        assert!(fail_after(Duration::ZERO, body()).await.is_err());
        assert!(fail_at(past, body()).await.is_err());
        let scope = CancelScope::new().deadline_at(past).run(body()).await;
        assert_eq!(scope.unwrap_err().reason().source(), CancelSource::Deadline);
        assert_eq!(reached.get(), 5);
        assert_eq!(move_on_after(Duration::ZERO, async { 7 }).await, Some(7), "it has completed");
        assert_eq!(fail_at(past, async { 7 }).await, Ok(7));
    });
}

#[test]
fn a_deadline_beyond_the_reach_of_the_clock_never_comes() {
    on_each(ALL, async || {
        assert_eq!(move_on_after(Duration::MAX, a_while()).await, Some(()));
        assert_eq!(move_on_after(SHORT, sleep(Duration::MAX)).await, None);
    });
}

#[test]
fn a_time_out_that_is_a_failure_says_so() {
    on_each_with_clock(ALL, async |_| {
        let error = fail_after(SECOND, sleep_forever()).await.unwrap_err();
        assert_eq!(error.to_string(), "the time-out passed before the operation was done");
        let error = std::io::Error::from(error);
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
        assert_eq!(fail_after(SECOND, async { 7 }).await, Ok(7));
        assert_eq!(fail_at(now() + SECOND, sleep(SECOND / 2)).await, Ok(()));
    });
}

#[test]
fn of_nested_deadlines_the_one_that_comes_first_cuts() {
    on_each_with_clock(ALL, async |clock| {
        let inner_first = move_on_after(2 * SECOND, move_on_after(SECOND, sleep_forever()));
        assert_eq!(inner_first.await, Some(None));
        assert_eq!(clock.elapsed(), SECOND);
        let outer_first = move_on_after(SECOND, move_on_after(2 * SECOND, sleep_forever()));
        assert_eq!(outer_first.await, None);
        assert_eq!(clock.elapsed(), 2 * SECOND);
        let together = move_on_after(SECOND, move_on_after(SECOND, sleep_forever()));
        assert!(together.await.is_none_or(|inner| inner.is_none()));
        assert_eq!(clock.elapsed(), 3 * SECOND);
    });
}

#[test]
fn the_deadline_counts_from_entry() {
    on_each_with_clock(ALL, async |clock| {
        let scope = CancelScope::new().deadline_after(SECOND);
        let (time_out, handle) = (move_on_after(SECOND, sleep_forever()), scope.handle());
        sleep(5 * SECOND).await;
        assert!(!handle.cancel_called());
        assert!(scope.run(sleep_forever()).await.is_err());
        assert_eq!(clock.elapsed(), 6 * SECOND);
        assert_eq!(time_out.await, None);
        assert_eq!(clock.elapsed(), 7 * SECOND);
    });
}

#[test]
fn a_deadline_that_passes_after_the_end_of_its_scope_cuts_nothing() {
    on_each_with_clock(ALL, async |clock| {
        move_on_after(SECOND, checkpoint()).await;
        sleep(3 * SECOND).await;
        assert_eq!(clock.elapsed(), 3 * SECOND);
    });
}

#[test]
fn a_shielded_scope_outlives_the_outer_deadline_and_keeps_to_its_own() {
    on_each_with_clock(ALL, async |clock| {
        let inner = CancelScope::new().shield().deadline_after(3 * SECOND);
        let body = async {
            assert!(inner.run(sleep_forever()).await.is_err());
            assert_eq!(clock.elapsed(), 3 * SECOND);
            shield(sleep(SECOND)).await;
            sleep_forever().await;
        };
        assert_eq!(move_on_after(SECOND, body).await, None);
        assert_eq!(clock.elapsed(), 4 * SECOND);
    });
}

#[test]
fn a_deadline_reaches_children_and_grandchildren() {
    on_each_with_clock(ALL, async |clock| {
        let cut = Count::default();
        let body = nursery(async |n| {
            for _ in 0..10 {
                let cut = cut.clone();
                drop(n.spawn(async move {
                    let cut = cut.clone();
                    nursery(async |inner| {
                        drop(inner.spawn(trioxide_runtime::finally(sleep_forever(), async move { cut.add() })));
                    })
                    .await;
                }));
            }
        });
        assert_eq!(move_on_after(SECOND, body).await, None);
        assert_eq!((cut.get(), clock.elapsed()), (10, SECOND));
    });
}

#[test]
fn a_loop_of_checkpoints_is_cut_by_a_deadline() {
    on_each(ALL, async || {
        let endless = async {
            loop {
                checkpoint().await;
            }
        };
        assert_eq!(move_on_after(SHORT, endless).await, None::<()>);
        let endless = async {
            loop {
                sleep(Duration::ZERO).await;
            }
        };
        assert_eq!(move_on_after(SHORT, endless).await, None::<()>);
    });
}

#[test]
fn stop_ends_what_waits_for_it_and_leaves_the_rest_its_grace() {
    on_each_with_clock(ALL, async |clock| {
        let (stopped, served) = (Count::default(), Count::default());
        let joined = nursery(async |n| {
            for seconds in [1, 2, 30] {
                let (served, told) = (served.clone(), stopped.clone());
                drop(n.spawn(async move {
                    stopping().await;
                    told.add();
                    sleep(seconds * SECOND).await;
                    served.add();
                }));
            }
            let stopper = n.clone();
            drop(n.spawn(async move { stopper.stop(10 * SECOND) }));
            assert_eq!(until_stopping(sleep_forever()).await, None);
            assert_eq!(until_stopping(sleep_forever()).await, None, "stopping is a level, too");
            stopping().await;
            Ok::<_, Never>(())
        });
        joined.await.unwrap();
        assert_eq!((stopped.get(), served.get()), (3, 2));
        assert_eq!(clock.elapsed(), 10 * SECOND);
    });
}

#[test]
fn a_nursery_whose_grace_is_over_says_stopped() {
    on_each_with_clock(ALL, async |_| {
        let mut child = None;
        let joined = nursery(async |n| {
            child = Some(n.spawn(sleep_forever()));
            n.stop(SECOND);
            Ok::<_, Never>(())
        });
        joined.await.unwrap();
        let cancelled = child.unwrap().await.unwrap_err();
        assert_eq!(cancelled.reason().source(), CancelSource::Stopped);
        assert_eq!(cancelled.to_string(), "cancelled: it was stopped and the grace is over");
    });
}

#[test]
fn a_nursery_that_is_done_within_the_grace_is_not_cancelled() {
    on_each_with_clock(ALL, async |clock| {
        let value = nursery(async |n| {
            n.stop(60 * SECOND);
            assert_eq!(until_stopping(async { 7 }).await, Some(7), "it has completed");
            sleep(SECOND).await;
            Ok::<_, Never>(!n.scope().cancel_called())
        });
        assert!(value.await.unwrap());
        assert_eq!(clock.elapsed(), SECOND);
    });
}

#[test]
fn a_second_stop_may_shorten_the_grace_and_not_lengthen_it() {
    for (second, ends) in [(SECOND, SECOND), (60 * SECOND, 10 * SECOND)] {
        on_each_with_clock(ALL, async |clock| {
            let joined = nursery(async |n| {
                n.stop(10 * SECOND);
                n.stop(second);
                sleep_forever().await;
                Ok::<_, Never>(())
            });
            assert!(joined.await.is_err());
            assert_eq!(clock.elapsed(), ends);
        });
    }
}

#[test]
fn stop_passes_into_scopes_and_nurseries_below_and_not_into_shields() {
    on_each_with_clock(ALL, async |clock| {
        let shielded = Flag::default();
        nursery(async |outer| {
            let scope = outer.scope();
            let told = shielded.clone();
            drop(outer.spawn(async move {
                move_on_after(
                    5 * SECOND,
                    nursery(async |inner| {
                        drop(inner.spawn(stopping()));
                        let deaf = shield(move_on_after(3 * SECOND, stopping()));
                        if join(stopping(), deaf).await.1.is_none() {
                            told.set();
                        }
                    }),
                )
                .await;
            }));
            a_while().await;
            scope.stop(60 * SECOND);
        })
        .await;
        assert!(shielded.is_set());
        assert_eq!(clock.elapsed(), 3 * SECOND);
    });
}

#[test]
fn a_stop_before_entry_takes_effect_at_entry_and_its_grace_counts_from_there() {
    on_each_with_clock(ALL, async |clock| {
        let scope = CancelScope::new();
        scope.handle().stop(3 * SECOND);
        scope.handle().stop(2 * SECOND);
        clock.jump(5 * SECOND);
        let body = async {
            stopping().await;
            sleep(SECOND).await;
            assert_eq!(clock.elapsed(), 6 * SECOND);
            sleep_forever().await;
        };
        let cancelled = scope.run(body).await.unwrap_err();
        assert_eq!((cancelled.reason().source(), clock.elapsed()), (CancelSource::Stopped, 7 * SECOND));
    });
}

#[test]
fn a_stop_from_a_plain_thread_ends_the_run_after_the_grace() {
    for &workers in ALL {
        let runtime = Runtime::builder().workers(workers).build().unwrap();
        let (send, handles) = std::sync::mpsc::channel::<trioxide_runtime::ScopeHandle>();
        let stopper = std::thread::spawn(move || handles.recv().unwrap().stop(SHORT));
        let joined = runtime.run(nursery(async |n| {
            drop(n.spawn(sleep_forever()));
            send.send(n.scope()).unwrap();
            stopping().await;
            sleep_forever().await;
            Ok::<_, Never>(())
        }));
        assert_eq!(joined.unwrap_err().to_string(), "the nursery was cancelled: it was stopped and the grace is over");
        stopper.join().unwrap();
    }
}

#[test]
fn a_time_out_whose_inside_only_yields_is_cut_when_its_moment_has_come() {
    on_each_with_clock(ALL, async |clock| {
        let yields = Count::default();
        let inside = async {
            loop {
                checkpoint().await;
                yields.add();
                if yields.get() == 10 {
                    clock.jump(3 * SECOND);
                }
            }
        };
        assert_eq!(move_on_after(3 * SECOND, fail_after(60 * SECOND, inside)).await, None::<Result<(), _>>);
        assert_eq!((yields.get(), clock.elapsed()), (10, 3 * SECOND));
    });
}

/// What stands between has no node yet when a nursery is opened in it, and gets one then; the time-outs beside it stay without.
#[test]
fn a_time_out_reaches_what_was_begun_in_its_very_first_poll() {
    on_each_with_clock(ALL, async |clock| {
        let cut = Flag::default();
        let inside = async {
            assert_eq!(move_on_after(SECOND, async { 1 }).await, Some(1));
            let unpolled = nursery(async |n| drop(n.spawn(hold(SetOnDrop(cut.clone())))));
            assert_eq!(move_on_after(SECOND, move_on_after(90 * SECOND, unpolled)).await, None);
            assert!(cut.is_set());
            checkpoint().await;
            2
        };
        assert_eq!(fail_after(60 * SECOND, move_on_after(60 * SECOND, inside)).await.unwrap(), Some(2));
        assert_eq!(clock.elapsed(), SECOND);
    });
}

#[test]
fn a_time_out_that_has_yielded_and_is_moved_to_another_task_keeps_its_moment() {
    on_each_with_clock(ALL, async |clock| {
        nursery(async |n| {
            let mut moved = Box::pin(move_on_after(3 * SECOND, async {
                checkpoint().await;
                sleep_forever().await;
            }));
            assert!(poll!(moved.as_mut()).is_pending());
            sleep(SECOND).await;
            n.spawn(async move { assert_eq!(moved.await, None) });
        })
        .await;
        assert_eq!(clock.elapsed(), 3 * SECOND);
    });
}

/// A wake that came before the inside was polled may have been somebody else's, who is then polled alone.
#[test]
fn a_time_out_in_a_combinator_whose_neighbour_yields_has_its_timer() {
    on_each_with_clock(ALL, async |clock| {
        let neighbour = async {
            for _ in 0..3 {
                checkpoint().await;
            }
            sleep_forever().await;
        };
        let mut neighbour = pin!(neighbour);
        let mut limited = pin!(move_on_after(3 * SECOND, sleep_forever()));
        // Polls both once, then the one alone, until it is woken with nothing due.
        let mut turns = 0;
        let both = poll_fn(|cx| {
            turns += 1;
            let _ = neighbour.as_mut().poll(cx);
            if turns == 1 || turns > 4 { limited.as_mut().poll(cx) } else { Poll::Pending }
        });
        assert_eq!(both.await, None);
        assert_eq!(clock.elapsed(), 3 * SECOND);
    });
}
