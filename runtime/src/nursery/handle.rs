//! `Nursery<E>`, and the ways to spawn into it.
#![allow(unsafe_code)]

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::Location;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use super::{Origin, TaskOutput, report_error};
use crate::scheduler::{self, How};
use crate::scope::node::flag::BODY_OPEN;
use crate::scope::{CancelReason, Node, ScopeHandle};
use crate::task::cell::{self, Birth, Settle};
use crate::task::{Header, Task};

/// A handle to an open nursery: spawns into it and cancels it, from any task or thread.
///
/// A handle keeps no nursery open. When the body and all children have ended the nursery is closed, for good.
pub struct Nursery<E> {
    node: Arc<Node>,
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
        Self { node, error: PhantomData }
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
        match self.spawn_at(future, None, Location::caller()) {
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
        self.spawn_at(future, None, Location::caller())
    }

    /// Names the child that is spawned next: `n.task("accept").spawn(…)`. The name stands in errors.
    pub fn task(&self, name: impl Into<Arc<str>>) -> TaskBuilder<'_, E> {
        TaskBuilder { nursery: self, name: name.into() }
    }

    fn spawn_at<F>(
        &self,
        future: F,
        name: Option<Arc<str>>,
        at: &'static Location<'static>,
    ) -> Result<Task<<F::Output as TaskOutput<E>>::Value>, Closed<F>>
    where
        F: Future + Send + 'static,
        F::Output: TaskOutput<E>,
        <F::Output as TaskOutput<E>>::Value: Send,
    {
        // SAFETY: the future and its value are `Send`, and the future is `'static`.
        unsafe { spawn_raw::<F, E>(&self.node, future, name, at) }
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
        match self.spawn_at(future, None, at) {
            Ok(task) => task,
            Err(_) => closed(),
        }
    }

    pub(crate) fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// Cancels the body and every child. Idempotent; the first reason stays. Does not wait: the nursery does.
    pub fn cancel(&self, reason: impl Into<CancelReason>) {
        self.node.cancel(reason.into());
    }

    /// The soft cancel: [`stopping`](crate::stopping) resolves in body and children now, and after `grace` the nursery is cancelled.
    pub fn stop(&self, grace: Duration) {
        self.node.stop(grace);
    }

    /// A handle to the nursery's scope.
    pub fn scope(&self) -> ScopeHandle {
        ScopeHandle { node: Arc::clone(&self.node) }
    }

    /// How many children have not ended. A snapshot.
    #[expect(clippy::len_without_is_empty, reason = "`is_empty` would ask for a decision on a snapshot")]
    pub fn len(&self) -> usize {
        self.node.live.count().saturating_sub(usize::from(self.node.has(BODY_OPEN)))
    }
}

impl<E> Clone for Nursery<E> {
    fn clone(&self) -> Self {
        Self { node: Arc::clone(&self.node), error: PhantomData }
    }
}

impl<E> fmt::Debug for Nursery<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nursery")
            .field("live", &self.node.live.count())
            .field("cancel_called", &self.node.is_cancelled())
            .finish()
    }
}

/// Spawns a child with a name.
#[must_use = "call `spawn`"]
pub struct TaskBuilder<'a, E> {
    nursery: &'a Nursery<E>,
    name: Arc<str>,
}

impl<E: Send + 'static> TaskBuilder<'_, E> {
    /// As [`Nursery::spawn`].
    ///
    /// # Panics
    ///
    /// If the nursery is closed.
    #[track_caller]
    pub fn spawn<F>(self, future: F) -> Task<<F::Output as TaskOutput<E>>::Value>
    where
        F: Future + Send + 'static,
        F::Output: TaskOutput<E>,
        <F::Output as TaskOutput<E>>::Value: Send,
    {
        match self.nursery.spawn_at(future, Some(self.name), Location::caller()) {
            Ok(task) => task,
            Err(_) => closed(),
        }
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

/// Counts a child in, makes its task and queues it.
///
/// # Safety
///
/// The future and its value may be used on any thread, and the future may live until the nursery has closed.
pub(super) unsafe fn spawn_raw<F, E>(
    node: &Arc<Node>,
    future: F,
    name: Option<Arc<str>>,
    at: &'static Location<'static>,
) -> Result<Task<<F::Output as TaskOutput<E>>::Value>, Closed<F>>
where
    E: Send + 'static,
    F: Future,
    F::Output: TaskOutput<E>,
{
    if !node.live.enter() {
        return Err(Closed(future));
    }
    let id = scheduler::next_id();
    // SAFETY: as promised by the caller; the count of `node` that the task needs is the one just taken. The handle's reference goes
    // to the `Task`, the queue entry to the scheduler.
    unsafe {
        let task =
            cell::new::<F, Child<E>>(future, Birth { base: NonNull::from(&**node), id, spawned_at: at, main: false });
        if let Some(name) = name {
            task.as_ref().own_node_or_make().inner.lock().extra().name = Some(name);
        }
        let handle = Task::new(task);
        scheduler::enqueue(task, How::Spawn);
        Ok(handle)
    }
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
