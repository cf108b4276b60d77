//! `blocking` with its options, and the way back from its threads.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;

use crate::common::{ALL, Flag, Never, a_while, blow, panic_in, panic_of, until};
use trioxide_runtime::{
    Blocking, CancelScope, CancelSource, Cancelled, CapacityLimiter, Runtime, blocking, blocking_limiter, checkpoint,
    from_thread, move_on_after, nursery, run, shield, sleep, sleep_forever,
};
use trioxide_testing::{on_each, on_each_with_clock};

#[test]
fn calls_wait_for_their_turn_as_tasks_and_can_be_cancelled_there() {
    on_each(ALL, async || {
        let limiter = Arc::new(CapacityLimiter::new(1));
        let (go, wait) = mpsc::channel::<()>();
        let began = Flag::default();
        nursery(async |n| {
            let first = Blocking::new().limiter(&limiter);
            n.spawn(first.run(move || wait.recv().unwrap()));
            until(|| limiter.statistics().borrowed == 1).await;
            let scope = CancelScope::new();
            let handle = scope.handle();
            let (second, begins) = (Blocking::new().limiter(&limiter), began.clone());
            let call =
                n.spawn(async move { Ok::<_, Never>(scope.run(second.run(move || begins.set())).await.is_err()) });
            until(|| limiter.statistics().tasks_waiting == 1).await;
            handle.cancel("enough");
            assert_eq!(call.await, Ok(true));
            go.send(()).unwrap();
        })
        .await;
        assert!(!began.is_set());
        assert_eq!(limiter.statistics().borrowed, 0);
    });
}

#[test]
fn the_default_limiter_can_be_changed() {
    let runtime = Runtime::builder().workers(2).max_blocking_threads(3).build().unwrap();
    runtime.run(async {
        assert_eq!(blocking_limiter().total(), 3);
        blocking_limiter().set_total(0);
        assert!(move_on_after(Duration::ZERO, blocking(|| ())).await.is_none());
        blocking_limiter().set_total(1);
        blocking(|| ()).await;
        assert_eq!(blocking_limiter().statistics().borrowed, 0);
    });
    assert!(panic_in(blocking_limiter).contains("outside a run"));
}

#[test]
fn the_thread_that_was_free_last_is_taken_first() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    runtime.run(async {
        let meet = || {
            let barrier = Arc::new(std::sync::Barrier::new(2));
            move || {
                let barrier = Arc::clone(&barrier);
                move || {
                    barrier.wait();
                    thread::current().id()
                }
            }
        };
        let call = meet();
        // Two threads: both run at once.
        let both = trioxide_runtime::join!(blocking(call()), blocking(call()));
        assert_ne!(both.0, both.1);
        let mut used = Vec::new();
        for _ in 0..50 {
            used.push(blocking(|| thread::current().id()).await);
        }
        assert!(used.windows(2).all(|pair| pair[0] == pair[1]), "one after the other on one thread");
    });
}

#[test]
fn a_job_that_meets_a_thread_that_is_about_to_end_is_not_lost() {
    on_each(ALL, async || {
        let quick = Runtime::builder().workers(1).blocking_keep_alive(Duration::ZERO).build().unwrap();
        let done = blocking(move || {
            let done = Arc::new(AtomicUsize::new(0));
            quick.run(async {
                for _ in 0..200 {
                    let done = Arc::clone(&done);
                    blocking(move || done.fetch_add(1, Ordering::Relaxed)).await;
                }
            });
            done.load(Ordering::Relaxed)
        });
        assert_eq!(done.await, 200);
    });
}

#[test]
fn what_a_thread_sends_runs_in_the_task_that_called() {
    on_each(ALL, async || {
        let values = blocking(|| {
            let mut values = Vec::new();
            for round in 0..10 {
                values.push(from_thread::run_sync(move || round).unwrap());
                values.push(
                    from_thread::run(async move {
                        checkpoint().await;
                        round
                    })
                    .unwrap(),
                );
            }
            values
        });
        assert_eq!(values.await.len(), 20);
    });
}

#[test]
fn a_nursery_and_a_scope_in_what_a_thread_sends_work_and_are_joined() {
    on_each(ALL, async || {
        let parts = blocking(|| {
            from_thread::run(async {
                assert!(move_on_after(Duration::ZERO, sleep_forever()).await.is_none());
                let parts = Arc::new(AtomicUsize::new(0));
                nursery(async |n| {
                    for _ in 0..10 {
                        let parts = Arc::clone(&parts);
                        n.spawn(async move {
                            checkpoint().await;
                            parts.fetch_add(1, Ordering::Relaxed);
                        });
                    }
                })
                .await;
                parts.load(Ordering::Relaxed)
            })
        });
        assert_eq!(parts.await, Ok(10));
    });
}

#[test]
fn what_is_sent_is_cut_when_the_host_is_cancelled_and_the_value_is_still_delivered() {
    on_each(ALL, async || {
        let scope = CancelScope::new();
        let handle = scope.handle();
        let outcome = scope.run(blocking(move || {
            let cut = from_thread::run(async move {
                handle.cancel("enough");
                sleep_forever().await;
            });
            let again = from_thread::run(checkpoint());
            let shielded = from_thread::run(shield(checkpoint()));
            (cut, again, shielded, from_thread::run_sync(|| 7), from_thread::check_cancelled())
        }));
        let (cut, again, shielded, sync, check) = outcome.await.unwrap();
        for error in [cut.unwrap_err(), again.unwrap_err(), check.unwrap_err()] {
            assert_eq!(error.reason().message(), Some("enough"));
        }
        assert_eq!((shielded, sync), (Ok(()), Ok(7)));
    });
}

#[test]
fn a_clean_up_in_what_is_sent_is_waited_for() {
    on_each(ALL, async || {
        let scope = CancelScope::new();
        let (handle, cleaned) = (scope.handle(), Flag::default());
        let clean = cleaned.clone();
        let outcome = scope.run(blocking(move || {
            from_thread::run(async move {
                handle.cancel("enough");
                let clean_up = async move {
                    a_while().await;
                    clean.set();
                };
                trioxide_runtime::finally(sleep_forever(), clean_up).await;
            })
        }));
        assert!(outcome.await.unwrap().is_err());
        assert!(cleaned.is_set());
    });
}

#[test]
fn panics_of_what_is_sent_come_out_on_the_thread() {
    on_each(ALL, async || {
        let texts = blocking(|| {
            [
                panic_in(|| from_thread::run(async { blow("future") })),
                panic_in(|| from_thread::run_sync(|| blow("closure"))),
                panic_in(|| from_thread::run(async { drop(crate::common::PanicOnDrop("drop")) })),
            ]
        });
        assert_eq!(texts.await, ["future", "closure", "drop"]);
    });
}

#[test]
fn when_the_future_of_the_call_is_dropped_the_thread_hears_of_it() {
    on_each(ALL, async || {
        let (go, wait) = mpsc::channel::<()>();
        let seen = Arc::new(Mutex::new(None));
        nursery(async |n| {
            let see = Arc::clone(&seen);
            n.spawn(async move {
                let mut call = Box::pin(blocking(move || {
                    wait.recv().unwrap();
                    let seen =
                        (from_thread::run(checkpoint()), from_thread::run_sync(|| ()), from_thread::check_cancelled());
                    *see.lock().unwrap() = Some(seen);
                }));
                futures_util::poll!(&mut call).is_pending();
                drop(call);
                go.send(()).unwrap();
            });
        })
        .await;
        let (future, sync, check) = seen.lock().unwrap().take().expect("the task waits for the thread");
        for error in [future.unwrap_err(), sync.unwrap_err(), check.unwrap_err()] {
            assert_eq!(error.reason().source(), CancelSource::Dropped);
        }
    });
}

#[test]
fn when_the_future_of_the_call_is_forgotten_the_thread_hears_of_it() {
    on_each(ALL, async || {
        let (go, wait) = mpsc::channel::<()>();
        let seen = Arc::new(Mutex::new(None));
        nursery(async |n| {
            let see = Arc::clone(&seen);
            n.spawn(async move {
                let mut call = Box::pin(blocking(move || {
                    wait.recv().unwrap();
                    *see.lock().unwrap() = Some(from_thread::run(sleep_forever()));
                }));
                futures_util::poll!(&mut call).is_pending();
                std::mem::forget(call);
                go.send(()).unwrap();
            });
        })
        .await;
        assert!(seen.lock().unwrap().take().unwrap().is_err());
    });
}

#[test]
fn an_abandoned_call_keeps_its_token_and_hears_that_it_was_abandoned() {
    on_each(ALL, async || {
        let limiter = Arc::new(CapacityLimiter::new(1));
        let (go, wait) = mpsc::channel::<()>();
        let (tell, told) = mpsc::channel();
        let began = Flag::default();
        let scope = CancelScope::new();
        let handle = scope.handle();
        nursery(async |n| {
            let call = Blocking::new().limiter(&limiter).abandon_on_cancel();
            let begins = began.clone();
            let call = n.spawn(async move {
                let outcome = scope.run(call.run(move || {
                    begins.set();
                    wait.recv().unwrap();
                    tell.send((from_thread::check_cancelled(), from_thread::run_sync(|| ()))).unwrap();
                }));
                Ok::<_, Never>(outcome.await.is_err())
            });
            until(|| began.is_set()).await; // Cancelled before that, it would not begin.
            handle.cancel("enough");
            assert_eq!(call.await, Ok(true));
        })
        .await;
        assert_eq!(limiter.statistics().borrowed, 1, "the thread has not ended");
        go.send(()).unwrap();
        let (check, sync) = blocking(move || told.recv().unwrap()).await;
        assert_eq!(check.unwrap_err().reason().message(), Some("enough"));
        assert!(sync.is_err());
        until(|| limiter.statistics().borrowed == 0).await;
    });
}

#[test]
fn the_value_of_an_abandoned_call_is_dropped_on_its_thread() {
    struct Tell(mpsc::Sender<thread::ThreadId>);
    impl Drop for Tell {
        fn drop(&mut self) {
            let _ = self.0.send(thread::current().id());
        }
    }
    let (go, wait) = mpsc::channel::<()>();
    let (tell, told) = mpsc::channel();
    let (started, starts) = mpsc::channel();
    run(async {
        let scope = CancelScope::new();
        let handle = scope.handle();
        nursery(async |n| {
            n.spawn(async move {
                let id = blocking(move || starts.recv().unwrap()).await;
                handle.cancel("enough");
                let _: thread::ThreadId = id;
            });
            let call = Blocking::new().abandon_on_cancel().run(move || {
                started.send(thread::current().id()).unwrap();
                wait.recv().unwrap();
                tell.send(thread::current().id()).unwrap();
                Tell(tell)
            });
            assert!(scope.run(call).await.is_err());
        })
        .await;
    });
    // The run, and its runtime, have ended without the thread.
    go.send(()).unwrap();
    let thread = told.recv().unwrap();
    assert_eq!(told.recv().unwrap(), thread);
    assert!(told.recv().is_err());
}

#[test]
fn a_clock_does_not_wait_for_an_abandoned_call() {
    on_each_with_clock(ALL, async |_| {
        let (go, wait) = mpsc::channel::<()>();
        let scope = CancelScope::new();
        let handle = scope.handle();
        let mut call = Box::pin(scope.run(Blocking::new().abandon_on_cancel().run(move || wait.recv())));
        assert!(futures_util::poll!(&mut call).is_pending());
        handle.cancel("enough");
        assert!(call.await.is_err());
        sleep(Duration::from_secs(1000)).await;
        drop(go);
    });
}

#[test]
fn a_clock_moves_while_a_thread_waits_for_its_task() {
    on_each_with_clock(ALL, async |_| {
        let slept = blocking(|| {
            for _ in 0..10 {
                from_thread::run(sleep(Duration::from_secs(1000))).unwrap();
            }
            let timed_out = from_thread::run(move_on_after(Duration::from_secs(1000), sleep_forever()));
            assert!(timed_out.unwrap().is_none());
            7
        });
        assert_eq!(slept.await, 7);
    });
}

#[test]
fn a_thread_that_cannot_be_started_gives_the_token_back() {
    let runtime = Runtime::builder().workers(1).stack_size(1 << 60).build().unwrap();
    runtime.run(async {
        let text = panic_of(blocking(|| ())).await;
        assert!(text.starts_with("trioxide: `blocking` found no thread: "), "{text}");
        assert_eq!(blocking_limiter().statistics().borrowed, 0);
    });
}

#[test]
fn outside_of_a_call_the_way_back_is_an_error_that_says_what_to_do() {
    for text in [
        panic_in(|| from_thread::run(async {})),
        panic_in(|| from_thread::run_sync(|| ())),
        panic_in(from_thread::check_cancelled),
    ] {
        assert!(text.contains("on a thread that no run knows; call it inside `blocking`"), "{text}");
    }
    run(async {
        for text in [
            panic_in(|| from_thread::run(async {})),
            panic_in(|| from_thread::run_sync(|| ())),
            panic_in(from_thread::check_cancelled),
        ] {
            assert!(text.contains("it would wait for itself; await the future there"), "{text}");
        }
    });
}

#[test]
fn a_call_polled_in_a_cancelled_scope_after_its_token_came_does_not_begin() {
    run(async {
        let limiter = Arc::new(CapacityLimiter::new(1));
        let token = limiter.try_acquire().unwrap();
        let scope = CancelScope::new();
        let handle = scope.handle();
        let began = Flag::default();
        let begins = began.clone();
        let call = Blocking::new().limiter(&limiter).run(move || begins.set());
        let mut call = Box::pin(scope.run(call));
        assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(token); // Handed over.
        handle.cancel("enough");
        assert!(call.await.is_err());
        assert!(!began.is_set());
        assert_eq!(limiter.statistics().borrowed, 0);
    });
}

#[test]
fn a_limit_of_ones_own_is_a_token_that_the_closure_owns() {
    on_each(ALL, async || {
        let limiter = Arc::new(CapacityLimiter::new(1));
        let token = Arc::clone(&limiter).acquire_owned().await;
        let value: Result<u32, Never> = blocking(move || {
            let _token = token;
            Ok(1)
        })
        .await;
        assert_eq!(value, Ok(1));
        assert_eq!(limiter.statistics().borrowed, 0);
    });
}

#[allow(dead_code, reason = "the types say it")]
fn results_tell_who_was_cancelled() -> Result<(), Cancelled> {
    from_thread::check_cancelled()?;
    from_thread::run(async {})
}

/// Calls that wait for each other all have a thread, however few are woken for them.
#[test]
fn as_many_calls_run_at_once_as_there_are_tokens() {
    const CALLS: usize = 60;
    on_each(ALL, async || {
        let all = Arc::new(std::sync::Barrier::new(CALLS));
        for _ in 0..3 {
            nursery(async |n| {
                for _ in 0..CALLS {
                    let all = Arc::clone(&all);
                    n.spawn(async move {
                        blocking(move || all.wait()).await;
                        Ok::<_, Never>(())
                    });
                }
            })
            .await;
        }
    });
}

/// Threads that end, are started, linger and are called: no job is left in the queue.
#[test]
fn no_job_is_left_while_threads_come_and_go() {
    for keep_alive in [Duration::ZERO, Duration::from_micros(50), Duration::from_secs(10)] {
        for workers in ALL {
            let builder = Runtime::builder().workers(*workers).blocking_keep_alive(keep_alive).signals(false);
            let sum = builder.build().unwrap().run(async {
                let sum = Arc::new(AtomicUsize::new(0));
                nursery(async |n| {
                    for task in 0..40 {
                        let sum = Arc::clone(&sum);
                        n.spawn(async move {
                            for call in 0..20 {
                                let spins = (task * 31 + call * 17) % 97;
                                let one = blocking(move || {
                                    (0..spins * 20).for_each(|_| std::hint::spin_loop()); // retry: none, calls take different times
                                    1
                                });
                                sum.fetch_add(one.await, Ordering::Relaxed);
                            }
                            Ok::<_, Never>(())
                        });
                    }
                })
                .await;
                sum.load(Ordering::Relaxed)
            });
            assert_eq!(sum, 800);
        }
    }
}
