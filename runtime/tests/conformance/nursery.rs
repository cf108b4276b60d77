//! 14 to 29: nurseries.

use std::future::Future;
use std::sync::{Arc, Weak};

use futures_util::poll;
use trioxide_runtime::{
    AnyError, CancelScope, Nursery, NurseryError, checkpoint, finally, nursery, shield, sleep_forever,
};
use trioxide_testing::on_each;

use crate::common::{ALL, Count, Flag, Gate, Never, SetOnDrop, a_while, errors, hold, panic_of};

#[test]
fn c014_body_error_is_grouped() {
    on_each(ALL, async || {
        let joined: Result<(), NurseryError<&str>> = nursery(async |_| Err("body")).await;
        let group = joined.unwrap_err().into_group().unwrap();
        assert!(group.failures()[0].origin.is_body());
        assert_eq!(group.into_single().unwrap(), "body");
    });
}

#[test]
fn c015_child_error_is_grouped() {
    on_each(ALL, async || {
        let joined: Result<(), NurseryError<&str>> = nursery(async |n| {
            n.spawn(async { Err::<(), _>("child") });
            Ok(())
        })
        .await;
        assert_eq!(errors(joined), ["child"]);
    });
}

#[test]
fn c016_a_failing_child_cancels_its_siblings_and_only_its_error_comes_out() {
    on_each(ALL, async || {
        let unwound = [Flag::default(), Flag::default()];
        let joined: Result<(), NurseryError<&str>> = nursery(async |n| {
            for flag in &unwound {
                n.spawn(hold(SetOnDrop(flag.clone())));
            }
            n.spawn(async { Err::<(), _>("crash") });
            Ok(())
        })
        .await;
        assert_eq!(errors(joined), ["crash"]);
        assert!(unwound.iter().all(Flag::is_set));
    });
}

#[test]
fn c017_body_and_child_fail_and_the_group_has_both() {
    on_each(ALL, async || {
        let joined: Result<(), NurseryError<&str>> = nursery(async |n| {
            let child = n.spawn(async { Err::<(), _>("child") });
            shield(async { drop(child.await) }).await;
            Err("body")
        })
        .await;
        assert_eq!(errors(joined), ["child", "body"]);
    });
}

#[test]
fn c018_two_children_fail_and_the_group_has_both() {
    on_each(ALL, async || {
        let joined: Result<(), NurseryError<&str>> = nursery(async |n| {
            // Both are past their last suspension before one of them can cancel the other.
            let go = Gate::default();
            for error in ["one", "two"] {
                let go = go.clone();
                n.spawn(shield(async move {
                    go.pass().await;
                    Err::<(), _>(error)
                }));
            }
            a_while().await;
            go.open();
            Ok(())
        })
        .await;
        let mut both = errors(joined);
        both.sort_unstable();
        assert_eq!(both, ["one", "two"]);
    });
}

#[test]
fn c019_a_failing_child_wakes_a_body_that_waits() {
    on_each(ALL, async || {
        let joined: Result<(), NurseryError<&str>> = nursery(async |n| {
            n.spawn(async {
                a_while().await;
                Err::<(), _>("crash")
            });
            sleep_forever().await;
            Ok(())
        })
        .await;
        assert_eq!(errors(joined), ["crash"]);
    });
}

#[test]
fn c020_spawn_works_while_a_child_runs_and_is_an_error_after_the_end() {
    on_each(ALL, async || {
        let grandchild = Flag::default();
        let mut kept = None;
        nursery(async |n: Nursery<Never>| {
            let (late, set) = (n.clone(), grandchild.clone());
            n.spawn(async move {
                a_while().await; // the body has ended
                late.spawn(async move { set.set() });
            });
            kept = Some(n);
        })
        .await;
        assert!(grandchild.is_set());
        let n = kept.unwrap();
        assert!(n.try_spawn(async {}).is_err());
        let text = panic_of(async { drop(n.spawn(async {})) }).await;
        assert!(text.contains("`spawn` into a closed nursery"), "{text}");
    });
}

#[test]
fn c021_a_child_of_a_cancelled_nursery_starts_and_is_cut_at_its_first_suspension() {
    on_each(ALL, async || {
        let (before, after) = (Flag::default(), Flag::default());
        nursery(async |n: Nursery<Never>| {
            n.cancel("before the spawn");
            let (set, not_set) = (before.clone(), after.clone());
            n.spawn(async move {
                set.set();
                checkpoint().await;
                not_set.set();
            });
        })
        .await;
        assert!(before.is_set() && !after.is_set());
    });
}

#[test]
fn c022_a_cancel_reaches_grandchildren_through_nurseries_between() {
    on_each(ALL, async || {
        let unwound = Flag::default();
        nursery(async |n: Nursery<Never>| {
            let begun = Flag::default();
            let (tell, drops) = (begun.clone(), unwound.clone());
            n.spawn(nursery(async move |m: Nursery<Never>| {
                m.spawn(nursery(async move |k: Nursery<Never>| {
                    k.spawn(async move {
                        let _drops = SetOnDrop(drops);
                        tell.set();
                        sleep_forever().await;
                    });
                }));
            }));
            begun.wait().await;
            n.cancel("from the top");
        })
        .await;
        assert!(unwound.is_set());
    });
}

#[test]
fn c023_a_nursery_with_nothing_to_wait_for_is_not_a_cancel_point() {
    on_each(ALL, async || {
        let in_cancelled = async |count: usize| {
            let scope = CancelScope::new();
            scope.handle().cancel("before");
            scope
                .run(nursery(async |n: Nursery<Never>| {
                    for _ in 0..count {
                        n.spawn(async {}); // never suspended
                    }
                }))
                .await
        };
        assert!(in_cancelled(0).await.is_ok(), "an empty nursery");
        assert!(in_cancelled(1).await.is_ok(), "a child that is never suspended");
        assert!(in_cancelled(20).await.is_ok());
    });
}

#[test]
fn c024_an_error_of_the_body_in_a_cancelled_scope_comes_out_alone() {
    on_each(ALL, async || {
        let scope = CancelScope::new();
        scope.handle().cancel("before");
        let outcome = scope
            .run(nursery(async |n| {
                n.spawn(sleep_forever());
                Err::<(), _>("body")
            }))
            .await;
        assert_eq!(errors(outcome.expect("the error was there")), ["body"]);
    });
}

#[test]
fn c025_children_cut_by_two_scopes_and_one_failure_leave_only_the_failure() {
    on_each(ALL, async || {
        let outer = CancelScope::new();
        let handle = outer.handle();
        let outcome = outer
            .run(async move {
                nursery(async move |n| {
                    n.spawn(sleep_forever()); // cut with the nursery
                    n.spawn(sleep_forever());
                    let go = Gate::default();
                    let (wait, tell) = (go.clone(), go);
                    n.spawn(shield(async move {
                        wait.pass().await;
                        Err::<(), _>("crash")
                    }));
                    n.spawn(async move {
                        handle.cancel("outer");
                        tell.open();
                        sleep_forever().await; // cut by the outer scope
                    });
                    Ok::<(), &str>(())
                })
                .await
            })
            .await;
        assert_eq!(errors(outcome.expect("the error was there")), ["crash"]);
    });
}

#[test]
fn c026_the_group_of_a_nested_nursery_keeps_its_nesting() {
    on_each(ALL, async || {
        let joined: Result<(), NurseryError<AnyError>> = nursery(async |n| {
            n.spawn(sleep_forever()); // cut; leaves no trace in the group
            n.spawn(async {
                nursery(async |m| {
                    m.spawn(sleep_forever());
                    m.spawn(async { "x".parse::<u8>() });
                    Ok::<(), AnyError>(())
                })
                .await
            });
            Ok(())
        })
        .await;
        let group = joined.unwrap_err().into_group().unwrap();
        assert_eq!(group.len(), 1);
        let inner = group.first().group().expect("a group in the group");
        assert_eq!(inner.len(), 1);
        assert!(inner.first().is::<std::num::ParseIntError>());
    });
}

#[test]
fn c027_nurseries_dropped_in_the_wrong_order_are_cleaned_up_before_the_task_ends() {
    on_each(ALL, async || {
        let cleaned = Count::default();
        nursery(async |n: Nursery<Never>| {
            let count = cleaned.clone();
            n.spawn(async move {
                let open = |count: Count| {
                    Box::pin(nursery(async move |m: Nursery<Never>| {
                        for _ in 0..3 {
                            let count = count.clone();
                            m.spawn(finally(sleep_forever(), async move {
                                a_while().await;
                                count.add();
                            }));
                        }
                        sleep_forever().await;
                    }))
                };
                let (mut outer, mut inner) = (open(count.clone()), open(count));
                assert!(poll!(&mut outer).is_pending());
                assert!(poll!(&mut inner).is_pending());
                a_while().await;
                drop(outer);
                let _ = poll!(&mut inner);
                drop(inner);
            });
        })
        .await;
        assert_eq!(cleaned.get(), 6);
    });
}

#[test]
fn c029_the_locals_of_a_cancelled_task_are_gone_before_its_nursery_ends() {
    async fn child(local: Arc<()>) {
        let _local = local;
        sleep_forever().await;
    }
    fn begin(local: &mut Weak<()>) -> impl Future<Output = ()> + Send + 'static {
        let strong = Arc::new(());
        *local = Arc::downgrade(&strong);
        child(strong)
    }
    on_each(ALL, async || {
        let mut local = Weak::new();
        nursery(async |n: Nursery<Never>| {
            n.spawn(begin(&mut local));
            a_while().await;
            assert!(local.upgrade().is_some());
            n.cancel("now");
        })
        .await;
        assert!(local.upgrade().is_none());
    });
}
