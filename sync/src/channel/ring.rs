//! The way of a message past the lock: a ring of slots, and one word that says which of them are full.
//!
//! | bits of the word | meaning |
//! | --- | --- |
//! | 0 to 13 | how many messages are in the ring |
//! | 14 | `RECEIVE_BUSY`: who wants to receive asks the lock |
//! | 15 | `SEND_BUSY`: who wants to send asks the lock |
//! | 16 to 63 | the position of the next message; that of the oldest is so many before |
//!
//! A send and a receive each *claim* a position by one exchange of the word, and then put the message into the slot of that position, or take it out. What is decided is decided by the word: nobody else has that position, and a send that
//! came later has a later one. A slot says whose turn it is: `2 * position` while the message of that position may be put there, one more while it may be taken. Who has claimed a position waits until the slot says so: it is at hand but
//! for the few steps that the one before has between its claim and its slot, as whoever finds a lock taken waits for its holder. (Slots with numbers are Dmitry Vyukov's, of his bounded queue for many producers and consumers; there a position
//! is claimed when its slot is ready, and either end has a word of its own.)
//!
//! The ring is small. What it has no room for lies *beyond* it, under the lock; then only sends ask the lock, and receives do when the ring is empty, and fill it up from there.
//!
//! Invariants:
//! - **R1** The two busy bits are set and cleared under the lock of the channel only, and `RECEIVE_BUSY` is not set without the other. While both are set the word changes under that lock only: the ring *is busy*.
//! - **R2** While `RECEIVE_BUSY` is not set nobody waits, to send or to receive; nothing has been returned, no place is reserved (`state` has the words), and there is a receiver. While `SEND_BUSY` is not set either, nothing is beyond the ring. So a
//!   message for which the ring has room, and one that is in the ring, are nobody else's business.
//! - **R3** A position is claimed once by a send and after that once by a receive: the exchange moves the end of the ring that it claims.
//! - **R4** A slot whose number is `2 * position` is the send's that claims that position; when it is one more it is the receive's. Each ends with storing the next number (Release), and begins by reading its own (Acquire): so the message, and
//!   the empty slot, pass from one to the other, in the order of the positions. (Numbers go round after 2^31 positions. For a mistake as many laps as that makes, of 64, would have to be claimed in one slot, each of them by a thread that waits.)
//! - **R5** When a ring is dropped no message is in it (`state` C4).
//!
//! Changes of the word are Acquire and Release: who finds the ring empty, or full, or busy, has seen what those have done who made it so, as it would under one lock.
#![allow(unsafe_code)]

use std::collections::VecDeque;
use std::mem::MaybeUninit;
use trioxide_runtime::lowlevel::primitives::UnsafeCell;
use trioxide_runtime::lowlevel::primitives::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// One message more or less.
const MESSAGE: u64 = 1;
// Above the number of messages, and in this order, so that one comparison tells whether there is room, or a message, and nothing is busy.
const RECEIVE_BUSY: u64 = 1 << 14;
const SEND_BUSY: u64 = 1 << 15;
const BUSY: u64 = RECEIVE_BUSY | SEND_BUSY;
const POSITION_SHIFT: u32 = 16;
/// One position on.
const POSITION: u64 = 1 << POSITION_SHIFT;

/// A ring holds so many messages at most: each channel pays for them.
const MOST: usize = if cfg!(loom) { 1 } else { 64 };

pub(super) struct Ring<T> {
    word: AtomicU64,
    /// It may hold so many messages.
    room: u64,
    /// A power of two, and as many as there is room for, at least.
    slots: Box<[Slot<T>]>,
    /// The most messages that were in it at one time when one was sent past the lock.
    peak: AtomicUsize,
}

struct Slot<T> {
    /// See R4.
    turn: AtomicU32,
    message: UnsafeCell<MaybeUninit<T>>,
}

// SAFETY: a message is touched by one at a time (R4), and passes between threads (`T: Send`); a shared ring gives no access to one but by taking it out.
unsafe impl<T: Send> Sync for Ring<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for Ring<T> {}

#[inline]
fn len_of(word: u64) -> u64 {
    word & (RECEIVE_BUSY - 1)
}

/// The position that the next send claims.
#[inline]
fn back_of(word: u64) -> u64 {
    word >> POSITION_SHIFT
}

/// The position that the next receive claims, if there is a message. What is above the bits of a position is of no interest: see `turn_of`, and the mask.
#[inline]
fn front_of(word: u64) -> u64 {
    back_of(word).wrapping_sub(len_of(word))
}

/// The number of a slot while the message of `position` may be put there.
#[inline]
fn turn_of(position: u64) -> u32 {
    (position as u32).wrapping_mul(2)
}

impl<T> Ring<T> {
    /// For a channel with that capacity.
    pub(super) fn new(capacity: usize) -> Self {
        let room = capacity.min(MOST);
        let slot = |position| Slot {
            turn: AtomicU32::new(turn_of(position)),
            message: UnsafeCell::new(MaybeUninit::uninit()),
        };
        Self {
            word: AtomicU64::new(0),
            room: room as u64,
            slots: (0..room.next_power_of_two() as u64).map(slot).collect(),
            peak: AtomicUsize::new(0),
        }
    }

    /// Sends without the lock; the value comes back if the lock must be asked.
    #[inline]
    pub(super) fn send(&self, value: T) -> Result<(), T> {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            if word & (POSITION - 1) >= self.room {
                return Err(value);
            }
            let claimed = word.wrapping_add(POSITION + MESSAGE);
            match self.word.compare_exchange_weak(word, claimed, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => word = now,
            }
        }
        // SAFETY: just claimed.
        unsafe { self.put(back_of(word), value) };
        let len = len_of(word) as usize + 1;
        if len > self.peak.load(Ordering::Relaxed) {
            self.raise_peak(len);
        }
        Ok(())
    }

    /// Receives without the lock, or `None` if the lock must be asked.
    #[inline]
    pub(super) fn receive(&self) -> Option<T> {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            if (word & (SEND_BUSY - 1)).wrapping_sub(1) >= RECEIVE_BUSY - 1 {
                return None;
            }
            match self.word.compare_exchange_weak(word, word - MESSAGE, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => word = now,
            }
        }
        // SAFETY: just claimed.
        Some(unsafe { self.take(front_of(word)) })
    }

    #[cold]
    fn raise_peak(&self, len: usize) {
        self.peak.fetch_max(len, Ordering::Relaxed);
    }

    /// See there.
    pub(super) fn peak(&self) -> usize {
        self.peak.load(Ordering::Relaxed)
    }

    /// How many messages are in it; those are counted that are on their way in, and not those that are on their way out.
    #[inline]
    pub(super) fn len(&self) -> usize {
        len_of(self.word.load(Ordering::Relaxed)) as usize
    }

    /// From here on, and until [`settle`](Self::settle), it is busy: the lock, which is held, stands for it (R1).
    #[inline]
    pub(super) fn make_busy(&self) {
        if self.word.load(Ordering::Relaxed) & RECEIVE_BUSY == 0 {
            self.word.fetch_or(BUSY, Ordering::AcqRel);
        }
    }

    /// Whether something lies beyond it, and nothing else keeps sends from it: a hint, without the lock.
    #[inline]
    pub(super) fn is_filled_up(&self) -> bool {
        self.word.load(Ordering::Relaxed) & BUSY == SEND_BUSY
    }

    /// Who has the lock, and knows that R2 holds, lets messages past it again; `sends`: also in, and not only out.
    #[inline]
    pub(super) fn settle(&self, sends: bool) {
        let cleared = if sends { BUSY } else { RECEIVE_BUSY };
        self.word.store(self.busy_word() & !cleared, Ordering::Release); // R1: nobody else changes it.
    }

    /// Whether a message can be [pushed](Self::push).
    #[inline]
    pub(super) fn has_room(&self) -> bool {
        len_of(self.busy_word()) < self.room
    }

    /// Adds a message under the lock, while it is busy and has room.
    #[inline]
    pub(super) fn push(&self, value: T) {
        let word = self.busy_word();
        debug_assert!(len_of(word) < self.room);
        self.word.store(word.wrapping_add(POSITION + MESSAGE), Ordering::Release); // R1
        // SAFETY: just claimed.
        unsafe { self.put(back_of(word), value) };
    }

    /// Adds as many of `messages` as it has room for, the first of them first; under the lock, while it is busy.
    pub(super) fn fill_up(&self, messages: &mut VecDeque<T>) {
        let word = self.busy_word();
        let number = messages.len().min((self.room - len_of(word)) as usize);
        self.word.store(word.wrapping_add((POSITION + MESSAGE) * number as u64), Ordering::Release); // R1
        for at in 0..number as u64 {
            let message = messages.pop_front().expect("there are as many");
            // SAFETY: just claimed.
            unsafe { self.put(back_of(word).wrapping_add(at), message) };
        }
    }

    /// Takes the oldest message out, under the lock, while it is busy.
    #[inline]
    pub(super) fn pop(&self) -> Option<T> {
        let word = self.busy_word();
        if len_of(word) == 0 {
            return None;
        }
        self.word.store(word - MESSAGE, Ordering::Release); // R1
        // SAFETY: just claimed.
        Some(unsafe { self.take(front_of(word)) })
    }

    #[inline]
    fn busy_word(&self) -> u64 {
        let word = self.word.load(Ordering::Relaxed);
        debug_assert_eq!(word & BUSY, BUSY, "R1");
        word
    }

    /// The slot of `position`, and its number while the message of that position may be put there.
    #[inline]
    fn slot(&self, position: u64) -> (&Slot<T>, u32) {
        let at = position as usize & (self.slots.len() - 1);
        // SAFETY: there is one slot at least, so that is one of them.
        (unsafe { self.slots.get_unchecked(at) }, turn_of(position))
    }

    /// # Safety
    ///
    /// The caller has claimed `position` to send, and comes once.
    #[inline]
    unsafe fn put(&self, position: u64, value: T) {
        let (slot, turn) = self.slot(position);
        slot.wait_for(turn);
        slot.message.with_mut(|message| {
            // SAFETY: it is this one's turn, who is alone (R3, R4).
            unsafe { (*message).write(value) };
        });
        slot.turn.store(turn + 1, Ordering::Release); // R4
    }

    /// # Safety
    ///
    /// The caller has claimed `position` to receive, and comes once.
    #[inline]
    unsafe fn take(&self, position: u64) -> T {
        let (slot, turn) = self.slot(position);
        slot.wait_for(turn + 1);
        let value = slot.message.with_mut(|message| {
            // SAFETY: it is this one's turn, who is alone, and what was put there is there (R3, R4).
            unsafe { (*message).assume_init_read() }
        });
        slot.turn.store(turn_of(position.wrapping_add(self.slots.len() as u64)), Ordering::Release); // R4
        value
    }
}

impl<T> Slot<T> {
    #[inline]
    fn wait_for(&self, turn: u32) {
        if self.turn.load(Ordering::Acquire) != turn {
            self.wait_longer_for(turn);
        }
    }

    /// Whoever has the turn has claimed it and not finished: a few steps, if the system lets it run.
    #[cold]
    #[inline(never)]
    fn wait_longer_for(&self, turn: u32) {
        let mut looks = 0;
        while self.turn.load(Ordering::Acquire) != turn {
            looks += 1;
            pause(looks);
        }
    }
}

/// Waits a moment, the `looks`th time.
#[cfg(not(loom))]
fn pause(looks: u32) {
    const SPINS: u32 = 64;
    if looks < SPINS { std::hint::spin_loop() } else { std::thread::yield_now() }
}

/// The model checker lets the others run.
#[cfg(loom)]
fn pause(_looks: u32) {
    loom::thread::yield_now();
}

impl<T> Drop for Ring<T> {
    fn drop(&mut self) {
        debug_assert_eq!(self.len(), 0, "R5");
    }
}
