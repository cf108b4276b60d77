//! The shared part of a [`oneshot`](super::oneshot()) channel: a value, a waker, and the word that says whose
//! they are.
//!
//! | bit | set by | says |
//! | --- | --- | --- |
//! | `SENT` | the sending half, as its end | the value is there |
//! | `ABANDONED` | the sending half, as its end | there will be no value |
//! | `WAKER` | the receiving half | the waker is there |
//! | `DEAF` | the receiving half, as its last act | nobody will take the value |
//! | `LEFT` | the sending half, after an end that found `WAKER` | it has taken the waker |
//!
//! `SENT` and `ABANDONED` are the sender's *end*: exactly one of them is set, once.
//!
//! Invariants:
//! - **O1** There is one sending and one receiving half, and each acts by `&mut self` or by value.
//! - **O2** The value is the sender's before its end, and after it if its end found `DEAF`. Otherwise it is
//!   the receiver's from the end on.
//! - **O3** The waker is the sender's, for good, if its end found `WAKER`; otherwise it is the receiver's. While there is no end the receiver sets and clears `WAKER` by an exchange that fails after the end; after the
//!   end it stays as the end found it. So the receiver, too, can tell whose the waker is.
//! - **O4** Each change of the word is one read-modify-write with Release for what its side has done before
//!   and Acquire for what the other side has; what is done on seeing the end is done after an Acquire. What the sender sets was not set, so it adds it: that is one instruction where to find the old word as
//!   well by a bitwise `or` is a loop.
//! - **O5** The sender's last act is its end if that found no `WAKER`, and else `LEFT`; after it the sender *has left*. The receiver can tell (O3): there is an end, and `WAKER` is not set or `LEFT` is. Whose last act is the second of the two frees the
//!   slot: the sender if its last act found `DEAF`; the receiver if the sender has left before. A receiver that sees this needs no `DEAF`: nobody else is there to see it.
//! - **O6** The stage is the receiver's, always. While it is Beginning no waker has been left; it is Empty only when value and waker have been taken and the sender has left.
#![allow(unsafe_code)]

use std::ptr::NonNull;
use std::task::{Poll, Waker};
use trioxide_runtime::lowlevel::primitives::UnsafeCell;
use trioxide_runtime::lowlevel::primitives::atomic::{AtomicU8, Ordering};

const SENT: u8 = 1;
const ABANDONED: u8 = 1 << 1;
const WAKER: u8 = 1 << 2;
const DEAF: u8 = 1 << 3;
const LEFT: u8 = 1 << 4;
const END: u8 = SENT | ABANDONED;

struct Slot<T> {
    word: AtomicU8,
    /// How far the receiving half is; it alone looks (O6).
    stage: UnsafeCell<Stage>,
    value: UnsafeCell<Option<T>>,
    waker: UnsafeCell<Option<Waker>>,
    /// The model checker tells if this is leaked, or dropped twice.
    #[cfg(loom)]
    _freed_once: trioxide_runtime::lowlevel::primitives::Arc<()>,
}

impl<T> Slot<T> {
    fn new() -> Self {
        Self {
            word: AtomicU8::new(0),
            stage: UnsafeCell::new(Stage::Beginning),
            value: UnsafeCell::new(None),
            waker: UnsafeCell::new(None),
            #[cfg(loom)]
            _freed_once: Default::default(),
        }
    }

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
}

/// What the word says, at a moment.
pub(super) struct State {
    pub(super) is_sent: bool,
    pub(super) has_sender: bool,
    pub(super) has_receiver: bool,
    pub(super) is_awaited: bool,
}

impl State {
    fn of<T>(slot: &Slot<T>) -> Self {
        // Acquire: who is told that it was sent, or that nobody is there, sees what was done before.
        let word = slot.word.load(Ordering::Acquire);
        let has_sender = word & END == 0;
        Self {
            is_sent: word & SENT != 0,
            has_sender,
            has_receiver: word & DEAF == 0,
            is_awaited: has_sender && word & WAKER != 0,
        }
    }
}

/// What the sender has left behind, see O5.
fn sender_has_left(word: u8) -> bool {
    word & END != 0 && word & (WAKER | LEFT) != WAKER
}

/// # Safety
///
/// The caller's last act was the second of the two (O5).
unsafe fn free<T>(slot: NonNull<Slot<T>>) {
    // SAFETY: made by `Box` in `halves`; nobody else has it (caller).
    drop(unsafe { Box::from_raw(slot.as_ptr()) });
}

/// As `free`, of a slot in which there is neither a value nor a waker: it is not looked for them.
///
/// # Safety
///
/// As for `free`.
#[inline]
unsafe fn free_empty<T>(slot: NonNull<Slot<T>>) {
    #[cfg(not(loom))]
    // SAFETY: as in `free`; of the same layout. What is in it needs no drop.
    drop(unsafe { Box::from_raw(slot.cast::<std::mem::MaybeUninit<Slot<T>>>().as_ptr()) });
    // There its parts count what becomes of them.
    #[cfg(loom)]
    // SAFETY: the caller's.
    unsafe {
        free(slot);
    }
}

#[inline]
pub(super) fn halves<T>() -> (SendHalf<T>, RecvHalf<T>) {
    let slot = NonNull::from(Box::leak(Box::new(Slot::new())));
    (SendHalf { slot: Some(slot) }, RecvHalf { slot })
}

pub(super) struct SendHalf<T> {
    /// Until its end.
    slot: Option<NonNull<Slot<T>>>,
}

// SAFETY: by O2 and O3 value and waker belong to one half at a time, and change hands through the word
// (O4); both may change threads. A shared half gives access to nothing but the word.
unsafe impl<T: Send> Send for SendHalf<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for SendHalf<T> {}

impl<T> SendHalf<T> {
    #[inline]
    pub(super) fn send(mut self, value: T) -> Result<(), T> {
        let slot = self.slot.take().expect("a half that can be called has not ended");
        // SAFETY: this half has not ended, so the slot is there (O5), and the value is its own (O2).
        let previous = unsafe { slot.as_ref().replace_value(Some(value)) };
        debug_assert!(previous.is_none());
        match end(slot, SENT) {
            Some(value) => Err(value),
            None => Ok(()),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        !self.state().has_receiver
    }

    pub(super) fn state(&self) -> State {
        let slot = self.slot.expect("a half that can be called has not ended");
        // SAFETY: before its end (O5).
        State::of(unsafe { slot.as_ref() })
    }
}

/// The sender's end, and all that it does after it. The value comes back if nobody will take it.
#[inline]
fn end<T>(slot: NonNull<Slot<T>>, how: u8) -> Option<T> {
    // SAFETY: the sender has not left (O5).
    let shared = unsafe { slot.as_ref() };
    let found = shared.word.fetch_add(how, Ordering::AcqRel);
    debug_assert_eq!(found & (END | LEFT), 0); // O4
    if found & (WAKER | DEAF) == 0 {
        return None; // It has left.
    }
    end_of_two(slot, found)
}

/// The rest of an end that has found a receiver that waits, or is gone.
fn end_of_two<T>(slot: NonNull<Slot<T>>, found: u8) -> Option<T> {
    // SAFETY: the end found `WAKER`, so the sender has not left; or `DEAF`, so the receiver will not free it (O5).
    let shared = unsafe { slot.as_ref() };
    if found & DEAF != 0 {
        // SAFETY: the end found `DEAF` (O2), and was the second of the last acts (O5).
        unsafe {
            let value = shared.replace_value(None);
            free(slot);
            return value;
        }
    }
    // SAFETY: the end found `WAKER` (O3).
    let waker = unsafe { shared.replace_waker(None) };
    if shared.word.fetch_add(LEFT, Ordering::AcqRel) & DEAF != 0 {
        // SAFETY: O5.
        unsafe { free(slot) };
    }
    if let Some(waker) = waker {
        waker.wake();
    }
    None
}

impl<T> Drop for SendHalf<T> {
    #[inline]
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            // There is no value.
            drop(end(slot, ABANDONED));
        }
    }
}

pub(super) struct RecvHalf<T> {
    slot: NonNull<Slot<T>>,
}

/// How far the receiving half is. It lies in the slot, where there is room, and not in the half, which is moved about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Beginning,
    /// It has been polled in vain.
    Waiting,
    /// It has taken the value, or found that there is none, and the sender has left: nothing is in the slot, and nobody else has it (O5).
    Empty,
}

// SAFETY: as for `SendHalf`.
unsafe impl<T: Send> Send for RecvHalf<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for RecvHalf<T> {}

impl<T> RecvHalf<T> {
    fn slot(&self) -> &Slot<T> {
        // SAFETY: it frees the slot at its own end, and the sender only after that (O5).
        unsafe { self.slot.as_ref() }
    }

    pub(super) fn state(&self) -> State {
        State::of(self.slot())
    }

    /// Whether it has been polled in vain, and has not found the sender's end since.
    #[inline]
    pub(super) fn has_waited(&self) -> bool {
        self.stage() == Stage::Waiting
    }

    #[inline]
    fn stage(&self) -> Stage {
        self.slot().stage.with_mut(|stage| {
            // SAFETY: O6.
            unsafe { *stage }
        })
    }

    #[inline]
    fn set_stage(&mut self, to: Stage) {
        self.slot().stage.with_mut(|stage| {
            // SAFETY: O6.
            unsafe { *stage = to }
        });
    }

    /// The value, if it was sent before this half has waited: what [`try_take`](Self::try_take) finds nearly always, if it finds something.
    #[inline]
    pub(super) fn take_sent(&mut self) -> Option<T> {
        // Acquire: as in `try_take`.
        if self.slot().word.load(Ordering::Acquire) != SENT {
            return None;
        }
        // SAFETY: as in `try_take`.
        let value = unsafe { self.slot().replace_value(None) };
        self.set_stage(Stage::Empty); // The sender has left: there is no `WAKER`.
        value
    }

    /// The value; `None` if there will be none, or it was taken before; Pending before the sender's end.
    #[inline]
    pub(super) fn try_take(&mut self) -> Poll<Option<T>> {
        let word = self.slot().word.load(Ordering::Acquire);
        if word & END == 0 {
            return Poll::Pending;
        }
        // SAFETY: there is an end, and this half, the only one to set it, has not set `DEAF` (O2).
        let value = unsafe { self.slot().replace_value(None) };
        if sender_has_left(word) {
            self.set_stage(Stage::Empty);
        }
        Poll::Ready(value)
    }

    /// As [`try_take`](Self::try_take); while it is pending, the sender's end calls `waker`.
    #[inline]
    pub(super) fn poll_take(&mut self, waker: &Waker) -> Poll<Option<T>> {
        match self.try_take() {
            Poll::Ready(taken) => Poll::Ready(taken),
            Poll::Pending => self.wait(waker),
        }
    }

    /// Leaves the waker, if there is still no end.
    #[inline]
    fn wait(&mut self, waker: &Waker) -> Poll<Option<T>> {
        let known = if self.has_waited() { self.take_waker() } else { Ok(None) };
        self.set_stage(Stage::Waiting);
        let Ok(known) = known else { return self.try_take() };
        let waker = match known {
            Some(known) if known.will_wake(waker) => known,
            _ => waker.clone(),
        };
        let slot = self.slot();
        slot.waker.with_mut(|cell| {
            // SAFETY: `WAKER` is not set (O3), and none is there, so none need be dropped.
            unsafe { cell.write(Some(waker)) }
        });
        if slot.word.compare_exchange(0, WAKER, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            return Poll::Pending;
        }
        // SAFETY: the end came before `WAKER` was set (O3).
        drop(unsafe { slot.replace_waker(None) });
        self.try_take()
    }

    /// The waker that was left, if any; an error if the end has found it.
    fn take_waker(&mut self) -> Result<Option<Waker>, ()> {
        let slot = self.slot();
        // Only this half sets it.
        if slot.word.load(Ordering::Relaxed) & WAKER == 0 {
            return Ok(None);
        }
        slot.word.compare_exchange(WAKER, 0, Ordering::AcqRel, Ordering::Acquire).map_err(drop)?;
        // SAFETY: `WAKER` was cleared before the end (O3).
        Ok(unsafe { slot.replace_waker(None) })
    }
}

impl<T> Drop for RecvHalf<T> {
    #[inline]
    fn drop(&mut self) {
        if self.stage() == Stage::Empty {
            // SAFETY: O5. The waker is taken by who has it, the sender (O3) before it leaves, this half before it is ready.
            unsafe { free_empty(self.slot) };
        } else {
            self.end();
        }
    }
}

impl<T> RecvHalf<T> {
    /// The end of this half, which has not found the slot empty.
    #[inline(never)]
    fn end(&mut self) {
        if sender_has_left(self.slot().word.load(Ordering::Acquire)) {
            let unread = self.try_take();
            // SAFETY: O5.
            unsafe { free(self.slot) };
            drop(unread); // Last: it is the user's code.
        } else {
            self.go_first();
        }
    }

    /// The end of this half when the sender had not left.
    fn go_first(&mut self) {
        let mut unread = self.try_take();
        if unread.is_pending() && self.take_waker().is_err() {
            unread = self.try_take(); // The end has come meanwhile.
        }
        // What comes from here on finds no `WAKER`, so with it the sender has left.
        let word = &self.slot().word;
        if sender_has_left(word.load(Ordering::Acquire)) || sender_has_left(word.fetch_or(DEAF, Ordering::AcqRel)) {
            if unread.is_pending() {
                unread = self.try_take();
            }
            // SAFETY: O5.
            unsafe { free(self.slot) };
        }
        drop(unread); // As above.
    }
}
