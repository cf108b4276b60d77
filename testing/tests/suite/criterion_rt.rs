//! Criterion's async benches: they run on our workers, whole batches in one run each, and a panic comes out.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use criterion::async_executor::AsyncExecutor;
use criterion::{BatchSize, Criterion};
use trioxide_runtime::{Runtime, nursery};
use trioxide_testing::CriterionRuntime;

fn runtime() -> CriterionRuntime {
    Runtime::builder().workers(2).build().unwrap().into()
}

#[test]
fn a_bench_runs_in_a_nursery_of_ours_as_often_as_criterion_asks() {
    let (runtime, iterations) = (runtime(), AtomicUsize::new(0));
    let brief = Duration::from_millis(1);
    let criterion = Criterion::default().sample_size(10).nresamples(10).warm_up_time(brief).measurement_time(brief);
    let mut criterion = criterion.output_directory(env!("CARGO_TARGET_TMPDIR").as_ref());
    let routine = || {
        iterations.fetch_add(1, Relaxed);
        nursery(async |n| drop(n.spawn(async {})))
    };
    criterion.bench_function("by reference", |bencher| bencher.to_async(&runtime).iter(routine));
    let once = iterations.swap(0, Relaxed);
    assert!(once >= 10, "{once} iterations");
    criterion.bench_function("by value", |bencher| {
        bencher.to_async(self::runtime()).iter_batched(|| (), |()| routine(), BatchSize::SmallInput);
    });
    assert!(iterations.load(Relaxed) >= 10);
}

#[test]
fn it_gives_the_output_also_of_what_borrows_and_the_panic() {
    let (runtime, text) = (runtime(), String::from("borrowed"));
    assert_eq!(runtime.block_on(async { text.len() }), 8);
    let panic = catch_unwind(AssertUnwindSafe(|| runtime.block_on(async { panic!("a bench fails") })));
    assert_eq!(panic.unwrap_err().downcast_ref(), Some(&"a bench fails"));
    assert_eq!(runtime.block_on(async { 1 }), 1, "and goes on");
}
