//! Numbers of a runtime.
//!
//! Every worker counts for itself, in words that only it writes; so counting costs no shared write. Others are counted together.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::Observer;
use crate::context;
use crate::scheduler::Shared;

/// What a runtime is doing, in numbers: see [`statistics`] and [`Observer::statistics`].
///
/// **Exact or snapshot.** Fields are read one after the other while everything goes on. Each says what that means for it; in a run that is at rest
/// (every task suspended, and nobody wakes one) all are exact. After Trio's `current_statistics`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Statistics {
    /// Tasks that have been spawned and have not ended, main included. A snapshot: spawns and ends on other workers may be missing.
    pub tasks_living: usize,
    /// Tasks in queues: they could run and do not yet. A snapshot; a task on its way from one queue to another may be missing. Those that are
    /// running are not counted.
    pub tasks_runnable: usize,
    /// Tasks spawned since the runtime was built. A snapshot that only grows.
    pub tasks_spawned: u64,
    /// Tasks in the queue that other threads put into, part of `tasks_runnable`. A snapshot.
    pub inject_queue: usize,
    /// How long until the next timer: deadlines of scopes, and sleeps; zero if it is overdue. `None`: there is none. Counts the deadlines of scopes
    /// that have been suspended at least once; exact for those of the calling worker, a snapshot for others.
    pub next_deadline: Option<Duration>,
    /// Each worker, in order.
    pub workers: Vec<WorkerStatistics>,
    /// Memory that tasks have left and the next ones will use, in bytes: at most 16 KiB for each worker and size of task (in steps of 16 bytes), and
    /// 4 MiB. A snapshot.
    pub spare_task_memory: usize,
    /// The thread pool. A snapshot of the threads under one lock, and of those who wait under another.
    pub blocking: BlockingStatistics,
}

/// Numbers of a worker, since the runtime was built. Counters that only grow, each exact as of some moment just past, unless noted.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct WorkerStatistics {
    /// How often it has polled a task.
    pub steps: u64,
    /// How often it had nothing to run and went to sleep.
    pub parks: u64,
    /// How often it took tasks from another worker.
    pub steals: u64,
    /// How often it stepped aside, to see whether the others do more without it: where tasks do less than a microsecond's work at a time.
    pub asides: u64,
    /// Tasks that wait for it now. A snapshot.
    pub queued: usize,
}

/// Numbers of the thread pool.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct BlockingStatistics {
    /// Threads that it has.
    pub threads: usize,
    /// Threads that run a call.
    pub busy: usize,
    /// Calls that wait for a token of the pool's own limiter.
    pub queued: usize,
}

/// What a worker counts. (Standard atomics: nothing hangs on their order.)
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) steps: Count,
    /// Polls, and units of the budget that were used in them. Noted now and then, if there is more than one worker.
    pub(crate) done: Count,
    pub(crate) parks: Count,
    pub(crate) steals: Count,
    pub(crate) asides: Count,
    pub(crate) spawned: Count,
    pub(crate) ended: Count,
}

/// A counter with one writer.
#[derive(Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    /// One more. Only the one thread that writes this counter calls this.
    #[inline]
    pub(crate) fn add(&self) {
        self.set(self.get().wrapping_add(1));
    }

    /// So many now; by the one that calls `add`.
    #[inline]
    pub(crate) fn set(&self, now: u64) {
        self.0.store(now, Relaxed);
    }

    /// One more, from any thread.
    pub(crate) fn add_shared(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Shared {
    pub(crate) fn statistics(&self) -> Statistics {
        let all = || self.remotes.iter().map(|remote| &remote.counts).chain([&self.outside]);
        // The ends first: what has ended was spawned before, so the difference is not negative.
        let ended: u64 = all().map(|counts| counts.ended.get()).sum();
        let spawned: u64 = all().map(|counts| counts.spawned.get()).sum();
        let workers: Vec<_> = (0..self.remotes.len()).map(|index| self.worker_statistics(index)).collect();
        let inject_queue = self.injected();
        let next = self.remotes.iter().filter_map(|remote| remote.shard.next()).min();
        Statistics {
            tasks_living: usize::try_from(spawned.saturating_sub(ended)).unwrap_or(usize::MAX),
            tasks_runnable: workers.iter().map(|worker| worker.queued).sum::<usize>() + inject_queue,
            tasks_spawned: spawned,
            inject_queue,
            next_deadline: next.and_then(|next| self.time.until(next)),
            workers,
            spare_task_memory: self.depot.bytes()
                + self.remotes.iter().map(|remote| remote.shelves.bytes()).sum::<usize>(),
            blocking: self.pool.statistics(),
        }
    }

    fn worker_statistics(&self, index: usize) -> WorkerStatistics {
        let counts = &self.remotes[index].counts;
        WorkerStatistics {
            steps: counts.steps.get(),
            parks: counts.parks.get(),
            steals: counts.steals.get(),
            asides: counts.asides.get(),
            queued: self.queued_at(index),
        }
    }
}

/// Numbers of the runtime that the caller runs in.
///
/// # Panics
///
/// Outside a run. From other threads, see [`Observer::statistics`].
///
/// ```
/// use trioxide_runtime::{nursery, run, sleep_forever, statistics};
/// run(nursery(async |n| {
///     n.spawn(sleep_forever());
///     assert_eq!(statistics().tasks_living, 2);
///     n.cancel("counted");
/// }));
/// ```
#[track_caller]
pub fn statistics() -> Statistics {
    let current =
        context::worker(|worker| worker.filter(|_| context::in_task()).map(|worker| worker.shared().statistics()));
    current.unwrap_or_else(|| context::outside("statistics"))
}

impl Observer {
    /// Numbers of the runtime; `None` if it has gone.
    pub fn statistics(&self) -> Option<Statistics> {
        Some(self.shared()?.statistics())
    }
}
