//! 182 to 187: from a thread back into its run.

use std::sync::{Arc, mpsc};
use std::thread;

use trioxide_runtime::{
    Blocking, CancelScope, RunToken, RunTokenError, Runtime, blocking, checkpoint, current_task, from_thread, shield,
    sleep_forever, task_local,
};
use trioxide_testing::on_each;

use crate::common::{ALL, Flag, a_while, panic_in, until};

task_local! {
    static VALUE: &'static str;
    static SHARED: Arc<()>;
}

#[test]
fn c182_context_goes_both_ways_as_copies_and_is_not_kept() {
    on_each(ALL, async || {
        let shared = Arc::new(());
        let call = blocking(|| {
            assert_eq!(VALUE.get(), "task");
            let back = VALUE.sync_scope("thread", || {
                assert_eq!(VALUE.get(), "thread");
                from_thread::run(async {
                    let before = VALUE.get();
                    checkpoint().await;
                    (before, VALUE.get(), VALUE.scope("inside", async { VALUE.get() }).await)
                })
            });
            assert_eq!(back, Ok(("thread", "thread", "inside")));
            assert_eq!(from_thread::run_sync(|| VALUE.get()), Ok("task"));
            assert_eq!(VALUE.get(), "task");
        });
        let kept = Arc::clone(&shared);
        VALUE
            .scope("task", async {
                SHARED.scope(kept, call).await;
                assert_eq!(VALUE.get(), "task", "what the thread changed has not come back");
            })
            .await;
        until(|| Arc::strong_count(&shared) == 1).await;
    });
}

#[test]
fn c182_context_goes_with_a_token_too() {
    on_each(ALL, async || {
        let token = RunToken::current();
        let foreign = thread::spawn(move || {
            let seen = VALUE.sync_scope("foreign", || token.run(async { VALUE.try_get() }));
            (seen, token.run(async { VALUE.try_get() }))
        });
        assert_eq!(blocking(move || foreign.join().unwrap()).await, (Ok(Some("foreign")), Ok(None)));
    });
}

#[test]
fn c183_without_a_token_a_foreign_thread_gets_an_error() {
    on_each(ALL, async || {
        let foreign = thread::spawn(|| {
            [
                panic_in(|| from_thread::run(async {})),
                panic_in(|| from_thread::run_sync(|| ())),
                panic_in(from_thread::check_cancelled),
            ]
        });
        for text in blocking(move || foreign.join().unwrap()).await {
            assert!(text.contains("on a thread that no run knows"), "{text}");
            assert!(text.contains("give the thread a `RunToken`"), "{text}");
        }
    });
}

#[test]
fn c184_during_the_shutdown_the_token_refuses_and_the_host_still_works() {
    for &workers in ALL {
        let runtime = Runtime::builder().workers(workers).signals(false).build().unwrap();
        let (send, receive) = mpsc::channel();
        let (tell, told) = mpsc::channel();
        runtime.run(async {
            let token = RunToken::current();
            let (started, starts) = mpsc::channel();
            thread::spawn(move || {
                token.run(async move {
                    // Goes on while the run shuts down, and is waited for.
                    let call = blocking(move || {
                        started.send(()).unwrap();
                        while from_thread::check_cancelled().is_ok() {
                            thread::yield_now(); // retry: a closure hears of a cancel by asking
                        }
                        let token = RunToken::current();
                        let refused = (token.run_sync(|| ()), token.run(async {}));
                        (refused, from_thread::run_sync(|| 7), from_thread::run(checkpoint()).is_err())
                    });
                    tell.send(call.await).unwrap();
                })
            });
            blocking(move || starts.recv().unwrap()).await;
            send.send(()).unwrap();
        });
        receive.recv().unwrap();
        let ((sync, run), host, cut) = told.recv().unwrap();
        assert!(sync.is_err());
        assert_eq!(run, Err(RunTokenError::RunFinished));
        assert_eq!((host, cut), (Ok(7), true));
    }
}

#[test]
fn c185_a_call_back_runs_in_the_host_task_and_deeper_calls_use_another_thread() {
    on_each(ALL, async || {
        let own = current_task().id();
        let (task, thread, deeper) = blocking(|| {
            let task = from_thread::run(async { current_task().id() }).unwrap();
            assert_eq!(from_thread::run_sync(|| current_task().id()), Ok(task));
            let deeper = from_thread::run(async {
                blocking(|| {
                    let deeper = thread::current().id();
                    (deeper, from_thread::run_sync(|| current_task().id()).unwrap())
                })
                .await
            });
            (task, thread::current().id(), deeper.unwrap())
        })
        .await;
        assert_eq!((task, deeper.1), (own, own));
        assert_ne!(thread, deeper.0);
    });
}

#[test]
fn c186_when_the_host_is_cancelled_sync_calls_go_on_and_async_ones_are_cut() {
    on_each(ALL, async || {
        let scope = CancelScope::new();
        let handle = scope.handle();
        let reached = Flag::default();
        let reach = reached.clone();
        let outcome = scope
            .run(blocking(move || {
                handle.cancel("enough");
                assert_eq!(from_thread::run_sync(|| 1), Ok(1));
                assert_eq!(from_thread::run(async { 2 }), Ok(2), "no suspension in it");
                assert_eq!(
                    from_thread::run(shield(async {
                        checkpoint().await;
                        3
                    })),
                    Ok(3)
                );
                let cut = from_thread::run(async move {
                    reach.set();
                    checkpoint().await;
                    unreachable!("it is cut there");
                });
                cut.unwrap_err()
            }))
            .await;
        assert!(reached.is_set());
        assert_eq!(outcome.unwrap().reason().message(), Some("enough"));
    });
}

#[test]
fn c186_to_be_abandoned_what_runs_in_the_host_goes_with_it() {
    on_each(ALL, async || {
        let scope = CancelScope::new();
        let handle = scope.handle();
        let (send, receive) = mpsc::channel();
        let call = Blocking::new().abandon_on_cancel().run(move || {
            let cut = from_thread::run(async move {
                handle.cancel("enough");
                sleep_forever().await;
            });
            send.send((cut, from_thread::run_sync(|| ()))).unwrap();
        });
        assert!(scope.run(call).await.is_err());
        let (cut, sync) = blocking(move || receive.recv().unwrap()).await;
        assert_eq!(cut.unwrap_err().reason().message(), Some("enough"));
        assert!(sync.is_err(), "the host has gone");
    });
}

#[test]
fn c187_a_thread_can_ask_whether_its_task_was_cancelled() {
    on_each(ALL, async || {
        assert_eq!(blocking(from_thread::check_cancelled).await, Ok(()));
        for call in [Blocking::new(), Blocking::new().abandon_on_cancel()] {
            let outer = CancelScope::new();
            let inner = CancelScope::new();
            let handle = inner.handle();
            let (send, receive) = mpsc::channel();
            let call = call.run(move || {
                assert_eq!(from_thread::check_cancelled(), Ok(()));
                handle.cancel("the inner one");
                let cancelled = from_thread::check_cancelled().unwrap_err();
                send.send(cancelled.clone()).unwrap();
                Err::<(), _>(cancelled)
            });
            let outcome = outer.run(async {
                let caught = inner.run(call).await;
                a_while().await;
                caught
            });
            match outcome.await.expect("the outer scope was not cancelled") {
                Ok(value) => assert_eq!(value.unwrap_err().reason().message(), Some("the inner one")),
                Err(cancelled) => assert_eq!(cancelled.reason().message(), Some("the inner one")),
            }
            let cancelled = blocking(move || receive.recv().unwrap()).await;
            assert_eq!(cancelled.reason().message(), Some("the inner one"));
        }
    });
    assert!(panic_in(from_thread::check_cancelled).contains("on a thread that no run knows"));
}
