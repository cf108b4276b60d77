//! How many parts of a nursery have not ended: its body, its children, and its services.
//!
//! ```text
//!   63          32 31           0
//!  ┌──────────────┬──────────────┐   ordinary: the body and the children
//!  │   services   │   ordinary   │   services: each of them, and one count more, the *caretaker's*, once there has been any
//!  └──────────────┴──────────────┘
//! ```
//!
//! Zero ordinary parts are final: nothing enters again, no service either. Who leaves last of these sends the services home, and for that takes over
//! the caretaker's count, which has kept the nursery open until here. Whoever leaves last of all closes the nursery, alone.
#![allow(unreachable_pub)] // The loom models use it.

use crate::primitives::atomic::AtomicU64;
use crate::primitives::atomic::Ordering::{AcqRel, Acquire, Relaxed};

const SERVICE: u64 = 1 << 32;

/// See the module.
pub struct Live(AtomicU64);

/// What is left when an ordinary part has left.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub enum Left {
    /// Other ordinary parts.
    Open,
    /// Services: the caller sends them home, and then leaves as one of them, with the caretaker's count.
    Services,
    /// Nothing: the caller closes the nursery.
    Nothing,
}

fn ordinary(count: u64) -> u64 {
    count & (SERVICE - 1)
}

fn services(count: u64) -> u64 {
    count / SERVICE
}

impl Live {
    /// The body alone.
    pub fn with_body() -> Self {
        Self(AtomicU64::new(1))
    }

    /// Counts one more ordinary part; false if there is none.
    #[must_use]
    pub fn enter(&self) -> bool {
        self.enter_with(|_| 1)
    }

    /// Counts one more service; false if there is no ordinary part.
    #[must_use]
    pub fn enter_service(&self) -> bool {
        // The first brings the caretaker's count with it.
        self.enter_with(|count| if services(count) == 0 { 2 * SERVICE } else { SERVICE })
    }

    #[inline]
    fn enter_with(&self, more: impl Fn(u64) -> u64) -> bool {
        // Relaxed: to enter orders nothing; what the newcomer shares with the others goes through the queue that it is put in.
        let mut count = self.0.load(Relaxed);
        while ordinary(count) != 0 {
            match self.0.compare_exchange_weak(count, count + more(count), Relaxed, Relaxed) {
                Ok(_) => return true,
                Err(now) => count = now,
            }
        }
        false
    }

    /// Counts so many ordinary parts less, which are the caller's.
    pub fn leave(&self, parts: u32) -> Left {
        // Release and acquire pair among all who leave: the last one sees what every other has done.
        let before = self.0.fetch_sub(u64::from(parts), AcqRel);
        if ordinary(before) != u64::from(parts) {
            return Left::Open;
        }
        // With the caretaker's count alone nobody is left, and nobody enters.
        if services(before) <= 1 { Left::Nothing } else { Left::Services }
    }

    /// Counts one service less; true for the last of all, who closes the nursery.
    #[must_use]
    pub fn leave_service(&self) -> bool {
        // As in `leave`.
        self.0.fetch_sub(SERVICE, AcqRel) == SERVICE
    }

    /// Ordinary parts that have not ended. A snapshot.
    pub fn ordinary(&self) -> usize {
        ordinary(self.0.load(Acquire)) as usize
    }

    /// Services that have not ended. A snapshot.
    pub fn services(&self) -> usize {
        services(self.0.load(Acquire)).saturating_sub(1) as usize
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_last_ordinary_part_sends_the_services_home_and_the_last_service_closes() {
        let live = Live::with_body();
        assert!(live.enter_service() && live.enter_service() && live.enter());
        assert_eq!((live.ordinary(), live.services()), (2, 2));
        assert_eq!(live.leave(1), Left::Open);
        assert!(!live.leave_service());
        assert_eq!(live.leave(1), Left::Services);
        assert!(!live.enter() && !live.enter_service());
        assert!(!live.leave_service(), "the caretaker is left");
        assert!(live.leave_service());
    }

    #[test]
    fn parts_that_leave_together_leave_like_one_after_the_other() {
        let live = Live::with_body();
        assert!(live.enter() && live.enter() && live.enter_service());
        assert_eq!(live.leave(2), Left::Open);
        assert!(live.enter());
        assert_eq!(live.leave(2), Left::Services);
        assert!(!live.enter());
    }

    #[test]
    fn without_services_at_the_end_the_last_ordinary_part_closes() {
        let live = Live::with_body();
        assert!(live.enter_service());
        assert!(!live.leave_service());
        assert!(live.enter_service(), "as long as the nursery is open");
        assert!(!live.leave_service());
        assert_eq!(live.leave(1), Left::Nothing);
        assert!(!live.enter());
    }
}
