//! What wants to know that a task has had a turn: a hand-over that the task has not taken by then goes to somebody else.
//!
//! ```text
//!  after_turn ─▶ armed ── the next turn begins ─▶ due ── it ends, or the task does ─▶ `turn_ended`, once
//! ```
//!
//! A *turn* is a poll of the whole task. One that was under way when something was armed does not count: it may have passed the place already.
//!
//! Invariants:
//! - **A1** `list` is null, or a box that stays until the task is freed. A task that was never handed anything has none, and pays one load per poll.
//! - **A2** Who arms has a reference to the task, and wakes it after that, by a read-modify-write of its state word. The end of a task that is not alone is one, too, and looks afterwards at what is armed; unless it finds that nobody has woken
//!   the task since its last turn began, which took what was armed before. So either the end finds what was armed, or the wake finds the task complete and says so: nothing is forgotten. A task that is alone at its end looks, too:
//!   nobody can arm any more (`state` rule 5).
//! - **A3** The lock is a leaf: nothing is called, nor dropped, under it.
#![allow(unsafe_code)]

use std::ptr;
use std::sync::Arc;
use std::task::Waker;

use super::{Header, TaskId, waker};
use crate::primitives::Mutex;
use crate::primitives::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use crate::primitives::atomic::{AtomicPtr, AtomicU32};
use crate::{contain, context};

/// What is told that a turn of a task has ended.
pub trait AfterTurn: Send + Sync {
    /// The first turn that began after [`TaskRef::after_turn`] has ended, or the task has. `number` is what was given there. It may be called twice.
    ///
    /// On the worker of the task, outside of its future; a panic is contained. It may take locks and wake tasks, and does not block.
    fn turn_ended(self: Arc<Self>, number: u64);
}

/// A task, alive or ended: who stands behind a wait, whatever waker that wait was polled with.
#[derive(Clone)]
pub struct TaskRef(
    /// Made by `task::waker`.
    Waker,
);

impl TaskRef {
    /// The task that is being polled; `None` outside a run.
    pub fn current() -> Option<Self> {
        context::with_current_task(|header| Self(waker::waker(header)))
    }

    /// Its id.
    pub fn id(&self) -> TaskId {
        self.header().id
    }

    /// Whether it is the one that is being polled.
    pub fn is_current(&self) -> bool {
        context::is_task(self.id())
    }

    /// Has `what` told when the task has had a turn. The caller calls [`wake`](Self::wake) after that, without a lock.
    pub fn after_turn(&self, what: Arc<dyn AfterTurn>, number: u64) {
        self.header().after.arm(Armed { what, number });
    }

    /// Wakes the task. False if it has ended: then there is no turn to come, and the caller does what was to be done after it.
    #[must_use]
    pub fn wake(&self) -> bool {
        self.0.wake_by_ref();
        // After the wake in the order of the state word (A2).
        !self.header().state.is_complete()
    }

    fn header(&self) -> &Header {
        // SAFETY: a waker of `task::waker` points to the header, and keeps it alive.
        unsafe { &*self.0.data().cast::<Header>() }
    }
}

/// In the header of a task: what is armed, and how many locks it holds.
pub(super) struct After {
    list: AtomicPtr<Mutex<Vec<Armed>>>,
    /// Changed by the holder of `RUNNING` only.
    holds: AtomicU32,
}

struct Armed {
    what: Arc<dyn AfterTurn>,
    number: u64,
}

/// What is to be told at the end of the turn that has begun.
#[must_use]
pub(super) struct Due(Vec<Armed>);

impl Due {
    /// The turn has ended.
    #[inline]
    pub(super) fn tell(self) {
        if !self.0.is_empty() {
            self.0.into_iter().for_each(Armed::tell);
        }
    }
}

impl Armed {
    fn tell(self) {
        contain::call(|| self.what.turn_ended(self.number));
    }
}

impl After {
    pub(super) fn new() -> Self {
        Self { list: AtomicPtr::new(ptr::null_mut()), holds: AtomicU32::new(0) }
    }

    /// A turn begins, or the task has completed: what is armed becomes due.
    #[inline]
    pub(super) fn due(&self) -> Due {
        Due(self.list().map_or_else(Vec::new, |list| std::mem::take(&mut *list.lock())))
    }

    #[inline]
    fn list(&self) -> Option<&Mutex<Vec<Armed>>> {
        // Acquire pairs with the exchange in `arm`. Whether it is seen in time is a matter of the state word (A2).
        // SAFETY: A1.
        unsafe { self.list.load(Acquire).as_ref() }
    }

    fn arm(&self, armed: Armed) {
        let list = self.list().unwrap_or_else(|| {
            let made = Box::into_raw(Box::new(Mutex::new(Vec::new())));
            match self.list.compare_exchange(ptr::null_mut(), made, AcqRel, Acquire) {
                // SAFETY: A1: it stays.
                Ok(_) => unsafe { &*made },
                Err(there) => {
                    // SAFETY: just made, and seen by nobody. What is there stays (A1).
                    unsafe {
                        drop(Box::from_raw(made));
                        &*there
                    }
                }
            }
        });
        list.lock().push(armed);
    }
}

impl Drop for After {
    fn drop(&mut self) {
        let list = self.list.load(Relaxed);
        if !list.is_null() {
            // SAFETY: A1: made by `Box::into_raw`, and the task is being freed.
            drop(unsafe { Box::from_raw(list) });
        }
    }
}

// Locks that a task holds are counted, so that one that ends with its guards leaked or given away is noticed.

/// What is told of tasks that have ended and still hold locks.
static ENDED_HOLDING: std::sync::OnceLock<fn(TaskId)> = std::sync::OnceLock::new();

/// The id of the running task as a number that is never zero; zero outside a run.
#[inline]
pub fn holder() -> u64 {
    context::with_current_task(|header| header.id.0).unwrap_or(0)
}

/// The task with that number; `None` for zero.
pub fn holder_id(holder: u64) -> Option<TaskId> {
    (holder != 0).then_some(TaskId(holder))
}

/// The number of that task.
pub fn holder_of(task: TaskId) -> u64 {
    task.0
}

/// The running task, if there is one, has taken a lock. `report` is told if it ends before it has called [`release`]; one function for the process.
#[inline]
pub fn hold(report: fn(TaskId)) {
    context::with_current_task(|header| {
        let holds = &header.after.holds;
        let count = holds.load(Relaxed);
        if count == 0 {
            ENDED_HOLDING.get_or_init(|| report);
        }
        holds.store(count + 1, Relaxed);
    });
}

/// The lock that `holder` took is free again. False if it is not that task that is running: then it has ended holding, or will.
#[inline]
pub fn release(holder: u64) -> bool {
    let is_holder = context::with_current_task(|header| {
        let is_holder = header.id.0 == holder;
        if is_holder {
            header.after.holds.store(header.after.holds.load(Relaxed) - 1, Relaxed);
        }
        is_holder
    });
    is_holder == Some(true)
}

impl Header {
    /// The future has ended: tells if it has left locks behind.
    pub(super) fn report_held(&self) {
        if self.after.holds.load(Relaxed) != 0
            && let Some(report) = ENDED_HOLDING.get()
        {
            contain::call(|| report(self.id));
        }
    }
}
