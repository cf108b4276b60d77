//! What a worker keeps of a nursery: the counts of children that have ended on it, for children that are spawned there next, and references of their handles.
//!
//! The count of a nursery (`live`) is shared by all workers. A child that ends would take itself off, and the next that is spawned put itself on; with
//! trivial children that is most of what workers fight over. So a worker keeps the counts of children that have just ended, of one nursery at a time. A spawn
//! there into the same nursery takes one of these; the rest are given up together.
//!
//! **Why nobody waits for it.** A nursery is open while a child of it has not ended. The worker gives up what it has kept before it does anything but
//! poll another ordinary child of the same nursery: before it polls any other task, sees to timers or the driver, searches or sleeps. So the nursery is
//! kept open by it no longer than by a child that is there anyway.
//!
//! **Who asks how many children there are** must not find one that has ended before he asked: he takes off what the workers keep (`children`). What is given up
//! is on its way from the word of the worker to `live`; meanwhile the word says so, and he looks again. He looks again also if `live` has changed: so he has
//! seen all words at one value of `live`, and one that shows a count as given up shows it after `live` has.
//!
//! **References, too.** A tree of forks gives each child a handle of the nursery: made when it is spawned, dropped when it ends, and each of the two writes the node's count
//! of references, which is shared as `live` is. So of the children of that same nursery the worker keeps the handles' references, as well, for the handles that its other children
//! make. Only while such a child is polled: what a body drops goes at once, as does what is dropped anywhere else.
//!
//! Invariants:
//! - **J4** A kept count is a count in the sense of J1: while there is one, `node` is alive and open. What is done with it, to spend or to give up, is done once.
//! - **J5** Only the worker's thread changes its `Kept` (`scheduler::worker` K1). Others read the word.
//! - **J7** A kept reference is one of `node`'s, counted or lent (`scope::unlinked` V4), given away by a handle: while there is one, `node` is alive. It is given up with the counts, and before the
//!   last of these, as a handle would.
//! - **J6** Fewer counts than `MOVING` are kept: the worker gives them up every `MAINTENANCE` tasks.
//!
//! **Order.** The last to leave must see what every other has done (`Live::leave`). A child that ended here did so before, on this thread; if its count is spent,
//! it is passed on with the new child, whose queue entry orders it before that one's end.
#![allow(unsafe_code, unreachable_pub)] // The loom models use it.

use std::cell::Cell;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use super::{leave_many, left};
use crate::primitives::atomic::AtomicU64;
use crate::primitives::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::primitives::thread;
use crate::scope::Node;
use crate::scope::live::Live;
use crate::scope::node::Inner;

/// In the models of the whole runtime every child leaves by itself; this has models of its own.
const KEEPS: bool = cfg!(not(loom));

/// In place of the number of counts: they are on their way to `live`.
const MOVING: u64 = 0xff;

/// More references than this are not kept.
const REFERENCES: u32 = 32;

/// How often one looks whether everything stands still, before a number will do that counts some children which have ended.
const LOOKS: u32 = 100;

/// See the module.
pub struct Kept {
    node: Cell<*const Node>,
    /// Whose counts they are, and how many. The eight highest bits of an address say nothing: no system puts data of programs so high.
    word: AtomicU64,
    /// References to `node` (J7).
    references: Cell<u32>,
}

// SAFETY: J4: the node is made for use from any thread; J5 says from which one.
unsafe impl Send for Kept {}
// SAFETY: J5: `node` and `references` are the worker's alone.
unsafe impl Sync for Kept {}

fn word(live: &Live, counts: u64) -> u64 {
    ((ptr::from_ref(live).addr() as u64) << 8) | counts
}

impl Kept {
    /// Nothing.
    pub fn new() -> Self {
        Self { node: Cell::new(ptr::null()), word: AtomicU64::new(0), references: Cell::new(0) }
    }

    #[inline]
    fn counts(&self) -> u64 {
        self.word.load(Relaxed) & MOVING
    }

    #[inline]
    fn has_any(&self) -> bool {
        KEEPS && (self.counts() != 0 || self.references.get() != 0)
    }

    /// Keeps the count of an ordinary child that has ended.
    ///
    /// # Safety
    ///
    /// The caller owns that count of `node` (J1), and returns to the worker's loop at once.
    #[inline]
    pub(crate) unsafe fn keep(&self, node: NonNull<Node>) {
        if !KEEPS {
            // SAFETY: passed on.
            return unsafe { leave_many(node, 1) };
        }
        if !ptr::eq(self.node.get(), node.as_ptr()) {
            self.give_up();
            self.node.set(node.as_ptr());
        }
        // SAFETY: J4: the count was the caller's until here.
        self.add(&unsafe { node.as_ref() }.live);
    }

    /// The word after one count more of `live`, whose counts alone are kept.
    #[inline]
    pub fn add(&self, live: &Live) {
        // Release pairs with `of`: whoever sees the count kept sees that `live` has it, too.
        self.word.store(word(live, self.counts() + 1), Release);
    }

    /// Takes a kept count of `node`, for a new child; false if there is none.
    #[inline]
    pub(crate) fn spend(&self, node: &Node) -> bool {
        let counts = self.counts();
        let spends = KEEPS && counts != 0 && ptr::eq(self.node.get(), node);
        if spends {
            self.word.store(word(&node.live, counts - 1), Release);
        }
        spends
    }

    /// Whether counts are kept that must be given up before a task of `base` runs; null: before anything else.
    #[inline]
    pub(crate) fn stands_against(&self, base: *const Node) -> bool {
        self.has_any() && !ptr::eq(self.node.get(), base)
    }

    /// Keeps a reference of a handle of `node` that is dropped; false if it is not kept, and still the caller's. A child of `node` is being polled on this worker.
    #[inline]
    pub(crate) fn keep_reference(&self, node: &Node) -> bool {
        KEEPS && self.add_reference(node)
    }

    #[inline]
    pub(crate) fn add_reference(&self, node: &Node) -> bool {
        let references = self.references.get();
        if references >= REFERENCES {
            return false;
        }
        if !ptr::eq(self.node.get(), node) {
            if self.has_any() {
                return false;
            }
            self.node.set(node);
        }
        self.references.set(references + 1);
        true
    }

    /// Takes a kept reference of `node`, for a new handle; false if there is none.
    #[inline]
    pub(crate) fn take_reference(&self, node: &Node) -> bool {
        let references = self.references.get();
        let takes = references != 0 && ptr::eq(self.node.get(), node);
        if takes {
            self.references.set(references - 1);
        }
        takes
    }

    /// Gives up what is kept; whether there was anything.
    #[inline]
    pub(crate) fn give_up(&self) -> bool {
        let some = self.has_any();
        let node = self.node.get().cast_mut();
        if self.counts() != 0 {
            self.give_references_up();
            // SAFETY: J4: the counts are ours, and the node is alive while we have not given them up; then it is as `left` asks.
            unsafe { left(NonNull::new_unchecked(node), self.move_to(&(*node).live)) };
        } else if some {
            self.give_references_up();
        }
        some
    }

    pub(crate) fn give_references_up(&self) {
        let node = self.node.get();
        for _ in 0..self.references.take() {
            // SAFETY: J7.
            unsafe { Arc::from_raw(node) }.hand_back();
        }
    }

    /// Gives up what is kept, all of `live`. Nothing foreign happens while it is under way.
    pub fn move_to(&self, live: &Live) -> crate::scope::live::Left {
        let counts = self.counts();
        // Relaxed: whoever sees `live` without these counts has acquired that, and so sees this.
        self.word.store(word(live, MOVING), Relaxed);
        let left = live.leave(counts as u32);
        // Release pairs with `of`: whoever sees nothing kept sees `live` without these counts.
        self.word.store(0, Release);
        left
    }

    /// How many counts of `live` are kept; `None`: it is changing.
    fn of(&self, live: &Live) -> Option<usize> {
        let now = self.word.load(Acquire);
        match now & MOVING {
            _ if now >> 8 != word(live, 0) >> 8 => Some(0),
            MOVING => None,
            counts => Some(counts as usize),
        }
    }
}

impl Default for Kept {
    fn default() -> Self {
        Self::new()
    }
}

/// How many ordinary parts have not ended, but for those that `kept` have the counts of.
pub fn not_ended<'a>(live: &Live, kept: impl Fn() -> Box<dyn Iterator<Item = &'a Kept> + 'a>) -> usize {
    let look = || kept().map(|kept| kept.of(live)).sum::<Option<usize>>();
    for _ in 0..LOOKS {
        let (before, ended) = (live.ordinary(), look());
        // Twice the same: a count that goes from worker to worker, with child after child, must not be taken off for each.
        if let Some(ended) = ended
            && look() == Some(ended)
            && live.ordinary() == before
        {
            return before.saturating_sub(ended);
        }
        thread::yield_now();
    }
    live.ordinary() // Children come and go all the time.
}

/// How many ordinary parts of `node` have not ended, whose lock the caller holds. After its future is gone that is a little late.
pub(crate) fn ordinary(node: &Node, inner: &Inner) -> usize {
    match node.runtime(inner) {
        // SAFETY: `scope::node` N6.
        Some(runtime) => not_ended(&node.live, || Box::new(unsafe { runtime.as_ref() }.kept())),
        None => node.live.ordinary(),
    }
}
