//! The scheduler: workers with a queue each, an inject queue for other threads, and one door through which every task is queued.
//!
//! ```text
//! wake, spawn ─▶ enqueue ─▶ LIFO slot ─▶ (displaced) ─▶ own queue, forks ◀── steal ── other workers
//!                    │                                      ▲
//!                    └── other threads ─▶ inject queue ─────┘ in batches
//! ```
//!
//! | file | duty |
//! | --- | --- |
//! | `mod` (here) | what the workers share, and `enqueue`, the one door |
//! | `worker` | the loop: next task, search, maintenance, sleep |
//! | `queues` | what a worker has to run, and in which order |
//! | `idle`, `README.md` | who sleeps and who searches; the race and the proof |
//! | `quiet` | what happens when every task is blocked |
//! | `sentry` | who looks after what a worker in a long poll has left |
//! | `trial`, `worker/aside` | whether a worker pays, where polls are short; it steps aside if not |
//! | `linger` | what it does for some microseconds before it blocks |
//! | `parker`, `driver` | where a worker blocks |
//! | `cpus` | how many workers by default |
//! | `choose`, `worker/chosen` | simulations: one worker, whose choices are made outside |
//!
//! Order and fairness: `queues`. Every `MAINTENANCE` tasks a worker looks at the inject queue, the timers and the driver.
#![allow(unsafe_code)]

pub(crate) mod choose;
pub(crate) mod cpus;
pub(crate) mod driver;
pub(crate) mod idle;
mod linger;
pub(crate) mod parker;
mod queues;
pub(crate) mod quiet;
pub(crate) mod sentry;
mod trial;
mod worker;

use std::io;
use std::ptr::{self, NonNull};
use std::sync::{Arc, OnceLock, Weak};

use crossbeam_deque::Injector;
use crossbeam_utils::CachePadded;

use crate::blocking::Pool;
use crate::context;
use crate::nursery::Kept;
use crate::primitives::Mutex;
use crate::primitives::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use crate::primitives::atomic::{AtomicBool, AtomicUsize, fence};
use crate::task::memory::{Depot, Shelves};
use crate::task::{Header, TaskId};
use crate::time::{Shard, Time};
use crate::watch::{Counts, Present, Turn, Watch};
use choose::Choose;
use driver::Driver;
use idle::Idle;
pub(crate) use linger::Linger;
use parker::Parker;
use queues::{Ends, Queues};
use quiet::Quiet;
use sentry::Sentries;
pub(crate) use worker::Worker;

/// A task with its one queue entry.
pub(crate) struct Queued(NonNull<Header>);

// SAFETY: a queue entry is the right to run a task on whichever thread holds it; children are `Send`, and the main task is never in a queue.
unsafe impl Send for Queued {}

/// Why a task is queued.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    Spawn,
    Wake,
    /// It has yielded, or was woken while it ran.
    Again,
}

/// What the workers of one runtime share.
pub(crate) struct Shared {
    pub(crate) remotes: Box<[CachePadded<Remote>]>,
    inject: Injector<Queued>,
    idle: Idle,
    sentries: Sentries,
    /// The main future has been woken; worker 0 polls it.
    main_due: AtomicBool,
    /// The main task has ended: worker 0 returns from the run.
    main_ended: AtomicBool,
    closed: AtomicBool,
    driver: OnceLock<Arc<dyn Driver>>,
    installing: Mutex<()>,
    /// Held by the worker that waits in the driver or dispatches its events.
    at_driver: Mutex<()>,
    /// Which worker that is; `usize::MAX`: none.
    driver_holder: AtomicUsize,
    quiet: Quiet,
    pub(crate) time: Time,
    pub(crate) pool: Pool,
    pub(crate) budget: u32,
    pub(crate) present: Present,
    pub(crate) watch: Watch,
    /// What threads that are no workers count.
    pub(crate) outside: Counts,
    /// Memory of tasks.
    pub(crate) depot: Depot,
    /// Who makes the choices, in a simulation; set before the first run.
    pub(crate) choose: OnceLock<Arc<dyn Choose>>,
    pub(crate) this: Weak<Shared>,
}

/// What others may touch of a worker.
pub(crate) struct Remote {
    ends: Ends,
    parker: Parker,
    pub(crate) counts: Counts,
    pub(crate) shard: Arc<Shard>,
    /// The worker's alone (`task::memory` B3).
    pub(crate) shelves: Arc<Shelves>,
    /// Changed by the worker alone (`nursery::kept` J5).
    kept: Arc<Kept>,
}

/// The ids of the process's tasks, handed to workers in blocks. Zero is nobody's. (The standard atomic: nothing hangs on its order.)
static IDS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
const ID_BLOCK: u64 = 1024;

fn take_ids(count: u64) -> u64 {
    IDS.fetch_add(count, std::sync::atomic::Ordering::Relaxed)
}

impl Shared {
    /// The shared part, and the workers to be driven by one thread each.
    pub(crate) fn new(workers: usize, time: Time, pool: Pool, budget: u32) -> (Arc<Self>, Vec<Worker>) {
        let (queues, ends): (Vec<_>, Vec<_>) = (0..workers).map(|_| Queues::new()).unzip();
        let remotes = ends.into_iter().map(|ends| {
            CachePadded::new(Remote {
                ends,
                parker: Parker::new(),
                counts: Counts::default(),
                shard: Arc::default(),
                shelves: Arc::new(Shelves::new()),
                kept: Arc::default(),
            })
        });
        let shared = Arc::new_cyclic(|this| Self {
            remotes: remotes.collect(),
            inject: Injector::new(),
            idle: Idle::new(workers),
            sentries: Sentries::new(),
            main_due: AtomicBool::new(false),
            main_ended: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            driver: OnceLock::new(),
            installing: Mutex::new(()),
            at_driver: Mutex::new(()),
            driver_holder: AtomicUsize::new(usize::MAX),
            quiet: Quiet::new(),
            time,
            pool,
            budget,
            present: Present::default(),
            watch: Watch::default(),
            outside: Counts::default(),
            depot: Depot::new(),
            choose: OnceLock::new(),
            this: this.clone(),
        });
        let workers = queues
            .into_iter()
            .enumerate()
            .map(|(index, queues)| Worker::new(Arc::clone(&shared), index, queues))
            .collect();
        (shared, workers)
    }

    /// Wakes one worker if some task may otherwise lie in a queue while nobody looks.
    #[inline]
    fn notify(&self) {
        if self.idle.wants_waking() {
            self.wake_one();
        }
    }

    #[cold]
    fn wake_one(&self) {
        let holder = self.driver_holder.load(Relaxed);
        if let Some(index) = self.idle.claim((holder != usize::MAX).then_some(holder)) {
            self.unpark(index);
        }
    }

    /// Wakes worker `index` if it sleeps: there is something that only it looks at.
    pub(crate) fn wake_worker(&self, index: usize) {
        // Pairs with the fence in `Idle::lie_down`, as in `wants_waking`.
        fence(SeqCst);
        if self.idle.claim_this(index) {
            self.unpark(index);
        }
    }

    /// The pool has finished its last job, or the last token of the run is gone: wakes a sleeping worker, for it to look at the state of the whole; for a clock of
    /// the user's, or if everybody sleeps.
    pub(crate) fn look_again(&self) {
        // Who lies down asks the pool and the tokens after that: so either it sees that, or is seen here.
        fence(SeqCst);
        if self.time.is_custom() || self.idle.all_sleep() {
            self.wake_one();
        }
    }

    /// Wakes every worker.
    pub(crate) fn wake_all(&self) {
        for index in 0..self.remotes.len() {
            self.wake_worker(index);
        }
    }

    /// The one place that unparks a worker; the caller has claimed it.
    fn unpark(&self, index: usize) {
        self.remotes[index].parker.unpark(self.driver.get().map(|driver| &**driver));
    }

    /// The main task has ended.
    pub(crate) fn end_main(&self) {
        // Release pairs with the acquire in worker 0's loop.
        self.main_ended.store(true, Release);
        self.wake_worker(0);
    }

    /// Ends the threads of the workers; there is no task left.
    pub(crate) fn close(&self) {
        self.closed.store(true, Release);
        self.wake_all();
    }

    fn driver_or_install(&self, make: impl FnOnce() -> io::Result<Arc<dyn Driver>>) -> io::Result<Arc<dyn Driver>> {
        if let Some(driver) = self.driver.get() {
            return Ok(Arc::clone(driver));
        }
        let _installing = self.installing.lock();
        if self.driver.get().is_none() {
            let _ = self.driver.set(make()?);
        }
        Ok(Arc::clone(self.driver.get().expect("set above")))
    }
}

/// An id that no other task has. `worker` is this thread's.
#[inline]
pub(crate) fn next_id(worker: Option<&Worker>) -> TaskId {
    worker.map_or_else(|| TaskId(take_ids(1)), Worker::next_id)
}

/// The one door: queues a task and sees to it that somebody runs it.
///
/// # Safety
///
/// The caller owns the task's queue entry, which is used up.
pub(crate) unsafe fn enqueue(task: NonNull<Header>, how: How) {
    // SAFETY: passed on.
    context::worker(|worker| unsafe { enqueue_from(worker, task, how) });
}

/// As `enqueue`, for a caller that knows the worker which this thread is, if any.
///
/// # Safety
///
/// As there.
pub(crate) unsafe fn enqueue_from(worker: Option<&Worker>, task: NonNull<Header>, how: How) {
    // SAFETY: a task with an outstanding queue entry has not ended (`task` T1), nor has its run.
    let (main, runtime) = unsafe {
        let runtime = task.as_ref().runtime();
        runtime.as_ref().watch.queued(task.as_ref(), how);
        (task.as_ref().is_main(), runtime)
    };
    match worker.filter(|worker| ptr::eq(worker.shared(), runtime.as_ptr())) {
        Some(worker) if !main => worker.push(task, how),
        Some(worker) => worker.shared().enqueue_main(),
        // SAFETY: as above.
        None => unsafe { enqueue_outside(task, how, main, runtime) },
    }
}

/// The door for many: queues tasks that were woken together, and looks once whether a worker is to be woken for them.
///
/// # Safety
///
/// The caller owns the queue entries of `tasks`, which are used up; all are of `runtime`.
pub(crate) unsafe fn enqueue_all(runtime: NonNull<Shared>, tasks: impl Iterator<Item = NonNull<Header>>) {
    // SAFETY: a task with an outstanding queue entry has not ended, nor has its run; and `Shared` lives in an `Arc`. The reference keeps it
    // while we wake a worker: the last of the tasks may end as soon as it is queued.
    let shared = unsafe {
        Arc::increment_strong_count(runtime.as_ptr());
        Arc::from_raw(runtime.as_ptr().cast_const())
    };
    context::worker(|worker| {
        let worker = worker.filter(|worker| ptr::eq(worker.shared(), &*shared));
        for task in tasks {
            // SAFETY: as above.
            let header = unsafe { task.as_ref() };
            shared.watch.queued(header, How::Wake);
            match worker {
                _ if header.is_main() => shared.enqueue_main(),
                Some(worker) => worker.push_behind(task),
                None => shared.inject.push(Queued(task)),
            }
        }
        shared.notify();
    });
}

/// # Safety
///
/// As `enqueue`, with `runtime` that of the task.
#[cold]
unsafe fn enqueue_outside(task: NonNull<Header>, how: How, main: bool, runtime: NonNull<Shared>) {
    if how == How::Spawn {
        // SAFETY: as in `enqueue_from`.
        unsafe { runtime.as_ref() }.outside.spawned.add_shared();
    }
    // SAFETY: as there; and `Shared` lives in an `Arc`. The reference keeps it while we wake a worker: the task may
    // end, and its run, as soon as it is queued.
    let shared = unsafe {
        Arc::increment_strong_count(runtime.as_ptr());
        Arc::from_raw(runtime.as_ptr().cast_const())
    };
    if main {
        shared.enqueue_main();
    } else {
        shared.inject.push(Queued(task));
        shared.notify();
    }
}

impl Shared {
    /// What a worker takes along into the next poll.
    fn turn(&self) -> Turn {
        Turn { budget: self.budget, watched: self.watch.on() }
    }

    fn enqueue_main(&self) {
        // The task itself is known to worker 0. Release pairs with the swap in `Worker::run_main`.
        self.main_due.store(true, Release);
        self.wake_worker(0);
    }

    /// Counts the end of a task. `worker` is this thread's.
    #[inline]
    pub(crate) fn count_end(&self, worker: Option<&Worker>) {
        match worker.filter(|worker| ptr::eq(worker.shared(), self)) {
            Some(worker) => worker.remote().counts.ended.add(),
            None => self.outside.ended.add_shared(),
        }
    }

    /// What each worker keeps of counts of nurseries.
    pub(crate) fn kept(&self) -> impl Iterator<Item = &Kept> {
        self.remotes.iter().map(|remote| &*remote.kept)
    }

    /// How many tasks wait in the queue that other threads put into.
    pub(crate) fn injected(&self) -> usize {
        self.inject.len()
    }

    /// How many tasks wait for worker `index`.
    pub(crate) fn queued_at(&self, index: usize) -> usize {
        let main = index == 0 && self.main_due.load(Relaxed);
        self.remotes[index].ends.len() + usize::from(main)
    }

    /// Whether a task waits in some queue.
    fn has_queued(&self) -> bool {
        !self.inject.is_empty() || self.remotes.iter().any(|remote| remote.ends.have_queued())
    }

    /// How many polls there were: nothing changes in a run without one.
    pub(crate) fn polls(&self) -> u64 {
        self.remotes.iter().map(|remote| remote.counts.steps.get()).sum()
    }

    /// Whether nothing here can make a task run, for a worker that has lain down: then only a thread that is not known of can.
    pub(crate) fn at_rest(&self) -> bool {
        self.driver.get().is_none_or(|driver| !driver.may_wake())
            && self.idle.all_sleep()
            && self.remotes.iter().all(|remote| remote.shard.next().is_none())
            && self.pool.is_idle()
            && !self.present.token_is_out()
            && !self.has_queued()
            && !self.main_due.load(Relaxed)
    }

    /// Whether there is something that worker `index` alone must see to.
    fn has_bound(&self, index: usize) -> bool {
        self.closed.load(Acquire) || (index == 0 && (self.main_due.load(Acquire) || self.main_ended.load(Acquire)))
    }

    fn take_main_due(&self) -> bool {
        self.main_due.load(Relaxed) && self.main_due.swap(false, AcqRel)
    }
}
