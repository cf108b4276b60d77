//! The children of a local nursery: those that were spawned and not yet seen by its future, and those that it polls.

use std::panic::Location;
use std::sync::Arc;
use std::task::Waker;

use super::ready::{Entry, Ready};
use crate::combine::Branch;
use crate::local::Locals;
use crate::primitives::Mutex;
use crate::scope::Node;

/// What the handles and the future of a local nursery share. `C` is the future of a child, in a box.
pub(super) struct Core<C> {
    pub(super) node: Arc<Node>,
    inbox: Mutex<Inbox<C>>,
}

struct Inbox<C> {
    spawned: Vec<Child<C>>,
    /// Children that have not ended.
    live: usize,
    /// The body and all children have ended; or the future is gone.
    closed: bool,
}

/// A child that was spawned.
pub(super) struct Child<C> {
    pub(super) branch: Branch<C>,
    /// What was bound to task locals where it was spawned.
    pub(super) locals: Locals,
    pub(super) name: Option<Arc<str>>,
    pub(super) at: &'static Location<'static>,
}

impl<C> Core<C> {
    pub(super) fn new(node: Arc<Node>) -> Arc<Self> {
        Arc::new(Self { node, inbox: Mutex::new(Inbox { spawned: Vec::new(), live: 0, closed: false }) })
    }

    /// Takes a child in, which the nursery's future polls next; gives it back if the nursery has closed.
    pub(super) fn add(&self, child: Child<C>) -> Result<(), Child<C>> {
        {
            let mut inbox = self.inbox.lock();
            if inbox.closed {
                return Err(child);
            }
            inbox.live += 1;
            inbox.spawned.push(child);
        }
        self.node.notify_owner();
        Ok(())
    }

    pub(super) fn live(&self) -> usize {
        self.inbox.lock().live
    }

    pub(super) fn is_closed(&self) -> bool {
        self.inbox.lock().closed
    }

    /// What was spawned since the last call.
    pub(super) fn take_spawned(&self) -> Vec<Child<C>> {
        std::mem::take(&mut self.inbox.lock().spawned)
    }

    pub(super) fn child_ended(&self) {
        self.inbox.lock().live -= 1;
    }

    /// Closes the nursery if nothing is left in it; the body has ended.
    pub(super) fn close_if_empty(&self) -> bool {
        let mut inbox = self.inbox.lock();
        inbox.closed = inbox.closed || inbox.live == 0;
        inbox.closed
    }

    /// The future of the nursery is gone: nobody enters any more. What nobody has polled is to be dropped.
    pub(super) fn abandon(&self) -> Vec<Child<C>> {
        let mut inbox = self.inbox.lock();
        inbox.closed = true;
        inbox.live = 0;
        std::mem::take(&mut inbox.spawned)
    }
}

/// A child that the nursery's future polls.
pub(super) struct Running<C> {
    pub(super) child: Child<C>,
    pub(super) entry: Arc<Entry>,
    pub(super) waker: Waker,
    /// The last poll of the nursery in which this was polled.
    pub(super) round: u64,
}

/// The children that are polled, each under a key that a later one may get again.
pub(super) struct Children<C> {
    slots: Vec<Option<Running<C>>>,
    free: Vec<usize>,
}

impl<C> Children<C> {
    pub(super) fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }

    pub(super) fn insert(&mut self, child: Child<C>, ready: &Arc<Ready>) {
        let key = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        let entry = ready.enter(key);
        let waker = entry.waker();
        self.slots[key] = Some(Running { child, entry, waker, round: 0 });
    }

    /// The child with this entry; `None` if it has ended, and a waker of it was left somewhere.
    pub(super) fn get(&mut self, entry: &Arc<Entry>) -> Option<&mut Running<C>> {
        let running = self.slots.get_mut(entry.key)?.as_mut()?;
        Arc::ptr_eq(&running.entry, entry).then_some(running)
    }

    pub(super) fn remove(&mut self, key: usize) -> Option<Running<C>> {
        let running = self.slots[key].take()?;
        self.free.push(key);
        Some(running)
    }

    /// All that are left, in the order of their keys.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Running<C>> + use<C> {
        self.free.clear();
        std::mem::take(&mut self.slots).into_iter().flatten()
    }
}
