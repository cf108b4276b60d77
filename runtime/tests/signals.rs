//! What SIGINT and SIGTERM do to a run. Each test sends real signals to a child process, which is this binary again.
#![cfg(unix)]
#![allow(unsafe_code)]

#[path = "common/process.rs"]
mod process;

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use libc::{SIG_DFL, SIG_IGN, SIGINT, SIGTERM};
use process::{Child, disposition, disposition_now, say};
use trioxide_runtime::{
    Runtime, blocking, checkpoint, finally, nursery, run, shield, sleep_forever, stopping, until_stopping,
};
use trioxide_testing::MockClock;

fn start(case: &str) -> Child {
    Child::start("child", case)
}

#[test]
fn c240_the_first_signal_stops_the_run_softly_and_its_value_comes_out() {
    for signal in [SIGINT, SIGTERM] {
        let mut child = start("value");
        child.expect("ready");
        child.send(signal);
        child.expect("stopping");
        child.expect("a child of a nursery is stopping");
        child.expect("value 7");
        assert_eq!(child.end(), 0);
    }
}

fn value() {
    let value = run(nursery(async |n| {
        let told = n.spawn(async {
            assert_eq!(until_stopping(sleep_forever()).await, None);
        });
        say("ready");
        stopping().await;
        say("stopping");
        let _ = told.await;
        say("a child of a nursery is stopping");
        for _ in 0..100 {
            checkpoint().await; // it is not cancelled
        }
        Ok::<_, std::convert::Infallible>(7)
    }));
    say(&format!("value {}", value.unwrap()));
}

#[test]
fn c240_the_second_signal_cancels_and_the_process_ends_by_it_after_the_clean_up() {
    for (first, second) in [(SIGINT, SIGINT), (SIGTERM, SIGTERM), (SIGINT, SIGTERM)] {
        let mut child = start("cancel");
        child.expect("ready");
        child.send(first);
        child.expect("stopping");
        child.send(second);
        child.expect("clean-up");
        assert_eq!(child.end(), -second);
    }
}

fn cancel() {
    run(async {
        say("ready");
        stopping().await;
        let clean_up = async {
            blocking(|| ()).await;
            say("clean-up");
        };
        finally(
            async {
                say("stopping");
                sleep_forever().await;
            },
            clean_up,
        )
        .await;
    });
    say("the run has ended"); // never
}

#[test]
fn c240_the_third_signal_ends_the_process_at_once() {
    let mut child = start("stuck");
    child.expect("ready");
    for said in ["stopping", "clean-up"] {
        child.send(SIGINT);
        child.expect(said);
    }
    child.send(SIGTERM);
    assert_eq!(child.end(), -SIGTERM);
}

fn stuck() {
    run(async {
        say("ready");
        let stuck = async {
            say("clean-up");
            sleep_forever().await;
        };
        let work = async {
            stopping().await;
            say("stopping");
            sleep_forever().await;
        };
        finally(work, stuck).await;
    });
}

#[test]
fn when_the_grace_is_over_the_process_ends_by_the_first_signal() {
    for case in ["grace", "own grace"] {
        let mut child = start(case);
        child.expect("ready");
        child.send(SIGTERM);
        child.expect("stopping");
        child.expect("clean-up");
        assert_eq!(child.end(), -SIGTERM);
    }
}

fn grace(grace: Option<Duration>) {
    let clock = MockClock::autojump();
    let mut builder = Runtime::builder().workers(2).clock(clock.clone());
    if let Some(grace) = grace {
        builder = builder.signal_grace(grace);
    }
    let grace = grace.unwrap_or(Duration::from_secs(8));
    builder.build().unwrap().run(async {
        say("ready");
        stopping().await;
        say("stopping");
        let begun = trioxide_runtime::now();
        finally(sleep_forever(), async {
            // The clock of this run jumps, and jumps just there.
            let passed = trioxide_runtime::now() - begun;
            assert!(passed <= grace && passed + Duration::from_millis(2) >= grace, "{passed:?}");
            say("clean-up");
        })
        .await;
    });
}

#[test]
fn switched_off_a_signal_ends_the_process_at_once() {
    let mut child = start("off");
    child.expect("ready");
    child.send(SIGTERM);
    assert_eq!(child.end(), -SIGTERM);
}

fn off() {
    let runtime = Runtime::builder().signals(false).build().unwrap();
    runtime.run(async {
        assert_eq!(disposition_now(SIGINT), SIG_DFL);
        say("ready");
        finally(stopping(), async { say("clean-up") }).await;
    });
}

#[test]
fn c241_what_the_program_handles_or_ignores_is_left_alone() {
    let mut child = start("handled");
    child.expect("ready");
    child.send(SIGTERM);
    child.expect("handled");
    assert_eq!(child.end(), 0);
}

static HANDLED: AtomicUsize = AtomicUsize::new(0);

extern "C" fn count(_: i32) {
    HANDLED.fetch_add(1, Ordering::SeqCst);
}

fn counting() -> libc::sighandler_t {
    count as extern "C" fn(i32) as libc::sighandler_t
}

async fn handled_times(times: usize) {
    while HANDLED.load(Ordering::SeqCst) < times {
        checkpoint().await; // retry: a handler of signals can tell nobody
    }
}

fn handled() {
    disposition(SIGTERM, counting());
    disposition(SIGINT, SIG_IGN);
    run(async {
        assert_eq!(disposition_now(SIGTERM), counting());
        assert_eq!(disposition_now(SIGINT), SIG_IGN);
        say("ready");
        assert!(until_stopping(handled_times(1)).await.is_some());
    });
    say("handled");
    assert_eq!(disposition_now(SIGTERM), counting());
    assert_eq!(disposition_now(SIGINT), SIG_IGN);
}

#[test]
fn a_handler_put_in_front_takes_the_signal_also_if_it_calls_ours() {
    let mut child = start("in front");
    child.expect("ready");
    child.send(SIGTERM);
    child.expect("taken");
    child.send(SIGTERM); // the first one for the run: it stops, and is not cancelled
    child.expect("stopping");
    assert_eq!(child.end(), 0);
}

static BEHIND: AtomicUsize = AtomicUsize::new(0);

/// What libraries do that share a signal: the handler that they found is called, too.
extern "C" fn chain(signal: i32) {
    // SAFETY: the handler that `libc::signal` gave, of this type.
    let behind = unsafe { std::mem::transmute::<usize, extern "C" fn(i32)>(BEHIND.load(Ordering::SeqCst)) };
    behind(signal);
    HANDLED.fetch_add(1, Ordering::SeqCst);
}

fn in_front() {
    run(async {
        let ours = disposition_now(SIGTERM);
        BEHIND.store(ours, Ordering::SeqCst);
        disposition(SIGTERM, chain as extern "C" fn(i32) as libc::sighandler_t);
        say("ready");
        assert!(until_stopping(handled_times(1)).await.is_some());
        disposition(SIGTERM, ours);
        say("taken");
        stopping().await;
        for _ in 0..100 {
            checkpoint().await;
        }
        say("stopping");
    });
}

#[test]
fn a_handler_of_ours_that_somebody_put_back_later_does_what_would_happen_without_it() {
    let mut child = start("put back");
    child.expect("ready");
    child.send(SIGINT);
    assert_eq!(child.end(), -SIGINT);
}

fn put_back() {
    let ours = run(async { disposition_now(SIGINT) });
    assert_ne!(ours, SIG_DFL);
    disposition(SIGINT, ours);
    say("ready");
    loop {
        std::thread::park();
    }
}

#[test]
fn after_the_last_run_the_default_is_back() {
    let mut child = start("back");
    for _ in 0..3 {
        child.expect("ready");
    }
    child.send(SIGINT);
    assert_eq!(child.end(), -SIGINT);
}

fn back() {
    for _ in 0..3 {
        let inside = run(async { disposition_now(SIGINT) });
        assert_ne!(inside, SIG_DFL);
        assert_eq!((disposition_now(SIGINT), disposition_now(SIGTERM)), (SIG_DFL, SIG_DFL));
        say("ready");
    }
    loop {
        std::thread::park();
    }
}

#[test]
fn several_runs_are_stopped_together_and_the_last_clean_up_is_waited_for() {
    let mut child = start("several");
    child.expect("ready");
    child.send(SIGTERM);
    child.expect("all are stopping");
    child.send(SIGTERM);
    child.expect("one clean-up is done");
    child.expect("the other waits");
    child.tell();
    child.expect("the other is done");
    assert_eq!(child.end(), -SIGTERM);
}

fn several() {
    let (begun, stopped) = (Barrier::new(3), Barrier::new(3));
    let (cleaned, hand_on) = std::sync::mpsc::channel();
    std::thread::scope(|threads| {
        let meet = async |name: &str| {
            begun.wait();
            if name == "first" {
                say("ready");
            }
            stopping().await;
            stopped.wait();
            if name == "first" {
                say("all are stopping");
            }
        };
        let runtime = || Runtime::builder().workers(2).build().unwrap();
        threads.spawn(move || {
            runtime().run(async {
                meet("first").await;
                finally(sleep_forever(), async move {
                    say("one clean-up is done");
                    cleaned.send(()).unwrap();
                })
                .await;
            });
        });
        threads.spawn(move || {
            runtime().run(async {
                meet("second").await;
                let other = async move {
                    blocking(move || {
                        hand_on.recv().unwrap();
                        say("the other waits");
                        std::io::stdin().read_line(&mut String::new()).unwrap();
                    })
                    .await;
                    say("the other is done");
                };
                finally(sleep_forever(), other).await;
            });
        });
        // This one gives a value, and the signal is no concern of its caller's.
        let value = runtime().run(async {
            meet("third").await;
            3
        });
        assert_eq!(value, 3);
    });
}

/// No signal of ours, but the whole process too: see `watch::deadlock` D1.
#[test]
fn a_deadlock_that_cannot_be_ended_aborts_the_process() {
    let mut child = start("deadlock");
    child.expect("waits for ever");
    assert_eq!(child.end(), -libc::SIGABRT);
}

fn deadlock() {
    let runtime = Runtime::builder().signals(false).fail_on_deadlock(true).build().unwrap();
    runtime.run(shield(async {
        say("waits for ever");
        std::future::pending::<()>().await;
    }));
}

/// Plays a case, in a child process; in a run of all tests it does nothing.
#[test]
fn child() {
    let Some(case) = process::case() else { return };
    match case.as_str() {
        "value" => value(),
        "cancel" => cancel(),
        "stuck" => stuck(),
        "grace" => grace(None),
        "own grace" => grace(Some(Duration::from_secs(3600))),
        "off" => off(),
        "handled" => handled(),
        "in front" => in_front(),
        "put back" => put_back(),
        "back" => back(),
        "several" => several(),
        "deadlock" => deadlock(),
        other => panic!("no such case: {other}"),
    }
}
