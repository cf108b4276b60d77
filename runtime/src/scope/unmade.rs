//! Scopes that have no node yet: a time-out, a scope without a handle, a shield or a `finally`, whose inside is being polled for the first time, or has only
//! yielded so far.
//!
//! Most of them end before they have waited for anything. So such a scope gets its node when something needs it:
//! - a node is hung below it, or somebody asks for the present scope (`make_all`, by `context::place` and `context::current_node`);
//! - its inside stays suspended, so that its deadline must be able to wake it, or it must hold (`scoped`);
//! - it is a shield or a holder, and what is around is cancelled: when it is polled (`scoped`), and when something in it finds so (`context::is_cancelled`).
//!
//! Until then the inside stands in the scope around, and nothing is missed: whether a leaf is refused depends on what is around alone, for nobody has a
//! handle of this scope, and its deadline is looked at whenever it is polled. Where its inside has only yielded, the task is in a queue, and comes back to it.
//!
//! A holder that has only yielded counts no guard, and a cancel may come before it is polled again. So whoever would drop what it stands in looks whether
//! there was such a one in the poll that has just ended (U2), and then leaves it to the next poll of the task, which is due: there the holder is either polled, and gets its
//! node, as it finds itself in a cancelled scope; or nobody polls it any more, and then there is nothing to wait for.
//!
//! Invariants:
//! - **U1** `context`'s chain of unmade scopes leads through frames of this thread's stack that have not returned, the innermost first. All of
//!   them were entered after the context's node was set, so each one hangs below the next, and the last one below that node. They are made from the
//!   outermost inwards, all of them at once; so in the chain that a frame has found, either none has been made since, or all.
//! - **U2** A holder without a node returns `Pending` only after it has counted that in `context::yields`, and only when its task is due and it was polled with the
//!   task's own waker. Every frame that may drop a cancelled inside reads the count before it polls that, and drops it only if the count is the same afterwards.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::sync::Arc;

use super::deadline::Deadline;
use super::node::Node;
use crate::context;

/// A scope that is being polled, and may get its node meanwhile.
pub(crate) struct Unmade {
    operation: &'static str,
    flags: u32,
    deadline: Deadline,
    /// The one around that has no node either.
    around: *const Unmade,
    node: Cell<Option<Arc<Node>>>,
}

impl Unmade {
    /// The node that it has got.
    ///
    /// # Safety
    ///
    /// The caller makes no other use of the scope as long as it uses the reference.
    pub(crate) unsafe fn made(&self) -> Option<&Arc<Node>> {
        // SAFETY: passed on.
        unsafe { &*self.node.as_ptr() }.as_ref()
    }
}

/// Polls the inside of a scope that has no node. What has been made of it is in `made` afterwards, also after a panic.
pub(super) fn with_unmade<R>(
    operation: &'static str,
    flags: u32,
    deadline: Deadline,
    made: &mut Option<Arc<Node>>,
    poll: impl FnOnce() -> R,
) -> R {
    struct HandOver<'a>(&'a Unmade, &'a mut Option<Arc<Node>>);
    impl Drop for HandOver<'_> {
        fn drop(&mut self) {
            *self.1 = self.0.node.take();
        }
    }
    let unmade = Unmade { operation, flags, deadline, around: context::unmade(), node: Cell::new(None) };
    // Dropped after the context has been set back, which looks whether the one around was made, and not at this one.
    let _hand_over = HandOver(&unmade, made);
    context::with_unmade(&unmade, poll)
}

/// Makes the nodes of all scopes in the chain, whose context does not know of them any more.
#[cold]
pub(crate) fn make_all(innermost: *const Unmade) {
    let (mut chain, mut at) = (Vec::new(), innermost);
    // SAFETY: U1.
    while let Some(unmade) = unsafe { at.as_ref() } {
        chain.push(unmade);
        at = unmade.around;
    }
    for unmade in chain.into_iter().rev() {
        let node = Node::attached_until(unmade.flags, context::place(unmade.operation), unmade.deadline);
        context::enter_made(Arc::as_ptr(&node));
        unmade.node.set(Some(node));
    }
}
