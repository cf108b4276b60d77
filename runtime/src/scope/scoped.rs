//! The future of a scope: polls its inside, and drops it when the scope is cancelled.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use pin_project_lite::pin_project;

use super::guard::Settled;
use super::node::Node;
use super::node::flag::{HOLDER, SHIELD};
use super::reason::{CancelReason, CancelSource, Cancelled};
use crate::context;
use crate::primitives::atomic::Ordering::Relaxed;

/// When a scope ends by itself. A relative deadline counts from entry, which is the first poll.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Deadline {
    Never,
    After(Duration),
    At(Instant),
}

pin_project! {
    /// See the module.
    pub(crate) struct Scoped<F> {
        #[pin]
        inside: Option<F>,
        node: Entered,
        deadline: Deadline,
        // The node as the waker of a shield's inside: so it is seen whether the shield is still polled.
        own_waker: Option<Waker>,
        operation: &'static str,
    }
}

/// A node that leaves the tree with its future.
struct Entered {
    node: Option<Arc<Node>>,
    /// Of the node that is made at entry if none was given.
    flags: u32,
    entered: bool,
    armed: bool,
}

impl<F: Future> Scoped<F> {
    /// A scope with a node of its own, made at entry with `flags`.
    pub(crate) fn new(operation: &'static str, flags: u32, deadline: Deadline, inside: F) -> Self {
        let node = Entered { node: None, flags, entered: false, armed: false };
        Self { inside: Some(inside), node, deadline, own_waker: None, operation }
    }

    /// A scope on `node`, which is not yet attached.
    pub(crate) fn on(operation: &'static str, node: Arc<Node>, deadline: Deadline, inside: F) -> Self {
        let node = Entered { node: Some(node), flags: 0, entered: false, armed: false };
        Self { inside: Some(inside), node, deadline, own_waker: None, operation }
    }
}

impl Entered {
    fn node(&self) -> &Arc<Node> {
        self.node.as_ref().expect("a scope has its node until it has ended")
    }

    fn enter(&mut self, deadline: &mut Deadline, operation: &'static str) {
        let place = context::place(operation);
        match &self.node {
            // `CancelScope::run` takes the scope by value, so it has not been entered before.
            Some(node) => node.attach(place),
            None => self.node = Some(Node::attached(self.flags, place)),
        }
        self.entered = true;
        // One look at the clock.
        let past = match *deadline {
            Deadline::Never => return,
            Deadline::After(after) => {
                *deadline = crate::time::deadline_after(after, operation).map_or(Deadline::Never, Deadline::At);
                after.is_zero()
            }
            Deadline::At(at) => crate::time::now() >= at,
        };
        if past {
            self.node().cancel(CancelReason::of(CancelSource::Deadline));
        }
    }

    /// The scope stays suspended: from here on its deadline must be able to wake it.
    fn arm(&mut self, deadline: Deadline) {
        if let Deadline::At(at) = deadline
            && !self.armed
        {
            self.armed = true;
            self.node().arm_deadline(at, CancelSource::Deadline);
        }
    }

    fn leave(&mut self) {
        if let Some(node) = self.node.take()
            && self.entered
        {
            node.let_go();
            node.detach();
        }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.leave();
    }
}

impl<F: Future> Future for Scoped<F> {
    type Output = Result<F::Output, Cancelled>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if !this.node.entered {
            this.node.enter(this.deadline, this.operation);
        }
        let node = this.node.node();
        let holder = node.flags.load(Relaxed) & HOLDER != 0;
        if holder {
            node.answer();
            node.set_owner(cx.waker());
            this.own_waker.get_or_insert_with(|| Waker::from(Arc::clone(node)));
        }
        let inside = this.inside.as_mut().as_pin_mut().expect("a scope is not polled after its end");
        let polled = context::with_node(node, || match this.own_waker {
            Some(waker) => inside.poll(&mut Context::from_waker(waker)),
            None => inside.poll(cx),
        });
        if let Poll::Ready(output) = polled {
            this.inside.set(None);
            this.node.leave();
            return Poll::Ready(Ok(output));
        }
        // Register first, then look (N3).
        if holder {
            node.hold();
        } else {
            node.set_owner(cx.waker());
        }
        this.node.arm(*this.deadline);
        let node = this.node.node();
        // A holder sees to its own inside; of other scopes the outermost one does.
        let ours = node.is_effective() && (holder || !context::is_cancelled());
        if ours && node.settle(context::task_is_due(), cx) == Settled::Free {
            let reason = node.reason();
            this.inside.set(None);
            this.node.leave();
            return Poll::Ready(Err(Cancelled { reason }));
        }
        Poll::Pending
    }
}

impl Node {
    /// Cancels the node at `at`, unless an earlier deadline is set. A deadline that has passed takes effect when the worker next looks
    /// at its timers.
    pub(super) fn arm_deadline(self: &Arc<Self>, at: Instant, source: CancelSource) {
        let Some(place) = self.place() else { return };
        let mut inner = self.inner.lock();
        if !inner.active || inner.deadline.is_some_and(|earlier| earlier <= at) {
            return;
        }
        inner.deadline = Some(at);
        let old = inner.timer.disarm();
        crate::time::arm_node(&inner.timer, place.runtime, at, self, source);
        drop(inner);
        drop(old);
    }
}

/// Runs `future` to its end even if the surrounding scope is cancelled; that scope waits for it.
///
/// Use it for short work that must not be cut half-way. What runs inside can still be cancelled by scopes inside.
/// After Trio's `CancelScope(shield=True)`.
///
/// # Cancellation
///
/// Not cut by the scopes around it: they go on polling until `future` has ended. Only dropping it by other means (a foreign `select!`)
/// ends it early. As any future of the library it is a checkpoint only where `future` is.
///
/// # Panics
///
/// When polled outside a run; and with the panic of `future`.
///
/// ```
/// use trioxide_runtime::{CancelScope, checkpoint, run, shield};
/// run(async {
///     let scope = CancelScope::new();
///     let handle = scope.handle();
///     let mut saved = false;
///     let outcome = scope
///         .run(async {
///             handle.cancel("enough");
///             shield(checkpoint()).await; // would be cut here without the shield
///             saved = true;
///             checkpoint().await;
///         })
///         .await;
///     assert!(saved && outcome.is_err());
/// });
/// ```
pub async fn shield<F: Future>(future: F) -> F::Output {
    let scoped = Scoped::new("shield", SHIELD | HOLDER, Deadline::Never, future);
    match scoped.await {
        Ok(output) => output,
        Err(_) => unreachable!("nobody holds a handle to the scope of a shield"),
    }
}
