//! `CancelScope` and its handle.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::node::Node;
use super::node::flag::{HOLDER, SHIELD};
use super::reason::{CancelReason, Cancelled};
use super::scoped::{Deadline, Scoped};

/// A region of a task that can be cancelled as a whole, with all that it has spawned.
///
/// Set up, hand out its [`handle`](Self::handle), then [`run`](Self::run) one future in it. After Trio's `CancelScope`.
///
/// ```
/// use trioxide_runtime::{CancelScope, run, sleep_forever};
/// run(async {
///     let scope = CancelScope::new();
///     scope.handle().cancel("not needed");
///     let outcome = scope.run(sleep_forever()).await;
///     assert_eq!(outcome.unwrap_err().reason().message(), Some("not needed"));
/// });
/// ```
#[must_use = "a scope does nothing until it runs a future"]
pub struct CancelScope {
    node: Arc<Node>,
    shield: bool,
    deadline: Deadline,
}

impl CancelScope {
    /// A scope without a deadline.
    pub fn new() -> Self {
        Self { node: Node::unattached(0), shield: false, deadline: Deadline::Never }
    }

    /// Cancels the scope when `after` has passed since it was entered.
    pub fn deadline_after(mut self, after: Duration) -> Self {
        self.deadline = Deadline::After(after);
        self
    }

    /// Cancels the scope at `at`, a moment of the run's clock.
    pub fn deadline_at(mut self, at: Instant) -> Self {
        self.deadline = Deadline::At(at);
        self
    }

    /// Keeps out cancellation by the scopes around it, which wait for it. Its own deadline and handle still cancel it.
    pub fn shield(mut self) -> Self {
        self.shield = true;
        self
    }

    /// A handle that cancels this scope from anywhere, before, while and after it runs.
    pub fn handle(&self) -> ScopeHandle {
        ScopeHandle { node: Arc::clone(&self.node) }
    }

    /// Runs `future` in the scope.
    ///
    /// # Errors
    ///
    /// [`Cancelled`] if the scope was cancelled and its future therefore dropped where it was suspended. A future that completes in a
    /// cancelled scope gives its result.
    ///
    /// # Cancellation
    ///
    /// A checkpoint only where `future` is. If a scope around this one is cancelled, too, that one does the dropping.
    ///
    /// # Panics
    ///
    /// When polled outside a run; and with the panic of `future`.
    pub async fn run<F: Future>(self, future: F) -> Result<F::Output, Cancelled> {
        if self.shield {
            self.node.set(SHIELD | HOLDER);
        }
        Scoped::on("CancelScope::run", self.node, self.deadline, future).await
    }
}

impl Default for CancelScope {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for CancelScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelScope")
            .field("cancel_called", &self.node.is_cancelled())
            .field("shield", &self.shield)
            .field("deadline", &self.deadline)
            .finish()
    }
}

/// Cancels a scope or nursery from any task or thread. It keeps nothing alive but a few words of memory.
#[derive(Clone)]
pub struct ScopeHandle {
    pub(crate) node: Arc<Node>,
}

impl ScopeHandle {
    /// Cancels the scope: from now on every suspension in it is cut. Idempotent; the first reason stays. Does not wait.
    pub fn cancel(&self, reason: impl Into<CancelReason>) {
        self.node.cancel(reason.into());
    }

    /// The soft cancel: [`stopping`](crate::stopping) resolves in the scope now, and after `grace` the scope is cancelled.
    ///
    /// On a scope that has not been entered, the stop takes effect at entry, and the grace is not counted.
    pub fn stop(&self, grace: Duration) {
        self.node.stop(grace);
    }

    /// Whether the scope itself was cancelled; says nothing of whether that cut anything.
    pub fn cancel_called(&self) -> bool {
        self.node.is_cancelled()
    }
}

impl fmt::Debug for ScopeHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopeHandle").field("cancel_called", &self.cancel_called()).finish()
    }
}
