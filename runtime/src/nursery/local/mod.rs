//! Local nurseries: children that run in the opener's own task.
//!
//! ```text
//!  Joining ── body ─────────── Branch ┐
//!     │                               ├─ each a scope of its own below the nursery's node, and a waker of its own (`ready`)
//!     └── Children ── child ── Branch ┘
//!            ▲
//!          Core: inbox ◀── spawn ── handles, in body and children
//! ```
//!
//! The nursery's future keeps the children, each in a box. So they need not be `Send`, they may borrow what lives longer than the nursery, and all
//! of this is safe code: what is forgotten with the future is never polled again. A wake puts one child in line, and a poll of the nursery polls
//! those that are in line, each at most once, first in, first out: a child that is always ready yields to its siblings and to the worker's
//! other tasks. When the task's budget is used up, the rest keeps its place for the next poll.
//!
//! | file | duty |
//! | --- | --- |
//! | `mod` (here) | `local_nursery`, and the future of a local nursery |
//! | `handle` | the handles that spawn |
//! | `children` | the inbox, and the children that are polled |
//! | `ready` | who is in line |
//! | `task` | `LocalTask` |
//!
//! Invariants:
//! - **LN1** Body and children are holders (`scope::guard`): each sees to its own inside when something above is cancelled, and the nursery is a holder
//!   while one of them is suspended. So it is dropped by a scope only after all have unwound, and no error or panic of theirs is lost.
//! - **LN2** A child is in the inbox or in `Children`; its count in the inbox is given up when it has left both. At zero, with the body gone, the
//!   nursery is closed.

mod children;
mod handle;
mod ready;
mod task;

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use pin_project_lite::pin_project;

pub use handle::{LocalNursery, LocalNurserySend, LocalTaskBuilder};
pub use task::LocalTask;

use super::joining::cut_from_outside;
use super::{BodyOutput, ErrorGroup, Failure, NurseryError, Origin};
use crate::combine::{Branch, Ended};
use crate::context;
use crate::held_panic::HeldPanic;
use crate::scope::node::flag::HOLDER;
use crate::scope::{CancelReason, CancelSource, Node};
use crate::task::cell;
use children::{Child, Children, Core, Running};
use handle::{LocalFuture, SendFuture};
use ready::{Entry, Ready};

/// Opens a nursery whose children run in the opener's own task, and waits until every child has ended.
///
/// The children need not be `Send`, and may borrow anything that lives longer than the nursery. They never run in parallel with each other or with the
/// body, so plain cells are enough for what they share. In all else it is as [`nursery`](crate::nursery): spawn from the body and from children,
/// errors, panics, cancellation, and the wait for all.
///
/// Only children that were woken are polled, in the order of their wakes, each at most once in a poll of the task. For work that computes, use
/// [`nursery`](crate::nursery), whose children run on all workers.
///
/// If the body or a child is not `Send`, neither is this future; [`local_nursery_send`] is for nurseries inside of tasks.
///
/// # Errors, cancellation, panics
///
/// As for [`nursery`](crate::nursery), except for this: if something else than a scope drops the future (a foreign `select!`), body and children are
/// dropped with it, at once. A panic that has waited for the others to unwind becomes the task's, here as there.
///
/// ```
/// use std::cell::Cell;
/// use trioxide_runtime::{checkpoint, local_nursery, run};
/// let steps = Cell::new(0); // neither `Sync` nor in an `Arc`
/// run(local_nursery(async |n| {
///     for _ in 0..3 {
///         n.spawn(async {
///             checkpoint().await;
///             steps.set(steps.get() + 1);
///         });
///     }
/// }));
/// assert_eq!(steps.get(), 3);
/// ```
pub async fn local_nursery<'env, E, F, Fut>(body: F) -> <Fut::Output as BodyOutput<E>>::Joined
where
    E: 'env,
    F: FnOnce(LocalNursery<'env, E>) -> Fut,
    Fut: Future,
    Fut::Output: BodyOutput<E>,
{
    let core = Core::<LocalFuture<'env, E>>::new(Node::attached(HOLDER, context::place("local_nursery")));
    let handle = LocalNursery::new(Arc::clone(&core));
    Joining::new(core, || body(handle)).await
}

/// As [`local_nursery`], with children that are `Send`: so this future is, if the body is, and may run in a child of a [`nursery`](crate::nursery).
///
/// ```
/// use std::sync::atomic::{AtomicU32, Ordering};
/// use trioxide_runtime::{local_nursery_send, nursery, run};
/// run(nursery(async |n| {
///     n.spawn(async {
///         let sum = AtomicU32::new(0); // on the stack of this task, borrowed by the children
///         local_nursery_send(async |m| {
///             for number in 0..10 {
///                 let sum = &sum;
///                 m.spawn(async move { drop(sum.fetch_add(number, Ordering::Relaxed)) });
///             }
///         })
///         .await;
///         assert_eq!(sum.into_inner(), 45);
///     });
/// }));
/// ```
pub async fn local_nursery_send<'env, E, F, Fut>(body: F) -> <Fut::Output as BodyOutput<E>>::Joined
where
    E: Send + 'env,
    F: FnOnce(LocalNurserySend<'env, E>) -> Fut,
    Fut: Future,
    Fut::Output: BodyOutput<E>,
{
    let core = Core::<SendFuture<'env, E>>::new(Node::attached(HOLDER, context::place("local_nursery_send")));
    let handle = LocalNurserySend::new(Arc::clone(&core));
    Joining::new(core, || body(handle)).await
}

/// What the nursery has to tell in the end.
struct Report<E> {
    failures: Vec<Failure<E>>,
    panic: HeldPanic,
    /// A child was cut by a cancellation of the nursery or from above.
    child_cut: bool,
}

pin_project! {
    /// See the module.
    struct Joining<Fut, C, E>
    where
        Fut: Future,
        Fut::Output: BodyOutput<E>,
    {
        #[pin]
        body: Option<Branch<Fut>>,
        body_entry: Arc<Entry>,
        body_waker: Waker,
        body_round: u64,
        value: Option<<Fut::Output as BodyOutput<E>>::Value>,
        children: Children<C>,
        core: Arc<Core<C>>,
        ready: Arc<Ready>,
        report: Report<E>,
        // Counts the polls.
        round: u64,
    }

    impl<Fut, C, E> PinnedDrop for Joining<Fut, C, E>
    where
        Fut: Future,
        Fut::Output: BodyOutput<E>,
    {
        fn drop(this: Pin<&mut Self>) {
            this.end();
        }
    }
}

/// The key of the body; no child ever has it.
const BODY: usize = usize::MAX;

impl<Fut, C, E> Joining<Fut, C, E>
where
    Fut: Future,
    Fut::Output: BodyOutput<E>,
{
    /// With the body that `begin` makes; if that panics, so has the body.
    fn new(core: Arc<Core<C>>, begin: impl FnOnce() -> Fut) -> Self {
        let ready = Ready::new(Arc::clone(&core.node));
        let mut report = Report { failures: Vec::new(), panic: HeldPanic::none(), child_cut: false };
        let body = match catch_unwind(AssertUnwindSafe(begin)) {
            Ok(body) => Some(Branch::new(body)),
            Err(panic) => {
                report.panicked(&core.node, panic);
                None
            }
        };
        let body_entry = ready.enter(BODY);
        let body_waker = body_entry.waker();
        let children = Children::new();
        Self { body, body_entry, body_waker, body_round: 0, value: None, children, core, ready, report, round: 0 }
    }

    /// The future is going: drops what is left, and leaves the tree.
    fn end(self: Pin<&mut Self>) {
        let mut this = self.project();
        this.ready.close();
        let node = &this.core.node;
        if !this.core.is_closed() {
            node.cancel(CancelReason::of(CancelSource::Dropped));
        }
        let mut panic = catch_unwind(AssertUnwindSafe(|| this.body.set(None))).err();
        let mut drop_child = |child: Child<C>| {
            let Child { branch, locals, .. } = child;
            let worse = catch_unwind(AssertUnwindSafe(|| {
                locals.enter(|| drop(branch));
                drop(locals);
            }))
            .err();
            match &panic {
                None => panic = worse,
                Some(_) => cell::drop_payload(worse),
            }
        };
        this.children.drain().for_each(|running| drop_child(running.child));
        this.core.abandon().into_iter().for_each(&mut drop_child);
        node.let_go();
        node.detach();
        match panic {
            Some(panic) if !std::thread::panicking() => resume_unwind(panic),
            panic => cell::drop_payload(panic),
        }
    }
}

impl<Fut, C, E> Future for Joining<Fut, C, E>
where
    Fut: Future,
    Fut::Output: BodyOutput<E>,
    C: Future<Output = Result<(), E>> + Unpin,
{
    type Output = <Fut::Output as BodyOutput<E>>::Joined;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let node = Arc::clone(&self.core.node);
        node.answer(cx.waker());
        if context::with_node(&node, || self.as_mut().poll_ready()) {
            cx.waker().wake_by_ref();
        }
        if self.body.is_some() || !self.core.close_if_empty() {
            node.hold();
            return Poll::Pending;
        }
        node.let_go();
        let this = self.project();
        if let Some(panic) = this.report.panic.take() {
            resume_unwind(panic);
        }
        if !this.report.failures.is_empty() {
            let group = ErrorGroup::new(std::mem::take(&mut this.report.failures));
            return Poll::Ready(Fut::Output::join(Err(NurseryError::Failed(group))));
        }
        // The scope around drops us here, unless nothing in here was cut by it. If a shield was put between meanwhile, it gives way.
        if (this.value.is_none() || this.report.child_cut) && cut_from_outside(&node, cx) {
            return Poll::Pending;
        }
        Poll::Ready(Fut::Output::join(match this.value.take() {
            Some(value) => Ok(value),
            None => Err(NurseryError::Cancelled(node.reason())),
        }))
    }
}

impl<Fut, C, E> Joining<Fut, C, E>
where
    Fut: Future,
    Fut::Output: BodyOutput<E>,
    C: Future<Output = Result<(), E>> + Unpin,
{
    /// Polls who is in line, each once. Whether somebody is in line still.
    fn poll_ready(mut self: Pin<&mut Self>) -> bool {
        *self.as_mut().project().round += 1;
        loop {
            let this = self.as_mut().project();
            for child in this.core.take_spawned() {
                this.children.insert(child, this.ready);
            }
            let Some(entry) = this.ready.pop() else { return false };
            if !context::has_budget() || !self.as_mut().poll_entry(&entry) {
                self.ready.put_back(entry);
                return true;
            }
        }
    }

    /// Polls the body or child with this entry; false if it has had its turn.
    fn poll_entry(self: Pin<&mut Self>, entry: &Arc<Entry>) -> bool {
        let mut this = self.project();
        let round = *this.round;
        if entry.key == BODY {
            if std::mem::replace(this.body_round, round) == round {
                return false;
            }
            if let Some(body) = this.body.as_mut().as_pin_mut()
                && let Poll::Ready(ended) = body.poll(&mut Context::from_waker(this.body_waker))
            {
                this.body.set(None);
                this.report.body(&this.core.node, ended, this.value);
            }
            return true;
        }
        let Some(running) = this.children.get(entry) else { return true };
        if std::mem::replace(&mut running.round, round) == round {
            return false;
        }
        let Running { child, waker, .. } = running;
        let Child { branch, locals, .. } = child;
        let polled = locals.enter(|| Pin::new(branch).poll(&mut Context::from_waker(waker)));
        if let Poll::Ready(ended) = polled {
            let Some(Running { child, .. }) = this.children.remove(entry.key) else { return true };
            this.report.child(&this.core.node, ended, &child);
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(child))) {
                this.report.panicked(&this.core.node, panic); // Of a local.
            }
            this.core.child_ended();
        }
        true
    }
}

impl<E> Report<E> {
    fn panicked(&mut self, node: &Arc<Node>, panic: Box<dyn Any + Send>) {
        self.panic.keep(panic);
        node.cancel(CancelReason::asked(CancelReason::of(CancelSource::Panicked)));
    }

    fn failed(&mut self, node: &Arc<Node>, error: E, origin: Origin) {
        self.failures.push(Failure { error, origin });
        node.cancel(CancelReason::asked(CancelReason::of(CancelSource::Failed)));
    }

    fn body<O: BodyOutput<E>>(&mut self, node: &Arc<Node>, ended: Ended<O>, value: &mut Option<O::Value>) {
        match ended {
            Ended::Value(output) => match output.into_result() {
                Ok(output) => *value = Some(output),
                Err(error) => self.failed(node, error, Origin::body()),
            },
            Ended::Panicked(panic) => self.panicked(node, panic),
            Ended::Cut => {}
        }
    }

    fn child<C>(&mut self, node: &Arc<Node>, ended: Ended<Result<(), E>>, child: &Child<C>) {
        match ended {
            Ended::Value(Ok(())) => {}
            Ended::Value(Err(error)) => self.failed(node, error, Origin::local(child.name.clone(), child.at)),
            Ended::Panicked(panic) => self.panicked(node, panic),
            Ended::Cut => self.child_cut |= node.is_effective(),
        }
    }
}
