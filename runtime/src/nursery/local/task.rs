//! `LocalTask<T>`: the handle of a child of a local nursery.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::context;
use crate::primitives::Mutex;
use crate::scope::node::flag::HOLDER;
use crate::scope::{CancelReason, Cancelled, Node};

/// A child of a [local nursery](crate::local_nursery): awaits its value, or cancels it. Dropping it changes nothing; the nursery joins the child in
/// any case.
///
/// Awaiting gives the child's value, or [`Cancelled`] if it was cancelled, has failed or has panicked; the error or panic itself goes to the nursery.
///
/// # Cancellation
///
/// A checkpoint. Cancelled while it waits, it has taken nothing: another await of the same handle gets the value.
///
/// # Panics
///
/// When polled again after it has given its value.
pub struct LocalTask<T> {
    outcome: Arc<Mutex<Outcome<T>>>,
    /// The child's scope.
    node: Arc<Node>,
    waiting: bool,
}

enum Outcome<T> {
    /// With who waits for it.
    Running(Option<Waker>),
    Value(T),
    /// It ended without a value.
    Nothing,
    Taken,
}

/// Where the child leaves its value; dropped without one, it has none.
pub(super) struct Giver<T>(Arc<Mutex<Outcome<T>>>);

impl<T> LocalTask<T> {
    /// The handle of a child, where that leaves its value, and the node for its scope.
    pub(super) fn new() -> (Self, Giver<T>, Arc<Node>) {
        let outcome = Arc::new(Mutex::new(Outcome::Running(None)));
        let giver = Giver(Arc::clone(&outcome));
        let node = Node::unattached(HOLDER);
        (Self { outcome, node: Arc::clone(&node), waiting: false }, giver, node)
    }

    /// Cancels this child, and nothing else. Does not wait for it.
    pub fn cancel(&self, reason: impl Into<CancelReason>) {
        if !self.is_finished() {
            self.node.cancel(CancelReason::asked(reason));
        }
    }

    /// Whether the child has ended.
    pub fn is_finished(&self) -> bool {
        !matches!(*self.outcome.lock(), Outcome::Running(_))
    }
}

impl<T> Giver<T> {
    pub(super) fn give(self, value: T) {
        self.settle(Outcome::Value(value));
    }

    fn settle(&self, outcome: Outcome<T>) {
        let mut slot = self.0.lock();
        if let Outcome::Running(waker) = &mut *slot {
            let waker = waker.take();
            *slot = outcome;
            drop(slot);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

impl<T> Drop for Giver<T> {
    fn drop(&mut self) {
        self.settle(Outcome::Nothing);
    }
}

impl<T> Unpin for LocalTask<T> {}

impl<T> Future for LocalTask<T> {
    type Output = Result<T, Cancelled>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if !self.waiting {
            std::task::ready!(context::poll_checkpoint(cx, "LocalTask"));
            self.waiting = true;
        }
        let mut outcome = self.outcome.lock();
        if let Outcome::Running(waker) = &mut *outcome {
            let old = match waker {
                Some(waker) if waker.will_wake(cx.waker()) => None,
                _ => waker.replace(cx.waker().clone()),
            };
            drop(outcome);
            drop(old);
            return Poll::Pending;
        }
        let taken = std::mem::replace(&mut *outcome, Outcome::Taken);
        drop(outcome);
        match taken {
            Outcome::Value(value) => Poll::Ready(Ok(value)),
            Outcome::Nothing => Poll::Ready(Err(Cancelled { reason: self.node.reason() })),
            Outcome::Running(_) | Outcome::Taken => {
                panic!("trioxide: a `LocalTask` was polled again after it had given its value; await it once")
            }
        }
    }
}

impl<T> fmt::Debug for LocalTask<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalTask").field("finished", &self.is_finished()).finish_non_exhaustive()
    }
}
