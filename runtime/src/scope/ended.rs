//! Waiting for the end of a scope: of its future, of everything below it, and of the children of nurseries in it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::cancel_scope::ScopeHandle;
use super::node::Node;
use super::node::flag::GONE;
use super::reason::CancelReason;
use crate::context;

impl ScopeHandle {
    /// Waits until the scope and all in it have ended: nothing of it runs any more, and no clean-up is left to do.
    ///
    /// That includes children of nurseries and closures of blocking calls that were dropped half-way. A scope that was dropped without having been entered has ended, too. What
    /// was forgotten (`mem::forget`) ends with its task.
    ///
    /// # Cancellation
    ///
    /// A checkpoint; nothing is lost.
    ///
    /// # Panics
    ///
    /// Inside of the scope itself, which could then never end; and outside a run.
    ///
    /// ```
    /// use trioxide_runtime::{CancelScope, checkpoint, finally, nursery, run, sleep_forever};
    /// run(nursery(async |n| {
    ///     let scope = CancelScope::new();
    ///     let handle = scope.handle();
    ///     n.spawn(async { drop(scope.run(finally(sleep_forever(), checkpoint())).await) });
    ///     handle.cancel("make room");
    ///     handle.ended().await; // the clean-up is done
    /// }));
    /// ```
    pub async fn ended(&self) {
        self.wait("ended").await;
    }

    /// Cancels the scope and waits for its end: [`cancel`](Self::cancel), then [`ended`](Self::ended). From Trio's issue 658.
    ///
    /// # Cancellation
    ///
    /// A checkpoint. The scope is cancelled with the first poll, whatever becomes of the wait.
    ///
    /// # Panics
    ///
    /// Inside of the scope itself, before it cancels anything; and outside a run.
    pub async fn cancel_and_wait(&self, reason: impl Into<CancelReason>) {
        not_inside("cancel_and_wait", &self.node);
        self.cancel(reason);
        self.wait("cancel_and_wait").await;
    }

    fn wait(&self, operation: &'static str) -> Ended<'_> {
        Ended { node: &self.node, operation, key: None }
    }
}

/// A scope that waits for its own end would wait for ever.
fn not_inside(operation: &str, node: &Arc<Node>) {
    let current = context::current_node().unwrap_or_else(|| context::outside(operation));
    let mut at = Some(&current);
    while let Some(above) = at {
        assert!(
            !Arc::ptr_eq(above, node),
            "trioxide: `{operation}` was called inside of the scope that it waits for, which can not end before that; \
             call it from outside, or use `cancel`, which does not wait"
        );
        at = above.parent();
    }
}

/// The future of [`ScopeHandle::ended`].
struct Ended<'a> {
    node: &'a Arc<Node>,
    operation: &'static str,
    /// Our place among the waiters, once there is one.
    key: Option<u64>,
}

impl Future for Ended<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.key.is_none() {
            ready!(context::poll_checkpoint(cx, self.operation));
            not_inside(self.operation, self.node);
        }
        let waker = cx.waker().clone();
        let old = {
            let mut inner = self.node.inner.lock();
            if self.node.has(GONE) {
                return Poll::Ready(());
            }
            let waiters = &mut inner.extra().waiters;
            match self.key.and_then(|key| waiters.iter_mut().find(|(known, _)| *known == key)) {
                Some((_, known)) => Some(std::mem::replace(known, waker)),
                None => {
                    let key = waiters.last().map_or(0, |(last, _)| last + 1);
                    waiters.push((key, waker));
                    self.key = Some(key);
                    None
                }
            }
        };
        drop(old);
        Poll::Pending
    }
}

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        let Some(key) = self.key else { return };
        let gone = {
            let mut inner = self.node.inner.lock();
            let waiters = &mut inner.extra().waiters;
            waiters.iter().position(|(known, _)| *known == key).map(|at| waiters.remove(at))
        };
        drop(gone);
    }
}
