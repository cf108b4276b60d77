//! The stall report: a run in which nothing can run any more tells so.
//!
//! ```text
//! last worker lies down, all at rest ─▶ sleeps for `after` at most ─▶ up, finds nothing, lies down: still the same lull? ─▶ up, reports, lies down for good
//! ```
//!
//! *At rest* is: every worker sleeps, no task is queued, no timer armed, no blocking call under way, no driver that anything is registered with (I/O may always come), and nobody has the run's token.
//! Other threads may hold wakers and handles, of which nobody knows; so it takes a while of rest, and a report is all that comes of it.
//!
//! Invariants:
//! - **Z1** A *lull* is told from the next by the number of polls so far: nothing changes in a run without one. So a lull is reported once, and a worker
//!   that got up for nothing goes on with the same lull.
//! - **Z2** Whoever is the last to lie down sees everything at rest, if it is. What ends without a poll (the last job of the pool) wakes a worker, which lies down again.
//! - **Z3** The report is foreign code: it is called by a worker that is up and counts as running, under no lock, while a sentry looks after what it leaves.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::TaskTree;
use crate::contain;
use crate::scheduler::Shared;

/// What is called for a run that has stalled.
pub(crate) type Report = dyn Fn(&TaskTree) + Send + Sync;

/// How long a run must be at rest before it is reported, by default: other threads that wake tasks do so more often, mostly.
pub(crate) const STALL_AFTER: Duration = Duration::from_secs(5);

/// See the module.
pub(crate) struct Stall {
    after: Duration,
    report: Option<Arc<Report>>,
    /// The lull that was reported last. (The standard atomic: nothing hangs on its order.)
    reported: AtomicU64,
}

/// A worker's note: the lull in which it lay down, and since when.
#[derive(Default)]
pub(crate) struct Lull(Cell<Option<(u64, Instant)>>);

/// What a worker does that has lain down.
pub(crate) enum Verdict {
    /// Sleeps for as long as it would.
    Sleep,
    /// Sleeps for so long, and looks again.
    LookAgain(Duration),
    /// Gets up to report this lull.
    Report(u64),
}

impl Stall {
    /// `report`: what is called in place of a text on standard error.
    pub(crate) fn new(after: Duration, report: Option<Arc<Report>>) -> Self {
        Self { after, report, reported: AtomicU64::new(u64::MAX) }
    }

    /// For a worker that is the last to have lain down; `polls` is the lull, if everything is at rest.
    fn judge(&self, lull: &Lull, polls: Option<u64>) -> Verdict {
        let Some(polls) = polls.filter(|polls| self.reported.load(Relaxed) != *polls) else {
            lull.0.set(None);
            return Verdict::Sleep;
        };
        let now = Instant::now();
        let since = lull.0.get().filter(|(of, _)| *of == polls).map_or(now, |(_, since)| since);
        lull.0.set(Some((polls, since)));
        match self.after.saturating_sub(now.saturating_duration_since(since)) {
            Duration::ZERO if since < now => Verdict::Report(polls),
            left => Verdict::LookAgain(left),
        }
    }

    fn to_stderr(&self, tree: &TaskTree) {
        let mut text = format!(
            "trioxide: nothing has run for {:?}, and nothing in this run can wake a task any more: no timer, no I/O, no blocking call.\n\
             If no other thread wakes one or cancels it, and no signal comes, this run hangs. What waits:\n{tree}",
            self.after
        );
        text += "(`Builder::on_stall` replaces this report";
        if tree.tasks().all(|task| task.waits_for().is_none()) {
            text += ", `Builder::track_tasks(true)` shows what each task waits for";
        }
        text += ".)";
        eprintln!("{text}");
    }
}

impl Shared {
    /// What a worker does that has lain down with nothing to look after.
    pub(crate) fn judge_stall(&self, lull: &Lull) -> Verdict {
        let Some(stall) = self.watch.stall.get() else { return Verdict::Sleep };
        stall.judge(lull, self.at_rest().then(|| self.polls()))
    }

    /// Reports a lull, unless another worker has. By a worker that is up.
    pub(crate) fn report_stall(&self, lull: u64) {
        if let Some(stall) = self.watch.stall.get()
            && stall.reported.swap(lull, Relaxed) != lull
            && let Some(tree) = TaskTree::of(self)
        {
            contain::call(|| match &stall.report {
                Some(report) => report(&tree),
                None => stall.to_stderr(&tree),
            });
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_lull_lasts_until_something_is_polled() {
        let (stall, lull) = (Stall::new(Duration::MAX, None), Lull::default());
        assert!(matches!(stall.judge(&lull, Some(7)), Verdict::LookAgain(Duration::MAX)));
        let since = lull.0.get();
        let _ = stall.judge(&lull, Some(7));
        assert_eq!(lull.0.get(), since, "got up for nothing");
        let _ = stall.judge(&lull, Some(8));
        assert_eq!(lull.0.get().unwrap().0, 8, "another one");
        let _ = stall.judge(&lull, None);
        assert_eq!(lull.0.get(), None, "not at rest");
        stall.reported.store(8, Relaxed);
        assert!(matches!(stall.judge(&lull, Some(8)), Verdict::Sleep));
    }
}
