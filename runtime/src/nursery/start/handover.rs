//! Whose child is it? The state of a child that is being started.
//!
//! ```text
//!            set                                       (the child is the target's alone)
//! STARTING ───────────────────────────────────▶ READY
//!    │ │ └─ abandon ─▶ ABANDONED ──────────────┐
//!    │ └──── cut ────▶ CUT ─── set ─▶ LATE ─┬──┤ end
//!    │                  │    suspended ┌────┘  ├─────▶ ENDED   (it was the caller's, too, to its end)
//!    └──────────────────┴──────────────│───────┘
//!                                      └─────────────▶ RELEASED (after all the target's alone)
//! ```
//!
//! From the beginning the child hangs in the tree below its target nursery. While it is starting, the caller's side holds it as well, by a
//! node of its own kind (see `start`): a cancel of that node comes here as `cancelled`, and cancels the child's own node, once and for good.
//!
//! Invariants:
//! - **H1** Of `set` and `cut` the first wins. After `set` has won, the caller's side cancels the child no more; after `cut` has won, the child's node is
//!   cancelled before the cancel of the caller's side returns.
//! - **H2** `READY`, `RELEASED` and `ENDED` are final, and exactly one is reached. Who reaches it (for `ENDED`: the end of the child's task) owns the count
//!   that the child has in the caller's node, and gives it up.
#![allow(unreachable_pub)] // The loom models use it.

use std::sync::Arc;

use crate::primitives::atomic::AtomicU8;
use crate::primitives::atomic::Ordering::{AcqRel, Acquire};
use crate::scope::node::Relay;
use crate::scope::{CancelReason, Node};

const STARTING: u8 = 0;
const CUT: u8 = 1;
const LATE: u8 = 2;
const ABANDONED: u8 = 3;
const READY: u8 = 4;
const RELEASED: u8 = 5;
const ENDED: u8 = 6;

/// See the module.
pub struct Handover {
    state: AtomicU8,
    /// The own node of the child's task.
    child: Arc<Node>,
}

/// What a `set` has led to.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub enum Set {
    /// The child is ready; the caller of `set` gives up its count on the caller's side.
    Ready,
    /// The caller's side was cancelled before: the value counts only if the child ends without another suspension.
    Late,
    /// The child has ended without this value.
    TooLate,
}

/// What the end of the child's future means.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// It was the target's alone.
    Targets,
    /// It was still the caller's, too: its outcome goes there.
    Callers,
}

impl Handover {
    pub(crate) fn new(child: Arc<Node>) -> Self {
        Self { state: AtomicU8::new(STARTING), child }
    }

    pub(super) fn child(&self) -> &Arc<Node> {
        &self.child
    }

    /// The child says that it is ready. The value was stored before.
    pub fn set(&self) -> Set {
        match self.change(|state| match state {
            STARTING => Some(READY),
            CUT => Some(LATE),
            _ => None,
        }) {
            Ok(STARTING) => Set::Ready,
            Ok(_) => {
                // It must come to its next suspension, whoever has called this (`suspended`).
                self.child.notify_owner();
                Set::Late
            }
            Err(_) => Set::TooLate,
        }
    }

    /// Nobody can say any more that the child is ready: if it does not return now, it is cancelled at its next suspension.
    pub(super) fn abandon(&self) {
        if self.change(|state| (state == STARTING).then_some(ABANDONED)).is_ok() {
            // It must come to that suspension, whoever has called this (`suspended`).
            self.child.notify_owner();
        }
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.state.load(Acquire) == ABANDONED
    }

    /// The child was polled and stays suspended. True: the caller gives up the child's count on the caller's side.
    ///
    /// A child that has said `set` too late, and is not cut now because something shields it, is not waited for any longer: else the caller,
    /// which was cancelled, would wait for something that only the target can end (Trio #2895).
    #[must_use]
    pub fn suspended(&self) -> bool {
        if self.is_abandoned() {
            self.child.cancel("its `Started` was dropped without `set`, so `start` could never return".into());
        }
        self.change(|state| (state == LATE && self.child.guards.load(Acquire) != 0).then_some(RELEASED)).is_ok()
    }

    /// The child's future has ended.
    pub fn end(&self) -> End {
        match self.change(|state| (state < READY).then_some(ENDED)) {
            Ok(_) => End::Callers,
            Err(_) => End::Targets,
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        self.state.load(Acquire) == READY
    }

    /// Whether the child has ended as the caller's.
    pub fn has_ended(&self) -> bool {
        self.state.load(Acquire) == ENDED
    }

    /// Acquire and release: each step sees what came with the one before it: the value, and who was cancelled.
    fn change(&self, next: impl Fn(u8) -> Option<u8>) -> Result<u8, u8> {
        self.state.fetch_update(AcqRel, Acquire, next)
    }
}

impl Relay for Handover {
    fn cancelled(&self, reason: CancelReason) {
        if self.change(|state| (state == STARTING).then_some(CUT)).is_ok() {
            self.child.cancel(reason);
        }
    }
}
