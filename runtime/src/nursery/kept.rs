//! Counts that a worker keeps: those of children that have ended on it, for children that are spawned there next.
//!
//! The count of a nursery (`live`) is shared by all workers. A child that ends would take itself off, and the next that is spawned put itself on; with
//! trivial children that is most of what workers fight over. So a worker keeps the counts of children that have just ended, of one nursery at a time. A spawn
//! there into the same nursery takes one of these; the rest are given up together.
//!
//! **Why nobody notices.** A nursery is open while a child of it has not ended. The worker gives up what it has kept before it does anything but
//! poll another ordinary child of the same nursery: before it polls any other task, sees to timers or the driver, searches or sleeps. So the nursery is
//! kept open by it no longer than by a child that is there anyway, and foreign code runs on this thread, while counts are kept, in or for such a child
//! only. Whoever asks there for the number of children has the counts given up first; on other threads that number is a snapshot.
//!
//! Invariants:
//! - **J4** A kept count is a count in the sense of J1: while there is one, `node` is alive and open. What is done with it, to spend or to give up, is done once.
//! - **J5** Only the worker's thread touches its `Kept` (`scheduler::worker` K1).
//!
//! **Order.** The last to leave must see what every other has done (`Live::leave`). A child that ended here did so before, on this thread; if its count is spent,
//! it is passed on with the new child, whose queue entry orders it before that one's end.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::ptr::{self, NonNull};

use super::leave_many;
use crate::context;
use crate::scope::Node;

/// See the module.
pub(crate) struct Kept {
    node: Cell<*const Node>,
    counts: Cell<u32>,
}

// SAFETY: J4: the node is made for use from any thread; J5 says from which one.
unsafe impl Send for Kept {}

impl Kept {
    pub(crate) fn new() -> Self {
        Self { node: Cell::new(ptr::null()), counts: Cell::new(0) }
    }

    /// Keeps the count of an ordinary child that has ended.
    ///
    /// # Safety
    ///
    /// The caller owns that count of `node` (J1), and returns to the worker's loop at once.
    #[inline]
    pub(crate) unsafe fn keep(&self, node: NonNull<Node>) {
        if !ptr::eq(self.node.get(), node.as_ptr()) {
            self.give_up();
            self.node.set(node.as_ptr());
        }
        self.counts.set(self.counts.get() + 1);
    }

    /// Takes a kept count of `node`, for a new child; false if there is none.
    #[inline]
    pub(crate) fn spend(&self, node: &Node) -> bool {
        let counts = self.counts.get();
        let spends = counts != 0 && ptr::eq(self.node.get(), node);
        if spends {
            self.counts.set(counts - 1);
        }
        spends
    }

    /// Whether counts are kept that must be given up before a task of `base` runs; null: before anything else.
    #[inline]
    pub(crate) fn stands_against(&self, base: *const Node) -> bool {
        self.counts.get() != 0 && !ptr::eq(self.node.get(), base)
    }

    /// Gives up what is kept; whether there was anything.
    #[inline]
    pub(crate) fn give_up(&self) -> bool {
        let counts = self.counts.replace(0);
        if counts != 0 {
            // SAFETY: J4: these counts are ours, and the node is alive while we have not given them up.
            unsafe { leave_many(NonNull::new_unchecked(self.node.get().cast_mut()), counts) };
        }
        counts != 0
    }
}

/// Has this thread's worker give up what it has kept: the caller wants the number of children to be right.
pub(crate) fn settle() {
    context::worker(|worker| worker.map(|worker| worker.kept.give_up()));
}
