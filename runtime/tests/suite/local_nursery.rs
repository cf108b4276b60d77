//! Local nurseries: children in the opener's own task.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::common::{
    ALL, Count, Flag, Gate, Never, PanicOnDrop, SetOnDrop, a_few, a_while, blow, errors, hold, panic_of,
};
use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use futures_util::{FutureExt, poll};
use trioxide_runtime::{
    AnyError, CancelScope, CancelSource, LocalNursery, LocalNurserySend, NurseryError, checkpoint, finally,
    local_nursery, local_nursery_send, move_on_after, now, nursery, shield, sleep, sleep_forever,
};
use trioxide_testing::{on_each, on_each_with_clock};

#[test]
fn children_borrow_from_around_and_need_not_be_send() {
    on_each(ALL, async || {
        let total = Cell::new(0);
        let shared = Rc::new(RefCell::new(Vec::new()));
        local_nursery(async |n: LocalNursery<Never>| {
            for number in 0..10 {
                let (total, shared) = (&total, Rc::clone(&shared));
                n.spawn(async move {
                    checkpoint().await;
                    total.set(total.get() + number);
                    shared.borrow_mut().push(number);
                });
            }
            assert_eq!(n.len(), 10);
        })
        .await;
        assert_eq!(total.get(), 45);
        assert_eq!(*shared.borrow(), (0..10).collect::<Vec<_>>());
    });
}

#[test]
fn the_children_run_in_the_openers_task_one_at_a_time() {
    on_each(ALL, async || {
        let thread = Cell::new(None);
        local_nursery(async |n: LocalNursery<Never>| {
            for _ in 0..20 {
                n.spawn(async {
                    // No suspension between the two: nobody else runs here meanwhile.
                    thread.set(Some(std::thread::current().id()));
                    assert_eq!(thread.get(), Some(std::thread::current().id()));
                    checkpoint().await;
                });
            }
        })
        .await;
    });
}

#[test]
fn values_come_through_the_handles() {
    on_each(ALL, async || {
        let sum = local_nursery(async |n| {
            let tasks: Vec<_> = (0..5_u32)
                .map(|number| {
                    n.spawn(async move {
                        checkpoint().await;
                        Ok::<_, Never>(number)
                    })
                })
                .collect();
            let mut sum = 0;
            for task in tasks {
                sum += task.await.unwrap();
            }
            Ok::<_, Never>(sum)
        })
        .await;
        assert_eq!(sum.unwrap(), 10);
    });
}

#[test]
fn children_spawn_from_children_also_after_the_body_has_ended() {
    on_each(ALL, async || {
        let count = Cell::new(0);
        fn grow<'a>(n: LocalNursery<'a, Never>, depth: u32, count: &'a Cell<u32>) -> LocalBoxFuture<'a, ()> {
            Box::pin(async move {
                checkpoint().await;
                count.set(count.get() + 1);
                if depth > 0 {
                    n.spawn(grow(n.clone(), depth - 1, count));
                    n.spawn(grow(n.clone(), depth - 1, count));
                }
            })
        }
        local_nursery(async |n| drop(n.spawn(grow(n.clone(), 5, &count)))).await;
        assert_eq!(count.get(), 63);
    });
}

#[test]
fn an_error_cancels_the_rest_and_comes_out_with_its_origin() {
    on_each(ALL, async || {
        let unwound = Flag::default();
        let joined: Result<(), NurseryError<&str>> = local_nursery(async |n| {
            n.spawn(hold(SetOnDrop(unwound.clone())));
            n.task("reader").spawn(async {
                checkpoint().await;
                Err::<(), _>("pipe")
            });
            sleep_forever().await;
            Ok(())
        })
        .await;
        assert!(unwound.is_set());
        let group = joined.unwrap_err().into_group().unwrap();
        let origin = &group.failures()[0].origin;
        assert_eq!((origin.name(), origin.task()), (Some("reader"), None));
        assert!(
            group.to_string().contains("└─ local task \"reader\", spawned at runtime/tests/suite/local_nursery.rs:")
        );
        let body: Result<(), NurseryError<&str>> = local_nursery(async |n| {
            n.spawn(sleep_forever());
            Err("body")
        })
        .await;
        assert_eq!(errors(body), ["body"]);
    });
}

#[test]
fn errors_of_unwinding_children_are_kept() {
    on_each(ALL, async || {
        let joined: Result<(), NurseryError<&str>> = local_nursery(async |n| {
            n.spawn(shield(async {
                a_while().await;
                Err::<(), _>("late")
            }));
            n.spawn(async { Err::<(), _>("first") });
            Ok(())
        })
        .await;
        assert_eq!(errors(joined), ["first", "late"]);
    });
}

#[test]
fn inner_groups_are_kept_with_any_error() {
    on_each(&[1], async || {
        let joined: Result<(), NurseryError<AnyError>> = local_nursery(async |n| {
            n.spawn(local_nursery(async |m| {
                m.spawn(async { "x".parse::<u8>() });
                Ok::<_, AnyError>(())
            }));
            Ok(())
        })
        .await;
        let (numbers, rest) = joined.unwrap_err().catch::<std::num::ParseIntError>();
        assert!(numbers.is_some() && rest.is_none());
    });
}

#[test]
fn a_panic_of_a_child_of_the_body_or_of_a_drop_is_resumed_after_all_have_unwound() {
    on_each(ALL, async || {
        let unwound = Count::default();
        struct Counted(Count);
        impl Drop for Counted {
            fn drop(&mut self) {
                self.0.add();
            }
        }
        let child = local_nursery(async |n: LocalNursery<Never>| {
            n.spawn(hold(Counted(unwound.clone())));
            n.spawn(async { blow("child") });
            sleep_forever().await;
        });
        assert_eq!(panic_of(child).await, "child");
        let body = local_nursery(async |n: LocalNursery<Never>| {
            n.spawn(hold(Counted(unwound.clone())));
            blow("body");
        });
        assert_eq!(panic_of(body).await, "body");
        let in_drop = local_nursery(async |n: LocalNursery<Never>| {
            n.spawn(hold((PanicOnDrop("drop"), Counted(unwound.clone()))));
            checkpoint().await;
            n.cancel("now");
        });
        assert_eq!(panic_of(in_drop).await, "drop");
        let at_once = local_nursery(|_: LocalNursery<Never>| -> std::future::Ready<()> { panic!("no future") });
        assert_eq!(panic_of(at_once).await, "no future");
        assert_eq!(unwound.get(), 3);
    });
}

#[test]
fn a_cancelled_nursery_says_so_and_a_completed_body_gives_its_value() {
    on_each(ALL, async || {
        let cancelled: Result<(), NurseryError<Never>> = local_nursery(async |n| {
            n.spawn(sleep_forever());
            n.cancel("enough");
            sleep_forever().await;
            Ok(())
        })
        .await;
        let Err(NurseryError::Cancelled(reason)) = cancelled else { panic!("it was cancelled") };
        assert_eq!(reason.message(), Some("enough"));
        let value: Result<u8, NurseryError<Never>> = local_nursery(async |n| {
            n.spawn(sleep_forever());
            n.cancel("enough");
            Ok(7)
        })
        .await;
        assert_eq!(value.unwrap(), 7);
    });
}

#[test]
fn a_cancel_from_around_waits_for_clean_up_of_body_and_children() {
    on_each(ALL, async || {
        let cleaned = Cell::new(0);
        let clean = async || {
            a_while().await;
            cleaned.set(cleaned.get() + 1);
        };
        let scope = CancelScope::new();
        let handle = scope.handle();
        let outcome = scope
            .run(local_nursery(async |n: LocalNursery<Never>| {
                for _ in 0..5 {
                    n.spawn(finally(sleep_forever(), clean()));
                }
                n.spawn(sleep_forever());
                checkpoint().await;
                handle.cancel("from around");
                finally(sleep_forever(), clean()).await;
            }))
            .await;
        assert!(outcome.is_err());
        assert_eq!(cleaned.get(), 6);
    });
}

#[test]
fn a_child_can_be_cancelled_alone() {
    on_each(ALL, async || {
        let unwound = Flag::default();
        local_nursery(async |n: LocalNursery<Never>| {
            let begun = n.spawn(hold(SetOnDrop(unwound.clone())));
            checkpoint().await;
            begun.cancel("you");
            let cancelled = begun.await.unwrap_err();
            assert_eq!(
                (cancelled.reason().source(), cancelled.reason().message()),
                (CancelSource::Explicit, Some("you"))
            );
            assert!(unwound.is_set());
            let not_begun = n.spawn(async { checkpoint().await });
            not_begun.cancel("at once");
            assert!(not_begun.await.is_err());
            let quick = n.spawn(async {});
            quick.cancel("too late: it ends in its first poll");
            assert!(quick.await.is_ok());
        })
        .await;
    });
}

#[test]
fn a_child_spawned_into_a_cancelled_nursery_starts_and_is_cut() {
    on_each(ALL, async || {
        let begun = Cell::new(false);
        local_nursery(async |n: LocalNursery<Never>| {
            n.cancel("before");
            let task = n.spawn(async {
                begun.set(true);
                checkpoint().await;
                unreachable!("cut");
            });
            shield(async { assert!(task.await.is_err()) }).await;
        })
        .await;
        assert!(begun.get());
    });
}

#[test]
fn dropped_half_way_it_drops_body_and_children_at_once() {
    on_each(ALL, async || {
        let dropped = Count::default();
        struct Counted(Count);
        impl Drop for Counted {
            fn drop(&mut self) {
                self.0.add();
            }
        }
        {
            let body = Counted(dropped.clone());
            let mut nursery = Box::pin(local_nursery(async |n: LocalNursery<Never>| {
                n.spawn(hold(Counted(dropped.clone())));
                let _body = body;
                checkpoint().await;
                n.spawn(hold(Counted(dropped.clone())));
                sleep_forever().await;
            }));
            assert!(poll!(&mut nursery).is_pending());
            drop(nursery);
        }
        assert!(dropped.get() >= 2);
        let panicking = async {
            let mut nursery = Box::pin(local_nursery(async |n: LocalNursery<Never>| {
                n.spawn(hold(PanicOnDrop("first")));
                n.spawn(hold(Counted(dropped.clone())));
                pending::<()>().await;
            }));
            assert!(poll!(&mut nursery).is_pending());
            drop(nursery);
        };
        let before = dropped.get();
        assert_eq!(panic_of(panicking).await, "first");
        assert_eq!(dropped.get(), before + 1);
    });
}

#[test]
fn forgotten_it_neither_hangs_nor_holds_up_a_cancel() {
    on_each(ALL, async || {
        let outcome = move_on_after(Duration::ZERO, async {
            let mut nursery = Box::pin(local_nursery(async |n: LocalNursery<Never>| {
                n.spawn(finally(sleep_forever(), async {}));
            }));
            assert!(poll!(&mut nursery).is_pending());
            std::mem::forget(nursery);
            sleep_forever().await;
        });
        assert!(outcome.await.is_none());
    });
}

#[test]
fn a_closed_nursery_takes_no_more() {
    on_each(ALL, async || {
        let kept = RefCell::new(None);
        local_nursery(async |n: LocalNursery<'static, Never>| *kept.borrow_mut() = Some(n)).await;
        let n = kept.into_inner().unwrap();
        let closed = n.try_spawn(async { 7 }.map(Ok::<_, Never>)).unwrap_err();
        assert_eq!(closed.0.await, Ok(7));
        let text = panic_of(async { drop(n.spawn(async {})) }).await;
        assert!(text.contains("`spawn` into a closed nursery"), "{text}");
    });
}

#[test]
fn it_works_inside_a_foreign_combinator_and_inside_itself() {
    on_each_with_clock(ALL, async |_| {
        let begun = now();
        let nested = |seconds: u64| async move {
            local_nursery(async |n: LocalNursery<Never>| {
                n.spawn(local_nursery(async |m: LocalNursery<Never>| {
                    m.spawn(sleep(Duration::from_secs(seconds)));
                    m.spawn(nursery(async move |k: trioxide_runtime::Nursery<Never>| {
                        k.spawn(sleep(Duration::from_secs(seconds)));
                    }));
                }));
            })
            .await;
        };
        let mut all: FuturesUnordered<_> = (1..=3).map(nested).collect();
        while all.next().await.is_some() {}
        assert_eq!(now() - begun, Duration::from_secs(3));
    });
}

#[test]
fn in_a_cancelled_foreign_combinator_clean_up_runs_to_its_end() {
    on_each(ALL, async || {
        let cleaned = Cell::new(0);
        let scope = CancelScope::new();
        let handle = scope.handle();
        let unwinding = scope.run(async {
            let mut all: FuturesUnordered<_> = (0..3)
                .map(|_| {
                    local_nursery(async |n: LocalNursery<Never>| {
                        n.spawn(finally(sleep_forever(), async {
                            a_while().await;
                            cleaned.set(cleaned.get() + 1);
                        }));
                    })
                })
                .collect();
            assert!(poll!(all.next()).is_pending());
            handle.cancel("all");
            while all.next().await.is_some() {}
        });
        assert!(unwinding.await.is_err());
        assert_eq!(cleaned.get(), 3);
    });
}

#[test]
fn the_send_kind_runs_in_children_of_a_nursery() {
    on_each(ALL, async || {
        let joined = nursery(async |outer| {
            let task = outer.spawn(async {
                let sum = AtomicU32::new(0);
                let inner: Result<(), NurseryError<String>> =
                    local_nursery_send(async |n: LocalNurserySend<String>| {
                        for number in 0..10 {
                            let sum = &sum;
                            n.spawn(async move {
                                checkpoint().await;
                                sum.fetch_add(number, Ordering::Relaxed);
                            });
                        }
                        Ok(())
                    })
                    .await;
                inner.unwrap();
                Ok::<_, Never>(sum.into_inner())
            });
            Ok::<_, Never>(task.await.unwrap())
        })
        .await;
        assert_eq!(joined.unwrap(), 45);
    });
}

#[test]
fn the_send_kind_can_be_spawned_into_from_other_tasks() {
    on_each(ALL, async || {
        let count = Count::default();
        nursery(async |outer: trioxide_runtime::Nursery<Never>| {
            let add = count.clone();
            local_nursery_send(async |n: LocalNurserySend<'static, Never>| {
                let handle = n.clone();
                let done = outer.spawn(async move {
                    for _ in 0..20 {
                        let add = add.clone();
                        checkpoint().await;
                        handle.spawn(async move { add.add() });
                    }
                });
                done.await.unwrap();
            })
            .await;
        })
        .await;
        assert_eq!(count.get(), 20);
    });
}

#[test]
fn a_wait_for_a_handle_that_is_cut_has_taken_nothing() {
    on_each(ALL, async || {
        let gate = Gate::default();
        local_nursery(async |n: LocalNursery<Never>| {
            let mut task = n.spawn(async {
                gate.pass().await;
                Ok::<_, Never>(7)
            });
            assert!(move_on_after(Duration::ZERO, &mut task).await.is_none());
            let mut waiting = Box::pin(&mut task);
            assert!(poll!(&mut waiting).is_pending());
            gate.open();
            a_few().await;
            drop(waiting); // right after the value came
            assert_eq!(task.await, Ok(7));
        })
        .await;
    });
}

#[test]
fn a_shield_that_comes_after_a_child_was_cut_gives_way() {
    on_each(ALL, async || {
        let (outer, inner) = (CancelScope::new(), CancelScope::new());
        let (cancel, late) = (outer.handle(), inner.handle());
        let outcome = outer
            .run(inner.run(local_nursery(async |n: LocalNursery<Never>| {
                n.spawn(sleep_forever()); // cut by the outer scope
                n.spawn(finally(sleep_forever(), async move {
                    late.set_shield(true);
                    a_while().await;
                }));
                checkpoint().await;
                cancel.cancel("first");
            })))
            .await;
        assert_eq!(outcome.unwrap_err().reason().message(), Some("first"));
    });
}

#[test]
fn the_siblings_of_a_failed_child_see_the_source() {
    on_each(ALL, async || {
        let joined: Result<(), NurseryError<&str>> = local_nursery(async |n| {
            let sibling = n.spawn(sleep_forever());
            n.spawn(async { Err::<(), _>("pipe") });
            let reason = shield(sibling).await.unwrap_err();
            assert_eq!(reason.reason().source(), CancelSource::Failed);
            Ok(())
        })
        .await;
        assert_eq!(errors(joined), ["pipe"]);
    });
}
