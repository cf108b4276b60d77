//! One future of a combinator, in a scope of its own.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use pin_project_lite::pin_project;

use crate::primitives::atomic::Ordering::Acquire;
use crate::scope::node::flag::{HOLDER, WOKEN};
use crate::scope::scoped::Scoped;
use crate::scope::{CancelReason, Node};
use crate::task::cell;

pin_project! {
    pub(crate) struct Branch<F> {
        // `None`: it has ended.
        #[pin]
        scoped: Option<Scoped<F>>,
        node: Arc<Node>,
    }
}

/// How a branch has ended.
pub(crate) enum Ended<T> {
    Value(T),
    Panicked(Box<dyn Any + Send>),
    /// Dropped where it was suspended.
    Cut,
}

impl<F: Future> Branch<F> {
    pub(crate) fn new(future: F) -> Self {
        Self::on(Node::unattached(HOLDER), future)
    }

    /// On `node`, a holder's that hangs nowhere yet.
    pub(crate) fn on(node: Arc<Node>, future: F) -> Self {
        let scoped = Scoped::on("a branch", Arc::clone(&node), future);
        Self { scoped: Some(scoped), node }
    }

    /// Polls the branch if it is new or was woken. Pending also after its end.
    pub(crate) fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ended<F::Output>> {
        let mut this = self.project();
        let Some(scoped) = this.scoped.as_mut().as_pin_mut() else { return Poll::Pending };
        if this.node.place().is_some() && !this.node.has(WOKEN) {
            return Poll::Pending; // B2
        }
        let ended = match catch_unwind(AssertUnwindSafe(|| scoped.poll(cx))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(Ok(value))) => Ended::Value(value),
            Ok(Poll::Ready(Err(_))) => Ended::Cut,
            Err(panic) => Ended::Panicked(panic),
        };
        match (ended, catch_unwind(AssertUnwindSafe(|| this.scoped.set(None)))) {
            (ended, Ok(())) => Poll::Ready(ended),
            (Ended::Panicked(first), Err(second)) => {
                cell::drop_payload(Some(second));
                Poll::Ready(Ended::Panicked(first))
            }
            (ended, Err(panic)) => {
                drop(ended);
                Poll::Ready(Ended::Panicked(panic))
            }
        }
    }

    /// Drops the branch where it is suspended, or, if something in it must finish first, cancels it. The panic of the drop, if any.
    pub(super) fn stop(self: Pin<&mut Self>, reason: &CancelReason) -> Option<Box<dyn Any + Send>> {
        let mut this = self.project();
        if this.scoped.is_some() {
            // Acquire pairs with the release of whoever let go last. Only a poll of the branch could make it hold again.
            if this.node.guards.load(Acquire) == 0 {
                return catch_unwind(AssertUnwindSafe(|| this.scoped.set(None))).err();
            }
            this.node.cancel(reason.clone());
        }
        None
    }

    pub(super) fn is_running(&self) -> bool {
        self.scoped.is_some()
    }

    /// From now on the branch wakes `waker`.
    pub(super) fn set_owner(&self, waker: &Waker) {
        if self.node.place().is_some() {
            self.node.set_owner(waker);
        }
    }
}

/// Drops what nobody wants any more; a panic of its `Drop` was reported by the panic hook.
pub(super) fn discard<T>(value: T) {
    cell::drop_payload(catch_unwind(AssertUnwindSafe(|| drop(value))).err());
}
