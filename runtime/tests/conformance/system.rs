//! 81 to 94: what stands in for system tasks and the token.
//!
//! There is no way to spawn outside the nurseries (P1). What lives there is the task behind a `RunToken`: it calls callbacks, and runs the futures of threads that wait.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use trioxide_runtime::{
    CancelScope, Nursery, RunFinished, RunToken, RunTokenError, Runtime, blocking, checkpoint, finally, nursery,
    sleep_forever, task_local,
};
use trioxide_testing::on_each;

use crate::common::{ALL, Flag, Gate, Never, PanicOnDrop, blow, panic_in, until};

fn runtime(workers: usize) -> Runtime {
    Runtime::builder().workers(workers).signals(false).build().unwrap()
}

#[test]
fn c081_what_a_token_runs_lives_outside_the_nurseries_of_the_user() {
    on_each(ALL, async || {
        let (started, gate) = (Flag::default(), Gate::default());
        let (set, pass, token) = (started.clone(), gate.clone(), RunToken::current());
        let foreign = thread::spawn(move || {
            token.run(async move {
                set.set();
                pass.pass().await;
                7
            })
        });
        let scope = CancelScope::new();
        let handle = scope.handle();
        let cut = scope
            .run(nursery(async |n: Nursery<Never>| {
                started.wait().await;
                n.spawn(sleep_forever());
                handle.cancel("enough");
                sleep_forever().await
            }))
            .await;
        assert!(cut.is_err());
        assert!(!foreign.is_finished());
        gate.open();
        assert_eq!(blocking(move || foreign.join().unwrap()).await, Ok(7));
    });
}

#[test]
fn c082_a_crash_cancels_the_main_task_and_the_run_tells_of_it() {
    for &workers in ALL {
        let cleaned = Flag::default();
        let clean = cleaned.clone();
        let text = panic_in(|| {
            runtime(workers).run(async {
                RunToken::current().run_sync_soon(|| blow("the callback")).unwrap();
                finally(sleep_forever(), async { clean.set() }).await;
            });
        });
        assert!(cleaned.is_set(), "the main task was cancelled, and unwound");
        assert!(text.starts_with("trioxide: internal error: "), "{text}");
        assert!(text.contains("panicked: the callback"), "{text}");
    }
}

#[test]
fn c083_what_goes_wrong_while_a_system_task_is_shut_down_is_told() {
    for &workers in ALL {
        let (send, receive) = mpsc::channel();
        let text = panic_in(|| {
            runtime(workers).run(async {
                let token = RunToken::current();
                thread::spawn(move || {
                    token.run(async move {
                        let _held = PanicOnDrop("while it was cut");
                        send.send(()).unwrap();
                        sleep_forever().await;
                    })
                });
                blocking(move || receive.recv().unwrap()).await;
            });
        });
        assert_eq!(text, "while it was cut");
    }
}

task_local! { static VALUE: &'static str }

#[test]
fn c084_a_callback_sees_the_context_of_the_start_and_a_child_that_of_its_spawner() {
    on_each(ALL, async || {
        let seen = Arc::new(Mutex::new(Vec::new()));
        VALUE
            .scope("changed", async {
                let see = Arc::clone(&seen);
                RunToken::current().run_sync_soon(move || see.lock().unwrap().push(VALUE.try_get())).unwrap();
                nursery(async |n: Nursery<Never>| {
                    n.spawn(async { assert_eq!(VALUE.try_get(), Some("changed")) });
                })
                .await;
            })
            .await;
        until(|| seen.lock().unwrap().len() == 1).await;
        assert_eq!(*seen.lock().unwrap(), [None]);
    });
}

#[test]
fn c085_a_run_has_one_token_and_another_run_another() {
    let runtime = runtime(2);
    let first = runtime.run(async {
        let token = RunToken::current();
        nursery(async |n: Nursery<Never>| {
            let token = token.clone();
            n.spawn(async move { assert_eq!(RunToken::current(), token) });
        })
        .await;
        token
    });
    runtime.run(async { assert_ne!(RunToken::current(), first) });
}

#[test]
fn c086_what_is_sent_in_runs_soon_and_not_at_once() {
    thread_local! { static SENDING: Cell<bool> = const { Cell::new(false) } }
    on_each(ALL, async || {
        let called = Flag::default();
        let call = called.clone();
        SENDING.set(true);
        RunToken::current()
            .run_sync_soon(move || {
                assert!(!SENDING.get(), "called inside of the sending");
                call.set();
            })
            .unwrap();
        SENDING.set(false);
        called.wait().await;
    });
}

#[test]
fn c087_after_the_run_sending_in_is_an_error() {
    for &workers in ALL {
        let token = runtime(workers).run(async { RunToken::current() });
        assert_eq!(token.run_sync_soon(|| unreachable!()), Err(RunFinished));
        assert_eq!(token.callback(|| unreachable!()).run_soon(), Err(RunFinished));
        assert_eq!(token.run_sync(|| unreachable!()), Err(RunFinished));
        assert_eq!(token.run(async { unreachable!() }), Err(RunTokenError::RunFinished));
    }
}

#[test]
fn c088_what_is_queued_twice_runs_once_and_in_order() {
    on_each(ALL, async || {
        let called = Arc::new(Mutex::new(Vec::new()));
        let token = RunToken::current();
        let note = |what: &'static str| {
            let called = Arc::clone(&called);
            move || called.lock().unwrap().push(what)
        };
        let (one, two) = (token.callback(note("one")), token.callback(note("two")));
        let (plain, end) = (note("plain"), note("end"));
        let sender = token.clone();
        // From inside a callback, so that nothing is called before all is queued.
        let queue = move || {
            one.run_soon().unwrap();
            two.run_soon().unwrap();
            sender.run_sync_soon(plain.clone()).unwrap();
            one.run_soon().unwrap();
            sender.run_sync_soon(plain).unwrap();
            two.clone().run_soon().unwrap();
            sender.run_sync_soon(end).unwrap();
        };
        token.run_sync_soon(queue).unwrap();
        until(|| called.lock().unwrap().last() == Some(&"end")).await;
        assert_eq!(*called.lock().unwrap(), ["one", "two", "plain", "plain", "end"]);
    });
}

#[test]
fn c089_queued_again_from_inside_itself_it_runs_again() {
    on_each(ALL, async || {
        let calls = Arc::new(AtomicUsize::new(0));
        let own = Arc::new(Mutex::new(None::<trioxide_runtime::Callback>));
        let (count, this) = (Arc::clone(&calls), Arc::clone(&own));
        let callback = RunToken::current().callback(move || {
            if count.fetch_add(1, Ordering::SeqCst) < 4 {
                this.lock().unwrap().as_ref().unwrap().run_soon().unwrap();
            }
        });
        *own.lock().unwrap() = Some(callback.clone());
        callback.run_soon().unwrap();
        until(|| calls.load(Ordering::SeqCst) == 5).await;
        own.lock().unwrap().take(); // They hold each other.
    });
}

#[test]
fn c090_what_was_accepted_just_before_the_main_task_crashed_runs() {
    for &workers in ALL {
        let called = Flag::default();
        let call = called.clone();
        let text = panic_in(|| {
            runtime(workers).run(async {
                RunToken::current().run_sync_soon(move || call.set()).unwrap();
                blow("main");
            });
        });
        assert_eq!(text, "main");
        assert!(called.is_set());
    }
}

#[test]
fn c091_a_crash_of_what_was_sent_in_spoils_nothing_else() {
    for &workers in ALL {
        for late in [false, true] {
            let called = Arc::new(AtomicUsize::new(0));
            let count = Arc::clone(&called);
            let text = panic_in(|| {
                runtime(workers).run(async move {
                    let token = RunToken::current();
                    token.run_sync_soon(|| blow("one of many")).unwrap();
                    for _ in 0..10 {
                        let count = Arc::clone(&count);
                        token.run_sync_soon(move || _ = count.fetch_add(1, Ordering::SeqCst)).unwrap();
                    }
                    if !late {
                        sleep_forever().await;
                    }
                });
            });
            assert!(text.contains("panicked: one of many"), "{text}");
            assert_eq!(called.load(Ordering::SeqCst), 10);
        }
    }
}

#[test]
fn c092_the_order_is_that_of_sending_for_a_hundred_and_for_a_thousand() {
    on_each(ALL, async || {
        for many in [100, 1000] {
            let called = Arc::new(Mutex::new(Vec::new()));
            let token = RunToken::current();
            for number in 0..many {
                let called = Arc::clone(&called);
                token.run_sync_soon(move || called.lock().unwrap().push(number)).unwrap();
            }
            until(|| called.lock().unwrap().len() == many).await;
            assert_eq!(*called.lock().unwrap(), (0..many).collect::<Vec<_>>());
        }
    });
}

#[test]
fn c093_callbacks_that_queue_themselves_again_starve_no_task() {
    fn again(token: &RunToken, stop: &Flag, ended: &Flag) {
        let (next, stop, ended) = (token.clone(), stop.clone(), ended.clone());
        let call = move || if stop.is_set() { ended.set() } else { again(&next, &stop, &ended) };
        token.run_sync_soon(call).unwrap();
    }
    on_each(ALL, async || {
        let (stop, ended) = (Flag::default(), Flag::default());
        again(&RunToken::current(), &stop, &ended);
        nursery(async |n: Nursery<Never>| {
            for _ in 0..3 {
                n.spawn(async {
                    for _ in 0..100 {
                        checkpoint().await;
                    }
                });
            }
        })
        .await;
        stop.set();
        ended.wait().await;
    });
}

#[test]
fn c094_many_threads_send_in_until_the_run_has_ended_and_nothing_is_lost() {
    for &workers in ALL {
        let called = Arc::new(AtomicUsize::new(0));
        let senders: Vec<_> = runtime(workers).run(async {
            let token = RunToken::current();
            let senders = (0..5).map(|_| {
                let (token, called) = (token.clone(), Arc::clone(&called));
                thread::spawn(move || {
                    let mut accepted = 0;
                    loop {
                        let called = Arc::clone(&called);
                        if token.run_sync_soon(move || _ = called.fetch_add(1, Ordering::SeqCst)).is_err() {
                            return accepted;
                        }
                        accepted += 1;
                        thread::yield_now(); // retry: none, it sends until it is refused
                    }
                })
            });
            let senders = senders.collect();
            until(|| called.load(Ordering::SeqCst) > 200).await;
            senders
        });
        // The run has ended: whatever is called from here on would be too late.
        let at_end = called.load(Ordering::SeqCst);
        let accepted: usize = senders.into_iter().map(|sender| sender.join().unwrap()).sum();
        assert_eq!(accepted, at_end);
    }
}
