//! Who waits for the transport.
//!
//! A transport remembers one waker for each of its directions. But who reads TLS may have to write (in a handshake, an alert), and
//! the other way round. So the transport is polled with the waker of a [`Side`], which wakes whoever has asked for that side: the
//! reader, the writer, or both.
//!
//! A waker is stored before the transport is polled. So no event comes between.

use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use parking_lot::Mutex;

/// Which user of the stream asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum User {
    Reader = 0,
    Writer = 1,
}

/// One direction of the transport.
pub(super) struct Side {
    asking: Arc<Asking>,
    waker: Waker,
}

struct Asking([Mutex<Option<Waker>>; 2]);

impl Side {
    pub(super) fn new() -> Side {
        let asking = Arc::new(Asking([Mutex::new(None), Mutex::new(None)]));
        Side { waker: asking.clone().into(), asking }
    }

    /// Wakes all who ask for this side.
    pub(super) fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// What to poll the transport with, for this user.
    pub(super) fn context<'a>(&'a self, user: User, cx: &Context<'_>) -> Context<'a> {
        let mut slot = self.asking.0[user as usize].lock();
        let replaced = match &*slot {
            Some(waker) if waker.will_wake(cx.waker()) => None,
            _ => slot.replace(cx.waker().clone()),
        };
        drop(slot);
        drop(replaced); // not under the lock: its task may end with it
        Context::from_waker(&self.waker)
    }
}

impl Wake for Asking {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        for slot in &self.0 {
            let waker = slot.lock().take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}
