//! The watchdog: a thread that tells which task keeps a worker busy for too long.
//!
//! Each worker has a slot. It notes there what it polls and since when, and the thread looks at all slots now and then, under their locks. Only workers of a
//! runtime that has a watchdog pay for it (`mod` W1). The report is foreign code: it is called under no lock.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use crossbeam_utils::CachePadded;

use super::TaskInfo;
use crate::contain;
use crate::context;
use crate::primitives::Mutex;
use crate::task::Header;

/// What is called for a task that hogs its worker.
type Report = dyn Fn(&Hogging) + Send + Sync;

/// However short the limit, the thread rests so long between two looks.
const REST: Duration = Duration::from_micros(200);

/// A task that keeps its worker busy: what a watchdog reports ([`Builder::watchdog`](crate::Builder::watchdog)).
///
/// By `Display` it is a sentence that says what to do.
#[derive(Clone, Debug)]
pub struct Hogging {
    task: TaskInfo,
    worker: usize,
    since: Instant,
    seen: Instant,
}

impl Hogging {
    /// The task.
    pub fn task(&self) -> &TaskInfo {
        &self.task
    }

    /// The worker that it keeps busy, from zero.
    pub fn worker(&self) -> usize {
        self.worker
    }

    /// When its present poll began, by the system's clock.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// For how long it has not suspended, when the watchdog looked. It goes on.
    pub fn so_far(&self) -> Duration {
        self.seen.saturating_duration_since(self.since)
    }
}

impl fmt::Display for Hogging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { task, worker, .. } = self;
        write!(f, "{task}, has kept worker {worker} busy for {:.1?} without suspending; ", self.so_far())?;
        f.write_str("put `checkpoint().await` into its loops, or what blocks into `blocking`")
    }
}

/// What was asked of the builder.
#[derive(Clone)]
pub(crate) struct Watchdog {
    limit: Duration,
    report: Arc<Report>,
}

/// What the workers of a runtime are at.
pub(crate) struct Steps(Box<[CachePadded<Mutex<Option<Step>>>]>);

struct Step {
    task: TaskInfo,
    since: Instant,
    reported: bool,
}

impl Steps {
    /// A worker begins to poll `task`.
    pub(super) fn begin(&self, task: &Header) {
        let step = Step { task: TaskInfo::of(task), since: Instant::now(), reported: false };
        self.put(Some(step));
    }

    /// The poll of its task is over.
    pub(super) fn end(&self) {
        self.put(None);
    }

    fn put(&self, step: Option<Step>) {
        if let Some(index) = context::worker(|worker| worker.map(|worker| worker.index)) {
            let old = std::mem::replace(&mut *self.0[index].lock(), step);
            drop(old); // Outside the lock: it may be the last reference to the name.
        }
    }

    /// What `worker` is at, if that is for longer than `limit` and was not told before.
    fn look(&self, worker: usize, limit: Duration) -> Option<Hogging> {
        let mut slot = self.0[worker].lock();
        let step = slot.as_mut().filter(|step| !step.reported)?;
        let seen = Instant::now();
        if seen.saturating_duration_since(step.since) < limit {
            return None;
        }
        step.reported = true;
        Some(Hogging { task: step.task.clone(), worker, since: step.since, seen })
    }
}

/// The thread. It ends when this is dropped.
pub(crate) struct OnGuard {
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    pub(crate) fn new(limit: Duration, report: Arc<Report>) -> Self {
        assert!(!limit.is_zero(), "trioxide: a watchdog needs a limit above zero: every poll takes some time");
        Self { limit, report }
    }

    /// Starts the thread, for so many workers.
    pub(crate) fn start(self, workers: usize, name: &str) -> io::Result<(Arc<Steps>, OnGuard)> {
        let steps = Arc::new(Steps((0..workers).map(|_| CachePadded::new(Mutex::new(None))).collect()));
        let (end, ended) = bounded::<()>(0);
        let watched = Arc::clone(&steps);
        let thread = thread::Builder::new().name(format!("{name}-watchdog")).spawn(move || {
            let rest = (self.limit / 2).max(REST);
            while ended.recv_timeout(rest) == Err(RecvTimeoutError::Timeout) {
                for worker in 0..watched.0.len() {
                    if let Some(hogging) = watched.look(worker, self.limit) {
                        contain::call(|| (self.report)(&hogging));
                    }
                }
            }
        })?;
        Ok((steps, OnGuard { end: Some(end), thread: Some(thread) }))
    }
}

impl Drop for OnGuard {
    fn drop(&mut self) {
        drop(self.end.take());
        // The report may have had the last reference to the runtime.
        if let Some(thread) = self.thread.take().filter(|thread| thread.thread().id() != thread::current().id()) {
            let _ = thread.join();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_poll_is_reported_once_and_a_worker_at_rest_never() {
        let steps = Steps(vec![CachePadded::new(Mutex::new(None))].into());
        assert!(steps.look(0, Duration::ZERO).is_none(), "at rest");
        let runtime = crate::Runtime::builder().workers(1).signals(false).build().unwrap();
        runtime.run(async {
            let step = || Step { task: crate::current_task(), since: Instant::now(), reported: false };
            for _ in 0..2 {
                steps.put(Some(step()));
                assert!(steps.look(0, Duration::MAX).is_none(), "not yet");
                let hogging = steps.look(0, Duration::ZERO).unwrap();
                assert_eq!((hogging.worker(), hogging.task().id()), (0, crate::current_task().id()));
                assert!(steps.look(0, Duration::ZERO).is_none(), "once");
                steps.end();
                assert!(steps.look(0, Duration::ZERO).is_none(), "over");
            }
        });
    }
}
