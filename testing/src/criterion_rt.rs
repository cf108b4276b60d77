//! Criterion's async benches on trioxide (feature `criterion`).

use std::future::Future;

use criterion::async_executor::AsyncExecutor;
use trioxide_runtime::Runtime;

/// What criterion 0.8 runs async benches on: `bencher.to_async(&runtime)`.
///
/// One run lasts for one call of the routine that criterion makes, that is a batch of iterations, which are awaited one after the other in the main task.
/// With [`AsyncBencher::iter`](criterion::AsyncBencher::iter) a batch begins and ends inside of the run, so the start of the run is not measured; the workers are started once, when the runtime is built.
///
/// ```
/// use std::time::Duration;
/// use criterion::Criterion;
/// use trioxide_runtime::{Runtime, nursery};
/// use trioxide_testing::CriterionRuntime;
///
/// let runtime = CriterionRuntime::from(Runtime::builder().workers(2).build().unwrap());
/// let mut criterion = Criterion::default().sample_size(10).warm_up_time(Duration::from_millis(1)).measurement_time(Duration::from_millis(1));
/// criterion.bench_function("a nursery with a child", |bencher| {
///     bencher.to_async(&runtime).iter(|| nursery(async |n| drop(n.spawn(async {}))));
/// });
/// ```
///
/// # Panics
///
/// As [`Runtime::run`]: with the panic of the bench; inside a run.
#[derive(Debug)]
pub struct CriterionRuntime(Runtime);

impl From<Runtime> for CriterionRuntime {
    fn from(runtime: Runtime) -> CriterionRuntime {
        CriterionRuntime(runtime)
    }
}

impl AsyncExecutor for CriterionRuntime {
    fn block_on<T>(&self, bench: impl Future<Output = T>) -> T {
        self.0.run(bench)
    }
}

impl AsyncExecutor for &CriterionRuntime {
    fn block_on<T>(&self, bench: impl Future<Output = T>) -> T {
        self.0.run(bench)
    }
}
