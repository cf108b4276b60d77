//! Instruments: hooks of the user's, called as things happen.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{TaskInfo, Watch, on};
use crate::context;
use crate::primitives::Mutex;
use crate::task::cell::drop_payload;

/// Hooks that are called as a run goes on: for tracing, profiling, checking. All do nothing unless you define them.
///
/// Install it with [`Builder::instrument`](crate::Builder::instrument) or, at any time, with [`Observer::add_instrument`](crate::Observer::add_instrument).
/// A runtime without instruments pays one load per event.
///
/// **Order.** For each task: spawned, scheduled, before its step, after it (scheduled again at any moment since the step began), and so on, exited
/// last. Workers run in parallel, so events of different tasks have no common order; [`Moment`] says on which worker and when.
///
/// **What a hook may do.** It is called in the middle of things, so it should be quick and must not block. No lock of the runtime is held, so it may
/// look ([`Observer::statistics`](crate::Observer), `task_tree`), wake, cancel and spawn; it will then be told of that, too, before it returns. In `before_task_step` and `after_task_step`
/// it stands in the task ([`current_task`](crate::current_task)); in the others [`in_run`](crate::lowlevel::in_run) may be false.
///
/// **A hook that panics** is reported on standard error, and its instrument is removed; the program and the other instruments go on.
///
/// After Trio's `Instrument`, with worker and time added.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicUsize, Ordering};
/// use trioxide_runtime::{Instrument, Moment, Runtime, TaskInfo, nursery};
///
/// #[derive(Default)]
/// struct CountSpawns(AtomicUsize);
///
/// impl Instrument for CountSpawns {
///     fn task_spawned(&self, _at: &Moment, _task: &TaskInfo) {
///         self.0.fetch_add(1, Ordering::Relaxed);
///     }
/// }
///
/// let count = Arc::new(CountSpawns::default());
/// let runtime = Runtime::builder().instrument(count.clone()).build().unwrap();
/// runtime.run(nursery(async |n| {
///     n.spawn(async {});
/// }));
/// assert_eq!(count.0.load(Ordering::Relaxed), 2); // the main task, too
/// ```
#[expect(unused_variables, reason = "the names are the documentation")]
pub trait Instrument: Send + Sync + 'static {
    /// A run begins; there is no task yet.
    fn before_run(&self, at: &Moment) {}
    /// Every task of the run has ended.
    fn after_run(&self, at: &Moment) {}
    /// A task was spawned. Called by the spawner.
    fn task_spawned(&self, at: &Moment, task: &TaskInfo) {}
    /// A task can run, and is about to be put into a queue. Called by whoever woke it, on any thread.
    fn task_scheduled(&self, at: &Moment, task: &TaskInfo) {}
    /// A worker begins to poll a task.
    fn before_task_step(&self, at: &Moment, task: &TaskInfo) {}
    /// The poll is over: the task waits, yields, or its future has ended and is gone.
    fn after_task_step(&self, at: &Moment, task: &TaskInfo) {}
    /// A task has ended: its future, and every nursery that it had opened.
    fn task_exited(&self, at: &Moment, task: &TaskInfo) {}
    /// A worker has nothing to run and is about to wait: for I/O, or to be woken; for `timeout` at most. Each worker does so by itself.
    fn before_io_wait(&self, at: &Moment, timeout: Option<Duration>) {}
    /// The worker is up again.
    fn after_io_wait(&self, at: &Moment) {}
}

/// Where and when a hook was called.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    worker: Option<usize>,
    time: Instant,
}

impl Moment {
    fn now() -> Self {
        Self { worker: context::worker(|worker| worker.map(|worker| worker.index)), time: Instant::now() }
    }

    /// Which worker the calling thread is, from zero; `None` if it is none: a foreign thread that wakes a task, or one of the thread pool; and before and after a run.
    pub fn worker(&self) -> Option<usize> {
        self.worker
    }

    /// When: by the system's monotonic clock, whatever clock the run has. Does not go backwards on any one worker.
    pub fn time(&self) -> Instant {
        self.time
    }
}

/// The instruments of one runtime.
pub(crate) struct Instruments(Mutex<Arc<[Arc<dyn Instrument>]>>);

impl Default for Instruments {
    fn default() -> Self {
        Self(Mutex::new(Arc::new([])))
    }
}

impl Watch {
    /// Calls a hook of each instrument; one that panics is removed and reported.
    #[cold]
    pub(super) fn tell(&self, hook: &'static str, call: impl Fn(&dyn Instrument, &Moment)) {
        let all = Arc::clone(&self.instruments.0.lock());
        let at = Moment::now();
        for instrument in all.iter() {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| call(&**instrument, &at))) {
                // Several workers may be inside it: the one who removes it reports.
                if self.remove_instrument(instrument) {
                    eprintln!("trioxide: an instrument panicked in `{hook}` and was removed: {}", text(&*panic));
                }
                drop_payload(Some(panic));
            }
        }
    }

    /// Whether it was not there before.
    pub(crate) fn add_instrument(&self, instrument: Arc<dyn Instrument>) -> bool {
        let mut all = self.instruments.0.lock();
        if all.iter().any(|known| same(known, &instrument)) {
            return false;
        }
        *all = all.iter().cloned().chain([instrument]).collect();
        self.switch(on::INSTRUMENTS, true);
        true
    }

    /// Whether it was there.
    pub(crate) fn remove_instrument(&self, instrument: &Arc<dyn Instrument>) -> bool {
        let mut all = self.instruments.0.lock();
        let kept: Arc<[_]> = all.iter().filter(|known| !same(known, instrument)).cloned().collect();
        let removed = kept.len() < all.len();
        self.switch(on::INSTRUMENTS, !kept.is_empty()); // Under the lock, with the list that it speaks of.
        let old = std::mem::replace(&mut *all, kept);
        drop(all);
        drop(old); // Outside the lock: it may be the last reference.
        removed
    }
}

/// One and the same `Arc`; the pointers to the functions may differ.
fn same(a: &Arc<dyn Instrument>, b: &Arc<dyn Instrument>) -> bool {
    Arc::as_ptr(a).addr() == Arc::as_ptr(b).addr()
}

pub(super) fn text(panic: &(dyn Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text,
        _ => "(no text)",
    }
}
