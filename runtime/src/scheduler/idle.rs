//! Who sleeps and who searches: so that no task waits in a queue while every worker sleeps, and no worker is woken for nothing.
//! The protocol, its race and its proof are in `README.md` beside this file.
#![allow(unreachable_pub)] // The loom models use it.

use crate::primitives::atomic::Ordering::{AcqRel, Relaxed, SeqCst};
use crate::primitives::atomic::{AtomicU64, AtomicUsize, fence};

const SEARCHING: usize = 1;
const SLEEPING: usize = 1 << (usize::BITS / 2);
const SEARCHING_MASK: usize = SLEEPING - 1;

/// See the module.
pub struct Idle {
    /// How many workers search (low half) and sleep (high half).
    counts: AtomicUsize,
    /// One bit for each worker: set by the worker when it lies down, cleared by whoever wakes it, or by itself.
    sleepers: Box<[AtomicU64]>,
    workers: usize,
}

/// How a worker got up.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Risen {
    /// By itself: a time-out, an event, or work that it found just before it fell asleep. It counts as running.
    ByItself,
    /// Somebody has claimed it, and counts it as searching, before he unparks it: the worker waits for that.
    Claimed,
}

impl Idle {
    /// For `workers` workers, all running.
    pub fn new(workers: usize) -> Self {
        Self {
            counts: AtomicUsize::new(0),
            sleepers: (0..workers.div_ceil(64)).map(|_| AtomicU64::new(0)).collect(),
            workers,
        }
    }

    /// A worker without work asks to search; false if enough others do.
    pub fn start_searching(&self) -> bool {
        // Relaxed: the limit is a matter of thrift only.
        let searching = self.counts.load(Relaxed) & SEARCHING_MASK;
        if searching * 2 >= self.workers && searching != 0 {
            return false;
        }
        // SeqCst, as all changes of `counts`: see the proof.
        self.counts.fetch_add(SEARCHING, SeqCst);
        true
    }

    /// A searching worker has found work. True if it was the last one: it must then look whether there is more, and wake
    /// another for that.
    #[must_use]
    pub fn stop_searching(&self) -> bool {
        let before = self.counts.fetch_sub(SEARCHING, SeqCst);
        debug_assert!(before & SEARCHING_MASK != 0);
        #[cfg(loom)] // The models run without debug assertions.
        assert!(before & SEARCHING_MASK != 0, "more workers stop searching than search");
        fence(SeqCst);
        before & SEARCHING_MASK == SEARCHING
    }

    /// Worker `index` lies down, and calls `rise` afterwards. True if it must look at every queue once more before it really sleeps;
    /// otherwise somebody searches, who will.
    #[must_use]
    pub fn lie_down(&self, index: usize, was_searching: bool) -> bool {
        let searching = if was_searching { SEARCHING } else { 0 };
        self.counts.fetch_add(SLEEPING - searching, SeqCst);
        self.sleepers[index / 64].fetch_or(1 << (index % 64), SeqCst);
        // Pairs with the fence in `wants_waking`: either this worker sees the new task, or the one who queued it sees this worker.
        // And with that in `stop_searching`: either this worker sees nobody search, or the last one to stop sees this worker.
        fence(SeqCst);
        self.counts.load(Relaxed) & SEARCHING_MASK == 0
    }

    /// Worker `index` is up again.
    pub fn rise(&self, index: usize) -> Risen {
        if self.take_bit(index) {
            self.counts.fetch_sub(SLEEPING, SeqCst);
            Risen::ByItself
        } else {
            Risen::Claimed
        }
    }

    /// After a task was queued: is a worker to be woken for it?
    #[inline]
    pub fn wants_waking(&self) -> bool {
        // Pairs with the fences in `lie_down` and `stop_searching`.
        fence(SeqCst);
        let counts = self.counts.load(Relaxed);
        counts & SEARCHING_MASK == 0 && counts >= SLEEPING
    }

    /// Claims a sleeping worker, for the caller to wake; `last` only if there is no other.
    pub fn claim(&self, last: Option<usize>) -> Option<usize> {
        for (at, word) in self.sleepers.iter().enumerate() {
            let mut bits = word.load(SeqCst);
            if let Some(last) = last.filter(|last| last / 64 == at) {
                bits &= !(1 << (last % 64));
            }
            while bits != 0 {
                let index = at * 64 + bits.trailing_zeros() as usize;
                if self.claim_this(index) {
                    return Some(index);
                }
                bits &= bits - 1;
            }
        }
        last.filter(|&last| self.claim_this(last))
    }

    /// Claims worker `index`, if it sleeps.
    pub fn claim_this(&self, index: usize) -> bool {
        let claimed = self.take_bit(index);
        if claimed {
            // The claimed worker counts as searching from here on; wrapping, as the two halves change in one step.
            self.counts.fetch_add(SEARCHING.wrapping_sub(SLEEPING), SeqCst);
        }
        claimed
    }

    /// Whether every worker sleeps, or has lain down.
    pub fn all_sleep(&self) -> bool {
        self.counts.load(SeqCst) == self.workers * SLEEPING
    }

    /// Whether some worker sleeps.
    pub fn some_sleep(&self) -> bool {
        self.counts.load(SeqCst) >= SLEEPING
    }

    fn take_bit(&self, index: usize) -> bool {
        let bit = 1 << (index % 64);
        let word = &self.sleepers[index / 64];
        // SeqCst: one order with `lie_down`; the load spares a write to a line that others read.
        word.load(SeqCst) & bit != 0 && word.fetch_and(!bit, AcqRel) & bit != 0
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_sleeper_is_claimed_once_and_counts_as_searching() {
        let idle = Idle::new(3);
        assert!(!idle.wants_waking());
        assert!(idle.lie_down(1, false));
        assert!(idle.wants_waking());
        assert_eq!(idle.claim(None), Some(1));
        assert_eq!(idle.claim(None), None);
        assert!(!idle.wants_waking(), "one is searching already");
        assert_eq!(idle.rise(1), Risen::Claimed);
        assert!(idle.stop_searching());
        assert!(idle.lie_down(1, false));
        assert_eq!(idle.rise(1), Risen::ByItself);
        assert!(!idle.wants_waking());
    }

    #[test]
    fn the_worker_at_the_driver_is_claimed_last() {
        let idle = Idle::new(70);
        for index in [3, 66] {
            assert!(idle.lie_down(index, false));
        }
        assert_eq!(idle.claim(Some(3)), Some(66));
        assert_eq!(idle.claim(Some(3)), Some(3));
        assert_eq!(idle.claim(Some(3)), None);
    }

    #[test]
    fn at_most_about_half_of_the_workers_search() {
        let idle = Idle::new(4);
        assert!(idle.start_searching());
        assert!(idle.start_searching());
        assert!(!idle.start_searching());
        assert!(!idle.stop_searching());
        assert!(idle.lie_down(0, true), "nobody searches any more");
        assert!(!idle.all_sleep());
        for index in 1..4 {
            assert!(idle.lie_down(index, false));
        }
        assert!(idle.all_sleep());
    }
}
