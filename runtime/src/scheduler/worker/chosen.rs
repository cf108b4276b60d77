//! The loop of a worker whose choices are made outside (`scheduler::choose`).
//!
//! ```text
//! slot, deque, inject queue, main, closures ─▶ laid out ─▶ `Choose::next` ─▶ run ─▶ laid out …
//!                         nothing there ─▶ timers that are due ─▶ the clock moves ─▶ stuck: the run panics
//! ```
//!
//! A queue entry that is laid out is one that is taken off a queue: it is run once, by this loop. When the main task has ended, so has every other; only closures may be
//! left that nobody waits for.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::time::Duration;

use super::{MAINTENANCE, Queued, Worker};
use crate::context;
use crate::nursery;
use crate::primitives::atomic::Ordering::Acquire;
use crate::scheduler::choose::{Candidate, Choose};
use crate::task::Header;
use crate::watch::{TaskTree, Turn};

/// What could go next, in step with `candidates`.
enum Entry {
    Main,
    Task(Queued),
    Blocking,
}

/// What is laid out.
#[derive(Default)]
struct Ready {
    candidates: Vec<Candidate>,
    entries: Vec<Entry>,
}

impl Ready {
    fn push(&mut self, candidate: Candidate, entry: Entry) {
        self.candidates.push(candidate);
        self.entries.push(entry);
    }

    fn take(&mut self, index: usize) -> (Candidate, Entry) {
        (self.candidates.remove(index), self.entries.remove(index))
    }
}

impl Worker {
    /// As `run_main`, in the order that `choose` says.
    #[cold]
    pub(super) fn run_main_chosen(&self, main: NonNull<Header>, choose: &dyn Choose) {
        let shared = &*self.shared;
        let mut ready = Ready::default();
        let (mut cancelled, mut ticks) = (false, 0u32);
        context::with_worker(self, || {
            while !shared.main_ended.load(Acquire) {
                self.kept.give_up();
                self.fire_timers_chosen(choose);
                ticks = ticks.wrapping_add(1);
                if ticks.is_multiple_of(MAINTENANCE) {
                    self.look_at_driver(Some(Duration::ZERO));
                }
                self.lay_out(main, &mut ready);
                if ready.entries.is_empty() {
                    if !self.wait_chosen(choose) && !shared.main_ended.load(Acquire) {
                        self.is_stuck(choose, std::mem::replace(&mut cancelled, true));
                    }
                    continue;
                }
                let (candidate, entry) = ready.take(self.ask(|| choose.next(&ready.candidates), ready.entries.len()));
                match entry {
                    Entry::Blocking => run_blocking(self, candidate),
                    Entry::Main => self.step_chosen(main, choose),
                    Entry::Task(Queued(task)) => self.step_chosen(task, choose),
                }
            }
            self.kept.give_up();
            while let Some(number) = shared.pool.laid_out().next() {
                run_blocking(self, Candidate::Blocking(number));
            }
        });
    }

    fn step_chosen(&self, task: NonNull<Header>, choose: &dyn Choose) {
        self.remote().counts.steps.add();
        let usual = self.shared.budget;
        let turn = Turn { budget: self.ask_or(|| choose.budget(usual), usual), watched: self.shared.watch.on() };
        // SAFETY: the entry that was laid out is the task's one queue entry; for the main task `main_due` stands for it.
        unsafe { self.poll(task, turn) };
    }

    /// Lays out what was queued since; in an order that is the same each time.
    fn lay_out(&self, main: NonNull<Header>, ready: &mut Ready) {
        let first_new = ready.entries.len();
        if self.shared.take_main_due() {
            // SAFETY: the main task has not ended.
            ready.push(Candidate::Task(unsafe { main.as_ref() }.id()), Entry::Main);
        }
        let queued = std::iter::from_fn(|| self.next().or_else(|| self.take_injected()));
        for queued in queued {
            // SAFETY: a task with an outstanding queue entry has not ended.
            ready.push(Candidate::Task(unsafe { queued.0.as_ref() }.id()), Entry::Task(queued));
        }
        for number in self.shared.pool.laid_out() {
            let candidate = Candidate::Blocking(number);
            if !ready.candidates[..first_new].contains(&candidate) {
                ready.push(candidate, Entry::Blocking);
            }
        }
    }

    fn fire_timers_chosen(&self, choose: &dyn Choose) {
        self.remote().shard.fire_due_as(&self.shared.time, |due| self.ask(|| choose.timer(due), due));
    }

    /// Nothing is ready: lets the clock move on, or the driver bring something. False if there is neither.
    fn wait_chosen(&self, choose: &dyn Choose) -> bool {
        let shared = &*self.shared;
        let next = self.remote().shard.next();
        if self.look_at_driver(Some(Duration::ZERO)) || shared.wake_blocked() || shared.time.all_idle(next) {
            return true;
        }
        let timeout = next.map(|next| shared.time.sleep_time(next));
        match (shared.driver.get(), timeout) {
            (Some(_), timeout) => {
                self.ask_or(|| choose.waits_outside(), ());
                self.look_at_driver(timeout.flatten());
                true
            }
            // The clock is no autojumping one.
            (None, Some(Some(timeout))) => {
                self.remote().parker.park(Some(timeout));
                true
            }
            (None, _) => false,
        }
    }

    /// Whether something is queued then.
    fn look_at_driver(&self, timeout: Option<Duration>) -> bool {
        if let Some(driver) = self.shared.driver.get() {
            driver.wait(timeout);
            driver.dispatch();
        }
        !self.has_nothing() || self.shared.has_queued() || self.shared.main_due.load(Acquire)
    }

    /// The run panics, and is cancelled by it. If it was before, there is no way out.
    fn is_stuck(&self, choose: &dyn Choose, again: bool) {
        let (Some(tree), Some(root)) = (TaskTree::of(&self.shared), self.shared.present.root()) else { return };
        if again {
            self.ask_or(|| choose.hopeless(&tree), ());
            std::process::abort();
        }
        let payload = catch_unwind(AssertUnwindSafe(|| choose.stuck(&tree)));
        nursery::report_panic(&root, payload.unwrap_or_else(|panic| panic));
    }

    /// In a simulation: which of so many branches (at least two) is polled first.
    pub(crate) fn chosen_branch(&self, of: usize) -> Option<usize> {
        self.shared.choose.get().map(|choose| self.ask(|| choose.branch(of), of))
    }

    /// A choice of `of`.
    fn ask(&self, choice: impl FnOnce() -> usize, of: usize) -> usize {
        self.ask_or(choice, 0).min(of - 1)
    }

    fn ask_or<R>(&self, question: impl FnOnce() -> R, otherwise: R) -> R {
        catch_unwind(AssertUnwindSafe(question)).unwrap_or_else(|panic| {
            match self.shared.present.root() {
                Some(root) => nursery::report_panic(&root, panic),
                None => crate::contain::drop_payload(Some(panic)),
            }
            otherwise
        })
    }
}

/// Runs the closure of a call on this thread, which is no worker meanwhile.
fn run_blocking(worker: &Worker, candidate: Candidate) {
    if let Candidate::Blocking(number) = candidate {
        context::without_worker(|| worker.shared.pool.run_laid_out(number));
    }
}
