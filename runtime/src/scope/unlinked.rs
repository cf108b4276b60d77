//! Nurseries that nobody has used yet: they stand in the tree, and hang in no list.
//!
//! Many nurseries never get a child: what they were opened for turned out not to be needed. Such a one costs no lock and no count, because it is linked when somebody first
//! uses it: whoever spawns through a handle or does anything else with it, on any thread; whoever opens a scope in its body; its own future, if the body
//! stays suspended. If nothing of that has happened when the body has ended, and no handle is left, then nobody can ever learn that it was there, and its future takes it back.
//!
//! ```text
//! stand ─▶ UNLINKED ─▶ the first use: link_late ─▶ a node as every other
//!                 └──▶ the body has ended, nobody else has a reference: take_back
//! ```
//!
//! Invariants:
//! - **V1** While `UNLINKED` is set, the frame that polls the nursery's body for the first time has not returned, and with it the task, the run and the parent are there, which is
//!   linked. The node's reference to its parent is not counted.
//! - **V2** `UNLINKED` is cleared under the parent's lock, in one step with all that makes it a linked node: the place in the list, `EFFECTIVE`, the count of the
//!   reference to the parent, and what the nursery needs (`nursery` J2). Nobody else writes the flags before; so the step is a store.
//! - **V3** Nobody cancels, stops, counts in or hangs anything below an unlinked node, nor makes a weak reference to it: whoever has a handle links first. A cancel from above does not find it; so
//!   whoever asks whether it is cancelled (`Node::is_effective`) asks its parent.
//! - **V4** The handle that the body gets has no count of its own: it is *lent*. While `lent` is set, the references to the node are one more than its count says, and the nursery's
//!   future, which has the node, keeps it. Whoever drops a handle, be it that one or another, uses up the loan in place of a count, if there is one (`hand_back`); and the future pays it before it
//!   gives up its own reference (`pay`). Both do it by an exchange; but where nobody else has a handle, in the frame of V1, a store will do.
#![allow(unsafe_code)]

use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::sync::Arc;

use super::deadline::Deadline;
use super::node::flag::{ATTACHED, EFFECTIVE, STOPPING, UNLINKED};
use super::node::{Inner, Node, Place};
use crate::context;
use crate::primitives::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use crate::primitives::atomic::fence;

impl Node {
    /// A node for `stand`; also what `take_back` leaves.
    pub(crate) fn pristine() -> Arc<Self> {
        Arc::new(Self::with(0, None, Inner::new(true, Deadline::Never)))
    }

    /// Stands at `place`, whose parent is not counted.
    ///
    /// # Safety
    ///
    /// The node is pristine, and the caller has its only reference. He is the frame of V1, and has it linked or takes it back before he returns.
    pub(crate) unsafe fn stand(&self, flags: u32, place: ManuallyDrop<Place>) {
        // SAFETY: N7: nobody else has a reference.
        unsafe { *self.place.get() = Some(ManuallyDrop::into_inner(place)) };
        // Relaxed: whoever else gets a handle has it from this thread.
        self.flags.store(flags | ATTACHED | UNLINKED, Relaxed);
    }

    /// One more reference, which is not counted.
    ///
    /// # Safety
    ///
    /// The caller is the frame of V1, this is the only one that is lent, and it comes back by `hand_back`. The caller pays before he gives up his own (V4).
    pub(crate) unsafe fn lend(self: &Arc<Self>) -> Arc<Self> {
        // Relaxed: nobody else has the node yet.
        self.lent.store(true, Relaxed);
        // SAFETY: passed on.
        unsafe { Arc::from_raw(Arc::as_ptr(self)) }
    }

    /// Drops a handle's reference: a counted one, or the one that is lent.
    #[inline]
    pub(crate) fn hand_back(self: Arc<Self>) {
        if self.lent.load(Relaxed) && self.uses_up_loan() {
            std::mem::forget(self); // V4
        }
    }

    #[inline]
    fn uses_up_loan(self: &Arc<Self>) -> bool {
        // We are inside the frame of V1, on its thread (a child, whose node it is too, would have linked it), and the one count is that of the future: so ours is what is lent, and no other
        // handle is there.
        if Arc::strong_count(self) == 1 && self.flags.load(Relaxed) & UNLINKED != 0 && context::is_node(self) {
            // Release pairs with the acquire in `take_back`.
            self.lent.store(false, Release);
            return true;
        }
        // Acquire and release: as the count would do it.
        self.lent.swap(false, AcqRel)
    }

    /// Counts what is lent (V4). Called by the future of the nursery.
    pub(crate) fn pay(self: &Arc<Self>) {
        if self.lent.load(Relaxed) {
            let counted = Arc::clone(self); // First: whoever does not find the loan takes off a count.
            if self.lent.swap(false, AcqRel) {
                std::mem::forget(counted);
            }
        }
    }

    /// Takes the node out of the tree if nobody has used it and nobody can. False if it is linked, or still to be. Called by the frame of V1.
    pub(crate) fn take_back(self: &Arc<Self>) -> bool {
        // Relaxed: it is looked at again, once nobody else can change it. Acquire pairs with the release in `uses_up_loan`: who has used up the loan had counted the other handles, if there are.
        if self.flags.load(Relaxed) & UNLINKED == 0 || self.lent.load(Acquire) || Arc::strong_count(self) != 1 {
            return false;
        }
        // Pairs with the release of whoever has dropped a reference: what he has done before is seen. There are no weak ones (V3).
        fence(Acquire);
        if self.flags.load(Relaxed) & UNLINKED == 0 {
            return false;
        }
        self.flags.store(0, Relaxed);
        // SAFETY: N7: nobody else has a reference, and gets one before the node stands somewhere again.
        let place = unsafe { (*self.place.get()).take() };
        std::mem::forget(place.and_then(|place| place.parent)); // V1
        true
    }

    /// Links the node if it is not, and then does `also`, under the parent's lock.
    #[inline]
    pub(crate) fn link_late(&self, also: impl FnOnce(&Place)) {
        // Acquire pairs with the release below: it is linked for whoever does not see the mark.
        if self.flags.load(Acquire) & UNLINKED != 0 {
            self.link_now(also);
        }
    }

    #[cold]
    fn link_now(&self, also: impl FnOnce(&Place)) {
        let place = self.place().expect("an unlinked node stands somewhere");
        let parent = place.parent.as_ref().expect("and below another");
        let above;
        {
            // V1: if the frame is about to return, it takes this lock before.
            let mut inner = parent.inner.lock();
            let flags = self.flags.load(Relaxed);
            if flags & UNLINKED == 0 {
                return;
            }
            above = parent.flags.load(Relaxed) & (EFFECTIVE | STOPPING);
            // SAFETY: both live in an `Arc`: the parent's reference is counted from here on (V1), and the list gets its own (N1). The node has never been in a list.
            unsafe {
                Arc::increment_strong_count(Arc::as_ptr(parent));
                Arc::increment_strong_count(self);
                self.enter(&mut inner.scopes);
            }
            also(place);
            // Release pairs with the acquire in `link_late` and in `is_effective`.
            self.flags.store((flags & !UNLINKED) | (above & EFFECTIVE), Release);
        }
        if above & STOPPING != 0 {
            // SAFETY: it lives in an `Arc`, whose reference this does not give up.
            let node = ManuallyDrop::new(unsafe { Arc::from_raw(NonNull::from(self).as_ptr().cast_const()) });
            node.follow_stop();
        }
    }

    /// Whether what is around an unlinked node is cancelled (V3).
    #[inline]
    pub(super) fn is_cancelled_around(&self) -> bool {
        // The parent is linked (V1).
        self.parent().is_some_and(|parent| parent.flags.load(Acquire) & EFFECTIVE != 0)
    }
}
