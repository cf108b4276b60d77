//! The same test on different runtimes: [`on_each`].

use crate::MockClock;
use std::future::poll_fn;
use std::task::Poll;
use trioxide_runtime::Runtime;

/// Runs `test` once for each number in `workers`, on a runtime of its own with so many workers. Control-C ends it at once: signals are off.
///
/// # Panics
///
/// Whatever `test` panics with; the number of workers goes to standard error. Also if a runtime cannot
/// be built.
///
/// ```
/// use trioxide_testing::on_each;
///
/// on_each(&[1, 2, 8], async || {
///     trioxide_runtime::checkpoint().await;
/// });
/// ```
pub fn on_each(workers: &[usize], test: impl AsyncFn()) {
    for &workers in workers {
        let _named = Named(workers);
        let runtime = Runtime::builder().workers(workers).signals(false).build();
        runtime.expect("a runtime can be built").run(test());
    }
}

/// As [`on_each`], on a [`MockClock`] that jumps ahead when everything waits; `test` is given the clock. A run in which nothing can run any more
/// [fails](trioxide_runtime::Builder::fail_on_deadlock).
///
/// # Panics
///
/// As [`on_each`].
pub fn on_each_with_clock(workers: &[usize], test: impl AsyncFn(MockClock)) {
    for &workers in workers {
        let _named = Named(workers);
        let clock = MockClock::autojump();
        let runtime = Runtime::builder().workers(workers).clock(clock.clone()).fail_on_deadlock(true);
        let runtime = runtime.signals(false).build();
        runtime.expect("a runtime can be built").run(test(clock));
    }
}

/// Says which runtime it was that a panicking test ran on.
pub(crate) struct Named(pub(crate) usize);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("note: the panic was on a runtime with {} worker(s)", self.0);
        }
    }
}

/// Pending once, having woken its task, then done: any other task may run in between.
///
/// Cancellation: not a checkpoint of its own, but a suspension, at which a cancelled scope drops it.
pub async fn pending_once() {
    let mut was_pending = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut was_pending, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
