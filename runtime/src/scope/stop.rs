//! The two phases of stopping: ask, and after a grace cancel.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::deadline::Deadline;
use super::node::Node;
use super::node::flag::{CUT_ON_STOP, SHIELD, STOPPING};
use super::reason::{CancelReason, CancelSource};
use super::scoped::Scoped;
use crate::primitives::atomic::Ordering::{AcqRel, Relaxed};

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
    /// The soft cancel: `until_stopping` below ends now; after `grace` the node is cancelled.
    pub(crate) fn stop(self: &Arc<Self>, grace: Duration) {
        self.spread_stop();
        self.stop_after(grace);
    }

    /// Takes over a stop from above: when the node is attached, or its shield was switched off.
    pub(super) fn follow_stop(self: &Arc<Self>) {
        if !self.has(SHIELD) && self.parent().is_some_and(|parent| parent.has(STOPPING)) {
            self.spread_stop();
        }
    }

    fn spread_stop(self: &Arc<Self>) {
        let mut todo = vec![Arc::clone(self)];
        let mut cut = Vec::new();
        while let Some(node) = todo.pop() {
            let inner = node.inner.lock();
            let flags = node.flags.load(Relaxed);
            if flags & STOPPING != 0 || (flags & SHIELD != 0 && !Arc::ptr_eq(&node, self)) {
                continue;
            }
            node.flags.fetch_or(STOPPING, AcqRel);
            node.children(&inner, true, &mut todo);
            drop(inner);
            if flags & CUT_ON_STOP != 0 {
                cut.push(node);
            }
        }
        for node in cut {
            node.cancel(CancelReason::of(CancelSource::Stopped));
        }
    }
}
