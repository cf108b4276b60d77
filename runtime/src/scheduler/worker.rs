//! A worker: takes tasks and polls them; without any, it searches and then sleeps.
//!
//! Invariant **K1**: a worker is used by one thread at a time; only that thread pushes to its queues and fills its LIFO slot. Thieves may empty
//! all of them.
#![allow(unsafe_code)]

mod aside;
mod chosen;

use std::cell::Cell;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use super::idle::Risen;
use super::linger::Linger;
use super::queues::{Ends, Queues};
use super::quiet::{Decision, Rest};
use super::sentry::{NAP, Seen};
use super::trial::{Account, Trial};
use super::{How, ID_BLOCK, Queued, Shared, take_ids};
use crate::contain;
use crate::context;
use crate::nursery::Kept;
use crate::primitives::atomic::Ordering::{Acquire, Relaxed};
use crate::scope::Node;
use crate::task::memory::Shelves;
use crate::task::{Header, TaskId, cell};
use crate::watch::{Lull, Turn, Verdict};

/// After so many tasks: look at the inject queue first, the timers and the driver. A prime, so that it falls in step with nothing.
const MAINTENANCE: u32 = 61;
/// And in between, the oldest fork.
const OLDEST_FORK: u32 = 30;
/// So many tasks have their turn between two of `main`'s, if so many wait. Then a `main` that joins many tasks one by one finds several of them ended each time.
const MAIN_WAITS: u32 = 8;
/// After so many it notes what it has done.
const ACCOUNT: u32 = 4;
/// So many tasks may be put to more than so many before somebody is looked for who sleeps.
const UNSAID: usize = if cfg!(loom) { 1 } else { 16 };
/// In the models of the whole runtime time-outs strike at any moment, and naps would never end; sentries have a model of their own.
const NAPS: bool = cfg!(not(loom));

/// See the module.
pub(crate) struct Worker {
    shared: Arc<Shared>,
    pub(crate) index: usize,
    queues: Queues,
    ticks: Cell<u32>,
    /// So many tasks were queued since somebody was looked for.
    unsaid: Cell<usize>,
    main_ran_at: Cell<u32>,
    ids: Cell<(u64, u64)>,
    random: Cell<u32>,
    linger: Linger,
    trial: Trial,
    account: Account,
    seen_stirs: Seen,
    /// Woken from outside, and has not run anything since (`sentry` Y2).
    woken: Cell<bool>,
    /// Up by itself, and nobody was asked to watch it since (`sentry` Y3).
    unwatched: Cell<bool>,
    /// See `watch::stall`.
    lull: Lull,
    /// Memory of tasks.
    pub(crate) shelves: Arc<Shelves>,
    /// Counts of nurseries.
    pub(crate) kept: Arc<Kept>,
    /// The node of a nursery that was not used (`scope::unlinked`), for the next one.
    pub(crate) spare: Cell<Option<Arc<Node>>>,
}

/// What a worker without a task is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Running,
    Searching,
}

/// Where a worker sleeps.
enum Bed {
    /// In the driver, if nobody else is there; for so long at most.
    Any(Option<Duration>),
    /// Not in the driver: another worker is to ask that.
    Parker,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, index: usize, queues: Queues) -> Self {
        let remote = &shared.remotes[index];
        let (shelves, kept) = (Arc::clone(&remote.shelves), Arc::clone(&remote.kept));
        let seed = fastrand::Rng::with_seed(index as u64).u32(1..);
        Self {
            shared,
            index,
            queues,
            ticks: Cell::new(0),
            unsaid: Cell::new(0),
            main_ran_at: Cell::new(0),
            ids: Cell::new((0, 0)),
            random: Cell::new(seed),
            linger: Linger::new(),
            trial: Trial::new(),
            account: Account::new(),
            seen_stirs: Seen::default(),
            woken: Cell::new(false),
            unwatched: Cell::new(false),
            lull: Lull::default(),
            shelves,
            kept,
            spare: Cell::new(None),
        }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Runs tasks until the runtime is closed.
    pub(crate) fn run(&self) {
        self.work(|| self.shared.closed.load(Acquire), || false);
    }

    /// Runs tasks, and `main` whenever it is woken, until it has ended. On worker 0 only.
    pub(crate) fn run_main(&self, main: NonNull<Header>) {
        self.shared.main_ended.store(false, Relaxed);
        self.shared.main_due.store(true, Relaxed);
        self.remote().counts.spawned.add();
        if let Some(choose) = self.shared.choose.get() {
            return self.run_main_chosen(main, &**choose);
        }
        self.woken.set(true); // The other workers may sleep since the last run.
        self.work(
            || self.shared.main_ended.load(Acquire),
            || {
                let waited = self.ticks.get().wrapping_sub(self.main_ran_at.get()) >= MAIN_WAITS;
                let due = (waited || self.has_nothing()) && self.shared.take_main_due();
                if due {
                    self.main_ran_at.set(self.ticks.get());
                    self.kept.give_up();
                    // `main` has its turn before what this worker has queued, and may take long.
                    if !self.has_nothing() {
                        self.shared.notify();
                    }
                    self.stir();
                    self.remote().counts.steps.add();
                    // SAFETY: `main_due` stands for the main task's one queue entry.
                    unsafe { self.poll(main, self.shared.turn()) };
                }
                due
            },
        );
    }

    fn work(&self, ended: impl Fn() -> bool, run_main: impl Fn() -> bool) {
        let remote = self.remote(); // Looked up once: all below is done for each task.
        remote.parker.bind();
        let has_others = self.shared.remotes.len() > 1;
        self.begin_account();
        context::with_worker(self, || {
            let mut mode = Mode::Running;
            while !ended() {
                let ran_main = run_main();
                if ran_main {
                    mode = self.found(mode);
                }
                let ticks = self.ticks.get().wrapping_add(1);
                self.ticks.set(ticks);
                if has_others && ticks.is_multiple_of(ACCOUNT) && self.note_done() && mode == Mode::Running {
                    self.step_aside_if_due();
                }
                let task = match ticks % MAINTENANCE {
                    0 => self.maintain(),
                    OLDEST_FORK => self.queues.pop_oldest_fork(&remote.ends),
                    _ => None,
                };
                let task = task.or_else(|| self.queues.pop(&remote.ends));
                if task.is_none() && (self.kept.give_up() || ran_main) {
                    continue; // Who has waited for that may be due, or `main` may be again.
                }
                if let Some(task) = task.or_else(|| self.search(&mut mode)) {
                    mode = self.found(mode);
                    self.stir();
                    remote.counts.steps.add();
                    // SAFETY: `Queued` is the task's queue entry, with which it has not ended.
                    unsafe {
                        if self.kept.stands_against(task.0.as_ref().counts_in()) {
                            self.kept.give_up();
                        }
                        self.poll(task.0, self.shared.turn());
                    }
                } else if !ended() {
                    mode = if self.shared.watch.on() == 0 { self.sleep(mode) } else { self.sleep_watched(mode) };
                }
            }
            self.kept.give_up();
            let _ = self.found(mode);
        });
    }

    /// Polls a task of this runtime, and queues it if it is due again: it has yielded, or was woken meanwhile.
    ///
    /// # Safety
    ///
    /// The caller has the task's queue entry, which is used up.
    #[inline(always)]
    unsafe fn poll(&self, task: NonNull<Header>, turn: Turn) {
        // SAFETY: passed on.
        if unsafe { cell::run(task, turn) } {
            // SAFETY: it has given its queue entry back, with which it has not ended.
            let header = unsafe { task.as_ref() };
            self.shared.watch.queued(header, How::Again);
            if header.is_main() { self.shared.enqueue_main() } else { self.push(task, How::Again) }
        }
    }

    /// Queues a task of this runtime, from the worker's own thread.
    #[inline]
    pub(super) fn push(&self, task: NonNull<Header>, how: How) {
        if how == How::Spawn {
            self.remote().counts.spawned.add();
        }
        let ends = &self.remote().ends;
        // A task that this worker runs next needs no other: one in the slot, and one that yields when there is nothing else.
        let displaced = match how {
            How::Again => return self.push_again(task),
            How::Spawn => {
                self.queues.push_next(ends, task, context::with_current_task(Header::is_newborn) == Some(true))
            }
            How::Wake => self.queues.push_next(ends, task, false),
        };
        if let Some(before) = displaced {
            self.say(before);
        } else if self.unwatched.get() && context::in_task() {
            self.ask_for_a_sentry(); // The task that is being polled may go on for long.
        }
    }

    /// Queues a task that is due again after its poll, from the worker's own thread.
    #[inline]
    fn push_again(&self, task: NonNull<Header>) {
        let queued = self.queues.queued();
        let alone = queued == 0 && self.has_nothing();
        self.queues.push_behind(task);
        if !alone {
            self.say(queued);
        }
    }

    /// A task was put behind so many in the queue, or upon so many forks: looks for who sleeps, or need not, since whoever looks there sees those ("Full queues" in `README.md`).
    #[inline]
    fn say(&self, before: usize) {
        let unsaid = self.unsaid.get();
        if before > UNSAID && unsaid < UNSAID {
            self.unsaid.set(unsaid + 1);
        } else {
            self.unsaid.set(0);
            self.shared.notify();
        }
    }

    /// Queues a task of this runtime behind the others, from the worker's own thread. The caller looks whether a worker is to be woken.
    pub(super) fn push_behind(&self, task: NonNull<Header>) {
        self.queues.push_behind(task);
    }

    #[inline]
    pub(super) fn remote(&self) -> &super::Remote {
        &self.shared.remotes[self.index]
    }

    fn next(&self) -> Option<Queued> {
        self.queues.pop(&self.remote().ends)
    }

    /// Nothing in the worker's own queues and slot.
    #[inline]
    fn has_nothing(&self) -> bool {
        self.queues.are_empty() && self.remote().ends.slot_is_empty()
    }

    /// Looks for a task elsewhere. Leaves the worker searching, unless enough others are.
    fn search(&self, mode: &mut Mode) -> Option<Queued> {
        self.fire_timers();
        if let Some(task) = self.next().or_else(|| self.take_injected()) {
            return Some(task);
        }
        if *mode == Mode::Running {
            if !self.shared.idle.start_searching() {
                return None;
            }
            *mode = Mode::Searching;
        }
        let stolen = self.steal(|victim| self.queues.steal_from(victim));
        if stolen.is_some() {
            self.remote().counts.steals.add();
        }
        // The last pass: what a busy worker has kept to run next.
        stolen.or_else(|| self.steal(Ends::take_slot))
    }

    fn steal(&self, from: impl Fn(&Ends) -> Option<Queued>) -> Option<Queued> {
        let workers = self.shared.remotes.len();
        let start = self.any_of(workers);
        let victims = (0..workers).map(|offset| (start + offset) % workers).filter(|&victim| victim != self.index);
        victims.map(|victim| &self.shared.remotes[victim].ends).find_map(from)
    }

    fn take_injected(&self) -> Option<Queued> {
        let task = self.queues.take_injected(&self.shared.inject)?;
        // On their way from queue to queue the others could not be seen by a worker that lay down.
        if !self.queues.are_empty() {
            self.shared.notify();
        }
        Some(task)
    }

    /// The worker has something to run; if it was the last searcher, somebody must look for more.
    fn found(&self, mode: Mode) -> Mode {
        if mode == Mode::Searching && self.shared.idle.stop_searching() && self.shared.has_queued() {
            self.shared.notify();
        }
        Mode::Running
    }

    /// About to run something: sees to it that this worker is watched.
    #[inline]
    fn stir(&self) {
        if self.woken.take() {
            self.ask_for_a_sentry();
        }
    }

    fn ask_for_a_sentry(&self) {
        self.unwatched.set(false);
        if NAPS && self.shared.sentries.stir(&self.shared.idle) {
            self.shared.wake_one();
        }
    }

    fn maintain(&self) -> Option<Queued> {
        self.kept.give_up();
        self.fire_timers();
        if let Some(driver) = self.shared.driver.get()
            && let Some(_at_driver) = self.shared.at_driver.try_lock()
        {
            driver.wait(Some(Duration::ZERO));
            driver.dispatch();
        }
        self.take_injected()
    }

    fn fire_timers(&self) {
        self.remote().shard.fire_due(&self.shared.time);
    }

    /// Sleeps, and tells of it. Told before it lies down: what a hook has woken lies in this worker's own queue, where nobody else looks.
    fn sleep_watched(&self, mode: Mode) -> Mode {
        let timeout = self.remote().shard.next().and_then(|next| self.shared.time.sleep_time(next));
        self.shared.watch.wait_begins(timeout);
        let mode = if self.has_nothing() { self.sleep(mode) } else { mode };
        self.shared.watch.wait_ends();
        mode
    }

    /// Sleeps until there is something to do. The worker's own queue and slot are empty.
    fn sleep(&self, mode: Mode) -> Mode {
        let shared = &*self.shared;
        self.remote().counts.parks.add();
        let look = shared.idle.lie_down(self.index, mode == Mode::Searching);
        if (look && shared.has_queued()) || shared.has_bound(self.index) {
            return self.rise(false);
        }
        let bed = match self.settle() {
            Ok(bed) => bed,
            Err(mode) => return mode,
        };
        let timeout = match self.remote().shard.next() {
            None => None,
            Some(next) => match shared.time.sleep_time(next) {
                Some(Duration::ZERO) => return self.rise(false),
                timeout => timeout,
            },
        };
        match bed {
            Bed::Parker => return self.park(timeout),
            Bed::Any(Some(after)) => return self.block(Some(timeout.map_or(after, |timeout| timeout.min(after)))),
            Bed::Any(None) => {}
        }
        if !NAPS {
            return self.block(timeout);
        }
        if !shared.sentries.enter(&shared.idle, &self.seen_stirs) {
            return match shared.judge_stall(&self.lull) {
                Verdict::Sleep => self.block(timeout),
                Verdict::LookAgain(after) => self.block(Some(after)), // There is no timer.
                Verdict::Report(lull) => self.report_stall(lull),
            };
        }
        let mode = self.block(Some(timeout.map_or(NAP, |timeout| timeout.min(NAP))));
        shared.sentries.leave();
        shared.remotes.iter().for_each(|remote| remote.shard.fire_due(&shared.time));
        mode
    }

    /// Up to report that nothing can run, unless somebody has just claimed this worker.
    fn report_stall(&self, lull: u64) -> Mode {
        let mode = self.rise(false);
        if mode == Mode::Running {
            // The report may wake tasks, and take its time.
            self.woken.set(true);
            self.stir();
            self.shared.report_stall(lull);
        }
        mode
    }

    /// Blocks in the driver if nobody else does, or else in the parker.
    fn block(&self, timeout: Option<Duration>) -> Mode {
        let shared = &*self.shared;
        let driver = shared.driver.get().and_then(|driver| Some((driver, shared.at_driver.try_lock()?)));
        let Some((driver, _at_driver)) = driver else { return self.park(timeout) };
        shared.driver_holder.store(self.index, Relaxed);
        let unparked = self.remote().parker.park_at(&**driver, timeout);
        shared.driver_holder.store(usize::MAX, Relaxed);
        // Up before the events are dispatched: what they wake is pushed by a running worker.
        let mode = self.rise(unparked);
        driver.dispatch();
        if !self.has_nothing() {
            self.woken.set(true);
        }
        mode
    }

    /// Blocks in the parker.
    fn park(&self, timeout: Option<Duration>) -> Mode {
        let parker = &self.remote().parker;
        self.rise(self.linger.wait(|| parker.take_token()) || parker.park(timeout))
    }

    /// Up again; `unparked`: the token of whoever claimed this worker is used up.
    fn rise(&self, unparked: bool) -> Mode {
        match self.shared.idle.rise(self.index) {
            Risen::ByItself => {
                self.unwatched.set(true);
                Mode::Running
            }
            Risen::Claimed => {
                // Up by itself just as it was claimed: its claimer may not have counted it as searching yet, and unparks it after that.
                if !unparked {
                    self.remote().parker.park(None);
                }
                self.woken.set(true);
                Mode::Searching
            }
        }
    }

    /// If every task is blocked, does what is to be done then (see `quiet`). How it sleeps afterwards, unless it is up.
    fn settle(&self) -> Result<Bed, Mode> {
        let shared = &*self.shared;
        let Some(mut rest) = shared.quiet() else { return Ok(Bed::Any(None)) };
        match shared.decide(&mut rest) {
            Decision::Sleep => Ok(Bed::Any(None)),
            Decision::LookAgain(after) => Ok(Bed::Any(Some(after))),
            Decision::AskDriver => self.ask_driver(&mut rest),
            Decision::Fire => {
                let mode = self.rise(false);
                shared.remotes.iter().for_each(|remote| remote.shard.fire_due(&shared.time));
                Err(mode)
            }
            Decision::Wake(wakers) => {
                let mode = self.rise(false);
                wakers.into_iter().for_each(contain::wake);
                Err(mode)
            }
            Decision::Deadlock => {
                let mode = self.rise(false);
                if mode == Mode::Running {
                    rest.deadlock_was_told = true;
                    drop(rest);
                    shared.fail_in_deadlock();
                }
                Err(mode)
            }
        }
    }

    /// Asks the driver for events that have come already, or has the worker do it that waits in it (`quiet` Q3).
    fn ask_driver(&self, rest: &mut Rest) -> Result<Bed, Mode> {
        let shared = &*self.shared;
        let Some(driver) = shared.driver.get() else { return Ok(Bed::Any(None)) };
        if let Some(_at_driver) = shared.at_driver.try_lock() {
            let mode = self.rise(false);
            rest.driver_is_asked();
            driver.wait(Some(Duration::ZERO));
            driver.dispatch();
            return Err(mode);
        }
        match shared.driver_holder.load(Relaxed) {
            usize::MAX => {
                let mode = self.rise(false); // Somebody is on the way in, or out.
                std::thread::yield_now();
                Err(mode)
            }
            holder => {
                shared.wake_worker(holder);
                Ok(Bed::Parker)
            }
        }
    }

    pub(super) fn next_id(&self) -> TaskId {
        let (mut next, mut end) = self.ids.get();
        if next == end {
            next = take_ids(ID_BLOCK);
            end = next + ID_BLOCK;
        }
        self.ids.set((next + 1, end));
        TaskId(next)
    }

    /// Any of so many (at least one), which are all as good.
    pub(crate) fn any_of(&self, many: usize) -> usize {
        self.random() as usize % many
    }

    /// Xorshift: any order of victims does, as long as it differs.
    fn random(&self) -> u32 {
        let mut x = self.random.get();
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        self.random.set(x);
        x
    }
}
