//! `start`: either side can cancel a child that is starting, and nobody waits for what only the other side can end.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::common::{ALL, Flag, Gate, Never, PanicOnDrop, SetOnDrop, a_while, all_wait, blow, errors, hold, panic_of};
use futures_util::future::BoxFuture;
use futures_util::poll;
use trioxide_runtime::{
    CancelScope, Nursery, NurseryError, StartError, Started, finally, join, nursery, nursery_with, shield,
    sleep_forever,
};
use trioxide_testing::on_each;

fn is_send<T: Send>(value: T) -> T {
    value
}

/// Never ready; `begun` is set once it runs, `unwound` when it is dropped.
async fn never_ready(started: Started<()>, begun: Flag, unwound: Flag) {
    let _unwound = SetOnDrop(unwound);
    begun.set();
    sleep_forever().await;
    drop(started);
}

#[test]
fn a_cancel_of_the_callers_scope_reaches_the_child_before_it_returns() {
    on_each(ALL, async || {
        let (begun, unwound) = (Flag::default(), Flag::default());
        nursery(async |n: Nursery<Never>| {
            let scope = CancelScope::new();
            let handle = scope.handle();
            let (saw, tell) = (begun.clone(), unwound.clone());
            n.spawn(async move {
                saw.wait().await;
                handle.cancel("by the caller");
            });
            let cut = scope.run(is_send(n.start(|started| never_ready(started, begun, tell)))).await;
            assert_eq!(cut.unwrap_err().reason().message(), Some("by the caller"));
            assert!(unwound.is_set(), "start waits for the child to unwind");
            a_while().await; // the nursery is not cancelled
        })
        .await;
    });
}

#[test]
fn a_cancel_of_the_target_cuts_the_child_also_if_the_caller_is_shielded_from_it() {
    on_each(ALL, async || {
        let (begun, unwound) = (Flag::default(), Flag::default());
        nursery(async |outer: Nursery<Never>| {
            let (saw, tell) = (begun.clone(), unwound.clone());
            nursery(async |target: Nursery<Never>| {
                let starter = target.clone();
                // The caller stands outside of the target (Trio #1431).
                outer.spawn(async move {
                    let error = starter.start(|started| never_ready(started, begun, tell)).await.unwrap_err();
                    let StartError::Cancelled(reason) = error else { panic!("cancelled by the target: {error}") };
                    assert_eq!(reason.message(), Some("by the target"));
                });
                saw.wait().await;
                target.cancel("by the target");
            })
            .await;
            assert!(unwound.is_set());
        })
        .await;
    });
}

#[test]
fn a_child_that_is_ready_too_late_and_shielded_does_not_hold_its_cancelled_caller() {
    on_each(ALL, async || {
        let (begun, go, end) = (Flag::default(), Gate::default(), Gate::default());
        let scope = CancelScope::new();
        let handle = scope.handle();
        let (reached, wait, ended) = (begun.clone(), go.clone(), end.clone());
        let too_late = nursery(async |n: Nursery<Never>| {
            let cut = scope
                .run(n.start(async move |started: Started<()>| {
                    shield(async {
                        reached.set();
                        wait.pass().await;
                        started.set(()); // too late
                        ended.pass().await; // only what comes after `start` ends this (Trio #2895)
                    })
                    .await;
                }))
                .await;
            assert!(cut.is_err());
            assert_eq!(n.len(), 1, "the child is the nursery's alone now");
            end.open();
        });
        join!(too_late, async {
            begun.wait().await;
            handle.cancel("enough");
            go.open();
        });
    });
}

#[test]
fn a_child_that_is_ready_is_the_targets_alone() {
    on_each(ALL, async || {
        let unwound = Flag::default();
        nursery(async |n: Nursery<Never>| {
            let scope = CancelScope::new();
            let handle = scope.handle();
            let tell = unwound.clone();
            let ready = scope
                .run(async {
                    let ready = n
                        .start(async move |started| {
                            started.set(7);
                            hold(SetOnDrop(tell)).await;
                        })
                        .await;
                    handle.cancel("after");
                    ready
                })
                .await;
            assert_eq!(ready, Ok(Ok(7)));
            a_while().await;
            assert!(!unwound.is_set());
            n.cancel("now");
        })
        .await;
        assert!(unwound.is_set());
    });
}

#[test]
fn errors_and_panics_after_ready_are_the_targets() {
    on_each(ALL, async || {
        let joined: Result<(), _> = nursery(async |n: Nursery<&str>| {
            let ready = n.task("late").start(async |started: Started<()>| {
                started.set(());
                Err::<(), _>("too bad")
            });
            assert_eq!(ready.await, Ok(()));
            sleep_forever().await;
            Ok(())
        })
        .await;
        let group = joined.unwrap_err().into_group().unwrap();
        assert_eq!(group.failures()[0].origin.name(), Some("late"));
        assert_eq!(group.into_single().unwrap(), "too bad");
        let panicked = nursery(async |n: Nursery<Never>| {
            n.start(async |started: Started<()>| {
                started.set(());
                a_while().await;
                blow("after");
            })
            .await
            .unwrap();
            sleep_forever().await;
        });
        assert_eq!(panic_of(panicked).await, "after");
    });
}

#[test]
fn a_panic_before_ready_is_resumed_in_the_caller_and_spares_the_nursery() {
    on_each(ALL, async || {
        nursery(async |n: Nursery<Never>| {
            let in_poll = n.start(async |_: Started<()>| {
                a_while().await;
                blow("in the poll");
            });
            assert_eq!(panic_of(in_poll).await, "in the poll");
            let in_drop = n.start(async |started: Started<()>| {
                let _held = PanicOnDrop("in the drop");
                drop(started); // so it is cut where it is suspended
                sleep_forever().await;
            });
            assert_eq!(panic_of(in_drop).await, "in the drop");
            let at_once = async { n.start(|_: Started<()>| -> std::future::Ready<()> { panic!("no future") }).await };
            assert_eq!(panic_of(at_once).await, "no future");
            a_while().await;
        })
        .await;
    });
}

#[test]
fn a_child_that_drops_its_started_and_goes_on_is_cancelled() {
    on_each(ALL, async || {
        let unwound = Flag::default();
        nursery(async |n: Nursery<Never>| {
            let tell = unwound.clone();
            let never = n.start(async move |started: Started<()>| {
                drop(started);
                hold(SetOnDrop(tell)).await;
            });
            assert_eq!(never.await, Err(StartError::NotStarted));
            assert!(unwound.is_set());
        })
        .await;
    });
}

#[test]
fn another_task_may_say_that_the_child_is_ready() {
    on_each(ALL, async || {
        let end = Gate::default();
        nursery(async |n: Nursery<Never>| {
            let (helper, ended) = (n.clone(), end.clone());
            let ready = n.start(async move |started| {
                helper.spawn(async move {
                    a_while().await;
                    started.set("by another");
                });
                ended.pass().await;
            });
            assert_eq!(ready.await, Ok("by another"));
            end.open();
        })
        .await;
    });
}

#[test]
fn start_returns_after_clean_up_and_what_the_child_has_forgotten() {
    on_each(ALL, async || {
        let (cleaned, ended) = (Flag::default(), Flag::default());
        nursery(async |n: Nursery<Never>| {
            let (clean, end) = (cleaned.clone(), ended.clone());
            let failed = n.start(async move |_: Started<()>| {
                let gate = Gate::default();
                let opened = gate.clone();
                let mut forgotten = Box::pin(nursery(async move |m: Nursery<Never>| {
                    m.spawn(async move {
                        opened.pass().await;
                        a_while().await;
                        end.set();
                    });
                }));
                assert!(poll!(&mut forgotten).is_pending());
                mem::forget(forgotten);
                gate.open();
                finally(a_while(), async move { clean.set() }).await;
            });
            assert_eq!(failed.await, Err(StartError::NotStarted));
            assert!(cleaned.is_set() && ended.is_set());
        })
        .await;
    });
}

#[test]
fn a_start_that_is_dropped_cancels_the_child_and_holds_the_task() {
    on_each(ALL, async || {
        let (begun, unwound) = (Flag::default(), Flag::default());
        nursery(async |n: Nursery<Never>| {
            let inner = {
                let (n, begun, unwound) = (n.clone(), begun.clone(), unwound.clone());
                let clean = unwound.clone();
                n.clone().spawn(async move {
                    let starting = n.start(async move |started: Started<()>| {
                        let cleanup = async move {
                            a_while().await;
                            clean.set();
                        };
                        begun.set();
                        finally(sleep_forever(), cleanup).await;
                        drop(started);
                    });
                    let mut starting = Box::pin(starting);
                    assert!(poll!(&mut starting).is_pending());
                    drop(starting);
                })
            };
            inner.await.unwrap();
            assert!(!begun.is_set() || unwound.is_set(), "the task ends after the child");
        })
        .await;
    });
}

#[test]
fn an_error_that_nobody_asks_for_any_more_is_reported_to_the_nursery() {
    on_each(ALL, async || {
        let (begun, go) = (Flag::default(), Gate::default());
        let joined: Result<(), NurseryError<&str>> = nursery(async |n| {
            let (tell, wait) = (begun.clone(), go.clone());
            let mut starting = Box::pin(n.start(async move |_started: Started<()>| {
                tell.set();
                shield(wait.pass()).await;
                Err::<(), _>("on the way out")
            }));
            assert!(poll!(&mut starting).is_pending());
            begun.wait().await;
            drop(starting);
            go.open();
            Ok(())
        })
        .await;
        assert_eq!(errors(joined), ["on the way out"]);
    });
}

#[test]
fn dropped_right_after_the_child_was_ready_the_child_lives_on() {
    on_each(ALL, async || {
        let (ready, unwound) = (Flag::default(), Flag::default());
        nursery(async |n: Nursery<Never>| {
            let (tell, end) = (ready.clone(), unwound.clone());
            let mut starting = Box::pin(n.start(async move |started: Started<Vec<u8>>| {
                started.set(vec![1]);
                tell.set();
                hold(SetOnDrop(end)).await;
            }));
            assert!(poll!(&mut starting).is_pending());
            ready.wait().await;
            drop(starting);
            a_while().await;
            assert!(!unwound.is_set());
            assert_eq!(n.len(), 1);
            n.cancel("done");
        })
        .await;
    });
}

#[test]
fn a_forgotten_start_holds_its_task_until_the_child_is_ready() {
    on_each(ALL, async || {
        let (go, set, end) = (Gate::default(), Flag::default(), Gate::default());
        nursery(async |n: Nursery<Never>| {
            let (wait, tell, ended, target) = (go.clone(), set.clone(), end.clone(), n.clone());
            let task = n.spawn(async move {
                let mut starting = Box::pin(target.start(async move |started: Started<()>| {
                    wait.pass().await;
                    tell.set();
                    started.set(());
                    ended.pass().await;
                }));
                assert!(poll!(&mut starting).is_pending());
                mem::forget(starting);
            });
            a_while().await;
            assert!(!task.is_finished());
            go.open();
            task.await.unwrap();
            assert!(set.is_set());
            end.open();
        })
        .await;
    });
}

#[test]
fn a_child_of_nursery_with_may_borrow() {
    on_each(ALL, async || {
        let total = nursery_with(AtomicU32::new(0), async |s| {
            let env = s.env();
            let first = s.start(async |started: Started<&AtomicU32>| {
                env.fetch_add(1, Ordering::Relaxed);
                started.set(env);
                env.fetch_add(1, Ordering::Relaxed);
            });
            let lent = first.await.unwrap();
            all_wait().await;
            assert_eq!(lent.load(Ordering::Relaxed), 2);
            Ok::<_, Never>(lent.load(Ordering::Relaxed))
        })
        .await;
        assert_eq!(total.unwrap(), 2);
    });
}

#[test]
fn starts_within_starts_are_cancelled_from_the_outside_in() {
    struct CountDrop(Arc<AtomicU32>);
    impl Drop for CountDrop {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    fn deep(n: Nursery<Never>, depth: u32, bottom: Flag, unwound: Arc<AtomicU32>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let _count = CountDrop(Arc::clone(&unwound));
            if depth == 0 {
                bottom.set();
                return sleep_forever().await;
            }
            let next = deep(n.clone(), depth - 1, bottom, unwound);
            let never_ready = n.start(async move |started: Started<()>| {
                next.await;
                drop(started);
            });
            let _ = never_ready.await;
        })
    }
    on_each(ALL, async || {
        let (bottom, unwound) = (Flag::default(), Arc::new(AtomicU32::new(0)));
        nursery(async |n: Nursery<Never>| {
            let scope = CancelScope::new();
            let (handle, saw) = (scope.handle(), bottom.clone());
            n.spawn(async move {
                saw.wait().await;
                handle.cancel("all");
            });
            let cut = scope.run(deep(n.clone(), 50, bottom.clone(), Arc::clone(&unwound))).await;
            assert!(cut.is_err());
            assert_eq!(unwound.load(Ordering::SeqCst), 51);
        })
        .await;
    });
}
