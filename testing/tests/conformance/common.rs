//! What these tests share.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use parking_lot::Mutex;
use trioxide_runtime::Runtime;
use trioxide_testing::MockClock;

/// One worker, as many as there are cores or so, and more.
pub(crate) const ALL: &[usize] = &[1, 2, 8];

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A runtime with this clock.
pub(crate) fn with_clock(workers: usize, clock: &MockClock) -> Runtime {
    Runtime::builder().workers(workers).clock(clock.clone()).signals(false).build().unwrap()
}

/// What has happened, in order.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<&'static str>>>);

impl Log {
    pub(crate) fn note(&self, what: &'static str) {
        self.0.lock().push(what);
    }

    /// What has been noted since the last time.
    pub(crate) fn take(&self) -> Vec<&'static str> {
        std::mem::take(&mut *self.0.lock())
    }
}

/// The text of the panic of `f`.
pub(crate) fn panic_in<R>(f: impl FnOnce() -> R) -> String {
    text(catch_unwind(AssertUnwindSafe(f)))
}

/// The text of the panic of `future`.
pub(crate) async fn panic_of<F: Future>(future: F) -> String {
    text(AssertUnwindSafe(future).catch_unwind().await)
}

fn text<R>(outcome: Result<R, Box<dyn Any + Send>>) -> String {
    let Err(payload) = outcome else { panic!("it should have panicked") };
    match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => "(no text)".to_owned(),
    }
}
