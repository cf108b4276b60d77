//! `CancelScope` and its handle.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::deadline::{Deadline, FromNow, Stage};
use super::node::Node;
use super::node::flag::{CAUGHT, SHIELD};
use super::reason::{CancelReason, Cancelled};
use super::scoped::{Scoped, Unentered};

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
    /// Made when somebody wants a handle. Nobody else can reach a scope before it waits for something, so without one it runs as a time-out does, which
    /// may not need a node at all (`unmade`).
    node: OnceLock<Unentered>,
    /// What the node begins with.
    deadline: Deadline,
    flags: u32,
}

impl CancelScope {
    /// A scope without a deadline.
    pub fn new() -> Self {
        Self { node: OnceLock::new(), deadline: Deadline::Never, flags: 0 }
    }

    /// Sets, moves or takes away the deadline, as [`ScopeHandle::set_deadline`] does.
    pub fn set_deadline(&self, deadline: Option<Instant>) {
        self.handle().set_deadline(deadline);
    }

    /// Sets a deadline that counts from entry.
    pub fn set_deadline_after(&self, after: Duration) {
        self.handle().set_deadline_after(after);
    }

    /// Switches the shield, as [`ScopeHandle::set_shield`] does.
    pub fn set_shield(&self, on: bool) {
        self.handle().set_shield(on);
    }

    /// Cancels the scope when `after` has passed since it was entered.
    pub fn deadline_after(self, after: Duration) -> Self {
        self.with_deadline(Deadline::After(after))
    }

    /// Cancels the scope at `at`, a moment of the run's clock.
    pub fn deadline_at(self, at: Instant) -> Self {
        self.with_deadline(Deadline::At(at))
    }

    fn with_deadline(mut self, deadline: Deadline) -> Self {
        // A second one must not take back a first that has passed.
        if self.node.get().is_none() && self.deadline == Deadline::Never {
            self.deadline = deadline;
        } else {
            self.node().set_deadline(deadline);
        }
        self
    }

    /// Keeps out cancellation by the scopes around it, which wait for it. Its own deadline and handle still cancel it.
    pub fn shield(mut self) -> Self {
        match self.node.get() {
            Some(Unentered(node)) => node.set_shield(true),
            None => self.flags |= SHIELD,
        }
        self
    }

    /// A handle that cancels this scope from anywhere, before, while and after it runs.
    pub fn handle(&self) -> ScopeHandle {
        ScopeHandle { node: Arc::clone(self.node()) }
    }

    fn node(&self) -> &Arc<Node> {
        let made = || Unentered(Node::unattached_until(self.flags, self.deadline));
        &self.node.get_or_init(made).0
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
    #[inline]
    pub fn run<F: Future>(self, future: F) -> impl Future<Output = Result<F::Output, Cancelled>> {
        let node = self.node.into_inner();
        let scoped = match &node {
            Some(Unentered(node)) => Scoped::on("CancelScope::run", Arc::clone(node), future),
            None => Scoped::new("CancelScope::run", self.flags, self.deadline, future),
        };
        // The map has it, so it is dropped after the scope.
        scoped.map(move |outcome| {
            let _ = &node;
            outcome
        })
    }
}

impl Default for CancelScope {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for CancelScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.node().describe("CancelScope", f)
    }
}

/// Cancels a scope or nursery from any task or thread. It keeps nothing alive but a few words of memory.
#[derive(Clone)]
pub struct ScopeHandle {
    pub(crate) node: Arc<Node>,
}

impl ScopeHandle {
    /// Cancels the scope: from now on every suspension in it is cut. Idempotent; the first reason stays. Does not wait for what is cut; but when it
    /// returns, everything in the scope knows.
    pub fn cancel(&self, reason: impl Into<CancelReason>) {
        self.node.cancel(CancelReason::asked(reason));
    }

    /// The soft cancel: [`stopping`](crate::stopping) resolves in the scope now, and after `grace` the scope is cancelled.
    ///
    /// On a scope that has not been entered, the stop takes effect at entry, and the grace counts from there. A second stop may shorten the grace,
    /// not lengthen it. The grace is a limit beside the deadline; [`set_deadline`](Self::set_deadline) does not touch it.
    pub fn stop(&self, grace: Duration) {
        self.node.stop(grace);
    }

    /// Whether the scope itself was cancelled, or its deadline has passed. Says nothing of whether that cut anything.
    ///
    /// A deadline that has passed is final from here on: a later one does not take it back.
    pub fn cancel_called(&self) -> bool {
        self.node.cancel_called()
    }

    /// Whether the scope has cut its future, and said so with [`Cancelled`]. Not if that had completed, or if a scope around did the cutting.
    pub fn cancelled_caught(&self) -> bool {
        self.node.has(CAUGHT)
    }

    /// Sets, moves or takes away the deadline, at any time. A moment in the past cancels at once, or at entry. There is no way back from a
    /// deadline that has passed. After the scope's end nothing happens.
    ///
    /// ```
    /// use std::time::Duration;
    /// use trioxide_runtime::{CancelScope, CancelSource, now, run, sleep_forever};
    /// run(async {
    ///     let scope = CancelScope::new().deadline_after(Duration::from_secs(3600));
    ///     let handle = scope.handle();
    ///     let outcome = scope
    ///         .run(async {
    ///             handle.set_deadline(Some(now() + Duration::from_millis(1))); // less time than was thought
    ///             sleep_forever().await;
    ///         })
    ///         .await;
    ///     assert_eq!(outcome.unwrap_err().reason().source(), CancelSource::Deadline);
    /// });
    /// ```
    pub fn set_deadline(&self, deadline: Option<Instant>) {
        self.node.set_deadline(deadline.map_or(Deadline::Never, Deadline::At));
    }

    /// As [`set_deadline`](Self::set_deadline), relative: to entry, or if the scope was entered already, to now.
    pub fn set_deadline_after(&self, after: Duration) {
        self.node.set_deadline(Deadline::After(after));
    }

    /// The moment of the deadline; `None`: it has none, or a relative one and was not entered yet.
    pub fn deadline(&self) -> Option<Instant> {
        self.node.deadline()
    }

    /// How long the scope may take from now on, or, before entry, from entry on. `None`: as long as it likes. Before entry a deadline that is a moment
    /// counts from now.
    pub fn time_left(&self) -> Option<Duration> {
        self.node.time_left()
    }

    /// Switches the shield: whether cancellation of the scopes around stays out. Takes effect at once, also on what is suspended in the scope.
    ///
    /// A shield that comes too late, when something in the scope was cut already by a scope around, gives way: what was cut
    /// has no value to give, so the scope is cut, too, and [`is_shielded`](Self::is_shielded) is false again.
    pub fn set_shield(&self, on: bool) {
        self.node.set_shield(on);
    }

    /// Whether the shield is on.
    pub fn is_shielded(&self) -> bool {
        self.node.has(SHIELD)
    }
}

impl fmt::Debug for ScopeHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.node.describe("ScopeHandle", f)
    }
}

impl Node {
    /// The text of a scope: where it is in its life, whether it was cancelled and why, its shield, and how far away its deadline is.
    fn describe(self: &Arc<Self>, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match self.stage() {
            Stage::Unentered => "not entered",
            Stage::Running => "running",
            Stage::Ended => "ended",
        };
        let mut text = f.debug_struct(name);
        text.field("stage", &format_args!("{stage}"));
        if self.cancel_called() {
            text.field("cancelled", &format_args!("{}", self.reason()));
        }
        if self.has(SHIELD) {
            text.field("shield", &true);
        }
        match self.deadline_from_now() {
            Some(FromNow::Relative(after)) => text.field("deadline", &format_args!("{after:?} after entry")),
            Some(FromNow::In(left)) => text.field("deadline", &format_args!("in {left:?}")),
            Some(FromNow::Ago(passed)) => text.field("deadline", &format_args!("{passed:?} ago")),
            None => &mut text,
        };
        text.finish()
    }
}
