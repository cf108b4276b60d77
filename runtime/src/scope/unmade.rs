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
//! - **U1** `context`'s chain of unmade scopes leads through futures whose polls, on this thread's stack, have not returned, the innermost first. All of
//!   them were entered after the context's node was set, so each one hangs below the next, and the last one below that node. They are made from the
//!   outermost inwards, all of them at once; so in the chain that a frame has found, either none has been made since, or all.
//! - **U2** A holder without a node returns `Pending` only after it has counted that in `context::yields`, and only when its task is due and it was polled with the
//!   task's own waker. Every frame that may drop a cancelled inside reads the count before it polls that, and drops it only if the count is the same afterwards.
//! - **U3** As long as the chain leads to a scope, its `context::Standing` is there, which borrows it: its future stays where it is, and that frame touches nothing of it.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::ptr;
use std::sync::Arc;

use super::deadline::Deadline;
use super::node::Node;
use crate::context;

/// What a scope is before it has its node, and that node when it has. A part of its future; while that polls its inside, the context's chain leads here.
pub(crate) struct Unmade {
    pub(super) operation: &'static str,
    /// Of the node that is made.
    pub(super) flags: u32,
    pub(super) deadline: Deadline,
    /// The one around that has no node either. Of use while the inside is polled.
    around: Cell<*const Unmade>,
    node: Cell<Option<Arc<Node>>>,
    /// The future has been polled. This and the next two are its own, and stand here since here they take no room.
    pub(super) entered: bool,
    /// It has been suspended.
    pub(super) armed: bool,
    /// Its inside gets the node as its waker also where nothing around is cancelled: for whoever polls the scope only if its node was woken.
    pub(super) always_own: bool,
    /// Fills the word, so that the compiler writes the last four fields by one store and no byte of `node` with them: a load of that, which comes next, would have to wait until both stores
    /// are in the cache.
    _filler: bool,
}

// SAFETY: U3: while the future may go to another thread, it is not being polled, and nobody follows `around`.
unsafe impl Send for Unmade {}
// SAFETY: as above: who has a shared reference to the future of a scope cannot do anything with this.
unsafe impl Sync for Unmade {}

impl Unmade {
    #[inline]
    pub(super) fn new(operation: &'static str, flags: u32, deadline: Deadline) -> Self {
        Self {
            operation,
            flags,
            deadline,
            around: Cell::new(ptr::null()),
            node: Cell::new(None),
            entered: false,
            armed: false,
            always_own: false,
            _filler: false,
        }
    }

    /// With a node, which is not attached yet.
    pub(super) fn on(operation: &'static str, node: Arc<Node>) -> Self {
        Self { node: Cell::new(Some(node)), always_own: true, ..Self::new(operation, 0, Deadline::Never) }
    }

    /// The node that it has got.
    #[inline]
    pub(super) fn node(&mut self) -> Option<&Arc<Node>> {
        self.node.get_mut().as_ref()
    }

    #[inline]
    pub(super) fn take_node(&mut self) -> Option<Arc<Node>> {
        self.node.get_mut().take()
    }

    /// Makes its node, if it has none.
    pub(super) fn make(&mut self) -> &Arc<Node> {
        let (operation, flags, deadline) = (self.operation, self.flags, self.deadline);
        self.node.get_mut().get_or_insert_with(|| Node::attached_until(flags, context::place(operation), deadline))
    }

    /// The node that it has got while its inside was being polled.
    ///
    /// # Safety
    ///
    /// The caller makes no other use of the scope as long as it uses the reference.
    #[inline]
    pub(crate) unsafe fn made(&self) -> Option<&Arc<Node>> {
        // SAFETY: passed on.
        unsafe { &*self.node.as_ptr() }.as_ref()
    }

    /// It stands in `around` from here on.
    #[inline]
    pub(crate) fn stand_in(&self, around: *const Unmade) {
        self.around.set(around);
    }
}

/// Makes the nodes of all scopes in the chain, whose context does not know of them any more.
#[cold]
pub(crate) fn make_all(innermost: *const Unmade) {
    let (mut chain, mut at) = (Vec::new(), innermost);
    // SAFETY: U1.
    while let Some(unmade) = unsafe { at.as_ref() } {
        chain.push(unmade);
        at = unmade.around.get();
    }
    for unmade in chain.into_iter().rev() {
        let node = Node::attached_until(unmade.flags, context::place(unmade.operation), unmade.deadline);
        context::enter_made(Arc::as_ptr(&node));
        unmade.node.set(Some(node));
    }
}
