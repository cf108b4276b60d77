//! Lingering: who is about to block stays on the core for some microseconds first. Workers do that when they have lain down, threads of the pool when they have delivered.
//!
//! To block and to be woken takes two system calls and, if the core has gone idle, tens of microseconds until it runs again; in a virtual machine more than most
//! answers that a worker waits for. So it first looks a few times whether it was claimed, and gives its core to whoever wants it in between. For the others it
//! sleeps already: who claims it leaves a token with its parker, and no call to the kernel is needed.
//!
//! That pays only where answers are quick. So a worker keeps an account: it lingers on credit, gains when it was claimed meanwhile, pays when it was in vain, and
//! without credit blocks at once, but for one time in `TRIAL`. A runtime that has come to rest does nothing: to linger is a step on the way to sleep, and has an end.

use std::cell::Cell;
use std::hint::spin_loop;
use std::thread::yield_now;

/// Some twenty microseconds, all in all: about what it takes a core that has gone idle to run again. In the models every order of threads is tried anyway.
const ROUNDS: u32 = if cfg!(loom) { 0 } else { 32 };
/// The first of them without giving up the core, which on a busy machine is long in coming back.
const ALONE: u32 = 6;
const LOOKS: u32 = 16;
/// What one claim earns, in attempts that were in vain.
const GAIN: u32 = 4;
const MOST: u32 = 32;
const TRIAL: u32 = 16;

/// The account of a thread.
pub(crate) struct Linger {
    credit: Cell<u32>,
    sleeps: Cell<u32>,
}

impl Linger {
    pub(crate) fn new() -> Self {
        Self { credit: Cell::new(MOST), sleeps: Cell::new(0) }
    }

    /// Waits a little until `called` says so; whether it has.
    pub(crate) fn wait(&self, mut called: impl FnMut() -> bool) -> bool {
        let credit = self.credit.get();
        if credit == 0 {
            self.sleeps.set(self.sleeps.get().wrapping_add(1));
            if !self.sleeps.get().is_multiple_of(TRIAL) {
                return false;
            }
        }
        let was_called = (0..ROUNDS).any(|round| {
            if round >= ALONE {
                yield_now();
            }
            (0..LOOKS).any(|_| {
                spin_loop();
                called()
            })
        });
        self.credit.set(if was_called { (credit + GAIN).min(MOST) } else { credit.saturating_sub(1) });
        was_called
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::scheduler::parker::Parker;

    #[test]
    fn who_lingers_in_vain_stops_it_and_tries_again_now_and_then() {
        let (linger, parker) = (Linger::new(), Parker::new());
        for _ in 0..MOST {
            assert!(!linger.wait(|| parker.take_token()));
        }
        assert_eq!(linger.credit.get(), 0);
        parker.unpark(None);
        let trials = (1..=TRIAL).find(|_| linger.wait(|| parker.take_token()));
        assert_eq!(trials, Some(TRIAL), "it blocks at once but for one time");
        assert_eq!(linger.credit.get(), GAIN);
        parker.unpark(None);
        assert!(linger.wait(|| parker.take_token()), "the token was used up, and this is another");
    }
}
