//! What is known of one descriptor, in one word.
//!
//! ```text
//!  usize::BITS .. 4 │      3       │      2      │    1     │    0
//!       tick        │ WRITE_CLOSED │ READ_CLOSED │ WRITABLE │ READABLE
//! ```
//!
//! A set bit means "the system said so, and nothing has been seen since that contradicts it": a hint
//! that trying the operation is worth a system call. A clear bit means "wait for the system to say so".
//!
//! # Invariants
//! 1. The reactor alone sets bits, and each time it adds one to the tick, in the same step.
//! 2. Whoever clears a bit has read the word *before* its system call, and clears only if the tick is
//!    still the one it read. An event that came in between keeps its bit; the price is one call that
//!    finds nothing.
//! 3. A drained buffer ([`Clear::Drained`]) leaves the `CLOSED` bits alone: an edge that has brought data
//!    and the end of the stream together comes once, so the end must still be found after the data.
//!    Only the system's "would block" ([`Clear::WouldBlock`]) outweighs them.

use std::sync::atomic::{AtomicUsize, Ordering};

const READABLE: usize = 1;
const WRITABLE: usize = 1 << 1;
const READ_CLOSED: usize = 1 << 2;
const WRITE_CLOSED: usize = 1 << 3;
const TICK: usize = 1 << 4;

/// What an event says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ready(usize);

impl Ready {
    pub(crate) const NONE: Ready = Ready(0);
    pub(crate) const READ: Ready = Ready(READABLE);
    pub(crate) const WRITE: Ready = Ready(WRITABLE);
    pub(crate) const BOTH: Ready = Ready(READABLE | WRITABLE);
    /// The peer sends nothing more.
    #[allow(dead_code, reason = "not every system tells it apart")]
    pub(crate) const READ_CLOSED: Ready = Ready(READABLE | READ_CLOSED);
    /// Nothing goes either way any more.
    pub(crate) const CLOSED: Ready = Ready(READABLE | WRITABLE | READ_CLOSED | WRITE_CLOSED);

    pub(crate) fn and(self, other: Ready) -> Ready {
        Ready(self.0 | other.0)
    }

    pub(crate) fn is(self, direction: Direction) -> bool {
        self.0 & direction.mask() != 0
    }
}

/// Which way the bytes go. A listener's connections are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Direction {
    Read,
    Write,
}

impl Direction {
    fn open(self) -> usize {
        match self {
            Direction::Read => READABLE,
            Direction::Write => WRITABLE,
        }
    }

    fn mask(self) -> usize {
        match self {
            Direction::Read => READABLE | READ_CLOSED,
            Direction::Write => WRITABLE | WRITE_CLOSED,
        }
    }
}

/// The tick at which a direction was seen to be ready: what [`Readiness::clear`] asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen(usize);

/// Why a direction is not ready any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Clear {
    /// The system said "would block".
    WouldBlock,
    /// Fewer bytes went through than were asked for, so the next try would block.
    Drained,
}

/// The word itself.
#[derive(Debug)]
pub(crate) struct Readiness(AtomicUsize);

impl Readiness {
    pub(crate) fn new(ready: Ready) -> Readiness {
        Readiness(AtomicUsize::new(ready.0))
    }

    /// `Some` if the operation is worth trying.
    pub(crate) fn get(&self, direction: Direction) -> Option<Seen> {
        // Acquire: pairs with `set`, so that what the reactor did before (the event's cause) is seen.
        let word = self.0.load(Ordering::Acquire);
        (word & direction.mask() != 0).then_some(Seen(word / TICK))
    }

    /// Adds what an event says (invariant 1).
    pub(crate) fn set(&self, ready: Ready) {
        let mut word = self.0.load(Ordering::Relaxed);
        while let Err(now) =
            self.0.compare_exchange_weak(word, (word | ready.0).wrapping_add(TICK), Ordering::AcqRel, Ordering::Relaxed)
        {
            word = now;
        }
    }

    /// Takes a direction back, unless an event came after `seen` (invariant 2).
    pub(crate) fn clear(&self, direction: Direction, seen: Seen, why: Clear) {
        let mask = match why {
            Clear::WouldBlock => direction.mask(),
            Clear::Drained => direction.open(),
        };
        let mut word = self.0.load(Ordering::Relaxed);
        while word / TICK == seen.0 {
            match self.0.compare_exchange_weak(word, word & !mask, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [Direction; 2] = [Direction::Read, Direction::Write];

    #[test]
    fn an_event_between_the_look_and_the_clear_is_kept() {
        for direction in BOTH {
            for why in [Clear::WouldBlock, Clear::Drained] {
                let readiness = Readiness::new(Ready::BOTH);
                let seen = readiness.get(direction).unwrap();
                readiness.set(Ready::BOTH);
                readiness.clear(direction, seen, why);
                assert!(readiness.get(direction).is_some());
            }
        }
    }

    #[test]
    fn a_clear_takes_its_own_direction_only() {
        let readiness = Readiness::new(Ready::BOTH);
        let seen = readiness.get(Direction::Read).unwrap();
        readiness.clear(Direction::Read, seen, Clear::WouldBlock);
        assert!(readiness.get(Direction::Read).is_none());
        assert!(readiness.get(Direction::Write).is_some());
    }

    #[test]
    fn the_end_of_the_stream_outlives_a_drained_buffer() {
        let readiness = Readiness::new(Ready::NONE);
        readiness.set(Ready::READ_CLOSED);
        let seen = readiness.get(Direction::Read).unwrap();
        readiness.clear(Direction::Read, seen, Clear::Drained);
        let seen = readiness.get(Direction::Read).expect("still to be read");
        assert!(readiness.get(Direction::Write).is_none());
        readiness.clear(Direction::Read, seen, Clear::WouldBlock);
        assert!(readiness.get(Direction::Read).is_none());
    }

    #[test]
    fn the_tick_wraps_without_touching_the_bits() {
        let readiness = Readiness(AtomicUsize::new(usize::MAX / TICK * TICK));
        readiness.set(Ready::READ);
        assert!(readiness.get(Direction::Read).is_some());
        assert!(readiness.get(Direction::Write).is_none());
    }
}
