//! What a worker has to run, and in which order.
//!
//! ```text
//!            ┌─ the slot: what was woken or spawned last ── runs next, at most `LIFO_RUNS` times in a row
//!  push ─────┤      │ displaced
//!            │      ├─▶ queue: what was woken; the children of tasks that have waited before ── first in, first out
//!            │      └─▶ forks: the children of *newborns*, tasks that have not waited yet ── last in, first out
//!            └─ behind: what yields ─▶ queue
//! ```
//!
//! **Why two.** A server's task waits for connections and spawns a handler for each; who came first is to be served first. A tree of forks is another
//! matter: its tasks spawn as soon as they run, and first in, first out would go through it level by level, so that half the tree lies in memory, cold, before the
//! first leaf is reached. Last in, first out goes down branch by branch, and a thief takes the oldest: the largest branch (Blumofe and Leiserson 1999). What tells
//! them apart is whether the task that spawns has ever waited.
//!
//! **Fairness.** Queue and forks take turns; so what is in the queue waits for no more than one fork, and `LIFO_RUNS` tasks of the slot, for each that is before it. Of
//! the forks the oldest has a turn in each `MAINTENANCE`.
//!
//! Only the worker's own thread pushes (`worker` K1). Thieves take from each end, from the slot last.

use std::cell::Cell;
use std::ptr::{self, NonNull};

use crossbeam_deque::{Steal, Stealer};

use super::Queued;
use crate::primitives::atomic::AtomicPtr;
use crate::primitives::atomic::Ordering::{AcqRel, Relaxed};
use crate::task::Header;

/// So many tasks in a row may come from the slot while others wait.
const LIFO_RUNS: u32 = 3;

type Deque = crossbeam_deque::Worker<Queued>;

/// The worker's side.
pub(super) struct Queues {
    queue: Deque,
    forks: Deque,
    lifo_runs: Cell<u32>,
    /// There may be forks: so that who has none does not look.
    has_forks: Cell<bool>,
    /// Whose turn it is.
    forks_first: Cell<bool>,
    /// What was put into the slot last is a fork.
    slot_forks: Cell<bool>,
}

/// What thieves may touch.
pub(super) struct Ends {
    queue: Stealer<Queued>,
    forks: Stealer<Queued>,
    slot: AtomicPtr<Header>,
}

impl Queues {
    pub(super) fn new() -> (Self, Ends) {
        let (queue, forks) = (Deque::new_fifo(), Deque::new_lifo());
        let ends = Ends { queue: queue.stealer(), forks: forks.stealer(), slot: AtomicPtr::new(ptr::null_mut()) };
        let new = Self {
            queue,
            forks,
            lifo_runs: Cell::new(0),
            has_forks: Cell::new(false),
            forks_first: Cell::new(false),
            slot_forks: Cell::new(false),
        };
        (new, ends)
    }

    /// Into the slot. If another task was displaced from there: how many were in the queue or among the forks, before it came to them.
    #[inline]
    pub(super) fn push_next(&self, ends: &Ends, task: NonNull<Header>, is_fork: bool) -> Option<usize> {
        // Acquire and release: the slot is emptied by thieves, too.
        let displaced = ends.slot.swap(task.as_ptr(), AcqRel);
        let forks = self.slot_forks.replace(is_fork);
        let displaced = NonNull::new(displaced)?;
        let deque = if forks { &self.forks } else { &self.queue };
        let before = deque.len();
        deque.push(Queued(displaced));
        self.has_forks.set(forks || self.has_forks.get());
        Some(before)
    }

    /// Behind what is in the queue.
    #[inline]
    pub(super) fn push_behind(&self, task: NonNull<Header>) {
        self.queue.push(Queued(task));
    }

    /// The next task, if there is one.
    #[inline(always)]
    pub(super) fn pop(&self, ends: &Ends) -> Option<Queued> {
        let runs = self.lifo_runs.get();
        if runs < LIFO_RUNS
            && let Some(task) = ends.take_slot()
        {
            self.lifo_runs.set(runs + 1);
            return Some(task);
        }
        self.lifo_runs.set(0);
        if !self.has_forks.get() {
            return self.queue.pop().or_else(|| ends.take_slot());
        }
        let forks_first = self.forks_first.replace(!self.forks_first.get());
        let first = if forks_first { self.forks.pop() } else { self.queue.pop() };
        let task = first.or_else(|| if forks_first { self.queue.pop() } else { self.forks.pop() });
        self.has_forks.set(!self.forks.is_empty());
        task.or_else(|| ends.take_slot())
    }

    /// The fork that has waited for longest.
    #[inline]
    pub(super) fn pop_oldest_fork(&self, ends: &Ends) -> Option<Queued> {
        if self.has_forks.get() { retry(|| ends.forks.steal()) } else { None }
    }

    /// Takes some of `victim`, but nothing from its slot; runs one of them, and keeps the rest.
    pub(super) fn steal_from(&self, victim: &Ends) -> Option<Queued> {
        retry(|| victim.queue.steal_batch_and_pop(&self.queue)).or_else(|| {
            let fork = retry(|| victim.forks.steal_batch_and_pop(&self.forks))?;
            self.has_forks.set(true);
            Some(fork)
        })
    }

    /// Takes some of what threads that are no workers have queued.
    pub(super) fn take_injected(&self, inject: &crossbeam_deque::Injector<Queued>) -> Option<Queued> {
        retry(|| inject.steal_batch_and_pop(&self.queue))
    }

    /// How many tasks wait in the queue itself.
    #[inline]
    pub(super) fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Whether there are forks.
    #[inline]
    pub(super) fn have_forks(&self) -> bool {
        self.has_forks.get() && !self.forks.is_empty()
    }

    /// Whether only the slot may hold something.
    #[inline]
    pub(super) fn are_empty(&self) -> bool {
        self.queue.is_empty() && !self.have_forks()
    }
}

impl Ends {
    #[inline]
    pub(super) fn take_slot(&self) -> Option<Queued> {
        if self.slot_is_empty() {
            return None;
        }
        NonNull::new(self.slot.swap(ptr::null_mut(), AcqRel)).map(Queued)
    }

    #[inline]
    pub(super) fn slot_is_empty(&self) -> bool {
        self.slot.load(Relaxed).is_null()
    }

    /// Whether something waits outside the slot.
    pub(super) fn have_queued(&self) -> bool {
        !self.queue.is_empty() || !self.forks.is_empty()
    }

    /// How many tasks wait here.
    pub(super) fn len(&self) -> usize {
        self.queue.len() + self.forks.len() + usize::from(!self.slot_is_empty())
    }
}

fn retry(mut steal: impl FnMut() -> Steal<Queued>) -> Option<Queued> {
    loop {
        match steal() {
            Steal::Success(task) => return Some(task),
            Steal::Empty => return None,
            Steal::Retry => std::hint::spin_loop(),
        }
    }
}
