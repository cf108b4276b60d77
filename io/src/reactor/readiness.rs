//! What is known of one descriptor, in one word.
//!
//! ```text
//!  usize::BITS .. 8 │     7      │     6     │     5      │     4     │      3       │      2      │    1     │    0
//!       tick        │ WRITE_HELD │ READ_HELD │ WRITE_GONE │ READ_GONE │ WRITE_CLOSED │ READ_CLOSED │ WRITABLE │ READABLE
//! ```
//!
//! A set bit of the lowest four means "the system said so, and nothing has been seen since that contradicts it": a hint
//! that trying the operation is worth a system call. A clear bit means "wait for the system to say so".
//! `GONE`: the direction was closed by its owner; stays set. A `HELD` bit: an operation that shares its direction with no other is
//! under way.
//!
//! # Invariants
//! 1. The reactor alone sets the lowest four bits, and each time it adds one to the tick, in the same step.
//! 2. Whoever clears a bit has read the word *before* its system call, and clears only if the tick is
//!    still the one it read. An event that came in between keeps its bit; the price is one call that
//!    finds nothing.
//! 3. A drained buffer ([`Clear::Drained`]) leaves the `CLOSED` bits alone: an edge that has brought data
//!    and the end of the stream together comes once, so the end must still be found after the data.
//!    Only the system's "would block" ([`Clear::WouldBlock`]) outweighs them.
//! 4. Who has set a `HELD` bit, and nobody else, clears it.

use std::sync::atomic::{AtomicUsize, Ordering};

const READABLE: usize = 1;
const WRITABLE: usize = 1 << 1;
const READ_CLOSED: usize = 1 << 2;
const WRITE_CLOSED: usize = 1 << 3;
const READ_GONE: usize = 1 << 4;
const WRITE_GONE: usize = 1 << 5;
const READ_HELD: usize = 1 << 6;
const WRITE_HELD: usize = 1 << 7;
const TICK: usize = 1 << 8;

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
    /// Closed here, for good.
    pub(crate) const GONE: Ready = Ready(READ_GONE | WRITE_GONE);
    /// Reading was ended here, for good.
    pub(crate) const READ_GONE: Ready = Ready(READ_GONE);
    /// Writing was ended here, for good.
    pub(crate) const WRITE_GONE: Ready = Ready(WRITE_GONE);
    /// Nothing goes either way any more.
    pub(crate) const CLOSED: Ready = Ready(READABLE | WRITABLE | READ_CLOSED | WRITE_CLOSED);

    pub(crate) fn and(self, other: Ready) -> Ready {
        Ready(self.0 | other.0)
    }

    /// Whether those who wait for `direction` are to look.
    pub(crate) fn is(self, direction: Direction) -> bool {
        self.0 & (direction.mask() | direction.gone()) != 0
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

    fn gone(self) -> usize {
        match self {
            Direction::Read => READ_GONE,
            Direction::Write => WRITE_GONE,
        }
    }

    fn held(self) -> usize {
        match self {
            Direction::Read => READ_HELD,
            Direction::Write => WRITE_HELD,
        }
    }
}

/// What an operation finds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Look {
    /// Worth trying.
    Ready(Seen),
    /// Wait for the system to say so.
    NotYet,
    /// Another operation holds the direction.
    Held,
    /// Closed by its owner.
    Gone,
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

    /// `mine`: the one who asks holds the direction, or does not care who does.
    pub(crate) fn look(&self, direction: Direction, mine: bool) -> Look {
        // Acquire: pairs with `set`, so that what the reactor did before (the event's cause) is seen.
        let word = self.0.load(Ordering::Acquire);
        if word & direction.gone() != 0 {
            Look::Gone
        } else if !mine && word & direction.held() != 0 {
            Look::Held
        } else if word & direction.mask() != 0 {
            Look::Ready(Seen(word / TICK))
        } else {
            Look::NotYet
        }
    }

    /// Takes the direction for one operation; false: another has it.
    #[must_use]
    pub(crate) fn hold(&self, direction: Direction) -> bool {
        // Acquire: pairs with `let_go`, so that what the last holder did is seen.
        self.0.fetch_or(direction.held(), Ordering::Acquire) & direction.held() == 0
    }

    /// Gives back what [`hold`](Readiness::hold) took (invariant 4).
    pub(crate) fn let_go(&self, direction: Direction) {
        // Release: pairs with `hold`.
        self.0.fetch_and(!direction.held(), Ordering::Release);
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

    impl Readiness {
        fn get(&self, direction: Direction) -> Option<Seen> {
            match self.look(direction, true) {
                Look::Ready(seen) => Some(seen),
                _ => None,
            }
        }
    }

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
    fn a_direction_is_held_once_and_events_do_not_free_it() {
        for direction in BOTH {
            let readiness = Readiness::new(Ready::BOTH);
            assert!(readiness.hold(direction));
            assert!(!readiness.hold(direction));
            readiness.set(Ready::BOTH);
            let seen = readiness.get(direction).unwrap();
            readiness.clear(direction, seen, Clear::WouldBlock);
            assert!(matches!(readiness.look(direction, false), Look::Held));
            assert!(matches!(readiness.look(direction, true), Look::NotYet));
            readiness.let_go(direction);
            assert!(matches!(readiness.look(direction, false), Look::NotYet));
            assert!(readiness.hold(direction));
        }
    }

    #[test]
    fn what_is_gone_stays_gone() {
        for direction in BOTH {
            let readiness = Readiness::new(Ready::BOTH);
            let seen = readiness.get(direction).unwrap();
            readiness.set(Ready::GONE);
            readiness.set(Ready::BOTH);
            readiness.clear(direction, seen, Clear::WouldBlock);
            assert!(matches!(readiness.look(direction, false), Look::Gone));
            assert!(Ready::GONE.is(direction));
        }
    }

    #[test]
    fn the_tick_wraps_without_touching_the_bits() {
        let readiness = Readiness(AtomicUsize::new(usize::MAX / TICK * TICK));
        readiness.set(Ready::READ);
        assert!(readiness.get(Direction::Read).is_some());
        assert!(readiness.get(Direction::Write).is_none());
    }
}
