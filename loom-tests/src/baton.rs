//! What a thread of a model waits on.

use std::sync::Arc;
use std::task::{Wake, Waker};

use loom::sync::Notify;
use loom::sync::atomic::AtomicUsize;
use loom::sync::atomic::Ordering::{AcqRel, Acquire};

/// A waker that counts, and a thread that waits for it.
pub struct Baton {
    wakes: AtomicUsize,
    notify: Notify,
    outer: Option<Arc<Baton>>,
}

impl Baton {
    /// Not woken yet.
    pub fn new() -> Arc<Self> {
        Arc::new(Self { wakes: AtomicUsize::new(0), notify: Notify::new(), outer: None })
    }

    /// Of a part that is polled only if it was woken itself, inside of what `outer` wakes. Due for its first poll.
    pub fn within(outer: &Arc<Self>) -> Arc<Self> {
        Arc::new(Self { wakes: AtomicUsize::new(1), notify: Notify::new(), outer: Some(Arc::clone(outer)) })
    }

    /// The waker.
    pub fn waker(self: &Arc<Self>) -> Waker {
        Waker::from(Arc::clone(self))
    }

    /// Blocks until there was a wake since the last call. One thread only.
    pub fn wait(&self) {
        while !self.take() {
            self.notify.wait();
        }
    }

    /// Whether there was a wake since the last call.
    pub fn take(&self) -> bool {
        self.wakes.swap(0, AcqRel) != 0
    }

    /// Whether there was a wake since the last `wait`.
    pub fn is_due(&self) -> bool {
        self.wakes() != 0
    }

    /// How many wakes there were since the last `wait`.
    pub fn wakes(&self) -> usize {
        self.wakes.load(Acquire)
    }
}

impl Wake for Baton {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wakes.fetch_add(1, AcqRel);
        match &self.outer {
            Some(outer) => outer.wake_by_ref(),
            None => self.notify.notify(),
        }
    }
}
