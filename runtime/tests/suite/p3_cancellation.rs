//! Promise 3: cancellation is a level, arrives only where a future is suspended, and loses nothing that has completed.

use std::future::{Future, pending, ready};
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::common::{ALL, Count, Flag, Gate, Never, a_while, all_wait, hold};
use futures_util::future::{Either, join, join_all, select};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt, poll};
use trioxide_runtime::{
    CancelReason, CancelScope, CancelSource, Runtime, ScopeHandle, Task, checkpoint, move_on_after, nursery, shield,
    sleep, sleep_forever, stopping,
};
use trioxide_testing::{CountDrops, on_each, pending_once};

/// Runs `body` in a scope whose handle it gets.
async fn scoped<T>(body: impl AsyncFnOnce(ScopeHandle) -> T) -> Result<T, CancelReason> {
    let scope = CancelScope::new();
    let handle = scope.handle();
    scope.run(body(handle)).await.map_err(|cancelled| cancelled.reason().clone())
}

#[test]
fn every_suspension_in_a_cancelled_scope_is_cut() {
    on_each(ALL, async || {
        fn leaves(finished: Task<u8>) -> Vec<Pin<Box<dyn Future<Output = ()> + Send>>> {
            vec![
                Box::pin(checkpoint()),
                Box::pin(sleep(Duration::ZERO)),
                Box::pin(sleep_forever()),
                Box::pin(pending_once()),
                Box::pin(trioxide_runtime::stopping()),
                Box::pin(trioxide_runtime::blocking(|| ())),
                Box::pin(finished.map(drop)),
                Box::pin(pending()),
                Box::pin(nursery(async |_| checkpoint().await)),
                Box::pin(trioxide_runtime::finally(checkpoint(), checkpoint())),
            ]
        }
        nursery(async |n| {
            let finished = || n.spawn(async { Ok::<_, Never>(1) });
            for at in 0..leaves(finished()).len() {
                let finished = finished();
                all_wait().await;
                assert!(finished.is_finished());
                let leaf = leaves(finished).swap_remove(at);
                let outcome = scoped(async |scope| {
                    scope.cancel("level");
                    // A shield is not cut, and changes nothing for what comes after it.
                    shield(checkpoint()).await;
                    leaf.await;
                })
                .await;
                assert_eq!(outcome, Err("level".into()), "leaf {at}");
            }
        })
        .await;
    });
}

#[test]
fn a_cancelled_scope_whose_body_never_suspends_completes() {
    on_each(ALL, async || {
        assert_eq!(scoped(async |scope| scope.cancel("late")).await, Ok(()));
        let value = scoped(async |scope| {
            scope.cancel("late");
            nursery(async |n| {
                n.cancel("too");
                Ok::<_, Never>(ready(7).await)
            })
            .await
        });
        assert_eq!(value.await.unwrap().unwrap(), 7);
        checkpoint().await; // What comes after is none the worse.
    });
}

#[test]
fn the_outermost_cancelled_scope_drops_and_the_inner_ones_report_nothing() {
    on_each(ALL, async || {
        let inner_reported = Flag::default();
        let outcome = scoped(async |outer| {
            scoped(async |inner| {
                inner.cancel("inner");
                outer.cancel("outer");
                sleep_forever().await;
            })
            .map(|_| inner_reported.set())
            .await;
        });
        assert_eq!(outcome.await, Err("outer".into()));
        assert!(!inner_reported.is_set());
    });
}

#[test]
fn an_inner_scope_that_alone_is_cancelled_leaves_the_outer_one_going() {
    on_each(ALL, async || {
        let outcome = scoped(async |_| {
            let inner = scoped(async |inner| {
                inner.cancel("inner");
                sleep_forever().await;
            });
            assert_eq!(inner.await, Err("inner".into()));
            checkpoint().await;
            7
        });
        assert_eq!(outcome.await, Ok(7));
    });
}

#[test]
fn a_wait_that_was_over_before_the_cancel_is_delivered() {
    on_each(ALL, async || {
        nursery(async |n| {
            let got = Flag::default();
            let outcome = scoped(async |scope| {
                let task = n.spawn(async { Ok::<_, Never>(7) });
                let mut task = Box::pin(task);
                // Waits, and then the child ends before this future is polled again.
                if let Some(value) = (&mut task).now_or_never() {
                    panic!("the first poll comes before the child's: {value:?}");
                }
                all_wait().await;
                assert!(task.is_finished());
                scope.cancel("too late");
                assert_eq!(task.await.unwrap(), 7);
                got.set();
                checkpoint().await;
            });
            assert_eq!(outcome.await, Err("too late".into()));
            assert!(got.is_set());
        })
        .await;
    });
}

#[test]
fn a_scope_is_cancelled_from_outside_it_and_from_another_thread() {
    for &workers in ALL {
        let runtime = Runtime::builder().workers(workers).build().unwrap();
        for from_thread in [false, true] {
            let (send, handles) = mpsc::channel::<ScopeHandle>();
            let drops = CountDrops::new();
            let canceller = move || handles.recv().unwrap().cancel("from outside");
            let thread = if from_thread { thread::spawn(canceller) } else { thread::spawn(|| ()) };
            runtime.run(nursery(async |n| {
                let scope = CancelScope::new();
                let handle = scope.handle();
                if from_thread {
                    send.send(handle).unwrap();
                } else {
                    drop(n.spawn(async move { handle.cancel("from outside") }));
                }
                let cancelled = scope.run(hold(drops.guard())).await.unwrap_err();
                assert_eq!(cancelled.reason().message(), Some("from outside"));
            }));
            assert_eq!(drops.dropped(), 1);
            thread.join().unwrap();
        }
    }
}

#[test]
fn a_scope_that_is_cancelled_before_entry_cuts_its_first_suspension() {
    on_each(ALL, async || {
        let began = Flag::default();
        let scope = CancelScope::new();
        scope.handle().cancel("before");
        assert!(scope.handle().cancel_called());
        let body = async {
            began.set();
            checkpoint().await;
            panic!("cut before this");
        };
        let cancelled = scope.run(body).await.unwrap_err();
        assert_eq!(cancelled.to_string(), "cancelled: on request: before");
        assert!(began.is_set());
    });
}

#[test]
fn the_first_reason_stays() {
    on_each(ALL, async || {
        let outcome = scoped(async |scope| {
            scope.cancel("first");
            scope.cancel("second");
            sleep_forever().await;
        });
        assert_eq!(outcome.await, Err("first".into()));
        let joined = nursery(async |n| {
            n.cancel("first");
            n.scope().cancel("second");
            sleep_forever().await;
            Ok::<_, Never>(())
        });
        assert_eq!(joined.await.unwrap_err().to_string(), "the nursery was cancelled: on request: first");
    });
}

#[test]
fn a_scope_takes_over_the_reason_of_the_one_that_cancelled_it() {
    on_each(ALL, async || {
        nursery(async |n| {
            let task = n.spawn(async {
                let _ = scoped(async |_| move_on_after(Duration::MAX, sleep_forever()).await).await;
            });
            a_while().await;
            task.cancel("from above");
            assert_eq!(task.await.unwrap_err().reason().message(), Some("from above"));
        })
        .await;
    });
}

#[test]
fn one_task_is_cancelled_and_its_siblings_are_not() {
    on_each(ALL, async || {
        for begun in [false, true] {
            let (drops, ended) = (CountDrops::new(), Count::default());
            nursery(async |n| {
                let siblings: Vec<_> = (0..5)
                    .map(|_| {
                        let ended = ended.clone();
                        n.spawn(async move {
                            a_while().await;
                            ended.add();
                        })
                    })
                    .collect();
                let guard = drops.guard();
                let one = n.spawn(async move {
                    // What it has spawned goes with it.
                    nursery(async |inner| {
                        drop(inner.spawn(hold(guard)));
                        sleep_forever().await;
                    })
                    .await;
                });
                if begun {
                    a_while().await;
                }
                one.cancel("only you");
                let reason = one.await.unwrap_err();
                assert_eq!(reason.reason().message(), Some("only you"));
                assert_eq!(drops.dropped(), 1);
                for sibling in siblings {
                    sibling.await.unwrap();
                }
            })
            .await;
            assert_eq!(ended.get(), 5);
        }
    });
}

#[test]
fn a_shield_holds_against_outer_scopes_and_not_against_its_own_handle() {
    on_each(ALL, async || {
        let (inner, reported) = (CancelScope::new().shield(), Flag::default());
        let inner_handle = inner.handle();
        let outcome = scoped(async |outer| {
            let body = async {
                outer.cancel("outer");
                a_while().await; // Not cut.
                inner_handle.cancel("inner");
                sleep_forever().await;
            };
            let cancelled = inner.run(body).await.unwrap_err();
            assert_eq!(cancelled.reason().message(), Some("inner"));
            reported.set();
            checkpoint().await;
        });
        assert_eq!(outcome.await, Err("outer".into()));
        assert!(reported.is_set());
    });
}

#[test]
fn a_scope_inside_a_shield_can_be_cancelled() {
    on_each(ALL, async || {
        let outcome = scoped(async |outer| {
            outer.cancel("outer");
            let inner = shield(scoped(async |inner| {
                checkpoint().await;
                inner.cancel("inner");
                sleep_forever().await;
            }));
            assert_eq!(inner.await, Err("inner".into()));
        });
        assert_eq!(outcome.await, Ok(()), "nothing was suspended outside of the shield");
    });
}

#[test]
fn scopes_inside_the_combinators_of_others() {
    on_each(ALL, async || {
        let many = |count: usize| (0..count).map(|at| scoped(async move |scope| cut_if_odd(at, scope).await));
        for outcomes in [join_all(many(10)).await, join_all(many(100)).await] {
            for (at, outcome) in outcomes.into_iter().enumerate() {
                assert_eq!(outcome, if at % 2 == 1 { Err("odd".into()) } else { Ok(at) });
            }
        }
        let mut unordered: FuturesUnordered<_> = many(500).collect();
        let (mut cut, mut done) = (0, 0);
        while let Some(outcome) = unordered.next().await {
            *if outcome.is_err() { &mut cut } else { &mut done } += 1;
        }
        assert_eq!((cut, done), (250, 250));
        let cut = scoped(async |scope| cut_if_odd(1, scope).await);
        match select(pin!(cut), pin!(sleep_forever())).await {
            Either::Left((outcome, _)) => assert_eq!(outcome, Err("odd".into())),
            Either::Right(_) => panic!("it sleeps for ever"),
        }
    });
}

async fn cut_if_odd(at: usize, scope: ScopeHandle) -> usize {
    checkpoint().await;
    if at % 2 == 1 {
        scope.cancel("odd");
    }
    checkpoint().await;
    at
}

#[test]
fn a_scope_around_a_combinator_drops_all_of_it() {
    on_each(ALL, async || {
        let drops = CountDrops::new();
        let gate = Gate::default();
        let outcome = scoped(async |scope| {
            let unordered: FuturesUnordered<_> = (0..100)
                .map(|_| {
                    let guard = drops.guard();
                    scoped(async move |_| hold(guard).await)
                })
                .collect();
            let cancel = async {
                a_while().await;
                scope.cancel("all of it");
                gate.pass().await;
            };
            join(unordered.collect::<Vec<_>>(), cancel).await;
        });
        assert_eq!(outcome.await, Err("all of it".into()));
        assert_eq!(drops.dropped(), 100);
    });
}

#[test]
fn a_scope_keeps_its_place_in_the_tree_when_something_else_goes_on_polling_it() {
    on_each(ALL, async || {
        let mut moved = Box::pin(scoped(async |_| {
            a_while().await;
            7
        }));
        let outcome = scoped(async |scope| {
            assert!(poll!(&mut moved).is_pending());
            scope.cancel("the first one only");
        });
        assert_eq!(outcome.await, Ok(()));
        // It stands below the scope that it was first polled in, and was cancelled with it.
        assert_eq!(moved.await, Err("the first one only".into()));
    });
}

fn nested(depth: usize, deepest: Flag) -> Pin<Box<dyn Future<Output = ()>>> {
    Box::pin(async move {
        if depth == 0 {
            deepest.set();
            sleep_forever().await;
        } else {
            let inner = scoped(async |_| nested(depth - 1, deepest).await);
            inner.await.expect("the outermost scope drops");
        }
    })
}

#[test]
fn two_thousand_nested_scopes_are_cancelled_from_the_outermost() {
    let on_a_big_stack = || {
        on_each(&[1, 2], async || {
            let deepest = Flag::default();
            let outcome = scoped(async |scope| {
                let cancel = async {
                    deepest.wait().await;
                    scope.cancel("from the top");
                };
                join(nested(2000, deepest.clone()), cancel).await;
            });
            assert_eq!(outcome.await, Err("from the top".into()));
        });
    };
    thread::Builder::new().stack_size(256 << 20).spawn(on_a_big_stack).unwrap().join().unwrap();
}

#[test]
fn a_handle_that_outlives_its_scope_and_its_run_does_no_harm() {
    for &workers in ALL {
        let runtime = Runtime::builder().workers(workers).build().unwrap();
        let (scope_handle, n) = runtime.run(async {
            let mut kept = None;
            let handle = scoped(async |scope| scope).await.unwrap();
            nursery(async |n| kept = Some(n)).await;
            (handle, kept.unwrap())
        });
        drop(runtime);
        for handle in [scope_handle, n.scope()] {
            handle.stop(Duration::from_secs(1));
            handle.cancel("long gone");
            assert!(handle.cancel_called());
        }
        assert_eq!(n.len(), 0);
    }
}

#[test]
fn reasons_have_a_source_and_a_text() {
    let explicit = CancelReason::from("why");
    assert_eq!((explicit.source(), explicit.message()), (CancelSource::Explicit, Some("why")));
    assert_eq!(explicit.to_string(), "on request: why");
    on_each(ALL, async || {
        for (fails, source) in [(true, CancelSource::Failed), (false, CancelSource::Panicked)] {
            let mut sibling = None;
            let body = nursery(async |n| {
                sibling = Some(n.spawn(sleep_forever()));
                drop(n.spawn(async move {
                    if !fails {
                        crate::common::blow("no");
                    }
                    Err::<(), _>("no")
                }));
                sleep_forever().await;
                Ok::<_, &str>(())
            });
            drop(AssertUnwindSafe(body).catch_unwind().await);
            assert_eq!(sibling.unwrap().await.unwrap_err().reason().source(), source);
        }
        let mut child = None;
        let mut lost = Box::pin(nursery(async |n| {
            child = Some(n.spawn(sleep_forever()));
            sleep_forever().await;
        }));
        assert!(poll!(&mut lost).is_pending());
        drop(lost);
        let cancelled = child.unwrap().await.unwrap_err();
        assert_eq!(cancelled.reason().source(), CancelSource::Dropped);
        assert_eq!(cancelled.to_string(), "cancelled: the future that ran the scope was dropped");
    });
}

#[test]
fn children_and_bodies_that_never_return_are_cut() {
    on_each(ALL, async || {
        nursery(async |n| {
            n.spawn(async {
                loop {
                    checkpoint().await;
                }
            });
            n.cancel("enough");
            loop {
                checkpoint().await;
            }
        })
        .await;
    });
}

#[test]
fn a_cancel_that_meets_a_task_on_its_way_to_sleep_is_not_lost() {
    on_each(ALL, async || {
        for _ in 0..200 {
            let scope = CancelScope::new();
            let handle = scope.handle();
            let outcome = scope.run(nursery(async move |n| {
                for _ in 0..4 {
                    n.spawn(async {
                        // A scope of its own: so the task has a node that the cancel comes to after it has woken the task.
                        stopping().await;
                        sleep_forever().await;
                    });
                }
                n.spawn(async move {
                    handle.stop(std::time::Duration::ZERO);
                    handle.cancel("enough");
                });
            }));
            outcome.await.expect_err("it is cut");
        }
    });
}
