//! Shields that are switched on and off while their scope runs, from anywhere.
//!
//! A scope whose shield is on holds a guard, as every shield does (`guard`): the scopes around wait for it. Switching takes place under the node's
//! lock, together with the taking and the giving back of that guard, so any number of threads may do it. Then everything below follows: what has become
//! invisible to the surrounding cancel is no longer cut, what has become visible is, at once.
//!
//! A leaf that was *refused*, because it was asked for the first time in a cancelled scope, has taken nothing and waits for nothing. If the mark is taken
//! back, it must be asked again:
//! - **A1** Polled with another waker than its task's (in a combinator of others, or below a holder), it leaves that waker with the node that has refused
//!   it, under the lock under which the mark is taken back. The walk that does so wakes it (`ask_again`).
//! - **A2** Polled with its task's own waker, it is polled whenever the task is. A task with a node of its own, and the scope whose shield was switched, are
//!   woken by the walk. That misses a task whose present poll has not registered anything yet. So a leaf reads `UNMARKED` before it looks at the mark; the
//!   task reads it again at the end of the poll, when everything is registered, and if marks were taken back meanwhile, polls once more
//!   (`must_ask_again`).
//!
//! A scope inside that is cancelled itself stays so. It may have been suspended, and have left its inside to the cancelled scope around, as to the outermost; now it is that, and the walk wakes it.
//!
//! A shield that comes too late gives way. When it is switched on, something inside may have been cut already: a nursery's body or child, or the body
//! of a `finally`. What was cut has no value to give, and the code around it cannot go on. So it takes back the shields between itself and
//! the cancelled scope (`give_way`), and is dropped by that. (In Trio a `Cancelled` that is under way passes a shield that is set meanwhile.) Until it is dropped it waits as a leaf
//! that was refused, so it is polled when the shield comes (`is_cut_here`).

use std::sync::Arc;
use std::task::{Context, Waker};

use super::node::flag::{EFFECTIVE, HOLDER, SHIELD, SUSPECT, WOKEN};
use super::node::{Inner, Node};
use crate::contain;
use crate::context;
use crate::primitives::atomic::AtomicU64;
use crate::primitives::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use crate::primitives::per_process;

per_process! {
    // How often a mark was taken back, anywhere (A2). Rare, so one for all.
    static UNMARKED: AtomicU64 = AtomicU64::new(0);
}

/// A mark was just taken back.
pub(super) fn note_unmarked() {
    // Release pairs with the acquire in `unmarked`: who has read this number finds the mark gone.
    UNMARKED.fetch_add(1, Release);
}

/// See A2: to be read before the mark, and after everything is registered.
pub(crate) fn unmarked() -> u64 {
    // Acquire pairs with the release in `note_unmarked`. The second reading sees it through the locks of what was registered: who has looked for a waker
    // there before, has counted before.
    UNMARKED.load(Acquire)
}

/// Whether what was cut at the place where the caller stands is dropped by a cancelled scope around. A shield between gives way. It is polled again if a shield is put between later,
/// as a leaf that is refused here: a combinator of others polls only what was woken.
pub(crate) fn is_cut_here(cx: &Context<'_>) -> bool {
    while !context::is_refused(cx) {
        if !context::current_node().is_some_and(|node| node.give_way()) {
            return false;
        }
    }
    true
}

impl Node {
    /// Notes that a leaf with `waker`, not its task's own, was refused here (A1). False if the mark was taken back meanwhile.
    pub(crate) fn refuse(&self, waker: &Waker) -> bool {
        let known = |inner: &mut Inner| inner.extra().refused.iter().any(|known| known.will_wake(waker));
        if !self.is_effective() || known(&mut self.inner.lock()) {
            return self.is_effective();
        }
        // Cloned outside the lock (N4).
        let waker = waker.clone();
        let mut inner = self.inner.lock();
        let marked = self.flags.load(Relaxed) & EFFECTIVE != 0;
        if marked {
            inner.extra().refused.push(waker);
        }
        marked
    }

    /// The mark of this node was taken back: wakes who was refused here (A1). The nodes below are added to `todo`.
    pub(super) fn ask_again(self: &Arc<Self>, todo: &mut Vec<Arc<Node>>) {
        let refused = {
            let mut inner = self.inner.lock();
            self.children(&inner, true, todo);
            inner.extra.as_mut().map(|extra| std::mem::take(&mut extra.refused))
        };
        refused.into_iter().flatten().for_each(contain::wake);
    }

    /// Switches the shield.
    pub(crate) fn set_shield(self: &Arc<Self>, on: bool) {
        let mut freed = Vec::new();
        {
            let inner = self.inner.lock();
            if self.has(SHIELD) == on {
                return;
            }
            if on {
                self.flags.fetch_or(SHIELD, AcqRel);
                // A nursery holds by itself as soon as it is suspended, and stores its waker with that; not before.
                if inner.active && !self.has(HOLDER) {
                    // Nobody has cleared it while the node held nothing (`owner` O1). The wake is below.
                    self.flags.fetch_and(!(WOKEN | SUSPECT), AcqRel);
                    self.begin_hold();
                }
            } else {
                let before = self.flags.fetch_and(!SHIELD, AcqRel);
                if before & HOLDER == 0 {
                    freed = self.release();
                }
            }
        }
        freed.iter().for_each(|scope| scope.notify_owner());
        let (before, after) = self.follow();
        if before != after {
            self.spread();
        }
        if on {
            // To be polled with its own waker from now on, and to answer a cancel that is under way around it.
            self.notify_owner();
        } else {
            self.follow_stop();
        }
    }

    /// After a poll of a scope whose shield was on: holds a guard, if it still is.
    pub(super) fn hold_if_shielded(&self) {
        let held = {
            let inner = self.inner.lock();
            inner.active && self.has(SHIELD) && self.begin_hold()
        };
        if held {
            self.answer_cancel();
        }
    }

    /// Something here was cut by a cancelled scope above, and shields that were switched on later are in between: takes those back, so that this node is effectively cancelled again, unless
    /// another shield is switched on at this moment. False if no scope is cancelled.
    fn give_way(self: &Arc<Self>) -> bool {
        let mut path = Vec::new();
        let mut at = Some(self);
        while let Some(above) = at {
            if above.is_cancelled() {
                // The outermost first: each one lets the walk come as far as the next.
                for node in path.into_iter().rev() {
                    Self::let_through(node);
                }
                return true;
            }
            path.push(above);
            at = above.parent();
        }
        false
    }

    fn let_through(self: &Arc<Self>) {
        if self.has(SHIELD) {
            self.set_shield(false);
        } else if self.follow() == (false, true) {
            self.spread(); // Another walk is on its way here, or none comes: the task of this node has ended.
        }
    }
}
