//! `RunToken`: order, shutdown, crashes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use crate::common::{ALL, Flag, SetOnDrop, blow, panic_in, until};
use trioxide_runtime::{
    CancelScope, CancelSource, RunFinished, RunToken, RunTokenError, Runtime, blocking, checkpoint, from_thread,
    nursery, run, shield, sleep_forever,
};
use trioxide_testing::on_each;

fn runtime(workers: usize) -> Runtime {
    Runtime::builder().workers(workers).signals(false).build().unwrap()
}

#[test]
fn what_was_accepted_is_called_although_the_run_is_cancelled() {
    for &workers in ALL {
        let called = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&called);
        let text = panic_in(|| {
            runtime(workers).run(async move {
                let token = RunToken::current();
                for _ in 0..1000 {
                    let count = Arc::clone(&count);
                    token.run_sync_soon(move || _ = count.fetch_add(1, Ordering::Relaxed)).unwrap();
                }
                blow("main");
            })
        });
        assert_eq!((text.as_str(), called.load(Ordering::Relaxed)), ("main", 1000));
    }
}

#[test]
fn a_future_that_runs_by_the_token_is_cancelled_when_main_ends_and_its_clean_up_is_waited_for() {
    for &workers in ALL {
        let (send, receive) = mpsc::channel();
        let cleaned = Flag::default();
        let clean = cleaned.clone();
        let foreign = runtime(workers).run(async {
            let token = RunToken::current();
            let foreign = thread::spawn(move || {
                token.run(async move {
                    send.send(()).unwrap();
                    trioxide_runtime::finally(sleep_forever(), async move {
                        checkpoint().await;
                        clean.set();
                    })
                    .await;
                })
            });
            blocking(move || receive.recv().unwrap()).await;
            foreign
        });
        assert!(cleaned.is_set(), "before the run has ended");
        match foreign.join().unwrap() {
            Err(RunTokenError::Cancelled(cancelled)) => {
                assert_eq!(cancelled.reason().source(), CancelSource::Shutdown);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn panics_come_out_on_the_thread_that_waits() {
    on_each(ALL, async || {
        let token = RunToken::current();
        let foreign = thread::spawn(move || {
            [
                panic_in(|| token.run(async { blow("future") })),
                panic_in(|| token.run_sync(|| blow("closure"))),
                panic_in(|| token.run(async { drop(crate::common::PanicOnDrop("drop")) })),
            ]
        });
        let texts = blocking(move || foreign.join().unwrap()).await;
        assert_eq!(texts, ["future", "closure", "drop"]);
    });
}

#[test]
fn on_a_thread_that_runs_tasks_waiting_is_an_error() {
    run(async {
        let token = RunToken::current();
        let texts = [panic_in(|| token.run(async {})), panic_in(|| token.run_sync(|| ()))];
        for text in texts {
            assert!(text.contains("it would wait for itself"), "{text}");
        }
    });
    assert!(panic_in(RunToken::current).contains("`RunToken::current` was called outside a run"));
}

#[test]
fn a_token_is_found_in_a_blocking_call() {
    on_each(ALL, async || {
        let own = RunToken::current();
        let found = blocking(RunToken::current).await;
        assert_eq!(own, found);
        assert_eq!(
            blocking(|| RunToken::current().run(async {
                checkpoint().await;
                7
            }))
            .await,
            Ok(7)
        );
    });
}

#[test]
fn a_callback_sees_what_was_written_before_a_request_that_was_merged() {
    on_each(ALL, async || {
        let written = Arc::new(AtomicUsize::new(0));
        let seen = Arc::new(AtomicUsize::new(0));
        let (from, to) = (Arc::clone(&written), Arc::clone(&seen));
        let callback = RunToken::current().callback(move || {
            to.fetch_max(from.load(Ordering::Relaxed), Ordering::Relaxed);
        });
        let last = 500;
        let foreign = thread::spawn(move || {
            for value in 1..=last {
                written.store(value, Ordering::Relaxed);
                callback.run_soon().unwrap();
            }
        });
        until(|| seen.load(Ordering::Relaxed) == last).await;
        blocking(move || foreign.join().unwrap()).await;
    });
}

#[test]
fn runs_one_after_another_on_one_runtime_have_tokens_of_their_own() {
    let runtime = runtime(2);
    let first = runtime.run(async { RunToken::current() });
    runtime.run(async {
        assert_ne!(RunToken::current(), first);
        assert_eq!(first.run_sync_soon(|| unreachable!()), Err(RunFinished));
        assert_eq!(first.callback(|| unreachable!()).run_soon(), Err(RunFinished));
        RunToken::current().run_sync_soon(|| ()).unwrap();
    });
}

#[test]
fn a_drop_that_panics_while_a_system_task_is_cancelled_comes_out_of_the_run() {
    for &workers in ALL {
        let (send, receive) = mpsc::channel();
        let text = panic_in(|| {
            runtime(workers).run(async {
                let token = RunToken::current();
                thread::spawn(move || {
                    token.run(async move {
                        let _held = crate::common::PanicOnDrop("cut");
                        send.send(()).unwrap();
                        sleep_forever().await;
                    })
                });
                blocking(move || receive.recv().unwrap()).await;
            });
        });
        assert_eq!(text, "cut");
    }
}

#[test]
fn a_callback_is_dropped_when_the_run_refuses_it() {
    let dropped = Flag::default();
    let held = SetOnDrop(dropped.clone());
    let token = run(async { RunToken::current() });
    assert_eq!(token.run_sync_soon(move || drop(held)), Err(RunFinished));
    assert!(dropped.is_set());
    assert_eq!(token.run_sync(|| ()), Err(RunFinished));
    assert_eq!(token.run(async {}), Err(RunTokenError::RunFinished));
}

#[test]
fn many_runs_in_threads_of_their_own_are_independent() {
    let results: Vec<_> = thread::scope(|scope| {
        let runs: Vec<_> = (0..8)
            .map(|number: u64| {
                scope.spawn(move || {
                    let outcome = std::panic::catch_unwind(|| {
                        runtime(2).run(async {
                            nursery(async |n| {
                                for _ in 0..50 {
                                    n.spawn(async move { checkpoint().await });
                                }
                                if number % 2 == 1 {
                                    blow("odd");
                                }
                            })
                            .await;
                            blocking(move || from_thread::run(async move { number }).unwrap()).await
                        })
                    });
                    (number, outcome.ok())
                })
            })
            .collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    for (number, outcome) in results {
        assert_eq!(outcome, (number % 2 == 0).then_some(number));
    }
}

#[test]
fn a_cancelled_scope_round_the_first_post_does_not_reach_the_system_task() {
    on_each(ALL, async || {
        let called = Arc::new(Mutex::new(Vec::new()));
        let scope = CancelScope::new();
        let handle = scope.handle();
        let list = Arc::clone(&called);
        let outcome: Result<(), _> = scope
            .run(async move {
                handle.cancel("enough");
                let token = RunToken::current();
                for at in 0..10 {
                    let list = Arc::clone(&list);
                    token.run_sync_soon(move || list.lock().unwrap().push(at)).unwrap();
                }
                shield(checkpoint()).await;
                sleep_forever().await
            })
            .await;
        assert!(outcome.is_err());
        until(|| called.lock().unwrap().len() == 10).await;
    });
}
