//! Shields that are switched on and off while their scope runs, from anywhere.
//!
//! A scope whose shield is on holds a guard, as every shield does (`guard`): the scopes around wait for it. Switching takes place under the node's
//! lock, together with the taking and the giving back of that guard, so any number of threads may do it. Then everything below follows: what has become
//! invisible to the surrounding cancel is no longer cut, what has become visible is, at once.
//!
//! A shield that comes too late gives way. When it is switched on, something inside may have been cut already: a nursery's body or child, or the body
//! of a `finally`. What was cut has no value to give, and the code around it cannot go on. So it takes back the shields between itself and
//! the cancelled scope (`give_way`), and is dropped by that. (In Trio a `Cancelled` that is under way passes a shield that is set meanwhile.)

use std::sync::Arc;

use super::node::Node;
use super::node::flag::{HOLDER, SHIELD, SUSPECT, WOKEN};
use crate::context;
use crate::primitives::atomic::Ordering::{AcqRel, Relaxed};

/// Whether what was cut at the place where the caller stands is dropped by a cancelled scope around. A shield between gives way.
pub(crate) fn is_cut_here() -> bool {
    context::is_cancelled() || context::current_node().is_some_and(|node| node.give_way())
}

impl Node {
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

    /// Something here was cut by a cancelled scope above, and shields that were switched on later are in between: takes those back. False if no scope
    /// is cancelled.
    fn give_way(self: &Arc<Self>) -> bool {
        let mut shields = Vec::new();
        let mut at = Some(self);
        while let Some(above) = at {
            if above.is_cancelled() {
                // The outermost first: each one lets the walk come as far as the next.
                shields.into_iter().rev().for_each(|shield: &Arc<Node>| shield.set_shield(false));
                return true;
            }
            if above.flags.load(Relaxed) & SHIELD != 0 {
                shields.push(above);
            }
            at = above.parent();
        }
        false
    }
}
