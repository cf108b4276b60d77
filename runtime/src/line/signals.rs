//! Permits that never come back, and so are signals: who is let in by one has nothing to give back.

use super::{Answer, BUSY, LINE, Line, Permits, QuietLine, SHIFT};
use crate::primitives::atomic::Ordering;
use std::task::Waker;

/// So many are let in between two looks at the lock.
const LET_IN_PER_LOCK: usize = if cfg!(loom) { 2 } else { 16 };

impl Permits {
    /// There are `permits` more, which is more than will ever be wanted, and so for good: all who wait are let in at once, and each who comes.
    ///
    /// It is no hand-over: what one who is let in does not claim is missed by nobody, so no turn is waited for. Who was passed over has had its wake, and goes on when it is polled.
    pub fn open(&self, permits: usize) {
        let mut word = self.word.load(Ordering::Relaxed);
        while word & BUSY == 0 {
            let sum = (word >> SHIFT) + permits as u64;
            // Release: as in `give`.
            match self.word.compare_exchange_weak(word, sum << SHIFT, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
        self.open_busy(permits);
    }

    #[cold]
    fn open_busy(&self, permits: usize) {
        let line = self.line();
        let mut quiet = line.lot.lock_quietly();
        // As in `give_busy`.
        self.busy(&mut quiet);
        quiet.put_back(permits);
        quiet.let_in_below = u64::MAX;
        self.let_in(line, quiet, u64::MAX);
    }

    /// As [`give`](Self::give), but there are no more than `most` free permits after it: what would be too many is nobody's. For permits that do not come back, and always with the same `most`.
    pub fn give_up_to(&self, permits: usize, most: usize) {
        let mut word = self.word.load(Ordering::Relaxed);
        while word & BUSY == 0 {
            let sum = ((word >> SHIFT) as usize + permits).min(most) as u64;
            // Release: as in `give`. Also where there are enough already: who takes them sees what was done before this.
            match self.word.compare_exchange_weak(word, sum << SHIFT, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
        let line = self.line();
        let mut quiet = line.lot.lock_quietly();
        self.busy(&mut quiet);
        quiet.most_free = Some(most);
        quiet.put_back(permits);
        self.serve_and_settle(line, quiet);
    }

    /// All who wait now are let in without a permit, and nobody who comes later; how many. Who was passed over has had its wake, and goes on when it is polled.
    pub fn let_in_waiting(&self) -> usize {
        let Some(line) = self.line.get() else { return 0 };
        let mut quiet = line.lot.lock_quietly();
        let below = quiet.next_number;
        quiet.let_in_below = below;
        // All of them have smaller numbers. One who looks by itself while the lock is free is let in as well.
        let let_in = quiet.waiting(LINE) + quiet.passed_over.waiting(quiet.free);
        self.let_in(line, quiet, below);
        let_in
    }

    /// Lets in who stands in line with a number below that. Some under each locking of `line`, without which their wakers are called.
    fn let_in<'a>(&self, line: &'a Line, mut quiet: QuietLine<'a>, below: u64) {
        loop {
            let mut wakers = [const { None::<Waker> }; LET_IN_PER_LOCK];
            let mut is_done = false;
            for slot in &mut wakers {
                is_done = quiet.front(LINE).is_none_or(|ask| ask.number >= below);
                if is_done {
                    break;
                }
                *slot = quiet.take_first(LINE, |ask| ask.answer = Answer::LetIn).and_then(|((), waker)| waker);
            }
            if is_done {
                self.settle(&mut quiet);
            }
            drop(quiet);
            wakers.into_iter().flatten().for_each(Waker::wake);
            if is_done {
                return;
            }
            quiet = line.lot.lock_quietly();
        }
    }
}
