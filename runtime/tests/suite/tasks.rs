//! Handles of tasks, and calls on the thread pool.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use crate::common::{ALL, Crowd, Flag, Gate, Never, SetOnDrop, a_while, all_wait, blow, hold, panic_in, panic_of};
use futures_util::future::join_all;
use futures_util::poll;
use trioxide_runtime::{CancelScope, Runtime, blocking, checkpoint, nursery, shield, sleep, sleep_forever, task_local};
use trioxide_testing::{CountDrops, on_each};

#[test]
fn a_handle_gives_the_value_of_its_child() {
    on_each(ALL, async || {
        nursery(async |n| {
            let tasks: Vec<_> = (0..100)
                .map(|at| {
                    n.spawn(async move {
                        if at % 2 == 0 {
                            checkpoint().await;
                        }
                        Ok::<_, Never>(vec![at; at])
                    })
                })
                .collect();
            for (at, value) in join_all(tasks).await.into_iter().enumerate() {
                assert_eq!(value.unwrap(), vec![at; at]);
            }
        })
        .await;
    });
}

#[test]
fn a_dropped_handle_changes_nothing_and_the_value_is_dropped() {
    on_each(ALL, async || {
        let drops = CountDrops::new();
        nursery(async |n| {
            for at in 0..20 {
                let guard = drops.guard();
                let task = n.spawn(async move {
                    checkpoint().await;
                    Ok::<_, Never>(guard)
                });
                if at % 2 == 0 {
                    all_wait().await;
                    assert!(task.is_finished());
                }
                drop(task);
            }
        })
        .await;
        assert_eq!(drops.dropped(), 20);
    });
}

#[test]
fn is_finished_says_when_the_child_and_its_nurseries_have_ended() {
    on_each(ALL, async || {
        let (gate, began) = (Gate::default(), Flag::default());
        let (passes, begins) = (gate.clone(), began.clone());
        nursery(async |n| {
            let task = n.spawn(async move {
                nursery(async |inner| drop(inner.spawn(async move { passes.pass().await }))).await;
                begins.set();
            });
            a_while().await;
            assert!(!task.is_finished() && !began.is_set());
            gate.open();
            task.await.unwrap();
            assert!(began.is_set());
        })
        .await;
    });
}

#[test]
fn an_await_that_is_given_up_takes_nothing() {
    on_each(ALL, async || {
        nursery(async |n| {
            let gate = Gate::default();
            let passes = gate.clone();
            let mut task = n.spawn(async move {
                passes.pass().await;
                Ok::<_, Never>(7)
            });
            assert_eq!(trioxide_runtime::move_on_after(Duration::ZERO, &mut task).await, None);
            assert!(poll!(&mut task).is_pending());
            gate.open();
            assert_eq!(task.await.unwrap(), 7);
        })
        .await;
    });
}

#[test]
fn a_handle_that_has_given_its_value_panics_when_polled_again() {
    on_each(ALL, async || {
        nursery(async |n| {
            let mut task = n.spawn(async { Ok::<_, Never>(7) });
            assert_eq!((&mut task).await.unwrap(), 7);
            assert!(task.is_finished());
            assert_eq!(
                panic_of(&mut task).await,
                "trioxide: a `Task` was polled again after it had given its value; await it once"
            );
            task.cancel("of no effect");
        })
        .await;
    });
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn the_last_waker_is_the_one_that_is_woken() {
    on_each(ALL, async || {
        nursery(async |n| {
            let gate = Gate::default();
            let passes = gate.clone();
            let mut task = n.spawn(async move { passes.pass().await });
            let wakers: Vec<_> = (0..10).map(|_| Arc::new(Woken::default())).collect();
            for woken in &wakers {
                let waker = Waker::from(woken.clone());
                for _ in 0..2 {
                    assert!(Pin::new(&mut task).poll(&mut Context::from_waker(&waker)).is_pending());
                }
            }
            // One is in the slot; nobody else keeps any.
            assert_eq!(wakers.iter().map(Arc::strong_count).sum::<usize>(), 11);
            gate.open();
            all_wait().await;
            assert_eq!(wakers[9].0.load(Ordering::SeqCst), 1);
            assert!(wakers[..9].iter().all(|woken| woken.0.load(Ordering::SeqCst) == 0));
            assert_eq!(Pin::new(&mut task).poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(Ok(())));
            drop(task);
            all_wait().await;
            assert!(wakers.iter().all(|woken| Arc::strong_count(woken) == 1));
        })
        .await;
    });
}

task_local! {
    static LEVEL: u32;
}

/// A node, a request to cancel, a handle's waker, bindings: a task may have any of them, and keeps what it has when another comes.
#[test]
fn what_a_task_has_besides_its_future_comes_in_every_order() {
    on_each(ALL, async || {
        for case in 0..16 {
            let [has_scope, is_awaited_first, has_begun, has_local] = [1, 2, 4, 8].map(|bit| case & bit != 0);
            let begun = Flag::default();
            let body = async {
                nursery(async |n| {
                    let begins = begun.clone();
                    let mut child = n.spawn(async move {
                        assert_eq!(LEVEL.try_get(), has_local.then_some(7));
                        begins.set();
                        if has_scope {
                            let _ = CancelScope::new().run(sleep_forever()).await;
                        }
                        sleep_forever().await;
                        Ok::<_, Never>(())
                    });
                    if is_awaited_first {
                        assert!(Pin::new(&mut child).poll(&mut Context::from_waker(Waker::noop())).is_pending());
                    }
                    if has_begun {
                        begun.wait().await;
                    }
                    child.cancel("enough");
                    child.cancel("more than that");
                    let cancelled = child.await.unwrap_err();
                    assert_eq!(cancelled.reason().message(), Some("enough"), "case {case}");
                })
                .await;
            };
            match has_local {
                true => LEVEL.scope(7, body).await,
                false => body.await,
            }
        }
    });
}

#[test]
fn a_handle_is_awaited_in_another_task_and_in_another_run() {
    on_each(ALL, async || {
        nursery(async |n| {
            let task = n.spawn(async {
                a_while().await;
                Ok::<_, Never>(7)
            });
            let other = n.spawn(async move { Ok::<_, Never>(task.await.unwrap() + 1) });
            assert_eq!(other.await.unwrap(), 8);
        })
        .await;
    });
    let first = Runtime::builder().workers(2).build().unwrap();
    let second = Runtime::builder().workers(2).build().unwrap();
    let mut task = None;
    first.run(nursery(async |n| task = Some(n.spawn(async { Ok::<_, Never>(String::from("kept")) }))));
    drop(first);
    assert_eq!(second.run(task.unwrap()).unwrap(), "kept");
}

#[test]
fn tasks_that_are_cancelled_while_they_start_end_or_wait_end_once() {
    on_each(ALL, async || {
        for round in 0..200 {
            let drops = CountDrops::new();
            nursery(async |n| {
                let tasks: Vec<_> = (0..10)
                    .map(|at| {
                        let guard = drops.guard();
                        n.spawn(async move {
                            let _guard = guard;
                            for _ in 0..at % 4 {
                                checkpoint().await;
                            }
                            Ok::<_, Never>(at)
                        })
                    })
                    .collect();
                if round % 2 == 0 {
                    checkpoint().await;
                }
                tasks.iter().for_each(|task| task.cancel("now or never"));
                for (at, task) in tasks.into_iter().enumerate() {
                    match task.await {
                        Ok(value) => assert_eq!(value, at),
                        Err(cancelled) => assert_eq!(cancelled.reason().message(), Some("now or never")),
                    }
                }
            })
            .await;
            assert_eq!(drops.dropped(), 10);
        }
    });
}

#[test]
fn ids_differ_and_are_shown() {
    let ids: Vec<_> = (0..3)
        .flat_map(|_| {
            let runtime = Runtime::builder().workers(2).build().unwrap();
            runtime.run(async {
                let mut ids = Vec::new();
                nursery(async |n| ids.extend((0..2000).map(|_| n.spawn(async {}).id()))).await;
                ids
            })
        })
        .collect();
    let different: std::collections::HashSet<_> = ids.iter().collect();
    assert_eq!(different.len(), 6000);
    assert!(ids[0].to_string().starts_with('#'));
}

#[test]
fn blocking_gives_the_value_and_does_not_block_the_worker() {
    on_each(&[1], async || {
        let (send, receive) = mpsc::channel();
        nursery(async |n| {
            let call = n.spawn(async move { Ok::<_, Never>(blocking(move || receive.recv().unwrap()).await) });
            a_while().await; // The one worker goes on.
            send.send(7).unwrap();
            assert_eq!(call.await.unwrap(), 7);
        })
        .await;
    });
}

#[test]
fn a_thousand_blocking_calls_share_the_threads_that_are_allowed() {
    for &workers in ALL {
        let runtime = Runtime::builder().workers(workers).max_blocking_threads(4).build().unwrap();
        let crowd = Arc::new(Crowd::of(4));
        runtime.run(async {
            let calls = (0..1000).map(|at| {
                let crowd = crowd.clone();
                blocking(move || {
                    crowd.visit();
                    at
                })
            });
            assert_eq!(join_all(calls).await, (0..1000).collect::<Vec<_>>());
        });
        assert_eq!(crowd.most(), 4);
    }
}

#[test]
fn as_many_blocking_calls_run_at_once_as_are_allowed() {
    let runtime = Runtime::builder().workers(1).max_blocking_threads(4).build().unwrap();
    for _ in 0..10 {
        let all = Arc::new(Barrier::new(4));
        runtime.run(join_all((0..4).map(|_| {
            let all = all.clone();
            blocking(move || all.wait().is_leader())
        })));
    }
}

#[test]
fn blocking_calls_begin_in_order_when_they_wait_for_a_thread() {
    // So few that `join_all` polls all in each turn. With more it may leave out one that was woken, which is then passed over (L63).
    const CALLS: usize = 30;
    let runtime = Runtime::builder().workers(2).max_blocking_threads(1).build().unwrap();
    for _ in 0..10 {
        let order = Arc::new(Mutex::new(Vec::new()));
        runtime.run(join_all((0..CALLS).map(|at| {
            let order = order.clone();
            blocking(move || order.lock().unwrap().push(at))
        })));
        assert_eq!(*order.lock().unwrap(), (0..CALLS).collect::<Vec<_>>());
    }
}

#[test]
fn threads_of_the_pool_that_have_gone_come_back() {
    let runtime = Runtime::builder().workers(2).blocking_keep_alive(Duration::from_micros(100)).build().unwrap();
    runtime.run(async {
        for at in 0..50 {
            assert_eq!(blocking(move || at).await, at);
            if at % 5 == 0 {
                sleep(Duration::from_millis(1)).await; // real time: in which the threads wait for work
            }
        }
    });
}

#[test]
fn a_panic_in_a_blocking_call_comes_out_and_spares_its_thread() {
    let runtime = Runtime::builder().workers(2).max_blocking_threads(1).build().unwrap();
    for _ in 0..10 {
        assert_eq!(panic_in(|| runtime.run(blocking(|| blow("closure")))), "closure");
        assert_eq!(runtime.run(blocking(|| 7)), 7);
    }
}

#[test]
fn a_blocking_call_in_a_cancelled_scope_that_has_not_begun_never_begins() {
    on_each(ALL, async || {
        let (began, gone) = (Flag::default(), Flag::default());
        let guard = SetOnDrop(gone.clone());
        nursery(async |n| {
            let begins = began.clone();
            n.cancel("enough");
            blocking(move || {
                let _guard = guard;
                begins.set();
            })
            .await;
        })
        .await;
        assert!(gone.is_set() && !began.is_set());
    });
}

#[test]
fn what_a_task_holds_is_dropped_before_its_nursery_ends() {
    on_each(ALL, async || {
        let drops = CountDrops::new();
        nursery(async |n| {
            (0..50).for_each(|_| drop(n.spawn(hold(drops.guard()))));
            let guard = drops.guard();
            drop(n.spawn(shield(async move {
                a_while().await;
                drop(guard);
            })));
            checkpoint().await;
            n.cancel("enough");
            sleep_forever().await;
        })
        .await;
        assert_eq!(drops.dropped(), 51);
    });
}
