//! The future of a scope: polls its inside, and drops it when the scope is cancelled.

use std::future::Future;
use std::mem;
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
use super::unmade::Unmade;
use crate::context::{self, Around, Standing};
use crate::primitives::atomic::Ordering::{Acquire, Relaxed};
use crate::time;

pin_project! {
    /// See the module.
    pub(crate) struct Scoped<F> {
        #[pin]
        inside: Option<F>,
        node: Entered,
        // The node as the waker of a holder's inside: so it is seen whether the holder is still polled (`guard`).
        own_waker: Option<Waker>,
    }
}

pin_project! {
    /// See `Scoped::map`.
    pub(crate) struct Mapped<F, M> {
        #[pin]
        scoped: Scoped<F>,
        map: M,
    }
}

/// A node that leaves the tree with its future, or what is there before it is made.
struct Entered(Unmade);

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
    #[inline]
    pub(crate) fn new(operation: &'static str, flags: u32, deadline: Deadline, inside: F) -> Self {
        Self { inside: Some(inside), node: Entered(Unmade::new(operation, flags, deadline)), own_waker: None }
    }

    /// A scope on `node`, which is not yet attached.
    pub(crate) fn on(operation: &'static str, node: Arc<Node>, inside: F) -> Self {
        Self { inside: Some(inside), node: Entered(Unmade::on(operation, node)), own_waker: None }
    }

    /// The scope, and what becomes of its outcome.
    #[inline]
    pub(crate) fn map<R, M: FnMut(Result<F::Output, Cancelled>) -> R>(self, map: M) -> Mapped<F, M> {
        Mapped { scoped: self, map }
    }
}

impl Entered {
    /// Before each poll. What the inside is polled in if the scope can do without a node (`unmade`); otherwise it has one.
    fn begin(&mut self) -> Option<Standing<'_>> {
        let operation = self.0.operation;
        let entered = mem::replace(&mut self.0.entered, true);
        if self.0.node().is_some() {
            if !entered {
                self.attach();
            }
            return None;
        }
        let around = Around::look(operation); // Outside of a task it panics.
        // One look at the clock.
        let past = match self.0.deadline {
            Deadline::Never => false,
            Deadline::At(at) => time::has_come(at, operation),
            Deadline::After(after) => {
                self.0.deadline = Deadline::After(after).from(time::now_for(operation));
                after.is_zero()
            }
        };
        if past || around.tracks || (around.cancelled && self.is_holder()) || self.0.flags & CUT_ON_STOP != 0 {
            self.make_at_once(past);
            return None;
        }
        Some(Standing::in_scope(&self.0, around))
    }

    /// `CancelScope::run` takes the scope by value, so it has not been entered before.
    #[cold]
    fn attach(&mut self) {
        let operation = self.0.operation;
        if let Some(node) = self.0.node() {
            node.attach(context::place(operation));
        }
    }

    #[cold]
    fn make_at_once(&mut self, past: bool) {
        let node = self.0.make();
        if past {
            node.cancel(CancelReason::of(CancelSource::Deadline));
        }
    }

    /// Whether the node that is made would hold while its inside is suspended.
    fn is_holder(&self) -> bool {
        self.0.flags & (HOLDER | SHIELD) != 0
    }

    /// After a poll of the inside without a node, which is still pending: whether it has only yielded, so that whoever has woken the task meanwhile has it poll us again.
    fn has_yielded(&mut self, around: Around, cx: &Context<'_>) -> bool {
        let yielded = self.0.node().is_none() && around.has_yielded(cx);
        if yielded && self.is_holder() {
            context::note_yield();
        }
        yielded
    }

    /// After a poll of the inside that has not only yielded. `holder`: it had a node that holds when that began, and has answered; `answers`: otherwise it must have, if it holds now.
    /// `yields`: those that were counted before. `deliver`: what was completed before a cancel is to be delivered yet.
    fn suspend(&mut self, holder: bool, answers: bool, yields: u32, deliver: &mut bool, cx: &Context<'_>) -> Step {
        // Register first, then look (N3).
        let node = self.arm(holder, cx);
        let flags = node.flags.load(Acquire);
        if answers && !holder && flags & (HOLDER | SHIELD) != 0 && flags & (WOKEN | SUSPECT) != 0 {
            return Step::Again; // Woken as soon as it was made, or its shield switched on, while its inside was being polled: it has not answered (`owner` O1).
        }
        if flags & HOLDER != 0 {
            node.hold();
        } else if flags & (SHIELD | HOLDING) == SHIELD {
            node.hold_if_shielded();
        }
        let held = yields != context::yields(); // U2 of `unmade`.
        if !is_ours(node) || held || node.settle(context::task_is_due(), cx) == Settled::Held {
            return Step::Wait;
        }
        // Cancelled during this poll, as something was woken: what was completed before the cancel is delivered first.
        if mem::take(deliver) && context::task_is_due() {
            return Step::Again;
        }
        let reason = node.reason();
        node.set(CAUGHT);
        Step::Cut(Cancelled { reason })
    }

    /// The scope stays suspended: from here on its deadline must be able to wake it, wherever it is polled. `answered`: it has stored its waker.
    fn arm(&mut self, answered: bool, cx: &Context<'_>) -> &Arc<Node> {
        let armed = mem::replace(&mut self.0.armed, true);
        let node = self.0.make();
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

    #[inline]
    fn leave(&mut self) {
        if let Some(node) = self.0.take_node() {
            self.end(&node);
        }
    }

    fn end(&self, node: &Arc<Node>) {
        if self.0.entered {
            node.detach();
            node.let_go();
        }
    }
}

impl Drop for Entered {
    #[inline]
    fn drop(&mut self) {
        self.leave();
    }
}

/// What a scope is to do whose inside is suspended.
enum Step {
    Wait,
    /// Poll it once more.
    Again,
    Cut(Cancelled),
}

impl<F: Future> Future for Scoped<F> {
    type Output = Result<F::Output, Cancelled>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.as_mut().project();
        let Some(inside) = this.inside.as_pin_mut() else { ended() };
        let Some(standing) = this.node.begin() else { return self.poll_made(None, cx) };
        let polled = inside.poll(cx);
        let around = standing.around;
        drop(standing);
        match polled {
            Poll::Ready(output) => Poll::Ready(Ok(self.end(output))),
            Poll::Pending if this.node.has_yielded(around, cx) => Poll::Pending,
            Poll::Pending => self.poll_made(Some(around), cx),
        }
    }
}

impl<F: Future, R, M: FnMut(Result<F::Output, Cancelled>) -> R> Future for Mapped<F, M> {
    type Output = R;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<R> {
        let this = self.project();
        this.scoped.poll(cx).map(this.map)
    }
}

impl<F: Future> Scoped<F> {
    /// The poll of a scope that has a node; or what comes after the poll of the inside, if it had none when that began and found `unmade` around itself.
    fn poll_made(
        mut self: Pin<&mut Self>,
        mut unmade: Option<Around>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<F::Output, Cancelled>> {
        let mut this = self.as_mut().project();
        let always_own = this.node.0.always_own;
        let mut deliver = match (unmade, this.node.0.node()) {
            (Some(around), _) => !around.cancelled,
            (None, node) => node.is_some_and(|node| !node.is_effective()),
        };
        loop {
            let (mut holder, mut yields) = (false, 0);
            let made_now = unmade.is_some();
            if let Some(around) = unmade.take() {
                yields = around.yields;
            } else if let Some(node) = this.node.0.node() {
                yields = context::yields();
                let inside = this.inside.as_mut().as_pin_mut().expect("a scope is not polled after its end");
                holder = node.flags.load(Acquire) & (HOLDER | SHIELD) != 0;
                if holder {
                    node.answer(cx.waker());
                    if this.own_waker.is_none() && (always_own || context::is_cancelled()) {
                        *this.own_waker = Some(Waker::from(Arc::clone(node)));
                    }
                }
                let polled = context::with_node(node, || match this.own_waker {
                    Some(waker) => inside.poll(&mut Context::from_waker(waker)),
                    None => inside.poll(cx),
                });
                if let Poll::Ready(output) = polled {
                    return Poll::Ready(Ok(self.end(output)));
                }
            }
            // What was polled with the node as its waker is not heard before that has answered.
            let answers = made_now || this.own_waker.is_some();
            match this.node.suspend(holder, answers, yields, &mut deliver, cx) {
                Step::Wait => return Poll::Pending,
                Step::Again => {}
                Step::Cut(cancelled) => {
                    this.inside.set(None);
                    this.node.leave();
                    return Poll::Ready(Err(cancelled));
                }
            }
        }
    }

    /// The inside has given `output`, and the scope is at its end.
    #[inline]
    fn end<R>(self: Pin<&mut Self>, output: R) -> R {
        let mut this = self.project();
        this.inside.set(None);
        this.node.leave();
        output
    }
}

#[cold]
fn ended() -> ! {
    panic!("a scope is not polled after its end")
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
