//! Who is woken for a node: the future that runs it, and the cancelled scopes above that wait for its guard.
//!
//! A *holder* (see `guard`) that was woken carries `WOKEN` until it is polled. Its waker may lead nowhere: into a combinator that is no
//! longer polled. So in a cancelled scope the wake of a holder marks the holders above it as well, and then wakes those and the cancelled
//! scopes, outermost first, which see for themselves who answers. A holder that is marked already has been woken, and nobody needs to do
//! it again until it is polled; that keeps the wakes of nested holders linear.
//!
//! Invariant **O1**: a holder stores its waker before it clears `WOKEN`, and looks at what it waits for after that. So a wake that finds `WOKEN` set may
//! rely on the one who has set it: the poll that clears the bit comes later and sees what either of them has done.

use std::sync::Arc;
use std::task::{Wake, Waker};

use super::node::flag::{CANCELLED, EFFECTIVE, HOLDING, SUSPECT, TASK_ROOT, WOKEN};
use super::node::{Inner, Node};
use crate::contain;
use crate::primitives::atomic::Ordering::{AcqRel, Acquire, Relaxed};

impl Inner {
    /// Stores the waker of the future that runs the node, whose lock is held. The old one, to be dropped outside of it.
    #[must_use]
    pub(super) fn set_owner(&mut self, waker: &Waker) -> Option<Waker> {
        match &self.owner {
            Some(owner) if owner.will_wake(waker) => None,
            _ => self.owner.replace(waker.clone()), // N4
        }
    }
}

impl Node {
    /// Stores the waker of the future that runs this node. The caller reads the flags afterwards (N3).
    pub(crate) fn set_owner(&self, waker: &Waker) {
        drop(self.inner.lock().set_owner(waker));
    }

    /// The holder is being polled, with `waker`: it has answered. Before it looks at what it waits for (O1).
    pub(crate) fn answer(&self, waker: &Waker) {
        self.set_owner(waker);
        if self.flags.load(Relaxed) & (WOKEN | SUSPECT) != 0 {
            // Acquire and release: what was done before a wake that has relied on the bit is seen by this poll (O1).
            self.flags.fetch_and(!(WOKEN | SUSPECT), AcqRel);
            self.rounds.store(0, Relaxed);
        }
    }

    /// Wakes the future that runs this node, and if the node holds a guard, the cancelled scopes that wait for that.
    pub(crate) fn notify_owner(&self) {
        if !self.mark_woken() {
            return;
        }
        if self.within_task().any(|above| above.flags.load(Acquire) & EFFECTIVE != 0) {
            self.wake_above();
        }
        self.wake_owner();
    }

    /// Notes that the node was woken; false if it is a holder that was woken before and has not been polled since (O1).
    pub(super) fn mark_woken(&self) -> bool {
        let before = self.flags.fetch_or(WOKEN, AcqRel);
        before & (WOKEN | HOLDING) != WOKEN | HOLDING
    }

    /// Marks the holders above, then wakes them and the cancelled scopes.
    #[cold]
    fn wake_above(&self) {
        let mut woken: Vec<&Arc<Node>> = Vec::new();
        for above in self.within_task() {
            let flags = above.flags.load(Acquire);
            if flags & HOLDING != 0 {
                if above.mark_woken() {
                    woken.push(above);
                }
            } else if flags & EFFECTIVE != 0 && flags & (CANCELLED | TASK_ROOT) != 0 {
                woken.push(above);
            }
        }
        woken.iter().rev().for_each(|above| above.wake_owner());
    }

    /// The nodes above, up to the task's.
    fn within_task(&self) -> impl Iterator<Item = &Arc<Node>> {
        let mut below = self;
        std::iter::from_fn(move || {
            if below.flags.load(Relaxed) & TASK_ROOT != 0 {
                return None;
            }
            let above = below.parent()?;
            below = above;
            Some(above)
        })
    }

    /// Wakes the future that runs this node, and nobody else.
    pub(super) fn wake_owner(&self) {
        let holds = self.is_holding();
        if holds {
            // Acquire and release: with the read in `is_being_woken`, before and after what the waker does.
            self.waking.fetch_add(1, AcqRel);
        }
        let owner = contain::call(|| self.inner.lock().owner.clone()).flatten();
        if let Some(owner) = owner {
            contain::wake(owner);
        }
        if holds {
            self.waking.fetch_sub(1, AcqRel);
        }
    }

    /// Whether some thread is in the waker of this holder.
    pub(super) fn is_being_woken(&self) -> bool {
        self.waking.load(Acquire) != 0
    }
}

/// A shield polls its inside with its own node as the waker: so it is known that it was woken, and whether it was polled since.
impl Wake for Node {
    fn wake(self: Arc<Self>) {
        self.notify_owner();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.notify_owner();
    }
}
