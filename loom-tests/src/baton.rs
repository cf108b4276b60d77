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
}

impl Baton {
    /// Not woken yet.
    pub fn new() -> Arc<Self> {
        Arc::new(Self { wakes: AtomicUsize::new(0), notify: Notify::new() })
    }

    /// The waker.
    pub fn waker(self: &Arc<Self>) -> Waker {
        Waker::from(Arc::clone(self))
    }

    /// Blocks until there was a wake since the last call. One thread only.
    pub fn wait(&self) {
        while self.wakes.swap(0, AcqRel) == 0 {
            self.notify.wait();
        }
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
        self.notify.notify();
    }
}
