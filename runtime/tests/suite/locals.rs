//! Task locals, run variables and tree variables: who sees what, and when it is dropped.

use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};

use trioxide_runtime::{
    Nursery, RunVar, Runtime, TreeVar, blocking, checkpoint, local_nursery, move_on_after, nursery, run, sleep_forever,
    task_local,
};
use trioxide_testing::{on_each, on_each_with_clock};

use crate::common::{ALL, Count, Flag, Never, SetOnDrop, a_while, panic_in, panic_of};

task_local! {
    /// Without a default.
    static NUMBER: u32;
    pub(crate) static NAME: &'static str = "nobody";
    static SHARED: Arc<SetOnDrop>
}

static SETTING: RunVar<u32> = RunVar::new("SETTING");
static WITH_DEFAULT: RunVar<u32> = RunVar::with_default("WITH_DEFAULT", || 4);
static PLACE: TreeVar<&'static str> = TreeVar::new("PLACE");

#[test]
fn a_scope_binds_and_unbinds_and_inner_scopes_win() {
    on_each(ALL, async || {
        assert_eq!((NUMBER.try_get(), NAME.get()), (None, "nobody"));
        NUMBER
            .scope(1, async {
                NAME.scope("outer", async {
                    checkpoint().await;
                    assert_eq!((NUMBER.get(), NAME.get()), (1, "outer"));
                    NUMBER
                        .scope(2, async {
                            checkpoint().await;
                            assert_eq!((NUMBER.get(), NAME.get()), (2, "outer"))
                        })
                        .await;
                    assert_eq!(NUMBER.with(|number| *number), 1);
                    assert_eq!(NUMBER.sync_scope(3, || (NUMBER.get(), NAME.get())), (3, "outer"));
                })
                .await;
                assert_eq!((NUMBER.get(), NAME.get()), (1, "nobody"));
            })
            .await;
        assert_eq!(NUMBER.try_with(|number| *number), None);
    });
}

#[test]
fn scopes_beside_each_other_in_one_task_do_not_mix() {
    on_each(ALL, async || {
        let each = |number| {
            NUMBER.scope(number, async move {
                for _ in 0..5 {
                    assert_eq!(NUMBER.get(), number);
                    checkpoint().await;
                }
            })
        };
        futures_util::join!(each(1), each(2), async {
            for _ in 0..5 {
                assert_eq!(NUMBER.try_get(), None);
                checkpoint().await;
            }
        });
    });
}

#[test]
fn children_inherit_where_they_are_spawned_and_keep_it() {
    on_each(ALL, async || {
        let go = Flag::default();
        let seen = Count::default();
        nursery(async |n: Nursery<Never>| {
            let child = |expected| {
                let (go, seen) = (go.clone(), seen.clone());
                async move {
                    go.wait().await;
                    assert_eq!(NUMBER.try_get(), expected);
                    seen.add();
                }
            };
            n.spawn(child(None));
            NUMBER
                .scope(1, async {
                    n.spawn(child(Some(1)));
                    drop(NUMBER.sync_scope(2, || n.spawn(child(Some(2)))));
                    let inner = n.clone();
                    let (wait, count) = (go.clone(), seen.clone());
                    n.spawn(async move {
                        drop(inner.spawn(async move {
                            wait.wait().await;
                            assert_eq!(NUMBER.get(), 1);
                            count.add();
                        }))
                    });
                })
                .await;
            go.set();
        })
        .await;
        assert_eq!(seen.get(), 4);
    });
}

#[test]
fn what_is_dropped_half_way_still_sees_its_values() {
    struct Look(Rc<RefCell<Vec<Option<u32>>>>);
    impl Drop for Look {
        fn drop(&mut self) {
            self.0.borrow_mut().push(NUMBER.try_get());
        }
    }
    let seen = Rc::new(RefCell::new(Vec::new()));
    on_each_with_clock(ALL, async |_| {
        let look = Look(Rc::clone(&seen));
        let held = NUMBER.scope(5, async move {
            let _look = look;
            sleep_forever().await;
        });
        assert_eq!(move_on_after(std::time::Duration::from_secs(1), held).await, None);
    });
    assert_eq!(*seen.borrow(), [Some(5); 3]);
}

#[test]
fn a_value_is_dropped_with_the_last_task_that_sees_it() {
    on_each(ALL, async || {
        let (dropped, go) = (Flag::default(), Flag::default());
        nursery(async |n: Nursery<Never>| {
            SHARED
                .scope(Arc::new(SetOnDrop(dropped.clone())), async {
                    let go = go.clone();
                    n.spawn(async move { go.wait().await });
                })
                .await;
            a_while().await;
            assert!(!dropped.is_set());
            go.set();
        })
        .await;
        assert!(dropped.is_set(), "before the nursery has ended");
    });
}

#[test]
fn a_local_that_panics_when_dropped_is_a_panic_of_the_task() {
    task_local! { static BOMB: crate::common::PanicOnDrop }
    on_each(ALL, async || {
        let text = panic_of(nursery(async |n: Nursery<Never>| {
            drop(BOMB.sync_scope(crate::common::PanicOnDrop("from a local"), || n.spawn(a_while())));
        }))
        .await;
        assert_eq!(text, "from a local");
    });
}

#[test]
fn a_scope_that_panics_leaves_nothing_bound() {
    on_each(ALL, async || {
        assert_eq!(panic_of(NUMBER.scope(1, async { crate::common::blow("out") })).await, "out");
        assert_eq!(NUMBER.try_get(), None);
        assert_eq!(panic_in(|| NUMBER.sync_scope(1, || crate::common::blow("out"))), "out");
        assert_eq!(NUMBER.try_get(), None);
    });
}

#[test]
fn blocking_calls_see_what_their_caller_sees() {
    on_each(ALL, async || {
        let _set = SETTING.set(9);
        let seen = PLACE
            .scope(
                "here",
                NUMBER.scope(
                    3,
                    blocking(|| {
                        drop(WITH_DEFAULT.set(7));
                        (NUMBER.try_get(), NAME.get(), PLACE.try_get(), SETTING.get())
                    }),
                ),
            )
            .await;
        assert_eq!(seen, (Some(3), "nobody", Some("here"), 9));
        assert_eq!(WITH_DEFAULT.get(), 7);
        assert_eq!(blocking(|| (NUMBER.try_get(), PLACE.try_get())).await, (None, None), "the thread keeps nothing");
    });
}

#[test]
fn a_value_may_be_read_without_any_run() {
    let mut future = pin!(NUMBER.scope(1, async { NUMBER.get() }));
    assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
    assert_eq!(NUMBER.sync_scope(2, || NUMBER.get()), 2);
    // The main task of a run inherits nothing from the thread.
    NUMBER.sync_scope(3, || assert_eq!(run(async { NUMBER.try_get() }), None));
}

#[test]
fn an_unbound_local_says_what_to_do() {
    let text = panic_in(|| NUMBER.get());
    assert_eq!(
        text,
        "trioxide: the local `NUMBER` has no value here; run the code in `NUMBER.scope(value, future)`, give it a default in `task_local!`, \
         or use `try_get`"
    );
    assert_eq!(panic_in(|| NUMBER.with(|_| ())), text);
}

#[test]
fn each_run_has_run_variables_of_its_own_and_drops_them_at_its_end() {
    static HELD: RunVar<Arc<SetOnDrop>> = RunVar::new("HELD");
    let runtime = Runtime::builder().workers(2).build().unwrap();
    let dropped = Flag::default();
    let kept = runtime.run(async {
        drop(SETTING.set(1));
        drop(HELD.set(Arc::new(SetOnDrop(dropped.clone()))));
        SETTING.set(2)
    });
    assert!(dropped.is_set());
    runtime.run(async {
        assert_eq!(SETTING.try_get(), None);
        let text = panic_in(|| SETTING.reset(kept));
        assert!(text.contains("with a token of another run"), "{text}");
    });
    assert_eq!(SETTING.try_get(), None);
}

#[test]
fn a_tree_variable_is_that_of_the_place_where_the_nursery_was_opened() {
    on_each(ALL, async || {
        assert_eq!(PLACE.try_get(), None);
        let expect = |expected: &'static str| async move {
            checkpoint().await;
            assert_eq!(PLACE.get(), expected);
        };
        PLACE
            .scope("outer", async {
                nursery(async |outer: Nursery<Never>| {
                    PLACE
                        .scope("inner", async {
                            outer.spawn(expect("outer")); // spawned from within, but its nursery stands outside
                            nursery(async |inner: Nursery<Never>| {
                                inner.spawn(expect("inner"));
                                let outer = outer.clone();
                                inner.spawn(async move {
                                    outer.spawn(expect("outer"));
                                    expect("inner").await;
                                });
                            })
                            .await;
                        })
                        .await;
                    expect("outer").await;
                })
                .await;
            })
            .await;
        let text = panic_in(|| PLACE.get());
        assert!(
            text.starts_with("trioxide: the tree variable `PLACE` has no value here; open the nursery in"),
            "{text}"
        );
    });
}

#[test]
fn a_tree_scope_is_cut_and_dropped_as_any_future() {
    on_each_with_clock(ALL, async |_| {
        let dropped = Flag::default();
        let held = PLACE.scope("here", crate::common::hold(SetOnDrop(dropped.clone())));
        assert_eq!(move_on_after(std::time::Duration::from_secs(1), held).await, None);
        assert!(dropped.is_set());
        // Dropped half-way by a foreign combinator, with a nursery in it: the children end with the task.
        let ended = Flag::default();
        let mut held = Box::pin(PLACE.scope(
            "here",
            nursery(async |n: Nursery<Never>| {
                n.spawn(crate::common::hold(SetOnDrop(ended.clone())));
                sleep_forever().await;
            }),
        ));
        assert!(futures_util::poll!(held.as_mut()).is_pending());
        drop(held);
        ended.wait().await;
        assert_eq!(PLACE.try_get(), None);
    });
}

#[test]
fn children_of_a_local_nursery_inherit_what_is_bound_where_they_are_spawned() {
    on_each(ALL, async || {
        let dropped = Flag::default();
        local_nursery(async |n| {
            NUMBER.sync_scope(1, || {
                n.spawn(async {
                    checkpoint().await;
                    assert_eq!(NUMBER.get(), 1);
                    NUMBER.scope(2, async { checkpoint().await }).await;
                    assert_eq!(NUMBER.get(), 1);
                });
            });
            let bound = Arc::new(SetOnDrop(dropped.clone()));
            SHARED.sync_scope(bound, || drop(n.spawn(a_while())));
            assert!(!dropped.is_set(), "the child has it");
            NUMBER.scope(3, async { checkpoint().await }).await;
            assert!(NUMBER.try_get().is_none(), "the body has its own");
        })
        .await;
        assert!(dropped.is_set());
    });
}
