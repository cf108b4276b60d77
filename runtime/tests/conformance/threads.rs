//! 170 to 181 and 188 to 190: the threads of the pool, and the tokens that they borrow.

use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::Duration;

use trioxide_runtime::{
    Blocking, CancelScope, CapacityLimiter, Nursery, RunToken, RunTokenError, Runtime, blocking, blocking_limiter,
    checkpoint, from_thread, move_on_after, nursery, run, sleep_forever,
};
use trioxide_testing::on_each;

use crate::common::{ALL, Crowd, Flag, Never, PanicOnDrop, a_while, blow, panic_in, panic_of, until};

#[test]
fn c170_value_and_error_come_back_from_another_thread() {
    on_each(ALL, async || {
        let own = thread::current().id();
        let other = blocking(|| thread::current().id()).await;
        assert_ne!(own, other);
        let value: Result<u32, &str> = blocking(|| Err("an error")).await;
        assert_eq!(value, Err("an error"));
        assert_eq!(panic_of(blocking(|| blow("a panic"))).await, "a panic");
    });
}

#[test]
fn c171_a_foreign_thread_with_a_token_runs_functions_in_the_run() {
    on_each(ALL, async || {
        let token = RunToken::current();
        let foreign = thread::spawn(move || {
            let own = thread::current().id();
            let (inside, thread) =
                token.run_sync(|| (trioxide_runtime::lowlevel::in_run(), thread::current().id())).unwrap();
            assert!(inside);
            assert_ne!(thread, own);
            let value = token.run(async {
                checkpoint().await;
                Err::<u32, _>("an error")
            });
            assert_eq!(value, Ok(Err("an error")));
            assert_eq!(panic_in(|| token.run(async { blow("async") })), "async");
            assert_eq!(panic_in(|| token.run_sync(|| blow("sync"))), "sync");
        });
        blocking(move || foreign.join().unwrap()).await;
    });
}

#[test]
fn c172_on_the_threads_of_the_run_calling_back_is_an_error() {
    on_each(ALL, async || {
        let token = RunToken::current();
        nursery(async |n: Nursery<Never>| {
            n.spawn(async move {
                for text in [
                    panic_in(|| token.run(async {})),
                    panic_in(|| token.run_sync(|| ())),
                    panic_in(|| from_thread::run(async {})),
                    panic_in(|| from_thread::run_sync(|| ())),
                ] {
                    assert!(text.contains("on a thread that runs tasks: it would wait for itself"), "{text}");
                }
            });
        })
        .await;
    });
}

#[test]
fn c173_the_main_task_ends_while_a_foreign_thread_waits_in_the_run() {
    for &workers in ALL {
        let (send, receive) = mpsc::channel();
        let runtime = Runtime::builder().workers(workers).signals(false).build().unwrap();
        let foreign = runtime.run(async {
            let token = RunToken::current();
            let foreign = thread::spawn(move || {
                token.run(async move {
                    send.send(()).unwrap();
                    sleep_forever().await;
                })
            });
            blocking(move || receive.recv().unwrap()).await;
            foreign
        });
        assert!(matches!(foreign.join().unwrap(), Err(RunTokenError::Cancelled(_))));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn c174_the_system_shows_the_name_of_a_call_while_it_runs() {
    fn shown() -> String {
        std::fs::read_to_string("/proc/thread-self/comm").unwrap().trim_end().to_owned()
    }
    let runtime = Runtime::builder().workers(1).thread_name("test").build().unwrap();
    runtime.run(async {
        let own = blocking(shown).await;
        assert_eq!(own, "test-blocking-0");
        assert_eq!(Blocking::new().name("short").run(shown).await, "short");
        assert_eq!(Blocking::new().name("longer than fifteen bytes").run(shown).await, "longer than fif");
        // One thread: each call comes after the other.
        assert_eq!(blocking(shown).await, own, "reset");
        assert_eq!(panic_of(Blocking::new().name("crashing").run(|| blow("crash"))).await, "crash");
        assert_eq!(blocking(shown).await, own, "also after a panic");
    });
}

/// A call that has begun, is cancelled, and ends when it is told to.
async fn cancelled_call(abandon: bool, until_told: mpsc::Receiver<()>, ended: Flag) -> Result<u32, ()> {
    let (started, starts) = mpsc::channel();
    let scope = CancelScope::new();
    let handle = scope.handle();
    let mut call = Blocking::new();
    if abandon {
        call = call.abandon_on_cancel();
    }
    nursery(async |n: Nursery<Never>| {
        n.spawn(async move {
            blocking(move || starts.recv().unwrap()).await;
            handle.cancel("enough");
        });
        let call = call.run(move || {
            started.send(()).unwrap();
            until_told.recv().unwrap();
            ended.set();
            7
        });
        Ok::<_, Never>(scope.run(call).await.map_err(drop))
    })
    .await
    .unwrap()
}

#[test]
fn c175_to_be_abandoned_the_task_is_cancelled_at_once_and_the_thread_runs_on() {
    on_each(ALL, async || {
        let (tell, told) = mpsc::channel();
        let ended = Flag::default();
        assert_eq!(cancelled_call(true, told, ended.clone()).await, Err(()));
        a_while().await;
        assert!(!ended.is_set());
        tell.send(()).unwrap();
        ended.wait().await;
    });
}

#[test]
fn c176_not_to_be_abandoned_the_task_waits_for_the_thread() {
    on_each(ALL, async || {
        let (tell, told) = mpsc::channel();
        let ended = Flag::default();
        nursery(async |n: Nursery<Never>| {
            let (end, returned) = (ended.clone(), Flag::default());
            let set = returned.clone();
            n.spawn(async move {
                assert_eq!(cancelled_call(false, told, end).await, Ok(7), "completed, so it is delivered");
                set.set();
            });
            a_while().await;
            assert!(!returned.is_set() && !ended.is_set());
            tell.send(()).unwrap();
        })
        .await;
        assert!(ended.is_set());
    });
}

#[test]
fn c177_cancelled_before_the_thread_starts_it_never_does() {
    on_each(ALL, async || {
        for call in [Blocking::new(), Blocking::new().abandon_on_cancel()] {
            let began = Flag::default();
            let begin = began.clone();
            assert!(move_on_after(Duration::ZERO, call.run(move || begin.set())).await.is_none());
            a_while().await;
            assert!(!began.is_set());
        }
    });
}

#[test]
fn c178_a_thread_that_ends_after_its_run_does_no_harm() {
    for &workers in ALL {
        let (tell, told) = mpsc::channel::<()>();
        let (done, dones) = mpsc::channel();
        let runtime = Runtime::builder().workers(workers).signals(false).build().unwrap();
        runtime.run(async {
            let mut call = Box::pin(Blocking::new().abandon_on_cancel().run(move || {
                told.recv().unwrap();
                let sync = from_thread::run_sync(|| ());
                done.send((sync, from_thread::check_cancelled(), RunToken::current().run(async {}))).unwrap();
            }));
            assert!(futures_util::poll!(&mut call).is_pending());
            drop(call);
        });
        drop(runtime);
        tell.send(()).unwrap();
        let (sync, check, token) = dones.recv().unwrap();
        assert!(sync.is_err() && check.is_err());
        assert_eq!(token, Err(RunTokenError::RunFinished));
    }
}

#[test]
fn c179_the_limiter_limits_threads_that_really_run() {
    on_each(ALL, async || {
        for abandon in [false, true] {
            let limiter = Arc::new(CapacityLimiter::new(3));
            let (crowd, done) = (Arc::new(Crowd::of(3)), Arc::new(AtomicUsize::new(0)));
            nursery(async |n: Nursery<Never>| {
                for number in 0..30 {
                    let mut call = Blocking::new().limiter(&limiter);
                    if abandon {
                        call = call.abandon_on_cancel();
                    }
                    let (crowd, done) = (Arc::clone(&crowd), Arc::clone(&done));
                    let scope = CancelScope::new();
                    let handle = scope.handle();
                    n.spawn(async move {
                        let call = call.run(move || {
                            crowd.visit();
                            done.fetch_add(1, Ordering::SeqCst);
                        });
                        let _ = scope.run(call).await;
                    });
                    if number % 3 == 0 {
                        n.spawn(async move {
                            checkpoint().await;
                            handle.cancel("some of them");
                        });
                    }
                }
            })
            .await;
            until(|| limiter.statistics().borrowed == 0).await;
            assert_eq!(crowd.most(), 3);
            assert!(done.load(Ordering::SeqCst) >= 20);
        }
    });
}

#[test]
fn c180_a_limiter_of_ones_own_is_asked_once_and_given_back_once() {
    // There is one type of limiter. Whatever else limits is a token that the closure owns: taken before, dropped at the end.
    struct Token(Arc<AtomicUsize>);
    impl Drop for Token {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    on_each(ALL, async || {
        let given_back = Arc::new(AtomicUsize::new(0));
        let limiter = Arc::new(CapacityLimiter::new(1));
        for (number, fails) in [(1, false), (2, true)] {
            let (token, seen) = (Token(Arc::clone(&given_back)), Arc::clone(&limiter));
            let call = Blocking::new().limiter(&limiter).run(move || {
                let _token = token;
                assert_eq!(seen.statistics().borrowed, 1);
                if fails {
                    blow("the closure");
                }
            });
            if fails {
                assert_eq!(panic_of(call).await, "the closure");
            } else {
                call.await;
            }
            assert_eq!(given_back.load(Ordering::SeqCst), number);
            assert_eq!(limiter.statistics().borrowed, 0);
        }
        assert_eq!(blocking_limiter().statistics().borrowed, 0);
    });
}

#[test]
fn c181_a_thread_that_cannot_be_started_gives_its_token_back() {
    let runtime = Runtime::builder().workers(1).signals(false).stack_size(1 << 60).build().unwrap();
    runtime.run(async {
        for _ in 0..3 {
            let limiter = Arc::new(CapacityLimiter::new(1));
            let text = panic_of(Blocking::new().limiter(&limiter).run(|| ())).await;
            assert!(text.starts_with("trioxide: `blocking` found no thread: "), "{text}");
            assert_eq!(limiter.statistics().borrowed, 0);
        }
    });
}

#[test]
fn c188_many_threads_that_call_back_and_forth_do_not_lock_up() {
    on_each(ALL, async || {
        let rounds = Arc::new(AtomicUsize::new(0));
        nursery(async |n: Nursery<Never>| {
            for _ in 0..20 {
                let rounds = Arc::clone(&rounds);
                n.spawn(blocking(move || {
                    for _ in 0..20 {
                        from_thread::run(checkpoint()).unwrap();
                        from_thread::run_sync(|| ()).unwrap();
                        rounds.fetch_add(1, Ordering::SeqCst);
                    }
                }));
            }
        })
        .await;
        assert_eq!(rounds.load(Ordering::SeqCst), 400);
    });
}

#[test]
fn c189_one_can_wait_until_all_threads_have_ended() {
    // By the limiter: a token is held until the thread has really ended, also of a call that was abandoned.
    on_each(ALL, async || {
        let limiter = Arc::new(CapacityLimiter::new(4));
        let (tell, told) = mpsc::channel::<()>();
        let ended = Flag::default();
        let end = ended.clone();
        let mut call = Box::pin(Blocking::new().limiter(&limiter).abandon_on_cancel().run(move || {
            told.recv().unwrap();
            end.set();
        }));
        assert!(futures_util::poll!(&mut call).is_pending());
        drop(call);
        assert_eq!(limiter.statistics().borrowed, 1, "the active threads");
        tell.send(()).unwrap();
        let mut all = Vec::new();
        for _ in 0..limiter.total() {
            all.push(limiter.acquire().await);
        }
        assert!(ended.is_set());
    });
}

#[test]
fn c190_threads_are_reused_last_in_first_out() {
    let runtime = Runtime::builder().workers(1).signals(false).build().unwrap();
    runtime.run(async {
        // Three at once, which end one after the other.
        let all = Arc::new(Barrier::new(4));
        let mut calls = Vec::new();
        for _ in 0..3 {
            let (tell, told) = mpsc::channel::<()>();
            let all = Arc::clone(&all);
            let mut call = Box::pin(blocking(move || {
                all.wait();
                told.recv().unwrap();
                thread::current().id()
            }));
            assert!(futures_util::poll!(&mut call).is_pending());
            calls.push((tell, call));
        }
        all.wait();
        let mut last = None;
        for (tell, call) in calls {
            tell.send(()).unwrap();
            last = Some(call.await);
        }
        for _ in 0..20 {
            assert_eq!(Some(blocking(|| thread::current().id()).await), last);
        }
    });
}

#[test]
fn c190_no_job_is_lost_when_a_thread_ends() {
    let runtime = Runtime::builder().workers(2).signals(false).blocking_keep_alive(Duration::ZERO).build().unwrap();
    runtime.run(async {
        for number in 0..500 {
            assert_eq!(blocking(move || number).await, number);
        }
    });
}

#[test]
fn c190_a_thread_that_is_idle_ends() {
    /// Tells when the thread that it belongs to has ended.
    struct Ends(mpsc::Sender<thread::ThreadId>);
    impl Drop for Ends {
        fn drop(&mut self) {
            let _ = self.0.send(thread::current().id());
        }
    }
    thread_local! { static ENDS: RefCell<Option<Ends>> = const { RefCell::new(None) } }
    let runtime = Runtime::builder().workers(1).signals(false).blocking_keep_alive(Duration::ZERO).build().unwrap();
    runtime.run(async {
        for _ in 0..10 {
            let (send, receive) = mpsc::channel();
            let ran_on = blocking(move || {
                ENDS.set(Some(Ends(send)));
                thread::current().id()
            });
            let ran_on = ran_on.await;
            assert_eq!(receive.recv(), Ok(ran_on), "nothing else would end the wait");
        }
    });
}

#[test]
fn c190_a_value_that_panics_when_it_is_dropped_spares_its_thread() {
    let runtime = Runtime::builder().workers(1).signals(false).build().unwrap();
    runtime.run(async {
        let (tell, told) = mpsc::channel::<()>();
        let (send, receive) = mpsc::channel();
        let mut call = Box::pin(Blocking::new().abandon_on_cancel().run(move || {
            told.recv().unwrap();
            send.send(thread::current().id()).unwrap();
            PanicOnDrop("nobody takes it")
        }));
        assert!(futures_util::poll!(&mut call).is_pending());
        drop(call);
        tell.send(()).unwrap();
        until(|| blocking_limiter().statistics().borrowed == 0).await;
        let thread = receive.recv().unwrap();
        assert_eq!(blocking(|| thread::current().id()).await, thread);
    });
    assert_eq!(run(blocking(|| 1)), 1);
}
