//! The future of a nursery: polls the body in place, then waits until every child has ended.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::{
    BodyOutput, ErrorGroup, Failure, Nursery, NurseryError, Origin, body_gone, keep_spare, link, open, open_unlinked,
    pass_up, report_error, report_panic,
};
use crate::context;
use crate::held_panic::hand_on;
use crate::scope::guard::Settled;
use crate::scope::node::flag::{CHILD_CUT, CLOSED, ORPHANED};
use crate::scope::{CancelReason, CancelSource, Node, is_cut_here};

/// Opens a nursery, runs `body` in it, and waits until every child has ended.
///
/// `body` gets the [`Nursery`] to spawn into, is polled in place and so may borrow what surrounds it. Children run on any worker and own what they
/// use (or borrow from the nursery: [`nursery_with`](crate::nursery_with)).
///
/// A body of `()` has children that cannot fail, and gives `()`. A body of `Result<T, E>` has children that may fail with whatever converts into
/// `E`, and gives `Result<T, NurseryError<E>>`. After Trio's `open_nursery`.
///
/// # Errors
///
/// If the body or a child fails, the rest is cancelled and joined, and all errors come out together as [`NurseryError::Failed`]. If the nursery
/// itself was cancelled before its body had a value: [`NurseryError::Cancelled`]. A body that has completed gives its value, even if children were
/// cancelled afterwards.
///
/// # Cancellation
///
/// If a scope around is cancelled, body and children are, the nursery waits for the children to unwind, and is then dropped by that scope; errors and
/// panics of the unwinding still come out. If something else drops the future (a foreign `select!`), the children are
/// cancelled, and the *task* does not end before they have; a panic of theirs becomes the task's, their errors are dropped with the future that
/// would have told of them. If the future is forgotten, its children run on, inside the task.
///
/// Opening and closing is not a checkpoint by itself: a nursery that has nothing to wait for does not suspend.
///
/// # Panics
///
/// When polled outside a run. A panic in the body or in a child cancels the rest, and is resumed here when all have ended (the first, if there are
/// several; the others were reported by the panic hook).
///
/// ```
/// use trioxide_runtime::{NurseryError, nursery, run};
/// let sum: Result<u32, NurseryError<std::num::ParseIntError>> = run(nursery(async |n| {
///     let a = n.spawn(async { "40".parse::<u32>() });
///     let b = n.spawn(async { "2".parse::<u32>() });
///     Ok(a.await.unwrap_or(0) + b.await.unwrap_or(0))
/// }));
/// assert_eq!(sum.unwrap(), 42);
/// ```
pub async fn nursery<E, F, Fut>(body: F) -> <Fut::Output as BodyOutput<E>>::Joined
where
    E: Send + 'static,
    F: FnOnce(Nursery<E>) -> Fut,
    Fut: Future,
    Fut::Output: BodyOutput<E>,
{
    let (opened, handle) = Opened::open_unlinked("nursery");
    let handle = Nursery::new(handle);
    Joining::new(opened, || body(handle)).await
}

/// An open nursery that its future has charge of.
pub(super) struct Opened {
    /// `None`: the nursery was never used, and was taken back.
    node: Option<Arc<Node>>,
    /// It has closed, and what it had to report was taken.
    pub(super) reported: bool,
}

impl Opened {
    pub(super) fn open(operation: &'static str) -> Self {
        Self { node: Some(open(operation)), reported: false }
    }

    /// As `open`, for a caller that polls the body at once, with `Joining`: that has the nursery linked, or takes it back. With it comes the reference of a handle.
    fn open_unlinked(operation: &'static str) -> (Self, Arc<Node>) {
        // Who looks on is to see it while its body is being polled, too.
        if context::tracks() {
            let opened = Self::open(operation);
            let handle = Arc::clone(opened.node());
            return (opened, handle);
        }
        // SAFETY: as above; if it is dropped instead, that links it. What is lent is paid by `take_back` or `drop`.
        let (node, handle) = unsafe {
            let node = open_unlinked(operation);
            let handle = node.lend();
            (node, handle)
        };
        (Self { node: Some(node), reported: false }, handle)
    }

    pub(super) fn node(&self) -> &Arc<Node> {
        self.node.as_ref().expect("a nursery that was taken back is not used")
    }

    /// The body has ended: takes the nursery back if nobody has used it and nobody can.
    fn take_back(&mut self) -> bool {
        let taken = self.node().take_back();
        if taken {
            self.node.take().into_iter().for_each(keep_spare);
        }
        taken
    }
}

impl Drop for Opened {
    /// Nothing to do after an end; otherwise the future was dropped half-way, and the children are to unwind.
    fn drop(&mut self) {
        let Some(node) = &self.node else { return };
        node.pay();
        link(node);
        if !self.reported {
            if !node.has(CLOSED) {
                node.cancel(CancelReason::of(CancelSource::Dropped));
            }
            let panic = {
                let mut inner = node.inner.lock();
                node.set(ORPHANED);
                inner.extra.as_mut().and_then(|extra| extra.panic.take())
            };
            if let Some(panic) = panic {
                hand_on(panic, |panic| pass_up(node, panic));
            }
            body_gone(node);
        }
        // It stays in the tree until the last child has ended.
        node.detach();
        node.let_go();
    }
}

pin_project! {
    /// See the module. The body is declared first, so it is dropped before the nursery is given up.
    pub(super) struct Joining<Fut, E>
    where
        Fut: Future,
        Fut::Output: BodyOutput<E>,
    {
        #[pin]
        body: Option<Fut>,
        value: Option<<Fut::Output as BodyOutput<E>>::Value>,
        opened: Opened,
    }
}

impl<Fut, E> Joining<Fut, E>
where
    Fut: Future,
    Fut::Output: BodyOutput<E>,
{
    /// With the body that `begin` makes; if that panics, so has the body.
    pub(super) fn new(opened: Opened, begin: impl FnOnce() -> Fut) -> Self {
        let body = match catch_unwind(AssertUnwindSafe(begin)) {
            Ok(body) => Some(body),
            Err(panic) => {
                link(opened.node());
                report_panic(opened.node(), panic);
                body_gone(opened.node());
                None
            }
        };
        Self { body, value: None, opened }
    }
}

impl<Fut, E> Future for Joining<Fut, E>
where
    E: Send + 'static,
    Fut: Future,
    Fut::Output: BodyOutput<E>,
{
    type Output = <Fut::Output as BodyOutput<E>>::Joined;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.opened.node().is_holding() {
            self.opened.node().answer(cx.waker());
        }
        if self.body.is_some() && self.as_mut().poll_body(cx, true).is_pending() {
            return Poll::Pending;
        }
        let this = self.project();
        let Some(node) = &this.opened.node else {
            // Taken back, so nothing has been reported.
            let value = this.value.take().expect("a body that has not failed has a value");
            return Poll::Ready(Fut::Output::join(Ok(value)));
        };
        if !node.has(CLOSED) {
            // Register first, then look (`scope::node` N3).
            if !node.is_holding() {
                node.answer(cx.waker());
                node.hold();
            }
            if !node.has(CLOSED) {
                return Poll::Pending;
            }
        }
        node.let_go();
        let ended = ended::<E>(node);
        this.opened.reported = true;
        let node = this.opened.node();
        match ended {
            Ended::Panicked(panic) => resume_unwind(panic),
            Ended::Failed(group) => Poll::Ready(Fut::Output::join(Err(NurseryError::Failed(group)))),
            // The scope around drops us here, unless nothing in here was cut by it. If a shield was put between meanwhile, it gives way.
            Ended::Quietly if (this.value.is_none() || node.has(CHILD_CUT)) && cut_from_outside(node, cx) => {
                Poll::Pending
            }
            Ended::Quietly => Poll::Ready(Fut::Output::join(match this.value.take() {
                Some(value) => Ok(value),
                None => Err(NurseryError::Cancelled(node.reason())),
            })),
        }
    }
}

impl<Fut, E> Joining<Fut, E>
where
    E: Send + 'static,
    Fut: Future,
    Fut::Output: BodyOutput<E>,
{
    /// Polls the body; ready when it has ended or was cut, and is gone.
    fn poll_body(mut self: Pin<&mut Self>, cx: &mut Context<'_>, mut deliver: bool) -> Poll<()> {
        let mut this = self.as_mut().project();
        let node = this.opened.node();
        deliver &= !node.is_effective();
        let asked = node.own_waker_if_asked();
        if asked.is_some() && !node.is_holding() {
            link(node);
            node.answer(cx.waker());
        }
        let mut inside = Context::from_waker(asked.as_ref().unwrap_or(cx.waker()));
        let yields = context::yields();
        let body = this.body.as_mut().as_pin_mut().expect("polled while there is a body");
        match catch_unwind(AssertUnwindSafe(|| context::with_node(node, || body.poll(&mut inside)))) {
            Ok(Poll::Ready(output)) => match output.into_result() {
                Ok(value) => *this.value = Some(value),
                Err(error) => {
                    link(node);
                    report_error(node, error, Origin::body());
                }
            },
            Err(panic) => {
                link(node);
                report_panic(node, panic);
            }
            Ok(Poll::Pending) => {
                link(node);
                // Register first, then look (`scope::node` N3).
                if !node.is_holding() {
                    if asked.is_none() {
                        node.answer(cx.waker());
                    }
                    node.hold();
                }
                let held = yields != context::yields(); // U2 of `scope::unmade`.
                if !node.is_effective() || held || node.settle(context::task_is_due(), cx) == Settled::Held {
                    return Poll::Pending;
                }
                // Cancelled during this poll, as something was woken: what was completed before the cancel is delivered first.
                if deliver && context::task_is_due() {
                    return self.poll_body(cx, false);
                }
            }
        }
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| this.body.set(None))) {
            link(node);
            report_panic(node, panic);
        }
        if !this.opened.take_back() {
            link(this.opened.node());
            body_gone(this.opened.node());
        }
        Poll::Ready(())
    }
}

/// Whether what was cut in a nursery that has closed is for a scope around to report.
pub(super) fn cut_from_outside(node: &Arc<Node>, cx: &Context<'_>) -> bool {
    context::is_refused(cx) || (!node.is_cancelled() && is_cut_here(cx))
}

/// What a closed nursery has to tell.
enum Ended<E> {
    Panicked(Box<dyn std::any::Any + Send>),
    Failed(ErrorGroup<E>),
    Quietly,
}

fn ended<E: 'static>(node: &Node) -> Ended<E> {
    let (panic, failures) = {
        let mut inner = node.inner.lock();
        match inner.extra.as_mut() {
            Some(extra) => (extra.panic.take(), extra.failures.take()),
            None => (None, None),
        }
    };
    match (panic, failures) {
        (Some(panic), _) => Ended::Panicked(panic),
        (None, Some(failures)) => {
            let failures = failures.downcast::<Vec<Failure<E>>>().expect("a nursery has one error type");
            Ended::Failed(ErrorGroup::new(*failures))
        }
        (None, None) => Ended::Quietly,
    }
}
