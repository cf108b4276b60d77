//! 95 to 102: what else the core does.

use trioxide_runtime::{Nursery, RunVar, nursery, run, task_local};
use trioxide_testing::on_each;

use crate::common::{ALL, Flag, Never, panic_in};

task_local! { static VALUE: &'static str = "start" }

#[test]
fn c099_a_child_has_a_copy_of_the_locals_of_its_spawner() {
    on_each(ALL, async || {
        let changed = Flag::default();
        nursery(async |n: Nursery<Never>| {
            let (set, wait) = (changed.clone(), changed.clone());
            n.spawn(VALUE.scope("child", async move {
                assert_eq!(VALUE.get(), "child");
                set.set();
            }));
            wait.wait().await;
            assert_eq!(VALUE.get(), "start", "the child's change does not leak");
        })
        .await;
    });
}

#[test]
fn c099_later_changes_in_the_parent_are_seen_by_later_children_only() {
    on_each(ALL, async || {
        let go = Flag::default();
        nursery(async |n: Nursery<Never>| {
            let child = |expected: &'static str| {
                let go = go.clone();
                async move {
                    go.wait().await;
                    assert_eq!(VALUE.get(), expected);
                }
            };
            n.spawn(child("start"));
            VALUE.scope("first", async { n.spawn(child("first")).id() }).await;
            VALUE.scope("second", async { n.spawn(child("second")).id() }).await;
            go.set();
        })
        .await;
    });
}

static VARIABLE: RunVar<u32> = RunVar::new("VARIABLE");
static OTHER: RunVar<u32> = RunVar::with_default("OTHER", || 40);

#[test]
fn c100_run_variables_are_set_read_and_reset() {
    on_each(ALL, async || {
        assert_eq!(VARIABLE.try_get(), None);
        let text = panic_in(|| VARIABLE.get());
        assert!(text.starts_with("trioxide: the variable `VARIABLE` is not set in this run"), "{text}");
        assert_eq!(OTHER.get(), 40);

        let first = VARIABLE.set(1);
        let second = VARIABLE.set(2);
        nursery(async |n: Nursery<Never>| {
            n.spawn(async { assert_eq!(VARIABLE.get(), 2) });
        })
        .await;
        VARIABLE.reset(second); // taken by value: a token is used once, the compiler sees to it
        assert_eq!(VARIABLE.get(), 1);
        VARIABLE.reset(first);
        assert_eq!(VARIABLE.try_get(), None, "unset again");
    });
}

#[test]
fn c100_a_token_fits_its_own_variable_and_run_only() {
    let kept = run(async {
        // One type, two variables: what the types let through, the run finds.
        let text = panic_in(|| OTHER.reset(VARIABLE.set(1)));
        assert!(text.contains("with the token of another variable"), "{text}");
        VARIABLE.set(3)
    });
    run(async {
        let text = panic_in(|| VARIABLE.reset(kept));
        assert!(text.contains("with a token of another run"), "{text}");
    });
}

#[test]
fn c100_outside_a_run_a_run_variable_is_an_error() {
    for text in [panic_in(|| VARIABLE.get()), panic_in(|| VARIABLE.set(1))] {
        assert!(text.contains("of the run variable `VARIABLE` outside a run"), "{text}");
    }
    assert_eq!(OTHER.try_get(), None);
}
