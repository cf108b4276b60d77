//! Waiting until all tasks are blocked.

use std::pin::pin;
use std::time::Duration;

use futures_util::poll;
use trioxide_runtime::{CancelScope, blocking, checkpoint, nursery, sleep, sleep_forever};
use trioxide_sync::Event;
use trioxide_testing::{MockClock, OutOfWork, on_each, on_each_with_clock, pending_once, wait_all_tasks_blocked};

use crate::common::{ALL, Log, seconds, with_clock};

#[test]
fn c110_it_comes_before_a_jump_of_the_clock_whatever_its_cushion() {
    for cushion in [Duration::ZERO, Duration::from_millis(1)] {
        on_each_with_clock(ALL, async |clock| {
            let log = Log::default();
            nursery(async |n| {
                let (waits, sleeps) = (log.clone(), log.clone());
                let at = clock.clone();
                n.spawn(async move {
                    sleep(seconds(1)).await;
                    sleeps.note("slept");
                    assert_eq!(at.elapsed(), seconds(1));
                });
                let at = clock.clone();
                n.spawn(async move {
                    wait_all_tasks_blocked(cushion).await;
                    waits.note("waited");
                    assert_eq!(at.elapsed(), Duration::ZERO);
                    wait_all_tasks_blocked(cushion).await;
                    waits.note("waited again");
                    assert_eq!(at.elapsed(), Duration::ZERO);
                });
            })
            .await;
            assert_eq!(log.take(), ["waited", "waited again", "slept"]);
        });
    }
}

#[test]
fn c111_it_waits_for_a_busy_task_and_can_be_cancelled() {
    on_each(ALL, async || {
        let log = Log::default();
        nursery(async |n| {
            let busy = log.clone();
            n.spawn(async move {
                for _ in 0..10 {
                    checkpoint().await;
                    pending_once().await;
                }
                busy.note("busy no more");
                sleep_forever().await;
            });
            wait_all_tasks_blocked(Duration::ZERO).await;
            log.note("all blocked");
            n.cancel("seen");
        })
        .await;
        assert_eq!(log.take(), ["busy no more", "all blocked"]);
        // Cancelled while it waits, with one that goes on waiting; and before it began.
        nursery(async |n| {
            let scope = CancelScope::new();
            let handle = scope.handle();
            n.spawn(async move { assert!(scope.run(wait_all_tasks_blocked(seconds(3600))).await.is_err()) });
            wait_all_tasks_blocked(Duration::ZERO).await;
            handle.cancel("no longer wanted");
        })
        .await;
        let scope = CancelScope::new();
        scope.handle().cancel("no longer wanted");
        assert!(scope.run(wait_all_tasks_blocked(Duration::ZERO)).await.is_err());
        // Dropped as soon as it was over, and before.
        {
            let mut wait = pin!(wait_all_tasks_blocked(seconds(3600)));
            assert!(poll!(wait.as_mut()).is_pending());
        }
        wait_all_tasks_blocked(Duration::ZERO).await;
    });
}

/// And, unlike in Trio, a call on the thread pool counts as a busy task.
#[test]
fn c111_it_waits_for_a_call_on_the_thread_pool() {
    on_each(ALL, async || {
        let log = Log::default();
        nursery(async |n| {
            let busy = log.clone();
            n.spawn(async move {
                for _ in 0..3 {
                    let (busy, caller) = (busy.clone(), OutOfWork::new());
                    blocking(move || {
                        caller.wait();
                        busy.note("called");
                    })
                    .await;
                }
            });
            wait_all_tasks_blocked(Duration::ZERO).await;
            log.note("all blocked");
        })
        .await;
        assert_eq!(log.take(), ["called", "called", "called", "all blocked"]);
    });
}

#[test]
fn c112_sleepers_count_as_blocked_and_run_first_after_a_jump() {
    for &workers in ALL {
        let clock = MockClock::new();
        with_clock(workers, &clock).run(async {
            let log = Log::default();
            nursery(async |n| {
                let sleeper = log.clone();
                n.spawn(async move {
                    sleeper.note("sleeps");
                    sleep(seconds(1)).await;
                    sleeper.note("slept");
                });
                wait_all_tasks_blocked(Duration::ZERO).await;
                assert_eq!(log.take(), ["sleeps"]);
                clock.jump(Duration::from_millis(999));
                wait_all_tasks_blocked(Duration::ZERO).await;
                assert_eq!(log.take(), [""; 0]);
                clock.jump(seconds(10));
                wait_all_tasks_blocked(Duration::ZERO).await;
                assert_eq!(log.take(), ["slept"]);
            })
            .await;
        });
    }
}

#[test]
fn c113_the_shortest_cushion_goes_first_and_equal_ones_together() {
    on_each(ALL, async || {
        let log = Log::default();
        let gone = std::sync::Arc::new(Event::new());
        nursery(async |n| {
            let waits = [(3, "third"), (2, "second"), (1, "first"), (1, "first"), (0, "none"), (0, "none")];
            for (millis, name) in waits {
                let log = log.clone();
                n.spawn(async move {
                    wait_all_tasks_blocked(Duration::from_millis(millis)).await;
                    log.note(name);
                });
            }
            let waiting = gone.clone();
            n.spawn(async move { waiting.wait().await });
            wait_all_tasks_blocked(Duration::from_millis(4)).await;
            log.note("last");
            gone.set();
        })
        .await;
        assert_eq!(log.take(), ["none", "none", "first", "first", "second", "third", "last"]);
    });
}

/// Those who wait together are woken together: neither starts the other's wait anew.
#[test]
fn c113_equal_cushions_are_over_in_one_rest() {
    on_each(ALL, async || {
        let log = Log::default();
        nursery(async |n| {
            for name in ["one", "one", "one"] {
                let log = log.clone();
                n.spawn(async move {
                    wait_all_tasks_blocked(Duration::ZERO).await;
                    log.note(name);
                    // Until all three are here nobody is woken again: this one would be before them.
                    wait_all_tasks_blocked(Duration::ZERO).await;
                    log.note("two");
                });
            }
        })
        .await;
        assert_eq!(log.take(), ["one", "one", "one", "two", "two", "two"]);
    });
}
