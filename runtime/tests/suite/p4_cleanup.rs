//! Promise 4: clean-up can await; the cancelled scope waits for it, but never for what nobody polls any more.

use std::future::Future;
use std::mem;
use std::pin::{Pin, pin};
use std::sync::mpsc;
use std::time::Duration;

use crate::common::{ALL, Count, Flag, Gate, Never, PanicOnDrop, SetOnDrop, a_while, blow, hold, panic_of};
use futures_util::future::{Either, join, join_all, select};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt, pin_mut, poll};
use trioxide_runtime::{
    CancelScope, Runtime, ScopeHandle, blocking, checkpoint, finally, move_on_after, nursery, shield, sleep,
    sleep_forever,
};
use trioxide_testing::{CountDrops, on_each, on_each_with_clock, pending_once};

const SECOND: Duration = Duration::from_secs(1);

/// Runs `body`, which is to be cut, in a scope whose handle it gets.
async fn cut(body: impl AsyncFnOnce(ScopeHandle)) {
    let scope = CancelScope::new();
    let handle = scope.handle();
    let outcome = scope.run(body(handle)).await;
    assert!(outcome.is_err(), "it should have been cut");
}

#[test]
fn a_clean_up_runs_to_its_end_in_a_cancelled_scope() {
    on_each_with_clock(ALL, async |clock| {
        let drops = CountDrops::new();
        let cleaned = Flag::default();
        let clean_up = async {
            assert_eq!(drops.dropped(), 1, "the body is gone before the clean-up begins");
            sleep(5 * SECOND).await;
            cleaned.set();
        };
        assert_eq!(move_on_after(SECOND, finally(hold(drops.guard()), clean_up)).await, None);
        assert!(cleaned.is_set());
        assert_eq!(clock.elapsed(), 6 * SECOND);
    });
}

/// A body that waits for nothing but its turn has no node in the tree; a cancel that comes in the very poll in which it has yielded finds nothing there to wait for.
#[test]
fn a_cancel_just_after_a_body_has_yielded_waits_for_its_clean_up() {
    async fn yielding(cleaned: Flag) {
        let clean_up = async move {
            checkpoint().await;
            cleaned.set();
        };
        let body = async {
            loop {
                pending_once().await;
            }
        };
        finally(body, clean_up).await
    }
    async fn yielding_before(cleaned: Flag, cancel: impl FnOnce()) {
        join(yielding(cleaned), async { cancel() }).await;
    }
    on_each(ALL, async || {
        let [in_scope, in_body, in_child, with_node, shielded, behind] = std::array::from_fn(|_| Flag::default());
        cut(async |handle| yielding_before(in_scope.clone(), || handle.cancel("now")).await).await;
        nursery(async |n| yielding_before(in_body.clone(), || n.cancel("now")).await).await;
        nursery(async |n| {
            let (group, cleaned) = (n.clone(), in_child.clone());
            n.spawn(yielding_before(cleaned, move || group.cancel("now")));
            let (group, cleaned) = (n.clone(), with_node.clone());
            n.task("with a node of its own").spawn(yielding_before(cleaned, move || group.cancel("now")));
        })
        .await;
        cut(async |handle| {
            let kept = async {
                pending_once().await;
                shielded.set();
            };
            join(shield(kept), async { handle.cancel("now") }).await;
            sleep_forever().await;
        })
        .await;
        checkpoint().await; // So that the task is not due because of what was before.
        // The scopes around are cancelled already when the poll begins; only a shield keeps the body from seeing that.
        let cancelled = CancelScope::new();
        cancelled.handle().cancel("before");
        let scope = CancelScope::new();
        let handle = scope.handle();
        let [on, off] = [true, false].map(|on| (on, handle.clone()));
        let [on, off] = [on, off].map(|(on, handle)| async move { handle.set_shield(on) });
        let inside = scope.run(join(on, join(yielding(behind.clone()), off)));
        assert!(cancelled.run(inside).await.is_err());
        for cleaned in [in_scope, in_body, in_child, with_node, shielded, behind] {
            assert!(cleaned.is_set());
        }
    });
}

#[test]
fn a_cancel_inside_a_shield_that_has_waited_for_nothing_does_not_enter_it() {
    on_each(ALL, async || {
        let saved = Flag::default();
        cut(async |handle| {
            shield(async {
                checkpoint().await;
                handle.cancel("now");
                checkpoint().await;
                saved.set();
            })
            .await;
            checkpoint().await;
        })
        .await;
        assert!(saved.is_set());
    });
}

#[test]
fn a_clean_up_runs_after_the_end_of_the_body_and_gives_its_value() {
    on_each(ALL, async || {
        let order = std::sync::Mutex::new(Vec::new());
        let body = async {
            checkpoint().await;
            order.lock().unwrap().push("body");
            7
        };
        let value = finally(body, async {
            checkpoint().await;
            order.lock().unwrap().push("clean-up");
        });
        assert_eq!(value.await, 7);
        assert_eq!(order.into_inner().unwrap(), ["body", "clean-up"]);
    });
}

#[test]
fn a_clean_up_runs_after_the_panic_of_the_body_and_of_its_drop() {
    on_each(ALL, async || {
        let cleaned = Count::default();
        let clean_up = || async {
            checkpoint().await;
            cleaned.add();
        };
        let body = async {
            checkpoint().await;
            blow("body");
        };
        assert_eq!(panic_of(finally(body, clean_up())).await, "body");
        let cut = move_on_after(Duration::ZERO, finally(hold(PanicOnDrop("drop")), clean_up()));
        assert_eq!(panic_of(cut).await, "drop");
        assert_eq!(panic_of(finally(async {}, async { blow("clean-up") })).await, "clean-up");
        assert_eq!(cleaned.get(), 2);
    });
}

#[test]
fn nested_clean_ups_run_from_the_inside() {
    on_each(ALL, async || {
        let order = std::sync::Mutex::new(Vec::new());
        let note = async |name: &'static str| {
            a_while().await;
            order.lock().unwrap().push(name);
        };
        cut(async |scope| {
            let innermost = finally(
                async {
                    scope.cancel("enough");
                    sleep_forever().await;
                },
                note("first"),
            );
            finally(finally(innermost, note("second")), finally(note("third"), note("fourth"))).await;
        })
        .await;
        assert_eq!(order.into_inner().unwrap(), ["first", "second", "third", "fourth"]);
    });
}

#[test]
fn clean_ups_in_a_combinator_of_others_all_run() {
    on_each(ALL, async || {
        for count in [1, 3, 1000] {
            let cleaned = Count::default();
            let one = || {
                finally(sleep_forever(), async {
                    checkpoint().await;
                    cleaned.add();
                })
            };
            cut(async |scope| {
                let unordered: FuturesUnordered<_> = (0..count).map(|_| one()).collect();
                let cancel = async {
                    a_while().await;
                    scope.cancel("enough");
                };
                join(unordered.collect::<Vec<_>>(), cancel).await;
            })
            .await;
            assert_eq!(cleaned.get(), count);
            cut(async |scope| {
                join(join_all((0..count).map(|_| one())), async { scope.cancel("enough") }).await;
            })
            .await;
            assert_eq!(cleaned.get(), 2 * count);
        }
    });
}

#[test]
fn a_thousand_nurseries_in_a_combinator_of_others_all_unwind() {
    on_each(ALL, async || {
        let drops = CountDrops::new();
        cut(async |scope| {
            let one = async || {
                nursery(async |n| {
                    drop(n.spawn(hold(drops.guard())));
                    hold(drops.guard()).await;
                })
                .await;
            };
            let unordered: FuturesUnordered<_> = (0..1000).map(|_| one()).collect();
            let cancel = async {
                a_while().await;
                scope.cancel("enough");
            };
            join(unordered.collect::<Vec<_>>(), cancel).await;
        })
        .await;
        assert_eq!((drops.made(), drops.dropped()), (2000, 2000));
    });
}

#[test]
fn a_clean_up_that_a_foreign_select_drops_is_dropped_with_the_body() {
    on_each(ALL, async || {
        let drops = CountDrops::new();
        {
            let guarded = finally(hold(drops.guard()), hold(drops.guard()));
            match select(pin!(guarded), pin!(a_while())).await {
                Either::Right(_) => {}
                Either::Left(_) => panic!("it sleeps for ever"),
            };
        }
        assert_eq!(drops.dropped(), 2);
        checkpoint().await;
    });
}

#[test]
fn a_clean_up_with_a_time_out_of_its_own_ends_in_time() {
    on_each_with_clock(ALL, async |clock| {
        let clean_up = move_on_after(2 * SECOND, sleep_forever()).map(drop);
        assert_eq!(move_on_after(SECOND, finally(sleep_forever(), clean_up)).await, None);
        assert_eq!(clock.elapsed(), 3 * SECOND);
    });
}

#[test]
fn a_nursery_in_a_clean_up_works() {
    on_each(ALL, async || {
        let ended = Count::default();
        cut(async |scope| {
            let clean_up = nursery(async |n| {
                for _ in 0..10 {
                    let ended = ended.clone();
                    drop(n.spawn(async move {
                        a_while().await;
                        ended.add();
                    }));
                }
            });
            scope.cancel("enough");
            finally(sleep_forever(), clean_up).await;
        })
        .await;
        assert_eq!(ended.get(), 10);
    });
}

#[test]
fn a_shield_runs_to_its_end_in_a_cancelled_scope_and_the_next_suspension_is_cut() {
    on_each(ALL, async || {
        let saved = Flag::default();
        cut(async |scope| {
            scope.cancel("enough");
            shield(async {
                a_while().await;
                saved.set();
            })
            .await;
            checkpoint().await;
            panic!("cut before this");
        })
        .await;
        assert!(saved.is_set());
    });
}

#[test]
fn a_blocking_call_in_a_cancelled_scope_is_waited_for_and_its_value_delivered() {
    for &workers in ALL {
        let runtime = Runtime::builder().workers(workers).build().unwrap();
        let (release, wait) = mpsc::channel::<u8>();
        let mut delivered = None;
        runtime.run(cut(async |scope| {
            let call = blocking(move || wait.recv().unwrap());
            let cancel = async {
                checkpoint().await;
                scope.cancel("enough");
                shield(a_while()).await;
                release.send(7).unwrap();
            };
            delivered = Some(join(call, cancel).await.0);
            checkpoint().await;
        }));
        assert_eq!(delivered, Some(7));
    }
}

#[test]
fn a_task_ends_only_after_a_blocking_call_whose_future_was_dropped() {
    on_each(ALL, async || {
        for forget in [false, true] {
            let (release, wait) = mpsc::channel::<()>();
            let (gone, ended) = (Flag::default(), Flag::default());
            let (tell, guard) = (gone.clone(), SetOnDrop(ended.clone()));
            nursery(async |n| {
                let task = n.spawn(async move {
                    let mut call = Box::pin(blocking(move || {
                        let _guard = guard;
                        wait.recv().unwrap();
                    }));
                    assert!(poll!(&mut call).is_pending());
                    if forget {
                        mem::forget(call);
                    }
                    tell.set();
                });
                gone.wait().await;
                a_while().await;
                assert!(!task.is_finished() && !ended.is_set());
                release.send(()).unwrap();
                task.await.unwrap();
                assert!(ended.is_set());
            })
            .await;
        }
    });
}

/// One of each kind of future that holds a guard while it is suspended.
fn holders() -> Vec<Pin<Box<dyn Future<Output = ()> + Send>>> {
    let stubborn_child = nursery(async |n| {
        drop(n.spawn(checkpoint()));
        sleep_forever().await;
    });
    vec![
        Box::pin(shield(sleep_forever())),
        Box::pin(shield(async { Gate::default().pass().await })),
        Box::pin(shield(shield(sleep_forever()))),
        Box::pin(finally(sleep_forever(), async {})),
        Box::pin(finally(async {}, sleep_forever())),
        Box::pin(stubborn_child),
        Box::pin(nursery(async |n| drop(n.spawn(sleep_forever())))),
        Box::pin(nursery(async |_| shield(sleep_forever()).await)),
        Box::pin(CancelScope::new().run(shield(sleep_forever())).map(drop)),
        Box::pin(CancelScope::new().shield().run(sleep_forever()).map(drop)),
    ]
}

#[test]
fn a_guard_that_was_forgotten_does_not_hang_its_scope() {
    on_each(ALL, async || {
        for mut holder in holders() {
            cut(async |scope| {
                assert!(poll!(&mut holder).is_pending());
                mem::forget(holder);
                scope.cancel("enough");
                checkpoint().await;
            })
            .await;
        }
    });
}

#[test]
fn a_guard_that_was_forgotten_does_not_hang_a_scope_in_which_something_always_wakes_itself() {
    on_each(ALL, async || {
        cut(async |scope| {
            let mut holder = Box::pin(shield(sleep_forever()));
            assert!(poll!(&mut holder).is_pending());
            mem::forget(holder);
            scope.cancel("enough");
            loop {
                pending_once().await; // no checkpoint of the library: it would wake itself for ever
            }
        })
        .await;
    });
}

#[test]
fn a_guard_that_was_forgotten_does_not_hang_a_scope_that_is_cancelled_while_it_sleeps() {
    on_each(ALL, async || {
        for mut holder in holders() {
            let (slept, scope) = (Flag::default(), CancelScope::new());
            let handle = scope.handle();
            let body = async {
                assert!(poll!(&mut holder).is_pending());
                mem::forget(holder);
                slept.set();
                sleep_forever().await;
            };
            nursery(async |n| {
                let seen = slept.clone();
                drop(n.spawn(async move {
                    seen.wait().await;
                    a_while().await;
                    handle.cancel("from outside");
                }));
                assert!(scope.run(body).await.is_err());
            })
            .await;
        }
    });
}

#[test]
fn a_guard_that_was_forgotten_does_not_hang_its_task() {
    on_each(ALL, async || {
        for mut holder in holders() {
            nursery(async |n| {
                let slept = Flag::default();
                let tell = slept.clone();
                let task = n.spawn(async move {
                    assert!(poll!(&mut holder).is_pending());
                    mem::forget(holder);
                    tell.set();
                    sleep_forever().await;
                });
                slept.wait().await;
                task.cancel("enough");
                assert!(task.await.is_err());
            })
            .await;
        }
    });
}

#[test]
fn a_guard_that_a_select_has_stopped_polling_does_not_hang_its_scope() {
    on_each(ALL, async || {
        for mut holder in holders() {
            cut(async |scope| {
                let _ = select(&mut holder, pin!(checkpoint())).await;
                scope.cancel("enough");
                sleep_forever().await;
            })
            .await;
        }
        for mut holder in holders() {
            cut(async |scope| {
                let _ = select(&mut holder, pin!(checkpoint())).await;
                scope.cancel("enough");
                // This one is polled, and is waited for.
                shield(a_while()).await;
                sleep_forever().await;
            })
            .await;
        }
    });
}

#[test]
fn many_forgotten_guards_beside_one_that_answers() {
    on_each(ALL, async || {
        let cleaned = Flag::default();
        cut(async |scope| {
            for _ in 0..20 {
                for mut holder in holders() {
                    assert!(poll!(&mut holder).is_pending());
                    mem::forget(holder);
                }
            }
            let answers = finally(sleep_forever(), async {
                a_while().await;
                cleaned.set();
            });
            join(answers, async { scope.cancel("enough") }).await;
        })
        .await;
        assert!(cleaned.is_set());
    });
}

#[test]
fn a_scope_whose_guard_was_forgotten_goes_on_while_it_is_not_cancelled() {
    on_each(ALL, async || {
        let scope = CancelScope::new();
        let body = async {
            for mut holder in holders() {
                assert!(poll!(&mut holder).is_pending());
                mem::forget(holder);
            }
            a_while().await;
            7
        };
        // The children of forgotten nurseries sleep for ever: only a cancel ends the task.
        nursery(async |n| {
            assert_eq!(scope.run(body).await.unwrap(), 7);
            n.cancel("done");
        })
        .await;
    });
}

#[test]
fn the_select_macro_around_a_clean_up_and_a_shield() {
    on_each(ALL, async || {
        let cleaned = Count::default();
        cut(async |scope| {
            let one = finally(sleep_forever(), async {
                a_while().await;
                cleaned.add();
            })
            .fuse();
            let other = shield(async {
                a_while().await;
                scope.cancel("enough");
                a_while().await;
                cleaned.add();
            })
            .fuse();
            pin_mut!(one, other);
            loop {
                futures_util::select! {
                    () = one => panic!("the scope has cut it"),
                    () = other => {}
                }
            }
        })
        .await;
        assert_eq!(cleaned.get(), 2);
    });
}

#[test]
fn a_clean_up_in_a_child_of_a_failed_nursery_is_waited_for() {
    on_each(ALL, async || {
        let cleaned = Count::default();
        let joined = nursery(async |n| {
            let started = Count::default();
            for _ in 0..10 {
                let (started, cleaned) = (started.clone(), cleaned.clone());
                let body = async move {
                    started.add();
                    sleep_forever().await;
                };
                drop(n.spawn(finally(body, async move {
                    a_while().await;
                    cleaned.add();
                })));
            }
            crate::common::all_wait().await;
            assert_eq!(started.get(), 10);
            Err::<Never, _>("no")
        });
        assert_eq!(crate::common::errors(joined.await), ["no"]);
        assert_eq!(cleaned.get(), 10);
    });
}
