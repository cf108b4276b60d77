//! `Nursery<E>`, and the ways to spawn into it.
#![allow(unsafe_code)]

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::panic::Location;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use super::start::start_raw;
use super::{Origin, StartError, Started, TaskBuilder, TaskOutput, ordinary, report_error};
use crate::context;
use crate::scheduler::{self, How};
use crate::scope::node::flag::{BODY_OPEN, TASK_ROOT};
use crate::scope::{CancelReason, Node, ScopeHandle};
use crate::task::cell::{self, Birth, Settle};
use crate::task::{Header, Task};

/// A handle to an open nursery: spawns into it and cancels it, from any task or thread.
///
/// A handle keeps no nursery open. When the body and all children have ended the nursery is closed, for good.
pub struct Nursery<E> {
    /// May be lent, so it is not to be dropped but handed back (`scope::unlinked` V4).
    node: ManuallyDrop<Arc<Node>>,
    error: PhantomData<fn(E)>,
}

/// The nursery has closed; here is the future back.
#[derive(Debug)]
pub struct Closed<F>(pub F);

impl<F> fmt::Display for Closed<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the nursery is closed: its body and all its children have ended")
    }
}

impl<F: fmt::Debug> std::error::Error for Closed<F> {}

impl<E: Send + 'static> Nursery<E> {
    pub(super) fn new(node: Arc<Node>) -> Self {
        Self { node: ManuallyDrop::new(node), error: PhantomData }
    }

    /// Starts `future` as a child, on any worker. It may run at once, in parallel with the caller.
    ///
    /// An error that it returns cancels the nursery and comes out of it; so does a panic. A child spawned into a cancelled nursery starts, and
    /// is cut at its first suspension.
    ///
    /// # Panics
    ///
    /// If the nursery is closed.
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> Task<<F::Output as TaskOutput<E>>::Value>
    where
        F: Future + Send + 'static,
        F::Output: TaskOutput<E>,
        <F::Output as TaskOutput<E>>::Value: Send,
    {
        match self.spawn_with(future, Options::at(Location::caller())) {
            Ok(task) => task,
            Err(_) => closed(),
        }
    }

    /// As [`spawn`](Self::spawn), for a caller that does not know whether the nursery is still open.
    ///
    /// # Errors
    ///
    /// [`Closed`], with the future.
    #[track_caller]
    pub fn try_spawn<F>(&self, future: F) -> Result<Task<<F::Output as TaskOutput<E>>::Value>, Closed<F>>
    where
        F: Future + Send + 'static,
        F::Output: TaskOutput<E>,
        <F::Output as TaskOutput<E>>::Value: Send,
    {
        self.spawn_with(future, Options::at(Location::caller()))
    }

    /// Names the child that is spawned next: `n.task("accept").spawn(…)`. The name stands in errors.
    pub fn task(&self, name: impl Into<Arc<str>>) -> TaskBuilder<'_, E> {
        TaskBuilder::new(self, name.into())
    }

    /// Starts `future` as a *service*: a child that lives until the body and all ordinary children have ended, and is cancelled then.
    ///
    /// So a service serves the others without keeping the nursery open. Its errors and panics count as those of any child; that it is cancelled in the
    /// end does not. It may spawn ordinary children itself, as long as the nursery is open, and is waited for after its cancellation like everything
    /// else: its clean-up runs, and can use the nursery no more. After the service nurseries of Trio's users (Trio #1521).
    ///
    /// # Panics
    ///
    /// If the nursery is closed, or its services have been sent home.
    ///
    /// ```
    /// use std::sync::{Arc, atomic::{AtomicU32, Ordering}};
    /// use trioxide_runtime::{checkpoint, nursery, run};
    /// let beats = Arc::new(AtomicU32::new(0));
    /// let seen = Arc::clone(&beats);
    /// run(nursery(async |n| {
    ///     n.service(async move {
    ///         loop {
    ///             seen.fetch_add(1, Ordering::Relaxed);
    ///             checkpoint().await;
    ///         }
    ///     });
    ///     n.spawn(async move { while beats.load(Ordering::Relaxed) < 3 { checkpoint().await } });
    /// })); // returns when the ordinary child has ended
    /// ```
    #[track_caller]
    pub fn service<F>(&self, future: F) -> Task<<F::Output as TaskOutput<E>>::Value>
    where
        F: Future + Send + 'static,
        F::Output: TaskOutput<E>,
        <F::Output as TaskOutput<E>>::Value: Send,
    {
        let mut options = Options::at(Location::caller());
        options.service = true;
        match self.spawn_with(future, options) {
            Ok(task) => task,
            Err(_) => closed(),
        }
    }

    /// Starts a child and waits until it is ready: it says so with [`Started::set`], whose value this gives.
    ///
    /// `child` is called at once with the [`Started`], and gives the future that runs as a child, on any worker. From the beginning the child is the
    /// nursery's; until it is ready it is the caller's as well, so either side can cancel it, and both wait for it. After Trio's
    /// `nursery.start`.
    ///
    /// # Errors
    ///
    /// While the child is not ready, its errors come out here and leave the nursery unharmed: [`StartError::Failed`] with the error that it returned;
    /// [`StartError::NotStarted`] if it returned without being ready, or has dropped its `Started` (then it is cancelled);
    /// [`StartError::Cancelled`] if the nursery was cancelled. [`StartError::Closed`] at once if the nursery is closed. Afterwards its errors are the
    /// nursery's.
    ///
    /// # Cancellation
    ///
    /// Not a checkpoint of itself: in a cancelled scope, too, the child begins, and if it is ready or fails without being suspended, that is
    /// delivered. Otherwise the child is cancelled, this waits until it has unwound, and is then dropped by the scope that was cancelled. A child
    /// that is ready first stays, and its value is delivered. A child that says so afterwards, and is shielded, is not waited for: it unwinds in
    /// the nursery.
    ///
    /// If something else than a scope drops the future (a foreign `select!`), a child that is not ready is cancelled, and the caller's task does
    /// not end before the child has; its error is then reported to the nursery. The value of a child that was ready is dropped; the child lives on.
    ///
    /// # Panics
    ///
    /// When polled outside a run; with the panic of the child, if it was not ready.
    ///
    /// ```
    /// use trioxide_runtime::{StartError, Started, nursery, run};
    /// run(nursery(async |n| {
    ///     let ready = n.start(async |started: Started<&str>| started.set("here I am")).await;
    ///     assert_eq!(ready, Ok("here I am"));
    ///     let failed = n.start(async |_: Started<()>| Err::<(), _>("no luck")).await;
    ///     assert_eq!(failed, Err(StartError::Failed("no luck"))); // the nursery has not heard of it
    ///     Ok::<_, &str>(())
    /// }))
    /// .unwrap();
    /// ```
    #[track_caller]
    pub fn start<T, F, Fut>(&self, child: F) -> impl Future<Output = Result<T, StartError<E>>> + use<E, T, F, Fut>
    where
        T: Send + 'static,
        F: FnOnce(Started<T>) -> Fut,
        Fut: Future + Send + 'static,
        Fut::Output: TaskOutput<E>,
    {
        self.start_with(child, Options::at(Location::caller()))
    }

    pub(super) fn start_with<T, F, Fut>(
        &self,
        child: F,
        options: Options,
    ) -> impl Future<Output = Result<T, StartError<E>>> + use<E, T, F, Fut>
    where
        T: Send + 'static,
        F: FnOnce(Started<T>) -> Fut,
        Fut: Future + Send + 'static,
        Fut::Output: TaskOutput<E>,
    {
        // SAFETY: the future and `T` are `Send` and `'static`.
        unsafe { start_raw(Arc::clone(self.node()), child, options) }
    }

    pub(super) fn spawn_with<F>(
        &self,
        future: F,
        options: Options,
    ) -> Result<Task<<F::Output as TaskOutput<E>>::Value>, Closed<F>>
    where
        F: Future + Send + 'static,
        F::Output: TaskOutput<E>,
        <F::Output as TaskOutput<E>>::Value: Send,
    {
        // SAFETY: the future and its value are `Send`, and the future is `'static`.
        unsafe { spawn_raw::<F, E>(self.node(), future, options) }
    }

    /// As [`spawn`](Self::spawn), for a function of the library that spawns for its caller, who stands at `at`.
    pub(crate) fn spawn_from<F>(
        &self,
        at: &'static Location<'static>,
        future: F,
    ) -> Task<<F::Output as TaskOutput<E>>::Value>
    where
        F: Future + Send + 'static,
        F::Output: TaskOutput<E>,
        <F::Output as TaskOutput<E>>::Value: Send,
    {
        match self.spawn_with(future, Options::at(at)) {
            Ok(task) => task,
            Err(_) => closed(),
        }
    }

    /// The node, to be used: it is linked (`scope::unlinked`).
    #[inline]
    pub(crate) fn node(&self) -> &Arc<Node> {
        super::link(&self.node);
        &self.node
    }

    /// Cancels the body and every child. Idempotent; the first reason stays. Does not wait: the nursery does.
    pub fn cancel(&self, reason: impl Into<CancelReason>) {
        self.node().cancel(CancelReason::asked(reason));
    }

    /// The soft cancel: [`stopping`](crate::stopping) resolves in body and children now, and after `grace` the nursery is cancelled.
    pub fn stop(&self, grace: Duration) {
        self.node().stop(grace);
    }

    /// A handle to the nursery's scope.
    pub fn scope(&self) -> ScopeHandle {
        ScopeHandle { node: Arc::clone(self.node()) }
    }

    /// How many children have not ended, services included. A snapshot.
    #[expect(clippy::len_without_is_empty, reason = "`is_empty` would ask for a decision on a snapshot")]
    pub fn len(&self) -> usize {
        let node = self.node();
        let children = ordinary(node, &node.inner.lock());
        node.live.services() + children.saturating_sub(usize::from(node.has(BODY_OPEN)))
    }
}

impl<E> Clone for Nursery<E> {
    fn clone(&self) -> Self {
        // Children of the nursery take their handles' references from the worker that polls them, and leave them there (`kept` J7).
        let kept = context::worker_of_child(&self.node, |worker| worker.kept.take_reference(&self.node));
        let node = match kept {
            // SAFETY: `kept` J7: the reference was the worker's, and is this handle's now.
            true => unsafe { Arc::from_raw(Arc::as_ptr(&self.node)) },
            false => Arc::clone(&self.node),
        };
        Self { node: ManuallyDrop::new(node), error: PhantomData }
    }
}

impl<E> Drop for Nursery<E> {
    #[inline]
    fn drop(&mut self) {
        if !context::worker_of_child(&self.node, |worker| worker.kept.keep_reference(&self.node)) {
            // SAFETY: once, and nobody uses it after that.
            unsafe { ManuallyDrop::take(&mut self.node) }.hand_back();
        }
    }
}

impl<E> fmt::Debug for Nursery<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let linked = &self.node;
        super::link(linked);
        f.debug_struct("Nursery")
            .field("children", &ordinary(linked, &linked.inner.lock()))
            .field("services", &linked.live.services())
            .field("cancel_called", &linked.is_cancelled())
            .finish()
    }
}

#[cold]
#[track_caller]
pub(super) fn closed() -> ! {
    panic!(
        "trioxide: `spawn` into a closed nursery: its body and all its children have ended; \
         spawn while one of them runs, or use `try_spawn`, which gives the future back"
    )
}

/// What is asked for a child.
pub(crate) struct Options {
    pub(crate) name: Option<Arc<str>>,
    at: &'static Location<'static>,
    pub(super) service: bool,
    /// The node that is to be the child's own, hanging nowhere yet.
    pub(super) own: Option<Arc<Node>>,
    at_end: Option<Box<dyn FnOnce() + Send>>,
}

impl Options {
    pub(crate) fn at(at: &'static Location<'static>) -> Self {
        Self { name: None, at, service: false, own: None, at_end: None }
    }

    /// Has `act` run when the child has ended, with everything in it; after what was asked for before.
    pub(super) fn at_end(&mut self, act: impl FnOnce() + Send + 'static) {
        self.at_end = Some(match self.at_end.take() {
            None => Box::new(act),
            Some(first) => Box::new(|| {
                first();
                act();
            }),
        });
    }

    /// Whether nothing is asked for that the task must carry.
    #[inline]
    fn are_plain(&self) -> bool {
        self.name.is_none() && self.own.is_none() && self.at_end.is_none()
    }

    /// The task is not queued yet.
    #[cold]
    fn give_to(self, task: &Header) {
        let own = task.adopt_node(self.own.unwrap_or_else(|| Node::unattached(TASK_ROOT)));
        let mut inner = own.inner.lock();
        let extra = inner.extra();
        extra.name = self.name;
        extra.at_end = self.at_end;
    }
}

/// Counts a child in, makes its task and queues it.
///
/// # Safety
///
/// The future and its value may be used on any thread, and the future may live until the nursery has closed.
pub(crate) unsafe fn spawn_raw<F, E>(
    node: &Arc<Node>,
    future: F,
    options: Options,
) -> Result<Task<<F::Output as TaskOutput<E>>::Value>, Closed<F>>
where
    E: Send + 'static,
    F: Future,
    F::Output: TaskOutput<E>,
{
    context::worker(|worker| {
        let entered = match options.service {
            true => node.live.enter_service(),
            false => worker.is_some_and(|worker| worker.kept.spend(node)) || node.live.enter(),
        };
        if !entered {
            return Err(Closed(future));
        }
        let birth = Birth {
            base: NonNull::from(&**node),
            id: scheduler::next_id(worker),
            spawned_at: options.at,
            main: false,
            service: options.service,
        };
        // SAFETY: as promised by the caller; the count of `node` that the task needs is the one just taken. The handle's reference goes
        // to the `Task`, the queue entry to the scheduler.
        unsafe {
            let task = cell::new::<F, Child<E>>(future, birth, worker);
            if options.are_plain() {
                std::mem::forget(options); // There is nothing in it to drop.
            } else {
                options.give_to(task.as_ref());
            }
            let handle = Task::new(task);
            scheduler::enqueue_from(worker, task, How::Spawn);
            Ok(handle)
        }
    })
}

/// How the output of a child of a `Nursery<E>` is settled.
struct Child<E>(PhantomData<E>);

impl<E: Send + 'static, O: TaskOutput<E>> Settle<O> for Child<E> {
    type Value = O::Value;

    fn settle(base: &Arc<Node>, task: &Header, output: O) -> Option<O::Value> {
        match output.into_result() {
            Ok(value) => Some(value),
            Err(error) => {
                report_error(base, error, Origin::child(task.id(), task.name(), task.spawned_at()));
                None
            }
        }
    }
}
