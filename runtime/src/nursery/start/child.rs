//! The future round that of a child which is being started.
#![allow(unsafe_code)]

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread;

use pin_project_lite::pin_project;

use super::handover::End;
use super::started::Slot;
use crate::nursery::{TaskOutput, keep_panic};
use crate::primitives::Mutex;
use crate::scope::node::flag::ORPHANED;

/// How the child has ended while it was still the caller's. Its panic is kept in the caller's node.
pub(super) enum Outcome<E> {
    /// It was dropped where it was suspended; or it has not ended.
    Cut,
    /// As before, because it had dropped its `Started`.
    Abandoned,
    Failed(E),
    Returned,
}

pin_project! {
    pub(super) struct Child<T, E, Fut> {
        #[pin]
        inside: Option<Fut>,
        slot: Arc<Slot<T>>,
        outcome: Arc<Mutex<Outcome<E>>>,
    }

    impl<T, E, Fut> PinnedDrop for Child<T, E, Fut> {
        fn drop(this: Pin<&mut Self>) {
            this.cut();
        }
    }
}

impl<T, E, Fut> Child<T, E, Fut> {
    pub(super) fn new(inside: Fut, slot: Arc<Slot<T>>, outcome: Arc<Mutex<Outcome<E>>>) -> Self {
        Self { inside: Some(inside), slot, outcome }
    }

    /// Drops the inside, if it has not ended.
    fn cut(self: Pin<&mut Self>) {
        let mut this = self.project();
        if this.inside.is_none() {
            return;
        }
        let abandoned = this.slot.handover().is_abandoned(); // Before the drop, which may do just that.
        let dropped = catch_unwind(AssertUnwindSafe(|| this.inside.set(None)));
        match (this.slot.handover().end(), dropped) {
            (End::Callers, Err(panic)) => keep_panic(&this.slot.hold.caller, panic),
            (End::Callers, Ok(())) if abandoned => *this.outcome.lock() = Outcome::Abandoned,
            (End::Targets, Err(panic)) if !thread::panicking() => resume_unwind(panic),
            _ => {}
        }
    }
}

impl<T, E, Fut> Future for Child<T, E, Fut>
where
    Fut: Future,
    Fut::Output: TaskOutput<E>,
{
    type Output = Result<(), E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), E>> {
        let mut this = self.project();
        let inside = this.inside.as_mut().as_pin_mut().expect("a child is not polled after its end");
        let mut ended = match catch_unwind(AssertUnwindSafe(|| inside.poll(cx))) {
            Ok(Poll::Pending) => {
                if this.slot.handover().suspended() {
                    // SAFETY: H2: ours is the step to `RELEASED`.
                    unsafe { this.slot.hold.release() };
                }
                return Poll::Pending;
            }
            Ok(Poll::Ready(output)) => catch_unwind(AssertUnwindSafe(|| output.into_result().map(drop))),
            Err(panic) => Err(panic),
        };
        // The panic of the poll counts before that of the drop.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| this.inside.set(None)))
            && ended.is_ok()
        {
            ended = Err(panic);
        }
        let callers = this.slot.handover().end() != End::Targets;
        match ended {
            Err(panic) if callers => keep_panic(&this.slot.hold.caller, panic),
            Err(panic) => resume_unwind(panic),
            Ok(Ok(())) if callers => *this.outcome.lock() = Outcome::Returned,
            Ok(Ok(())) => {}
            // Nobody asks any more: then the nursery is told.
            Ok(Err(error)) if callers && !this.slot.hold.caller.has(ORPHANED) => {
                *this.outcome.lock() = Outcome::Failed(error)
            }
            Ok(Err(error)) => return Poll::Ready(Err(error)),
        }
        Poll::Ready(Ok(()))
    }
}
