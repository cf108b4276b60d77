//! The future of a scope: polls its inside, and drops it when the scope is cancelled.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use pin_project_lite::pin_project;

use super::deadline::Deadline;
use super::finally::cut;
use super::guard::Settled;
use super::node::Node;
use super::node::flag::{ATTACHED, CANCELLED, CAUGHT, CUT_ON_STOP, EFFECTIVE, HOLDER, HOLDING, SHIELD, SUSPECT, WOKEN};
use super::reason::{CancelReason, CancelSource, Cancelled};
use super::unmade::with_unmade;
use crate::context;
use crate::primitives::atomic::Ordering::{Acquire, Relaxed};

pin_project! {
    /// See the module.
    pub(crate) struct Scoped<F> {
        #[pin]
        inside: Option<F>,
        node: Entered,
        // The node as the waker of a holder's inside: so it is seen whether the holder is still polled (`guard`).
        own_waker: Option<Waker>,
        // Also where nothing around is cancelled: for whoever polls the scope only if its node was woken.
        always_own: bool,
        operation: &'static str,
    }
}

/// A node that leaves the tree with its future.
struct Entered {
    node: Option<Arc<Node>>,
    /// Of the node that is made if none was given.
    flags: u32,
    deadline: Deadline,
    entered: bool,
    /// Has been suspended.
    armed: bool,
}

/// A node that is not attached yet. Dropped so, it is at its end.
pub(super) struct Unentered(pub(super) Arc<Node>);

impl Drop for Unentered {
    fn drop(&mut self) {
        if self.0.flags.load(Relaxed) & ATTACHED == 0 {
            self.0.detach();
        }
    }
}

impl<F: Future> Scoped<F> {
    /// A scope whose node is made with `flags`, when it is needed.
    pub(crate) fn new(operation: &'static str, flags: u32, deadline: Deadline, inside: F) -> Self {
        let node = Entered { node: None, flags, deadline, entered: false, armed: false };
        Self { inside: Some(inside), node, own_waker: None, always_own: false, operation }
    }

    /// A scope on `node`, which is not yet attached.
    pub(crate) fn on(operation: &'static str, node: Arc<Node>, inside: F) -> Self {
        let node = Entered { node: Some(node), flags: 0, deadline: Deadline::Never, entered: false, armed: false };
        Self { inside: Some(inside), node, own_waker: None, always_own: true, operation }
    }
}

impl Entered {
    /// Before each poll. Afterwards the scope has a node, or can do without (`unmade`).
    fn begin(&mut self, operation: &'static str) {
        let watches = self.flags != 0 || self.deadline != Deadline::Never;
        if self.entered && (self.node.is_some() || !watches) {
            return;
        }
        // `CancelScope::run` takes the scope by value, so it has not been entered before.
        if let Some(node) = &self.node {
            self.entered = true;
            return node.attach(context::place(operation));
        }
        // One look at the clock.
        let now = match self.deadline {
            Deadline::Never => {
                context::task(operation); // Outside of one it panics, as the clock does.
                None
            }
            _ => Some(crate::time::now_for(operation)),
        };
        if let Some(now) = now
            && !self.entered
        {
            self.deadline = self.deadline.from(now);
        }
        self.entered = true;
        let past = now.is_some_and(|now| self.deadline.at().is_some_and(|at| at <= now));
        let holds = self.is_holder() && context::is_cancelled();
        if past || holds || self.flags & CUT_ON_STOP != 0 || context::tracks() {
            let node = self.make(operation);
            if past {
                node.cancel(CancelReason::of(CancelSource::Deadline));
            }
        }
    }

    /// Whether the node that is made would hold while its inside is suspended.
    fn is_holder(&self) -> bool {
        self.flags & (HOLDER | SHIELD) != 0
    }

    fn make(&mut self, operation: &'static str) -> &Arc<Node> {
        let (flags, deadline) = (self.flags, self.deadline);
        self.node.get_or_insert_with(|| Node::attached_until(flags, context::place(operation), deadline))
    }

    /// The scope stays suspended: from here on its deadline must be able to wake it, wherever it is polled. `answered`: it has stored its waker.
    fn suspend(&mut self, operation: &'static str, answered: bool, cx: &Context<'_>) -> &Arc<Node> {
        let armed = std::mem::replace(&mut self.armed, true);
        let node = self.make(operation);
        match (armed, answered) {
            (false, _) => node.arm(cx.waker()),
            (true, false) => node.set_owner(cx.waker()),
            (true, true) => {}
        }
        let place = node.place().expect("an entered scope is attached");
        if !context::is_task(place.task_id) {
            node.move_to(context::hold_runtime("CancelScope::run"));
        }
        node
    }

    fn leave(&mut self) {
        if let Some(node) = self.node.take()
            && self.entered
        {
            node.detach();
            node.let_go();
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
        let operation = *this.operation;
        this.node.begin(operation);
        let mut deliver = !this.node.node.as_ref().map_or_else(context::is_cancelled, |node| node.is_effective());
        loop {
            let inside = this.inside.as_mut().as_pin_mut().expect("a scope is not polled after its end");
            let mut holder = false;
            let unmade = this.node.node.is_none();
            let yields = context::yields();
            let polled = if let Some(node) = &this.node.node {
                holder = node.flags.load(Acquire) & (HOLDER | SHIELD) != 0;
                if holder {
                    node.answer(cx.waker());
                    if this.own_waker.is_none() && (*this.always_own || context::is_cancelled()) {
                        *this.own_waker = Some(Waker::from(Arc::clone(node)));
                    }
                }
                context::with_node(node, || match this.own_waker {
                    Some(waker) => inside.poll(&mut Context::from_waker(waker)),
                    None => inside.poll(cx),
                })
            } else {
                let due = context::task_is_due();
                let Entered { node, flags, deadline, .. } = &mut *this.node;
                let polled = with_unmade(operation, *flags, *deadline, node, || inside.poll(cx));
                // It has only yielded: whoever woke the task meanwhile has it poll us again.
                if polled.is_pending()
                    && this.node.node.is_none()
                    && !due
                    && context::task_is_due()
                    && context::is_tasks_own(cx)
                {
                    if this.node.is_holder() {
                        context::note_yield();
                    }
                    return Poll::Pending;
                }
                polled
            };
            if let Poll::Ready(output) = polled {
                this.inside.set(None);
                this.node.leave();
                return Poll::Ready(Ok(output));
            }
            // Register first, then look (N3).
            let node = this.node.suspend(operation, holder, cx);
            let flags = node.flags.load(Acquire);
            if unmade && flags & (HOLDER | SHIELD) != 0 && flags & (WOKEN | SUSPECT) != 0 {
                continue; // Woken as soon as it was made, while its inside was being polled: it has not answered (`owner` O1).
            }
            if flags & HOLDER != 0 {
                node.hold();
            } else if flags & (SHIELD | HOLDING) == SHIELD {
                node.hold_if_shielded();
            }
            let held = yields != context::yields(); // U2 of `unmade`.
            if !is_ours(node) || held || node.settle(context::task_is_due(), cx) == Settled::Held {
                return Poll::Pending;
            }
            // Cancelled during this poll, as something was woken: what was completed before the cancel is delivered first.
            if std::mem::take(&mut deliver) && context::task_is_due() {
                continue;
            }
            let reason = node.reason();
            node.set(CAUGHT);
            this.inside.set(None);
            this.node.leave();
            return Poll::Ready(Err(Cancelled { reason }));
        }
    }
}

/// Whether this suspended scope is the one to drop its inside: a holder sees to that for itself, of other scopes the outermost that is cancelled.
fn is_ours(node: &Node) -> bool {
    let flags = node.flags.load(Acquire);
    match flags & (HOLDER | SHIELD) {
        0 if flags & EFFECTIVE == 0 || context::is_cancelled() => false,
        // Not cancelled itself. If it is polled where it was entered, a shield around is just being switched on, and this node not reached yet. Otherwise
        // it was moved out of the scope that is cancelled, and nobody else will see to it.
        0 => flags & CANCELLED != 0 || !context::is_below_parent_of(node),
        // Not `EFFECTIVE`: a shield that is just being switched on has not yet taken that back.
        SHIELD => flags & CANCELLED != 0,
        _ => flags & EFFECTIVE != 0,
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
/// When polled outside a run; and with the panic of `future`. And when it is polled again after a cancelled scope has given it up, because foreign code
/// had left it aside.
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
        // Nobody has polled it when it was to answer a cancel, so it was given up (`guard`); and now somebody does.
        Err(_) => cut("shield").await,
    }
}
