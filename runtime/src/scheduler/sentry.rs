//! Sentries: sleeping workers that look around now and then while others run.
//!
//! A worker in a long poll takes care of nothing. Its slot and its queue may hold tasks, its wheel timers that are due, and if it was the one
//! that waited in the driver, nobody waits there. So, while something runs, up to `SENTRIES` of the sleeping workers sleep for `NAP` at a time
//! instead of for good, and when they get up they do what a worker does that finds nothing to run: they steal, also from slots, fire the
//! timers that are due (of every wheel), and wait in the driver if nobody does.
//!
//! An idle runtime has none, so that it wakes for nothing:
//! - **Y1** A worker that lies down becomes a sentry unless there are enough, or every worker sleeps and nothing has *stirred* since it
//!   lay down the last time.
//! - **Y2** A worker that runs a task after it was woken from outside (claimed, or by an event of the driver; not by a timer) stirs: if
//!   there is no sentry but there is a sleeper, it wakes one, which finds nothing, lies down again and is a sentry by Y1.
//! - **Y3** A worker that got up by itself, for a timer, stirs when the task that it polls puts another into its slot: that would wait for the end of
//!   the poll.
//!
//! So a periodic timer whose task wakes nobody costs one wake-up per tick. What such a task leaves in the driver and in the wheel, if it blocks its worker, is
//! seen only at the next event.
//!
//! **No worker runs unwatched** but for that. Let X stir while S, the last sentry, ceases to be one. S counts itself out (at its `leave`), lies down (an
//! SeqCst change of `Idle`) and asks whether all sleep; X gets up (another), fences and reads the count. If X reads S still counted, then X was up before S
//! asked, and S sees it: it stays a sentry. Otherwise X reads zero, and wakes somebody. The model is `sentry` in `loom-tests`.
#![allow(unreachable_pub)] // The loom models use it.

use std::cell::Cell;
use std::time::Duration;

use super::idle::Idle;
use crate::primitives::atomic::Ordering::{Relaxed, SeqCst};
use crate::primitives::atomic::{AtomicUsize, fence};

/// How long a worker may be stuck before another sees to what it has left.
pub(super) const NAP: Duration = Duration::from_millis(10);
/// Two, so that one that is claimed for work leaves another: otherwise each such claim would cost a second wake-up.
const SENTRIES: usize = 2;

/// See the module.
pub struct Sentries {
    posted: AtomicUsize,
    /// How often something has stirred; its change is what counts.
    stirs: AtomicUsize,
}

/// What a worker remembers of `Sentries::stirs`.
#[derive(Default)]
pub struct Seen(Cell<usize>);

impl Sentries {
    /// Nobody stands guard.
    pub fn new() -> Self {
        Self { posted: AtomicUsize::new(0), stirs: AtomicUsize::new(0) }
    }

    /// A worker has lain down; whether it is to be a sentry (Y1), and then calls `leave` when it gets up.
    pub fn enter(&self, idle: &Idle, seen: &Seen) -> bool {
        let stirs = self.stirs.load(Relaxed);
        let quiet = seen.0.replace(stirs) == stirs && idle.all_sleep();
        // Relaxed: one more or less is a matter of thrift.
        if quiet || self.posted.load(Relaxed) >= SENTRIES {
            return false;
        }
        self.posted.fetch_add(1, SeqCst);
        true
    }

    /// A sentry is up again.
    pub fn leave(&self) {
        // SeqCst, and before the worker lies down again: see the argument above.
        self.posted.fetch_sub(1, SeqCst);
    }

    /// A worker runs again after it was woken from outside; whether it is to wake a sleeper (Y2).
    #[must_use]
    pub fn stir(&self, idle: &Idle) -> bool {
        self.stirs.fetch_add(1, Relaxed);
        // Pairs with the SeqCst changes in `leave` and `Idle::lie_down`.
        fence(SeqCst);
        self.posted.load(Relaxed) == 0 && idle.some_sleep()
    }
}

impl Default for Sentries {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn an_idle_runtime_has_no_sentry() {
        let (idle, sentries, seen) = (Idle::new(2), Sentries::new(), [Seen::default(), Seen::default()]);
        let lie_down = |worker| {
            let _ = idle.lie_down(worker, false);
            sentries.enter(&idle, &seen[worker])
        };
        let rise = |worker| {
            let _ = idle.rise(worker);
        };
        assert!(lie_down(0), "the other one runs");
        assert!(!lie_down(1), "all sleep, and nothing has stirred");
        // The end of the nap.
        rise(0);
        sentries.leave();
        assert!(!lie_down(0));
        // A timer: nothing stirs.
        rise(1);
        assert!(!lie_down(1));
        // An event: the other is woken, and stands guard; also when all sleep again, for a nap or two.
        rise(1);
        assert!(sentries.stir(&idle));
        rise(0);
        assert!(lie_down(0));
        assert!(!sentries.stir(&idle), "there is a sentry");
        assert!(lie_down(1));
        let mut posted = [true, true];
        for worker in [0, 1, 0, 1] {
            rise(worker);
            if posted[worker] {
                sentries.leave();
            }
            posted[worker] = lie_down(worker);
        }
        assert_eq!(sentries.posted.load(Relaxed), 0);
    }

    #[test]
    fn a_worker_alone_wakes_nobody() {
        let (idle, sentries) = (Idle::new(1), Sentries::new());
        assert!(!sentries.stir(&idle));
    }
}
