//! Waiting for the end of a scope, limits for clean-up, and switches from other threads.

use std::future::pending;
use std::mem::forget;
use std::pin::pin;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::common::{ALL, Count, Flag, Gate, a_while, panic_of};
use futures_util::{join, poll};
use trioxide_runtime::{
    CancelScope, CancelSource, ScopeHandle, Started, blocking, checkpoint, finally, finally_within, nursery, shield,
    sleep, sleep_forever,
};
use trioxide_testing::{on_each, on_each_with_clock};

const SECOND: Duration = Duration::from_secs(1);

/// Runs `body` in a scope whose handle it gets; whether the scope was cut.
async fn cut(body: impl AsyncFnOnce(ScopeHandle)) -> bool {
    let scope = CancelScope::new();
    let handle = scope.handle();
    scope.run(body(handle)).await.is_err()
}

#[test]
fn cancel_and_wait_comes_back_when_everything_is_gone() {
    on_each(ALL, async || {
        nursery(async |n| {
            let (cleaned, child) = (Count::default(), Flag::default());
            let (began, gate) = (Flag::default(), Gate::default());
            let scope = CancelScope::new();
            let handle = scope.handle();
            let inside = (cleaned.clone(), child.clone(), began.clone(), gate.clone());
            n.spawn(async move {
                let (cleaned, child, began, gate) = inside;
                let body = async {
                    // A nursery that is dropped half-way, whose child takes its time.
                    let mut lost = Box::pin(nursery(async |n| {
                        n.spawn(shield(async move {
                            gate.pass().await;
                            child.set();
                        }));
                        sleep_forever().await;
                    }));
                    assert!(poll!(&mut lost).is_pending());
                    drop(lost);
                    began.set();
                    finally(sleep_forever(), async {
                        a_while().await;
                        cleaned.add();
                    })
                    .await;
                };
                drop(scope.run(body).await);
            });
            began.wait().await;
            let mut wait = Box::pin(handle.cancel_and_wait("make room"));
            for _ in 0..100 {
                assert!(poll!(&mut wait).is_pending(), "a child still runs");
                checkpoint().await;
            }
            gate.open();
            wait.await;
            assert!(child.is_set());
            assert_eq!(cleaned.get(), 1);
            // Also long after.
            handle.ended().await;
        })
        .await;
    });
}

#[test]
fn a_wait_for_the_end_is_cancelled_and_dropped_without_a_trace() {
    on_each(ALL, async || {
        nursery(async |n| {
            let scope = CancelScope::new();
            let handle = scope.handle();
            let waiting = handle.clone();
            n.spawn(async { drop(scope.run(sleep_forever()).await) });
            assert!(
                cut(async |own| {
                    join!(waiting.ended(), async {
                        a_while().await;
                        own.cancel("waited long enough");
                    });
                })
                .await
            );
            let mut lost = Box::pin(waiting.ended());
            assert!(poll!(&mut lost).is_pending());
            handle.cancel("now");
            drop(lost);
            handle.ended().await;
        })
        .await;
    });
}

#[test]
fn scopes_that_are_never_entered_or_forgotten_end() {
    on_each(ALL, async || {
        let scope = CancelScope::new();
        let handle = scope.handle();
        drop(scope.run(sleep_forever()));
        handle.ended().await;
        let scope = CancelScope::new();
        let handle = scope.handle();
        drop(scope);
        handle.ended().await;
        // What was forgotten ends with its task.
        nursery(async |n| {
            let scope = CancelScope::new();
            let handle = scope.handle();
            n.spawn(async {
                let mut lost = Box::pin(scope.run(pending::<()>()));
                assert!(poll!(&mut lost).is_pending());
                forget(lost);
            });
            handle.ended().await;
        })
        .await;
    });
}

#[test]
fn the_handle_of_a_nursery_waits_for_its_children() {
    on_each(ALL, async || {
        nursery(async |n| {
            let ended = Count::default();
            let counted = ended.clone();
            let child = |started: Started<ScopeHandle>| {
                nursery(async move |inner| {
                    for _ in 0..20 {
                        let ended = counted.clone();
                        inner.spawn(finally(sleep_forever(), async move { ended.add() }));
                    }
                    started.set(inner.scope());
                })
            };
            let handle = n.start(child).await.unwrap();
            handle.cancel_and_wait("all of you").await;
            assert_eq!(ended.get(), 20);
        })
        .await;
    });
}

#[test]
fn a_scope_that_waits_for_itself_is_told() {
    on_each(ALL, async || {
        let outcome = cut(async |scope| {
            let text = panic_of(scope.ended()).await;
            assert!(text.contains("`ended` was called inside of the scope that it waits for"), "{text}");
            let text = panic_of(scope.cancel_and_wait("me")).await;
            assert!(text.contains("`cancel_and_wait` was called inside of the scope"), "{text}");
            assert!(!scope.cancel_called());
            // From a child as well.
            nursery(async |n| {
                n.spawn(async move { drop(panic_of(scope.ended()).await) });
            })
            .await;
        });
        assert!(!outcome.await);
    });
}

#[test]
fn a_clean_up_with_a_limit_ends_in_time() {
    on_each_with_clock(ALL, async |clock| {
        let steps = Count::default();
        let cleanup = async {
            sleep(SECOND).await;
            steps.add();
            sleep(10 * SECOND).await;
            steps.add();
        };
        assert!(
            cut(async |scope| {
                scope.cancel("enough");
                finally_within(3 * SECOND, sleep_forever(), cleanup).await;
            })
            .await
        );
        assert_eq!((steps.get(), clock.elapsed()), (1, 3 * SECOND));
        // One that is done in time, after a body that has a value.
        assert_eq!(finally_within(3 * SECOND, async { 7 }, sleep(SECOND)).await, 7);
        assert_eq!(clock.elapsed(), 4 * SECOND);
    });
}

#[test]
fn a_clean_up_with_a_limit_and_panics() {
    on_each_with_clock(ALL, async |_| {
        let both =
            finally_within(SECOND, async { crate::common::blow("body") }, async { crate::common::blow("clean-up") });
        assert_eq!(panic_of(both).await, "body");
        let late = finally_within(SECOND, async { crate::common::blow("body") }, sleep_forever());
        assert_eq!(panic_of(late).await, "body");
    });
}

#[test]
fn shields_and_deadlines_are_switched_from_other_threads_while_everything_is_cancelled() {
    on_each(&[2, 8], async || {
        for _ in 0..50 {
            let (outer, inner) = (CancelScope::new(), CancelScope::new());
            let (outer_handle, inner_handle) = (outer.handle(), inner.handle());
            let threads = [
                thread::spawn({
                    let inner = inner_handle.clone();
                    move || (0..50).for_each(|round| inner.set_shield(round % 2 == 0))
                }),
                thread::spawn({
                    let inner = inner_handle.clone();
                    move || (0..50).for_each(|_| inner.set_deadline_after(3600 * SECOND))
                }),
                thread::spawn(move || outer_handle.cancel("all")),
            ];
            let body = async {
                let inside = inner.run(nursery(async |n| {
                    for _ in 0..3 {
                        n.spawn(finally(sleep_forever(), checkpoint()));
                    }
                    sleep_forever().await;
                }));
                inside.await.expect("it is the outer scope that cuts");
                panic!("and not before this");
            };
            assert_eq!(outer.run(body).await.unwrap_err().reason().source(), CancelSource::Explicit);
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            inner_handle.ended().await;
        }
    });
}

#[test]
fn a_blocking_call_whose_future_foreign_code_has_dropped_is_waited_for() {
    on_each(ALL, async || {
        let scope = CancelScope::new();
        let handle = scope.handle();
        let (go, wait) = mpsc::channel::<()>();
        let (begun, returned) = (Flag::default(), Flag::default());
        let (began, closure) = (begun.clone(), returned.clone());
        nursery(async |n| {
            n.spawn(async move {
                let inside = async {
                    let mut call = Box::pin(blocking(move || {
                        wait.recv().unwrap();
                        closure.set();
                    }));
                    assert!(poll!(&mut call).is_pending());
                    drop(call);
                    began.set();
                };
                assert!(scope.run(inside).await.is_ok());
            });
            begun.wait().await;
            let mut ended = pin!(handle.cancel_and_wait("gone?"));
            for _ in 0..100 {
                assert!(poll!(ended.as_mut()).is_pending());
                checkpoint().await;
            }
            go.send(()).unwrap();
            ended.await;
            assert!(returned.is_set());
        })
        .await;
    });
}
