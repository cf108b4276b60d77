//! A worker that steps aside, to see whether the others do more without it: `trial` has the reasons.
//!
//! For all others it is a worker in a poll, which looks at every queue before it lies down; so the protocol of who sleeps knows nothing of it. What that relies on:
//! - It counts as running when it steps aside, and not as one who searches: others are woken as if it were not there.
//! - It has nothing to run meanwhile, and is not at the driver: what it had goes to the inject queue, and what its timers wake takes it back to work.
//! - `Counts::done` of each worker has one writer and does not go back, whatever thread the worker is on.

use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant};

use super::Worker;
use crate::context;
use crate::primitives::atomic::Ordering::Acquire;
use crate::scheduler::Remote;
use crate::scheduler::trial::{self, LOOK, Reading, Seen};

/// Any moment to count from.
static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);
/// The models have no time.
const TRIALS: bool = cfg!(not(loom));

impl Worker {
    /// This thread is the worker's from now on: what was done on it before is not its.
    pub(super) fn begin_account(&self) {
        let counts = &self.remote().counts;
        self.account.begin(counts.done.get(), self.most(), context::left_of_budgets());
    }

    /// Notes what it has done; whether it is enough for a look at the clock.
    #[inline]
    pub(super) fn note_done(&self) -> bool {
        let done = self.account.done(self.most(), context::left_of_budgets());
        self.remote().counts.done.set(done);
        self.account.is_enough(done)
    }

    /// What it would have done if every poll had used up its budget.
    #[inline]
    fn most(&self) -> u64 {
        self.remote().counts.steps.get().wrapping_mul(u64::from(self.shared.budget) + 1)
    }

    /// Steps aside if it is time for that.
    pub(super) fn step_aside_if_due(&self) {
        // The first one stays, as `main` is its. A tree of forks is work for all, and would lose its order in the inject queue.
        if !TRIALS || self.index == 0 || self.queues.have_forks() || !self.trial.is_due(BEGINNING.elapsed()) {
            return;
        }
        if self.trial.goes_aside(self.reading(), self.shared.remotes.len()) {
            self.remote().counts.asides.add();
            self.hand_back();
            self.stand_aside();
        }
    }

    /// What it has to run goes to all.
    fn hand_back(&self) {
        let mut any = false;
        while let Some(task) = self.next() {
            self.shared.inject.push(task);
            any = true;
        }
        if any {
            self.shared.notify();
        }
    }

    fn stand_aside(&self) {
        self.trial.is_aside(self.reading());
        let mut seen = self.look();
        while !self.shared.closed.load(Acquire) {
            thread::sleep(self.until_next_look());
            self.fire_timers();
            let before = std::mem::replace(&mut seen, self.look());
            if !self.has_nothing() || trial::is_wanted(&before, &seen) {
                return self.trial.works(self.reading());
            }
            if self.trial.comes_back(self.reading()) {
                return;
            }
        }
    }

    fn until_next_look(&self) -> Duration {
        let next = self.remote().shard.next().and_then(|next| self.shared.time.sleep_time(next));
        next.map_or(LOOK, |next| next.min(LOOK))
    }

    fn reading(&self) -> Reading {
        let done = |remote: &Remote| remote.counts.done.get();
        let all = self.shared.remotes.iter().map(|remote| done(remote)).sum();
        Reading { at: BEGINNING.elapsed(), done: all, own: done(self.remote()) }
    }

    fn look(&self) -> Seen {
        let of_worker = |remote: &Remote| (remote.counts.done.get(), remote.ends.have_queued());
        Seen {
            at: BEGINNING.elapsed(),
            workers: self.shared.remotes.iter().map(|remote| of_worker(remote)).collect(),
            injected: !self.shared.inject.is_empty(),
        }
    }
}
