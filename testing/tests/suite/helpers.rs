//! The small helpers.

use futures_util::poll;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::time::Duration;
use trioxide_runtime::{CancelScope, run};
use trioxide_testing::{CountDrops, on_each, on_each_with_clock, pending_once};

#[test]
fn on_each_runs_the_test_once_for_each_number() {
    let runs = Cell::new(0);
    on_each(&[1, 3], async || runs.set(runs.get() + 1));
    on_each_with_clock(&[2], async |clock| {
        assert_eq!(clock.elapsed(), Duration::ZERO);
        runs.set(runs.get() + 1);
    });
    assert_eq!(runs.get(), 3);
}

#[test]
fn on_each_passes_a_panic_on() {
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        on_each(&[1, 2], async || panic!("on purpose"));
    }));
    let panic = panicked.expect_err("it panics");
    assert_eq!(panic.downcast_ref(), Some(&"on purpose"));
}

#[test]
fn pending_once_is_pending_once() {
    run(async {
        let mut future = pin!(pending_once());
        assert!(poll!(future.as_mut()).is_pending());
        assert!(poll!(future.as_mut()).is_ready());
    });
}

#[test]
fn pending_once_is_cut_by_a_cancelled_scope() {
    run(async {
        let scope = CancelScope::new();
        scope.handle().cancel("the test wants it");
        assert!(scope.run(pending_once()).await.is_err());
    });
}

#[test]
fn drops_are_counted() {
    let drops = CountDrops::new();
    assert!(!drops.all_dropped());
    let (first, second) = (drops.guard(), drops.guard());
    drop(first);
    assert_eq!((drops.made(), drops.dropped()), (2, 1));
    assert!(!drops.all_dropped());
    drop(second);
    assert!(drops.all_dropped());
    assert_eq!(format!("{drops:?}"), "CountDrops { made: 2, dropped: 2 }");
}
