//! How many children may run at once: one task takes slots, the children give them back when they are dropped.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker, ready};

use crate::context;
use crate::primitives::Mutex;

pub(super) struct Slots(Mutex<State>);

struct State {
    free: usize,
    waiting: Option<Waker>,
}

/// One slot; dropping it gives it back.
pub(super) struct Slot(Arc<Slots>);

impl Slots {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State { free: limit, waiting: None })))
    }

    /// Waits until one is free. A checkpoint; only one task may call it.
    pub(super) async fn take(self: &Arc<Self>, operation: &'static str) -> Slot {
        poll_fn(|cx| {
            ready!(context::poll_checkpoint(cx, operation));
            let waker = cx.waker().clone(); // Not under the lock: foreign code.
            let mut state = self.0.lock();
            if state.free > 0 {
                state.free -= 1;
                drop(state);
                return Poll::Ready(Slot(Arc::clone(self)));
            }
            let old = state.waiting.replace(waker);
            drop(state);
            drop(old);
            Poll::Pending
        })
        .await
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let waiting = {
            let mut state = self.0.0.lock();
            state.free += 1;
            state.waiting.take()
        };
        if let Some(waiting) = waiting {
            waiting.wake();
        }
    }
}
