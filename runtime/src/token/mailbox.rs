//! What others have asked a run to do: a queue that closes.
//!
//! Invariants:
//! - **Q1** What `post` has accepted is taken, in the order of acceptance: `close` refuses what comes later, and the queue ends only when it is closed and empty.
//! - **Q2** The first post begins the task that takes, under the lock: so either that task has begun before the queue closes, or nothing was accepted.
#![allow(unreachable_pub)] // The loom models use it.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use crate::primitives::Mutex;

/// See the module.
pub struct Mailbox<E>(Mutex<State<E>>);

struct State<E> {
    queue: VecDeque<E>,
    begun: bool,
    closed: bool,
    /// Of the task that takes, while it waits.
    waker: Option<Waker>,
}

/// What `post` did.
#[derive(Debug, PartialEq, Eq)]
pub enum Posted {
    /// Accepted.
    Accepted,
    /// Accepted as the first: the caller starts the task that takes.
    AcceptedFirst,
    /// Closed.
    Refused,
}

impl<E> Mailbox<E> {
    /// Open, empty, and nobody takes yet.
    pub fn new() -> Self {
        Self(Mutex::new(State { queue: VecDeque::new(), begun: false, closed: false, waker: None }))
    }

    /// Adds what `make` gives, unless the box is closed. `make` is called under the lock, and may have nothing to add. `begin` is called before the first
    /// is accepted, and may refuse.
    pub fn post(&self, begin: impl FnOnce() -> bool, make: impl FnOnce() -> Option<E>) -> Posted {
        let mut state = self.0.lock();
        let first = !state.begun;
        if state.closed || (first && !begin()) {
            return Posted::Refused;
        }
        state.begun = true;
        state.queue.extend(make());
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        if first { Posted::AcceptedFirst } else { Posted::Accepted }
    }

    /// Refuses from here on. Whether anything was ever accepted.
    pub fn close(&self) {
        let mut state = self.0.lock();
        state.closed = true;
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The next entry; `None` at the end (Q1). One task takes.
    pub fn poll_take(&self, cx: &mut Context<'_>) -> Poll<Option<E>> {
        let waker = cx.waker().clone(); // Cloned and dropped outside the lock.
        let mut state = self.0.lock();
        if let Some(entry) = state.queue.pop_front() {
            return Poll::Ready(Some(entry));
        }
        if state.closed {
            return Poll::Ready(None);
        }
        let old = state.waker.replace(waker);
        drop(state);
        drop(old);
        Poll::Pending
    }

    /// How many wait to be taken.
    pub fn len(&self) -> usize {
        self.0.lock().queue.len()
    }
}
