//! A run in which nothing can run any more fails at once, if it was asked for.

use std::time::Duration;

use trioxide_runtime::{
    Builder, CancelScope, Nursery, Portal, RunToken, Runtime, blocking, finally, nursery, sleep, sleep_forever,
};
use trioxide_testing::{MockClock, OutOfWork};

use crate::common::{ALL, Count, Flag, Gate, Never, panic_in};

fn failing(workers: usize) -> Builder {
    Runtime::builder().workers(workers).signals(false).fail_on_deadlock(true)
}

#[test]
fn a_deadlock_is_the_panic_of_the_run_and_shows_what_waits() {
    for &workers in ALL {
        let runtime = failing(workers).track_tasks(true).build().unwrap();
        let cleaned = Flag::default();
        let text = panic_in(|| {
            runtime.run(nursery(async |n: Nursery<Never>| {
                let cleaned = cleaned.clone();
                n.task("stuck").spawn(finally(sleep_forever(), async move { cleaned.set() }));
            }))
        });
        assert!(text.starts_with("trioxide: deadlock: every task waits"), "{text}");
        assert!(text.contains("\"stuck\""), "{text}");
        assert!(text.contains("suspended in `sleep_forever`"), "{text}");
        assert!(cleaned.is_set(), "it was cancelled, so its clean-up has run");
        assert_eq!(runtime.run(async { 7 }), 7, "the next run works");
        assert!(panic_in(|| runtime.run(std::future::pending::<()>())).contains("deadlock"), "and is watched");
    }
}

#[test]
fn a_task_that_a_foreign_waker_would_have_to_wake_is_in_a_deadlock() {
    for &workers in ALL {
        let text = panic_in(|| failing(workers).build().unwrap().run(Gate::default().pass()));
        assert!(text.contains("deadlock") && text.contains("`Builder::track_tasks(true)`"), "{text}");
    }
}

#[test]
fn a_timer_is_no_deadlock_and_after_the_last_one_there_is_one() {
    for &workers in ALL {
        let clock = MockClock::autojump();
        let runtime = failing(workers).clock(clock.clone()).build().unwrap();
        let text = panic_in(|| {
            runtime.run(nursery(async |n: Nursery<Never>| {
                n.spawn(sleep(Duration::from_secs(60)));
                sleep_forever().await;
            }))
        });
        assert!(text.contains("deadlock"), "{text}");
        assert_eq!(clock.elapsed(), Duration::from_secs(60));
        // A time-out that ends it is no deadlock either.
        runtime.run(async {
            assert!(trioxide_runtime::move_on_after(Duration::from_secs(1), sleep_forever()).await.is_none())
        });
    }
}

#[test]
fn a_blocking_call_is_no_deadlock() {
    for &workers in ALL {
        let gate = Gate::default();
        let inside = gate.clone();
        failing(workers).build().unwrap().run(nursery(async |n: Nursery<Never>| {
            n.spawn(async move {
                let caller = OutOfWork::new();
                blocking(move || {
                    caller.wait();
                    inside.open();
                })
                .await;
            });
            gate.pass().await;
        }));
    }
}

#[test]
fn who_has_the_token_may_wake_and_when_it_is_gone_nobody() {
    for &workers in ALL {
        let (gate, ran) = (Gate::default(), Count::default());
        let runtime = failing(workers).build().unwrap();
        let text = panic_in(|| {
            runtime.run(async {
                let (token, inside, main) = (RunToken::current(), gate.clone(), OutOfWork::new());
                let thread = std::thread::spawn(move || {
                    main.wait();
                    token.run_sync_soon(move || inside.open()).unwrap();
                });
                gate.pass().await;
                ran.add();
                thread.join().unwrap();
                sleep_forever().await;
            })
        });
        assert!(text.contains("deadlock"), "{text}");
        assert_eq!(ran.get(), 1);
    }
}

#[test]
fn an_open_portal_is_no_deadlock() {
    for &workers in ALL {
        let portal = Portal::start_with(failing(workers)).unwrap();
        for number in 0..20 {
            assert_eq!(portal.call(async move { number }), Ok(number)); // Idle in between.
        }
        portal.close();
    }
}

#[test]
fn it_is_found_by_whichever_worker_is_the_last() {
    for &workers in ALL {
        for _ in 0..20 {
            let runtime = failing(workers).build().unwrap();
            let text = panic_in(|| {
                runtime.run(nursery(async |n: Nursery<Never>| {
                    for _ in 0..8 {
                        n.spawn(async {
                            trioxide_runtime::checkpoint().await;
                            sleep_forever().await;
                        });
                    }
                }))
            });
            assert!(text.contains("deadlock"), "{text}");
        }
    }
}

/// Cancelling the run ends it where the deadlock is in a scope of its own, too.
#[test]
fn it_ends_what_stands_in_other_scopes() {
    for &workers in ALL {
        let text = panic_in(|| failing(workers).build().unwrap().run(CancelScope::new().run(sleep_forever())));
        assert!(text.contains("deadlock"), "{text}");
    }
}

#[test]
fn without_being_asked_for_it_is_none() {
    for &workers in ALL {
        let gate = Gate::default();
        let inside = gate.clone();
        let runtime = Runtime::builder().workers(workers).signals(false);
        let runtime = runtime.stall_after(Duration::from_millis(1)).on_stall(move |_| inside.open()).build().unwrap();
        runtime.run(gate.pass()); // The report ends it.
    }
}
