//! What went wrong once, each in the smallest form that showed it.

use std::future::{Future, pending, poll_fn};
use std::mem::forget;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use crate::common::{ALL, Count, Flag, Gate, Never, SetOnDrop, a_while, hold};
use futures_util::poll;
use trioxide_runtime::{
    CancelScope, LocalNurserySend, ScopeHandle, checkpoint, finally, local_nursery_send, move_on_after, nursery, run,
    shield, sleep, sleep_forever,
};
use trioxide_testing::{on_each, on_each_with_clock};

type Boxed<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Runs `body` in a scope whose handle it gets; whether the scope was cut.
async fn cut(body: impl AsyncFnOnce(ScopeHandle)) -> bool {
    let scope = CancelScope::new();
    let handle = scope.handle();
    scope.run(body(handle)).await.is_err()
}

#[test]
fn a_nursery_that_is_left_aside_after_it_has_answered_the_cancel_is_given_up() {
    on_each(ALL, async || {
        let (gate, ended) = (Gate::default(), Flag::default());
        let in_shield = gate.clone();
        let was_cut = cut(async |scope| {
            // A nursery whose body holds for something that ends later.
            let mut inner = Box::pin(nursery(async move |_| shield(in_shield.pass()).await));
            assert!(poll!(&mut inner).is_pending());
            scope.cancel("enough");
            // It answers once, and is never polled again.
            assert!(poll!(&mut inner).is_pending());
            let _aside = (inner, SetOnDrop(ended.clone()));
            gate.open();
            pending::<()>().await;
        });
        assert!(was_cut.await);
        assert!(ended.is_set());
    });
}

/// Polls what is inside once, with a waker that leads nowhere; afterwards with the right one, but only if `go` says so.
async fn with_dead_waker(mut inside: Boxed<'_>, go: Flag) {
    poll_fn(|cx| {
        if go.is_set() {
            inside.as_mut().poll(cx)
        } else {
            inside.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        }
    })
    .await;
}

#[test]
fn a_holder_whose_waker_leads_nowhere_does_not_hang_its_scope() {
    for workers in ALL {
        for from_thread in [false, true] {
            on_each(&[*workers], async || {
                let (gate, go) = (Gate::default(), Flag::default());
                let opener = {
                    let (gate, go) = (gate.clone(), go.clone());
                    async move {
                        a_while().await;
                        go.set();
                        if from_thread {
                            thread::spawn(move || gate.open());
                        } else {
                            gate.open();
                        }
                    }
                };
                nursery(async |n| {
                    drop(n.spawn(opener));
                    let was_cut = cut(async |scope| {
                        scope.cancel("enough");
                        let passed = gate.clone();
                        // Only the shield itself is woken, by the gate; its own waker is a dead end.
                        with_dead_waker(Box::pin(shield(async move { passed.pass().await })), go).await;
                        checkpoint().await;
                    });
                    assert!(was_cut.await);
                })
                .await;
            });
        }
    }
}

#[test]
fn what_was_forgotten_in_a_shield_that_has_ended_is_cancelled_with_the_rest() {
    on_each(ALL, async || {
        nursery(async |n| {
            let dropped = Flag::default();
            let held = SetOnDrop(dropped.clone());
            let task = n.spawn(async move {
                shield(async move {
                    let mut inner = Box::pin(nursery(async move |n| {
                        drop(n.spawn(hold(held)));
                        pending::<()>().await;
                    }));
                    assert!(poll!(&mut inner).is_pending());
                    forget(inner);
                })
                .await;
                sleep_forever().await;
            });
            a_while().await;
            assert!(!dropped.is_set());
            task.cancel("enough");
            assert!(task.await.is_err());
            assert!(dropped.is_set());
        })
        .await;
    });
}

#[test]
fn what_is_in_a_shield_that_was_forgotten_is_cancelled_with_the_rest() {
    on_each(ALL, async || {
        nursery(async |n| {
            let task = n.spawn(async {
                let mut inner = Box::pin(shield(nursery(async |n| drop(n.spawn(sleep_forever())))));
                assert!(poll!(&mut inner).is_pending());
                forget(inner);
                sleep_forever().await;
            });
            a_while().await;
            task.cancel("enough");
            assert!(task.await.is_err());
        })
        .await;
    });
}

/// Counts its wakes.
struct CountWakes(Waker, AtomicUsize);

impl Wake for CountWakes {
    fn wake(self: Arc<Self>) {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.wake_by_ref();
    }
}

fn nested_clean_ups(depth: usize, done: Count) -> Boxed<'static> {
    let cleanup = async move {
        checkpoint().await;
        done.add();
    };
    match depth {
        0 => Box::pin(sleep_forever()),
        _ => {
            let done = cleanup;
            Box::pin(async move {
                let count = Count::default();
                finally(nested_clean_ups(depth - 1, count), done).await;
            })
        }
    }
}

#[test]
fn the_wakes_of_nested_clean_ups_are_linear() {
    const DEPTH: usize = 200;
    let on_a_big_stack = || {
        on_each(&[1, 2], async || {
            let done = Count::default();
            let mut counter = None;
            let mut inside = nested_clean_ups(DEPTH, done.clone());
            let was_cut = cut(async |scope| {
                assert!(poll!(&mut inside).is_pending());
                scope.cancel("enough");
                poll_fn(|cx| {
                    let counter = counter
                        .get_or_insert_with(|| Arc::new(CountWakes(cx.waker().clone(), AtomicUsize::new(0))))
                        .clone();
                    inside.as_mut().poll(&mut Context::from_waker(&Waker::from(counter)))
                })
                .await;
            });
            assert!(was_cut.await);
            assert_eq!(done.get(), 1, "the outermost clean-up");
            let wakes = counter.unwrap().1.load(Ordering::SeqCst);
            assert!(wakes < 20 * DEPTH, "{wakes} wakes");
        });
    };
    thread::Builder::new().stack_size(256 << 20).spawn(on_a_big_stack).unwrap().join().unwrap();
}

#[test]
fn a_wait_that_was_over_before_the_cancel_in_the_same_poll_is_delivered() {
    on_each(ALL, async || {
        let got = Flag::default();
        let gate = Gate::default();
        let was_cut = cut(async |scope| {
            let wait = async {
                gate.pass().await;
                got.set();
                sleep_forever().await;
            };
            let cancel = async {
                gate.open();
                scope.cancel("too late for the gate");
                pending::<()>().await;
            };
            futures_util::join!(wait, cancel);
        });
        assert!(was_cut.await);
        assert!(got.is_set());
    });
}

#[test]
fn a_child_and_a_nursery_deliver_what_was_over_before_the_cancel_too() {
    on_each(ALL, async || {
        for in_child in [false, true] {
            let got = Flag::default();
            nursery(async |n| {
                let (gate, flag, whole) = (Gate::default(), got.clone(), n.clone());
                let body = async move {
                    let wait = async {
                        gate.pass().await;
                        flag.set();
                        sleep_forever().await;
                    };
                    let cancel = async {
                        gate.open();
                        whole.cancel("too late for the gate");
                        pending::<()>().await;
                    };
                    futures_util::join!(wait, cancel);
                };
                if in_child {
                    drop(n.spawn(body));
                } else {
                    body.await;
                }
            })
            .await;
            assert!(got.is_set());
        }
    });
}

#[test]
fn a_task_that_is_cut_in_its_first_poll_unwinds_first() {
    on_each(ALL, async || {
        let cleaned = Count::default();
        nursery(async |n| {
            n.cancel("before they begin");
            for _ in 0..50 {
                let (cleaned, inner) = (cleaned.clone(), Count::default());
                drop(n.spawn(async move {
                    let cleanup = async {
                        a_while().await;
                        cleaned.add();
                    };
                    finally(
                        nursery(async |n| {
                            drop(n.spawn(async move { shield(checkpoint()).await }));
                            inner.add();
                            sleep_forever().await;
                        }),
                        cleanup,
                    )
                    .await;
                }));
            }
        })
        .await;
        assert_eq!(cleaned.get(), 50);
    });
}

#[test]
fn a_scope_that_has_moved_to_another_task_keeps_its_deadline_after_the_first_has_ended() {
    on_each_with_clock(ALL, async |clock| {
        for polled_before in [false, true] {
            let began = clock.elapsed();
            let mut moved = None;
            nursery(async |n| {
                let entered = n.spawn(async {
                    let mut scope: Pin<Box<dyn Future<Output = Option<()>> + Send>> =
                        Box::pin(move_on_after(Duration::from_secs(5), sleep_forever()));
                    assert!(poll!(&mut scope).is_pending());
                    Ok::<_, Never>(scope)
                });
                moved = Some(entered.await.unwrap());
            })
            .await;
            let mut moved = moved.unwrap();
            if polled_before {
                assert!(poll!(&mut moved).is_pending());
            }
            assert_eq!(moved.await, None);
            assert_eq!(clock.elapsed() - began, Duration::from_secs(5));
        }
    });
}

#[test]
fn a_scope_that_has_moved_to_another_task_is_cancelled_by_its_handle_after_the_first_has_ended() {
    on_each(ALL, async || {
        nursery(async |n| {
            let scope = CancelScope::new();
            let handle = scope.handle();
            let entered = n.spawn(async {
                let mut running: Pin<Box<dyn Future<Output = bool> + Send>> =
                    Box::pin(async { scope.run(sleep_forever()).await.is_err() });
                assert!(poll!(&mut running).is_pending());
                Ok::<_, Never>(running)
            });
            let mut running = entered.await.unwrap();
            assert!(poll!(&mut running).is_pending());
            let canceller = n.spawn(async move {
                a_while().await;
                handle.cancel("from afar");
            });
            assert!(running.await);
            drop(canceller.await);
        })
        .await;
    });
}

#[test]
fn a_nursery_that_was_dropped_keeps_its_place_until_its_children_have_ended() {
    on_each(ALL, async || {
        let (gate, ended) = (Gate::default(), Flag::default());
        nursery(async |n| {
            let child = (gate.clone(), ended.clone());
            let task = n.spawn(async move {
                let (gate, ended) = child;
                // A shielded child outlives the drop of its nursery; the scope that the nursery stood in is gone by then.
                let _was_cut = cut(async move |_| {
                    let mut lost = Box::pin(nursery(async move |n| {
                        drop(n.spawn(shield(async move {
                            gate.pass().await;
                            ended.set();
                        })));
                        sleep_forever().await;
                    }));
                    assert!(poll!(&mut lost).is_pending());
                })
                .await;
            });
            a_while().await;
            assert!(!task.is_finished());
            gate.open();
            task.await.unwrap();
            assert!(ended.is_set());
        })
        .await;
    });
}

#[test]
fn holders_in_a_loop_leave_nothing_behind() {
    // A run of its own: it ends only if each of the nurseries has given back what it took.
    run(async {
        for _ in 0..1000 {
            let was_cut = cut(async |scope| {
                scope.cancel("at once");
                let mut lost = Box::pin(nursery(async |n| drop(n.spawn(checkpoint()))));
                assert!(poll!(&mut lost).is_pending());
            })
            .await;
            assert!(!was_cut);
        }
    });
}

#[test]
fn a_local_nursery_that_another_task_goes_on_polling_is_woken() {
    on_each_with_clock(ALL, async |_| {
        for polls in 1..6 {
            nursery(async |n| {
                let mut local = Box::pin(local_nursery_send(async |l: LocalNurserySend<'_, Never>| {
                    // Its own task does not end before this nursery has closed, which another one polls then.
                    drop(l.spawn(nursery(async |n| drop(n.spawn(checkpoint())))));
                    sleep(Duration::from_secs(3600)).await;
                    Ok(())
                }));
                let others = n.clone();
                n.spawn(async move {
                    let mut left = polls;
                    let early = poll_fn(|cx| {
                        left -= 1;
                        match local.as_mut().poll(cx) {
                            Poll::Pending if left > 0 => Poll::Pending,
                            polled => Poll::Ready(polled),
                        }
                    });
                    if early.await.is_pending() {
                        others.spawn(async move { drop(local.await) });
                    }
                });
            })
            .await;
        }
    });
}
