//! criterion's async benches on a [`Runtime`] (feature `criterion`).

use std::future::Future;

use ::criterion::async_executor::AsyncExecutor;

use crate::Runtime;

/// `bencher.to_async(&runtime)`: each iteration is a part of one run. [`Runtime::run`] says what a run does, and when it panics; switch
/// [signals](crate::Builder::signals) off, or control-C stops the run and not the bench.
///
/// ```
/// use criterion::Criterion;
/// use std::time::Duration;
/// use trioxide_runtime::{Runtime, checkpoint};
///
/// let runtime = Runtime::builder().workers(2).signals(false).build()?;
/// let quick = Criterion::default().sample_size(10).warm_up_time(Duration::from_millis(1));
/// # let output = std::env::temp_dir().join("trioxide-criterion");
/// # let quick = quick.output_directory(&output);
/// let mut criterion = quick.measurement_time(Duration::from_millis(5));
/// criterion.bench_function("checkpoint", |bencher| {
///     bencher.to_async(&runtime).iter(checkpoint);
/// });
/// # std::fs::remove_dir_all(output)?;
/// # Ok::<_, std::io::Error>(())
/// ```
impl AsyncExecutor for &Runtime {
    fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.run(future)
    }
}

/// As for a reference.
impl AsyncExecutor for Runtime {
    fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.run(future)
    }
}
