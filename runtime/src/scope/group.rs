//! `CancelGroup`: one handle that cancels any number of scopes that have nothing else in common.
//!
//! Invariant **R1** Under the lock: either the reason is not set, and the members are all who are to be cancelled by it; or it is set, and who joins is
//! cancelled by the one who lets it join. Members are cancelled outside the lock, because that runs foreign wakers; they stay listed, so that a second
//! cancel goes to all of them, too, and comes back only when all have been reached (`cancel`).
//!
//! A member is held weakly, so a scope that has ended costs a few words until the list is next swept: when it has doubled.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Weak};

use super::cancel_scope::{CancelScope, ScopeHandle};
use super::node::Node;
use super::node::flag::GONE;
use super::reason::{CancelReason, Cancelled};
use crate::primitives::Mutex;

/// Cancels any number of scopes and nurseries at once, wherever they are: in other tasks, nurseries, runs and threads.
///
/// Scopes in a tree are cancelled through the scope around them. This is for those that have none in common but belong together all the same: all requests of
/// one tenant, say, or all that uses one connection. A scope may be in several groups, may join before, while and after it runs, and leaves them with
/// its end. A group that is cancelled stays so: who joins afterwards is cancelled at once.
///
/// A handle: clones are the same group. Dropping all of them cancels nothing. After `MultiCancelScope` of tricycle, which Trio's users ask for (#886).
///
/// ```
/// use trioxide_runtime::{CancelGroup, nursery, run, sleep_forever};
/// run(async {
///     let tenant = CancelGroup::new();
///     nursery(async |n| {
///         for _ in 0..3 {
///             let scope = tenant.scope();
///             n.spawn(async move {
///                 let outcome = scope.run(sleep_forever()).await;
///                 assert_eq!(outcome.unwrap_err().reason().message(), Some("the tenant has left"));
///             });
///         }
///         tenant.cancel("the tenant has left"); // also those that have not begun
///     })
///     .await;
/// });
/// ```
#[derive(Clone)]
pub struct CancelGroup {
    shared: Arc<Mutex<Members>>,
}

/// See R1.
struct Members {
    reason: Option<CancelReason>,
    nodes: Vec<Weak<Node>>,
    /// How many were left after the last sweep.
    swept: usize,
}

/// Below this many members a sweep is not worth while.
const FEW: usize = 16;

impl CancelGroup {
    /// A group without members.
    pub fn new() -> Self {
        Self { shared: Arc::new(Mutex::new(Members { reason: None, nodes: Vec::new(), swept: 0 })) }
    }

    /// A new scope in the group. Cancelled already, if the group is.
    pub fn scope(&self) -> CancelScope {
        let scope = CancelScope::new();
        self.add(&scope.handle());
        scope
    }

    /// Runs `future` in a scope of the group: as [`CancelScope::run`].
    ///
    /// # Errors
    ///
    /// [`Cancelled`] if the group was cancelled and the future therefore dropped where it was suspended.
    ///
    /// # Cancellation
    ///
    /// As [`CancelScope::run`].
    ///
    /// # Panics
    ///
    /// When polled outside a run; and with the panic of `future`.
    pub async fn run<F: Future>(&self, future: F) -> Result<F::Output, Cancelled> {
        self.scope().run(future).await
    }

    /// Takes in a scope or nursery ([`Nursery::scope`](crate::Nursery::scope)). Cancels it at once if the group is cancelled. To add the same one again changes
    /// nothing.
    pub fn add(&self, scope: &ScopeHandle) {
        let (reason, _seen) = {
            let mut members = self.shared.lock();
            let seen = members.join(&scope.node);
            (members.reason.clone(), seen)
        };
        if let Some(reason) = reason {
            scope.node.cancel(reason);
        }
    }

    /// Cancels every member, now and in the future. Idempotent; the first reason stays. Does not wait for what is cut; but when it
    /// returns, everything in the members knows.
    pub fn cancel(&self, reason: impl Into<CancelReason>) {
        let reason = CancelReason::asked(reason);
        let (reason, nodes) = {
            let mut members = self.shared.lock();
            let reason = members.reason.get_or_insert(reason).clone();
            (reason, members.sweep())
        };
        for node in nodes {
            node.cancel(reason.clone());
        }
    }

    /// Whether the group was cancelled.
    pub fn cancel_called(&self) -> bool {
        self.shared.lock().reason.is_some()
    }

    /// How many scopes are in the group that have not ended. A snapshot, which looks at each.
    #[expect(clippy::len_without_is_empty, reason = "`is_empty` would ask for a decision on a snapshot")]
    pub fn len(&self) -> usize {
        let seen = self.shared.lock().sweep();
        seen.iter().filter(|node| !node.has(GONE)).count()
    }
}

impl Members {
    /// What it returns is to be dropped outside the lock: it may hold the last reference, and so run foreign code.
    #[must_use]
    fn join(&mut self, node: &Arc<Node>) -> Vec<Arc<Node>> {
        let crowded = self.nodes.len() >= FEW.max(2 * self.swept);
        let seen = if crowded { self.sweep() } else { Vec::new() };
        let node = Arc::downgrade(node);
        if !self.nodes.last().is_some_and(|last| last.ptr_eq(&node)) {
            self.nodes.push(node);
        }
        seen
    }

    /// Forgets who has ended, and who is listed twice. The others, as for `join`.
    #[must_use]
    fn sweep(&mut self) -> Vec<Arc<Node>> {
        let mut seen: Vec<_> = self.nodes.iter().filter_map(Weak::upgrade).collect();
        seen.sort_by_key(Arc::as_ptr);
        seen.dedup_by(|one, other| Arc::ptr_eq(one, other));
        self.nodes.clear();
        self.nodes.extend(seen.iter().filter(|node| !node.has(GONE)).map(Arc::downgrade));
        self.swept = self.nodes.len();
        seen
    }
}

impl Default for CancelGroup {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for CancelGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelGroup").field("len", &self.len()).field("cancel_called", &self.cancel_called()).finish()
    }
}
