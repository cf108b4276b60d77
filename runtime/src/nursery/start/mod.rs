//! `start`: spawns a child and waits until it says that it is ready.
//!
//! ```text
//!  target nursery ◀── base ── child ── Started ──▶ Slot (value)
//!                               ▲                    │
//!                    cancelled │ Handover            ▼
//!  caller's scope ◀── parent ── caller's node ◀── Starting (the future)
//! ```
//!
//! The child is the target's from the beginning: that joins it, and a cancel of the target reaches it like every other child. Until it is
//! ready it is the caller's as well: `start` opens a nursery without a body at the caller's place, in which the child counts. That
//! holds the caller's scope and task as any nursery does, and a cancel that comes to it is relayed to the child (`handover`). So
//! while it is starting either side can cancel the child, and nothing needs to be moved in the tree.
//!
//! | file | duty |
//! | --- | --- |
//! | `mod` (here) | the future of `start`, its errors |
//! | `started` | what the child says that it is ready with |
//! | `child` | the future round the child's, which sends its outcome to one side or the other |
//! | `handover` | which side that is |
//!
//! Invariant **S1**: while the handover is in no final state the child counts in `live` of the caller's node (and if it is a service, as one ordinary part of
//! the target), so that is open; the one who owns that count (H2) gives it up.
#![allow(unsafe_code)]

mod child;
pub(crate) mod handover;
mod started;

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::ptr::NonNull;
use std::sync::Arc;
use std::task::{Context, Poll};

pub use started::Started;

use super::handle::{Closed, Options, spawn_raw};
use super::joining::Opened;
use super::{TaskOutput, body_gone, leave};
use crate::context;
use crate::primitives::Mutex;
use crate::scope::node::Relay;
use crate::scope::node::flag::{CLOSED, TASK_ROOT};
use crate::scope::{CancelReason, Node};
use child::{Child, Outcome};
use handover::Handover;
use started::Slot;

/// Why `start` has no value to give: see [`Nursery::start`](crate::Nursery::start).
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartError<E> {
    /// The child failed before it was ready. The nursery knows nothing of it.
    Failed(E),
    /// The child ended without saying that it is ready, or dropped its [`Started`].
    NotStarted,
    /// The child was cancelled before it was ready.
    Cancelled(CancelReason),
    /// The nursery was closed; the child has not begun.
    Closed,
}

impl<E: fmt::Display> fmt::Display for StartError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => write!(f, "the child failed before it was ready: {error}"),
            Self::NotStarted => f.write_str("the child ended without a call of `Started::set`"),
            Self::Cancelled(reason) => write!(f, "the child was cancelled before it was ready: {reason}"),
            Self::Closed => f.write_str("the nursery is closed: its body and all its children have ended"),
        }
    }
}

impl<E: Error + 'static> Error for StartError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Failed(error) => Some(error),
            Self::NotStarted | Self::Cancelled(_) | Self::Closed => None,
        }
    }
}

/// Starts a child of the nursery with node `target`.
///
/// # Safety
///
/// As for `spawn_raw`, of the future that `child` makes and of `T`.
pub(super) async unsafe fn start_raw<T, E, F, Fut>(
    target: Arc<Node>,
    child: F,
    mut options: Options,
) -> Result<T, StartError<E>>
where
    E: Send + 'static,
    F: FnOnce(Started<T>) -> Fut,
    Fut: Future,
    Fut::Output: TaskOutput<E>,
{
    let opened = Opened::open("start");
    let caller = Arc::clone(opened.node());
    let own = Node::unattached(TASK_ROOT);
    let handover = Arc::new(Handover::new(Arc::clone(&own)));
    // A service keeps no nursery open; one that is starting does.
    let kept = options.service.then(|| Arc::clone(&target));
    let hold = Hold { caller: Arc::clone(&caller), kept };
    let slot = Arc::new(Slot::new(Arc::clone(&handover), hold.clone()));
    let outcome = Arc::new(Mutex::new(Outcome::Cut));
    let future = Child::new(child(Started::new(Arc::clone(&slot))), Arc::clone(&slot), Arc::clone(&outcome));
    let (ended, held) = (Arc::clone(&handover), hold.clone());
    options.own = Some(own);
    options.at_end(move || {
        if ended.has_ended() {
            // SAFETY: H2: the end of the task after `ENDED`.
            unsafe { held.release() };
        }
    });
    if options.service && !target.live.enter() {
        return Err(StartError::Closed);
    }
    let entered = caller.live.enter();
    debug_assert!(entered, "the body of the caller's node is open");
    caller.inner.lock().extra().relay = Some(Arc::clone(&handover) as _);
    // Register first, then look: a cancel of the caller's side has either found the relay, or is seen here.
    if caller.is_effective() {
        handover.cancelled(caller.reason());
    }
    // SAFETY: passed on; what `Child` has beside the future are parts of ours.
    if let Err(Closed(future)) = unsafe { spawn_raw::<_, E>(&target, future, options) } {
        drop(future);
        // SAFETY: dropped before it was a task, it has ended as the caller's, and no end of a task will follow.
        unsafe { hold.release() };
        return Err(StartError::Closed);
    }
    body_gone(&caller);
    Starting { slot, outcome, opened }.await
}

/// Where a child counts while it is starting, beside its own count in the target.
#[derive(Clone)]
struct Hold {
    /// The node in which `start` waits.
    caller: Arc<Node>,
    /// The target, if the child does not keep that open by itself.
    kept: Option<Arc<Node>>,
}

impl Hold {
    /// Gives up the counts.
    ///
    /// # Safety
    ///
    /// They are the caller's (S1).
    unsafe fn release(&self) {
        let relay = self.caller.inner.lock().extra().relay.take();
        drop(relay);
        // SAFETY: passed on.
        unsafe {
            leave(NonNull::from(&*self.caller));
            if let Some(kept) = &self.kept {
                leave(NonNull::from(&**kept));
            }
        }
    }
}

/// Waits until the child is the target's alone, or has ended.
struct Starting<T, E> {
    slot: Arc<Slot<T>>,
    outcome: Arc<Mutex<Outcome<E>>>,
    opened: Opened,
}

impl<T, E> Future for Starting<T, E> {
    type Output = Result<T, StartError<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let node = self.opened.node();
        // Register first, then look (`scope::node` N3).
        node.answer(cx.waker());
        if !node.has(CLOSED) {
            node.hold();
            if !node.has(CLOSED) {
                return Poll::Pending;
            }
        }
        node.let_go();
        let panic = node.inner.lock().extra().panic.take();
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
        let outcome = std::mem::replace(&mut *self.outcome.lock(), Outcome::Cut);
        if let Outcome::Failed(error) = outcome {
            return Poll::Ready(Err(StartError::Failed(error)));
        }
        if let Some(value) = self.slot.take(matches!(outcome, Outcome::Returned)) {
            return Poll::Ready(Ok(value));
        }
        match outcome {
            Outcome::Returned | Outcome::Abandoned => Poll::Ready(Err(StartError::NotStarted)),
            // The scope around drops us here.
            _ if context::is_cancelled() => Poll::Pending,
            _ => Poll::Ready(Err(StartError::Cancelled(self.slot.handover().child().reason()))),
        }
    }
}
