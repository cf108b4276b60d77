//! How many parts of a nursery have not ended: its body and its children.
//!
//! Zero is final: nothing enters again. Whoever leaves last closes the nursery, alone.
#![allow(unreachable_pub)] // The loom models use it.

use crate::primitives::atomic::AtomicUsize;
use crate::primitives::atomic::Ordering::{AcqRel, Acquire, Relaxed};

/// See the module.
pub struct Live(AtomicUsize);

impl Live {
    /// The body alone.
    pub fn with_body() -> Self {
        Self(AtomicUsize::new(1))
    }

    /// Counts one more; false if the nursery has closed.
    #[must_use]
    pub fn enter(&self) -> bool {
        // Relaxed: to enter orders nothing; what the newcomer shares with the others goes through the queue that it is put in.
        let mut count = self.0.load(Relaxed);
        while count != 0 {
            match self.0.compare_exchange_weak(count, count + 1, Relaxed, Relaxed) {
                Ok(_) => return true,
                Err(now) => count = now,
            }
        }
        false
    }

    /// Counts one less; true for the last, who closes the nursery.
    #[must_use]
    pub fn leave(&self) -> bool {
        // Release and acquire pair among all who leave: the last one sees what every other has done.
        self.0.fetch_sub(1, AcqRel) == 1
    }

    /// Children and body that have not ended. A snapshot.
    pub fn count(&self) -> usize {
        self.0.load(Acquire)
    }
}
