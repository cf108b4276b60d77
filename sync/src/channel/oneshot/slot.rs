//! The shared part of a [`oneshot`](super::oneshot()) channel: a value, a waker, and the word that says whose
//! they are.
//!
//! | bit | set by | says |
//! | --- | --- | --- |
//! | `SENT` | the sending half, as its last act | the value is there |
//! | `ABANDONED` | the sending half, as its last act | there will be no value |
//! | `WAKER` | the receiving half | the waker is there |
//! | `DEAF` | the receiving half, as its last act | nobody will take the value |
//!
//! `SENT` and `ABANDONED` are the sender's *end*: exactly one of them is set, once.
//!
//! Invariants:
//! - **O1** There is one sending and one receiving half, and each acts by `&mut self` or by value.
//! - **O2** The value is the sender's before its end, and after it if its end found `DEAF`. Otherwise it is
//!   the receiver's from `SENT` on.
//! - **O3** The waker is the sender's, for good, if its end found `WAKER`; otherwise it is the receiver's. The
//!   receiver cannot know while `WAKER` is set and the end is not: it clears `WAKER` before it touches the
//!   waker, and what that finds decides.
//! - **O4** Each change of the word is one read-modify-write with Release for what its side has done before
//!   and Acquire for what the other side has.
#![allow(unsafe_code)]

use std::task::{Poll, Waker};
use trioxide_runtime::lowlevel::primitives::atomic::{AtomicU8, Ordering};
use trioxide_runtime::lowlevel::primitives::{Arc, UnsafeCell};

const SENT: u8 = 1;
const ABANDONED: u8 = 1 << 1;
const WAKER: u8 = 1 << 2;
const DEAF: u8 = 1 << 3;
const END: u8 = SENT | ABANDONED;

struct Slot<T> {
    word: AtomicU8,
    value: UnsafeCell<Option<T>>,
    waker: UnsafeCell<Option<Waker>>,
}

// SAFETY: by O2 and O3 value and waker belong to one half at a time, and change hands through the word
// (O4); both may change threads.
unsafe impl<T: Send> Send for Slot<T> {}
// SAFETY: as above; a shared slot gives access to nothing else.
unsafe impl<T: Send> Sync for Slot<T> {}

impl<T> Slot<T> {
    /// # Safety
    ///
    /// The value belongs to the calling half (O2).
    unsafe fn replace_value(&self, value: Option<T>) -> Option<T> {
        self.value.with_mut(|cell| {
            // SAFETY: the caller's alone.
            unsafe { std::mem::replace(&mut *cell, value) }
        })
    }

    /// # Safety
    ///
    /// The waker belongs to the calling half (O3).
    unsafe fn replace_waker(&self, waker: Option<Waker>) -> Option<Waker> {
        self.waker.with_mut(|cell| {
            // SAFETY: the caller's alone.
            unsafe { std::mem::replace(&mut *cell, waker) }
        })
    }

    /// The sender's last act. True if the receiver is there to take what was sent.
    fn end(&self, how: u8) -> bool {
        let found = self.word.fetch_or(how, Ordering::AcqRel);
        debug_assert_eq!(found & END, 0);
        if found & WAKER != 0 {
            // SAFETY: the end found `WAKER` (O3).
            let waker = unsafe { self.replace_waker(None) };
            if let Some(waker) = waker {
                waker.wake();
            }
        }
        found & DEAF == 0
    }
}

pub(super) fn halves<T>() -> (SendHalf<T>, RecvHalf<T>) {
    let slot = Arc::new(Slot { word: AtomicU8::new(0), value: UnsafeCell::new(None), waker: UnsafeCell::new(None) });
    let sending = SendHalf { slot: Some(slot.clone()) };
    (sending, RecvHalf { slot })
}

pub(super) struct SendHalf<T> {
    /// Until its end.
    slot: Option<Arc<Slot<T>>>,
}

impl<T> SendHalf<T> {
    pub(super) fn send(mut self, value: T) -> Result<(), T> {
        let slot = self.slot.take().expect("a half that can be called has not ended");
        // SAFETY: before the end (O2).
        let previous = unsafe { slot.replace_value(Some(value)) };
        debug_assert!(previous.is_none());
        if slot.end(SENT) {
            return Ok(());
        }
        // SAFETY: the end found `DEAF` (O2).
        let value = unsafe { slot.replace_value(None) };
        Err(value.expect("nobody else takes the value of a deaf receiver"))
    }

    pub(super) fn is_closed(&self) -> bool {
        let slot = self.slot.as_ref();
        slot.is_some_and(|slot| slot.word.load(Ordering::Acquire) & DEAF != 0)
    }
}

impl<T> Drop for SendHalf<T> {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            slot.end(ABANDONED);
        }
    }
}

pub(super) struct RecvHalf<T> {
    slot: Arc<Slot<T>>,
}

impl<T> RecvHalf<T> {
    /// The value; `None` if there will be none, or it was taken before; Pending before the sender's end.
    pub(super) fn try_take(&mut self) -> Poll<Option<T>> {
        let word = self.slot.word.load(Ordering::Acquire);
        if word & END == 0 {
            return Poll::Pending;
        }
        if word & SENT == 0 {
            return Poll::Ready(None);
        }
        // SAFETY: `SENT` is set, and this half, the only one to set it, has not set `DEAF` (O2).
        Poll::Ready(unsafe { self.slot.replace_value(None) })
    }

    /// As [`try_take`](Self::try_take); while it is pending, the sender's end calls `waker`.
    pub(super) fn poll_take(&mut self, waker: &Waker) -> Poll<Option<T>> {
        let found = self.slot.word.load(Ordering::Acquire);
        if found & END != 0 {
            return self.try_take();
        }
        let mut known = None;
        if found & WAKER != 0 {
            let found = self.slot.word.fetch_and(!WAKER, Ordering::AcqRel);
            if found & END != 0 {
                return self.try_take();
            }
            // SAFETY: `WAKER` was cleared before the end (O3).
            known = unsafe { self.slot.replace_waker(None) };
        }
        let waker = match known {
            Some(known) if known.will_wake(waker) => known,
            _ => waker.clone(),
        };
        // SAFETY: `WAKER` is not set (O3).
        let previous = unsafe { self.slot.replace_waker(Some(waker)) };
        debug_assert!(previous.is_none());
        let found = self.slot.word.fetch_or(WAKER, Ordering::AcqRel);
        if found & END == 0 {
            return Poll::Pending;
        }
        // SAFETY: the end came before `WAKER` was set again (O3).
        drop(unsafe { self.slot.replace_waker(None) });
        self.try_take()
    }
}

impl<T> Drop for RecvHalf<T> {
    fn drop(&mut self) {
        // Sets `DEAF` and clears `WAKER` in one: what was found decides whose the rest is.
        let found = self.slot.word.swap(DEAF, Ordering::AcqRel);
        if found & END == 0 && found & WAKER != 0 {
            // SAFETY: `WAKER` was cleared before the end (O3).
            drop(unsafe { self.slot.replace_waker(None) });
        }
        if found & SENT != 0 {
            // SAFETY: `SENT` was set before `DEAF` (O2).
            drop(unsafe { self.slot.replace_value(None) });
        }
    }
}
