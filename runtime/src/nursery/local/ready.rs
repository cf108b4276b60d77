//! Which children of a local nursery are to be polled: each has a waker of its own, which puts it in line.
//!
//! Invariant **Q1**: an entry is in the queue at most once, and `queued` says that it is. It is cleared before the child is polled: a wake during the poll
//! puts it in line again, behind the others.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Wake, Waker};

use crate::primitives::Mutex;
use crate::primitives::atomic::AtomicBool;
use crate::primitives::atomic::Ordering::AcqRel;
use crate::scope::Node;

/// The queue, first in, first out.
pub(super) struct Ready {
    /// `None` when the nursery has ended: then wakes lead nowhere.
    queue: Mutex<Option<VecDeque<Arc<Entry>>>>,
    /// The nursery's node: whoever runs that polls who is in line.
    node: Arc<Node>,
}

/// The place of a child in line; its waker.
pub(super) struct Entry {
    ready: Arc<Ready>,
    queued: AtomicBool,
    /// Where the child is kept.
    pub(super) key: usize,
}

impl Ready {
    pub(super) fn new(node: Arc<Node>) -> Arc<Self> {
        Arc::new(Self { queue: Mutex::new(Some(VecDeque::new())), node })
    }

    /// An entry that is in line from the beginning. The caller is polling the nursery.
    pub(super) fn enter(self: &Arc<Self>, key: usize) -> Arc<Entry> {
        let entry = Arc::new(Entry { ready: Arc::clone(self), queued: AtomicBool::new(true), key });
        self.push(Arc::clone(&entry));
        entry
    }

    fn push(&self, entry: Arc<Entry>) {
        let mut queue = self.queue.lock();
        if let Some(queue) = &mut *queue {
            queue.push_back(entry);
        }
    }

    /// Who is first in line; not in line any more (Q1).
    pub(super) fn pop(&self) -> Option<Arc<Entry>> {
        let entry = self.queue.lock().as_mut()?.pop_front()?;
        // Acquire pairs with the swap in `wake`: what was done before a wake that found the entry in line is seen by the poll that follows.
        entry.queued.swap(false, AcqRel);
        Some(entry)
    }

    /// Back to the head of the line: it was not polled.
    pub(super) fn put_back(&self, entry: Arc<Entry>) {
        if !entry.queued.swap(true, AcqRel)
            && let Some(queue) = &mut *self.queue.lock()
        {
            queue.push_front(entry);
        }
    }

    /// The nursery has ended.
    pub(super) fn close(&self) {
        let queue = self.queue.lock().take();
        drop(queue);
    }
}

impl Wake for Entry {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, AcqRel) {
            self.ready.push(Arc::clone(self));
            self.ready.node.notify_owner();
        }
    }
}

impl Entry {
    pub(super) fn waker(self: &Arc<Self>) -> Waker {
        Waker::from(Arc::clone(self))
    }
}
