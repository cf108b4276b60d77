//! The two phases of stopping: ask, and after a grace cancel.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::node::Node;
use super::node::flag::CUT_ON_STOP;
use super::reason::CancelSource;
use super::scoped::{Deadline, Scoped};

/// Runs `future` until the surrounding scope is asked to stop; `None` if that came first.
///
/// What an accept loop wraps its `accept` in: with [`stop`](crate::ScopeHandle::stop) the loop ends at once, and the connections that it has
/// spawned have the grace to finish.
///
/// # Cancellation
///
/// As [`move_on_after`](crate::move_on_after), with the stop in place of the deadline.
///
/// # Panics
///
/// When polled outside a run; and with the panic of `future`.
///
/// ```
/// use std::time::Duration;
/// use trioxide_runtime::{nursery, run, sleep_forever, until_stopping};
/// run(nursery(async |n| {
///     n.stop(Duration::from_secs(5));
///     assert_eq!(until_stopping(sleep_forever()).await, None);
/// }));
/// ```
pub async fn until_stopping<F: Future>(future: F) -> Option<F::Output> {
    Scoped::new("until_stopping", CUT_ON_STOP, Deadline::Never, future).await.ok()
}

/// Waits until the surrounding scope is asked to stop.
///
/// # Cancellation
///
/// A checkpoint; nothing is lost.
///
/// # Panics
///
/// When polled outside a run.
pub async fn stopping() {
    let _ = Scoped::new("stopping", CUT_ON_STOP, Deadline::Never, crate::time::sleep_forever()).await;
}

impl Node {
    /// Sets the deadline to `grace` from now, unless an earlier one is set.
    pub(super) fn stop_after(self: &Arc<Self>, grace: Duration) {
        // The lock is held for a moment to ask whether the run is still there (`node` N6).
        let now = {
            let inner = self.inner.lock();
            self.place().filter(|_| inner.active).map(|place| crate::time::runtime_now(place.runtime))
        };
        if let Some(at) = now.and_then(|now| now.checked_add(grace)) {
            self.arm_deadline(at, CancelSource::Stopped);
        }
    }
}
