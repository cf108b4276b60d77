//! Seeing what a run does.
//!
//! | file | duty |
//! | --- | --- |
//! | `mod` (here) | which of it is switched on, and the doors that the scheduler and the tasks call |
//! | `present` | the run that a runtime has under way |
//! | `info` | what one may know of a task; `current_task` |
//! | `instrument` | hooks of the user's, called as things happen |
//! | `observer` | the handle through which other threads look |
//! | `tree`, `print` | `task_tree`, and its drawing |
//! | `elsewhere` | how much other runtimes have spawned, for the tree |
//! | `stall` | a run in which nothing can run any more tells so |
//! | `deadlock` | or it fails at once: for tests |
//! | `statistics` | numbers |
//! | `watchdog` | who keeps a worker busy for too long |
//!
//! Invariants:
//! - **W1** Each door begins with one relaxed load of `on`; if it is zero nothing else happens.
//! - **W2** No lock of the runtime is held where a hook is called: hooks are foreign code and may do what any code on their thread may. So tasks that
//!   a cancel wakes under a node's lock are queued after it.
//! - **W3** For each task, the hooks are called in the order spawned, (scheduled, before step, after step)…, exited; "scheduled" before the task is in a
//!   queue, the steps by the holder of `RUNNING`, "exited" before the task leaves its nursery.
#![allow(unsafe_code)]

mod deadlock;
mod elsewhere;
mod info;
mod instrument;
mod observer;
mod present;
mod print;
mod stall;
mod statistics;
mod tree;
mod watchdog;

use std::ptr::NonNull;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

pub use elsewhere::count_elsewhere;
pub use info::{TaskInfo, current_task};
pub use instrument::{Instrument, Moment};
pub use observer::Observer;
pub(crate) use present::Present;
pub(crate) use stall::{Lull, Report as StallReport, STALL_AFTER, Stall, Verdict};
pub(crate) use statistics::Counts;
pub use statistics::{BlockingStatistics, Statistics, WorkerStatistics, statistics};
pub(crate) use tree::Held;
pub use tree::{TaskTree, TreeEntry, TreeKind, task_tree};
pub use watchdog::Hogging;
pub(crate) use watchdog::{OnGuard, Watchdog};

use crate::scheduler::{How, Shared, Worker};
use crate::task::Header;
use instrument::Instruments;
use watchdog::Steps;

/// Bits of `Watch::on`.
pub(crate) mod on {
    /// There are instruments.
    pub(crate) const INSTRUMENTS: u32 = 1;
    /// Each task has a node of its own from the beginning, where the operations that it begins are noted.
    pub(crate) const TRACK: u32 = 1 << 1;
    /// There is a watchdog.
    pub(crate) const WATCHDOG: u32 = 1 << 2;
}

/// What is switched on, of one runtime.
#[derive(Default)]
pub(crate) struct Watch {
    /// See W1. (The standard atomic: nothing hangs on its order.)
    on: AtomicU32,
    pub(crate) instruments: Instruments,
    /// For the watchdog; set before the first run.
    steps: OnceLock<Arc<Steps>>,
    /// Set before the first run.
    stall: OnceLock<Stall>,
    /// Set before the first run. (Standard atomics: nothing hangs on their order.)
    fails_on_deadlock: AtomicBool,
    /// In the present run (`deadlock` D1).
    deadlock_was_told: AtomicBool,
}

impl Watch {
    /// The bits of what is on.
    #[inline]
    pub(crate) fn on(&self) -> u32 {
        self.on.load(Relaxed)
    }

    /// Notes from now on what tasks do. Before the first run.
    pub(crate) fn track_tasks(&self) {
        self.switch(on::TRACK, true);
    }

    /// Whether it is noted what tasks do.
    pub(crate) fn tracks_tasks(&self) -> bool {
        self.on() & on::TRACK != 0
    }

    /// Reports stalls from now on.
    pub(crate) fn report_stalls(&self, stall: Stall) {
        let _ = self.stall.set(stall);
    }

    /// Tells the watchdog's thread from now on what the workers are at. Before the first run.
    pub(crate) fn let_watch(&self, steps: Arc<Steps>) {
        let _ = self.steps.set(steps);
        self.switch(on::WATCHDOG, true);
    }

    fn switch(&self, bit: u32, on: bool) {
        if on {
            self.on.fetch_or(bit, Relaxed);
        } else {
            self.on.fetch_and(!bit, Relaxed);
        }
    }

    /// A task is about to be queued, for the first time or again. The caller owns its queue entry.
    #[inline]
    pub(crate) fn queued(&self, task: &Header, how: How) {
        if self.on() != 0 {
            self.tell_queued(task, how);
        }
    }

    #[cold]
    fn tell_queued(&self, task: &Header, how: How) {
        if how == How::Spawn && self.on() & on::TRACK != 0 {
            task.own_node_or_make(); // The task is in no queue yet, so nobody else is at it.
        }
        if self.on() & on::INSTRUMENTS == 0 {
            return;
        }
        let info = TaskInfo::of(task);
        if how == How::Spawn {
            self.tell("task_spawned", |hooks, at| hooks.task_spawned(at, &info));
        }
        self.tell("task_scheduled", |hooks, at| hooks.task_scheduled(at, &info));
    }

    /// A run begins.
    pub(crate) fn run_begins(&self) {
        self.deadlock_was_told.store(false, Relaxed);
        if self.on() & on::INSTRUMENTS != 0 {
            self.tell("before_run", |hooks, at| hooks.before_run(at));
        }
    }

    /// A run has ended, all its tasks have.
    pub(crate) fn run_ends(&self) {
        if self.on() & on::INSTRUMENTS != 0 {
            self.tell("after_run", |hooks, at| hooks.after_run(at));
        }
    }

    /// A worker is about to sleep, for `timeout` at most.
    pub(crate) fn wait_begins(&self, timeout: Option<Duration>) {
        if self.on() & on::INSTRUMENTS != 0 {
            self.tell("before_io_wait", |hooks, at| hooks.before_io_wait(at, timeout));
        }
    }

    /// A worker is up again.
    pub(crate) fn wait_ends(&self) {
        if self.on() & on::INSTRUMENTS != 0 {
            self.tell("after_io_wait", |hooks, at| hooks.after_io_wait(at));
        }
    }
}

/// What a worker takes along into the poll of a task.
#[derive(Clone, Copy)]
pub(crate) struct Turn {
    /// How many operations the task may do.
    pub(crate) budget: u32,
    /// `Watch::on` when it began.
    pub(crate) watched: u32,
}

/// The poll of `task` begins; the caller holds `RUNNING`, and the context is set.
#[inline]
pub(crate) fn step_begins(task: &Header, turn: Turn) {
    if turn.watched != 0 {
        begin(task);
    }
}

/// The poll of `task` is over, but the caller still holds `RUNNING`.
#[inline]
pub(crate) fn step_ends(task: &Header, turn: Turn) {
    if turn.watched != 0 {
        end(task);
    }
}

/// `task` has ended, but has not left its nursery. `worker` is this thread's.
#[inline]
pub(crate) fn exits(task: &Header, worker: Option<&Worker>) {
    // SAFETY: the task has not left its nursery, so neither it nor its run counts as ended.
    let shared = unsafe { task.runtime().as_ref() };
    shared.count_end(worker);
    if shared.watch.on() != 0 {
        exited(&shared.watch, task);
    }
}

#[cold]
fn begin(task: &Header) {
    with_watch(task, |watch| {
        if watch.on() & on::INSTRUMENTS != 0 {
            let info = TaskInfo::of(task);
            watch.tell("before_task_step", |hooks, at| hooks.before_task_step(at, &info));
        }
        if let Some(steps) = watch.steps.get() {
            steps.begin(task);
        }
    });
}

#[cold]
fn end(task: &Header) {
    with_watch(task, |watch| {
        if let Some(steps) = watch.steps.get() {
            steps.end();
        }
        if watch.on() & on::INSTRUMENTS != 0 {
            let info = TaskInfo::of(task);
            watch.tell("after_task_step", |hooks, at| hooks.after_task_step(at, &info));
        }
    });
}

#[cold]
fn exited(watch: &Watch, task: &Header) {
    if watch.on() & on::INSTRUMENTS != 0 {
        let info = TaskInfo::of(task);
        watch.tell("task_exited", |hooks, at| hooks.task_exited(at, &info));
    }
}

fn with_watch(task: &Header, f: impl FnOnce(&Watch)) {
    // SAFETY: the caller holds `RUNNING`, so the task has not ended.
    let shared: NonNull<Shared> = unsafe { task.runtime() };
    // SAFETY: as above: nor has its run.
    f(&unsafe { shared.as_ref() }.watch);
}
