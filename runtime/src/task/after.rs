//! What wants to know that a task has had a turn: a hand-over that the task has not taken by then goes to somebody else.
//!
//! ```text
//!  after_turn ─▶ armed ── the next turn begins ─▶ due ─┬─ it ends, or the task does ─▶ `turn_ended`, once
//!                                                      └─ `claimed` in this turn ─▶ nobody is told
//! ```
//!
//! A *turn* is a poll of the whole task. One that was under way when something was armed does not count: it may have passed the place already. Nor does the first, if the task is due again at once after it:
//! a combinator that had itself woken to go on (`FuturesUnordered` does, when another thread is just telling it who is woken) has not come by yet.
//!
//! Invariants:
//! - **A1** `list` is null, or a box that stays until the task is freed. A task that was never handed anything has none, and pays one load per poll.
//! - **A2** Who arms has a reference to the task, and wakes it after that, by a read-modify-write of its state word. The end of a task that is not alone is one, too, and looks afterwards at what is armed; unless it finds that nobody has woken
//!   the task since its last turn began, which took what was armed before. So either the end finds what was armed, or the wake finds the task complete and says so: nothing is forgotten. A task that is alone at its end looks, too:
//!   nobody can arm any more (`state` rule 5).
//! - **A3** The lock is a leaf: nothing is called, nor dropped, under it.
//! - **A4** What is due is touched by the holder of `RUNNING` only, in steps that call nothing.
//! - **A5** There is a place for one that needs no lock, and nearly always is enough; who finds it taken goes to the others, under the lock. The place is Empty, Filling or Full. Who has made it Filling from Empty has what is in it, alone, and makes
//!   it Full; of what is Full the holder of `RUNNING` has what is in it, and alone makes it Empty. So each step has one who may take it, and what is in the place passes from one to the other by a release and an acquire.
//!   A turn that begins while it is Filling does not see it, and need not: the wake is yet to come (A2).
#![allow(unsafe_code)]

use std::ptr;
use std::sync::Arc;
use std::sync::atomic::AtomicU16;
use std::task::Waker;

use super::marks::HOLDS_MANY;
use super::{Header, TaskId, waker};
use crate::primitives::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use crate::primitives::atomic::{AtomicBool, AtomicPtr, AtomicU8};
use crate::primitives::{Mutex, UnsafeCell};
use crate::{contain, context, line};

/// What is told that a turn of a task has ended.
pub trait AfterTurn: Send + Sync {
    /// The first turn that began after [`TaskRef::after_turn`] has ended, or the task has; or the second, if the task was due again at once after the first. `number` is what was given there. It may be called twice.
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

    /// The one that is being polled, if `waker` is what its own poll was called with: so a clone of that waker will do where a reference to the task is wanted, see [`of`](Self::of).
    pub fn is_woken_by(waker: &Waker) -> bool {
        context::with_current_task(|header| waker::is_of(waker, header)).unwrap_or(false)
    }

    /// The task that `waker`, for which [`is_woken_by`](Self::is_woken_by) has been true, belongs to.
    ///
    /// # Panics
    ///
    /// If it is the waker of something else.
    pub fn of(waker: Waker) -> Self {
        assert!(waker::is_any(&waker), "the waker of a task");
        Self(waker)
    }

    /// Its id.
    pub fn id(&self) -> TaskId {
        self.header().id
    }

    /// Has `what` told when the task has had a turn. The caller calls [`wake`](Self::wake) after that, without a lock.
    pub fn after_turn(&self, what: Arc<dyn AfterTurn>, number: u64) {
        self.header().extras.after_or_make().arm(Armed { what, number, spared: false });
    }

    /// In the poll of a task that was handed something: it has claimed it. What [`after_turn`](Self::after_turn) was called with for that, `what` and `number`, need not be told any more. (It may be told all
    /// the same, as when another task was handed it.)
    pub fn claimed<T>(what: &Arc<T>, number: u64) {
        let what = Arc::as_ptr(what).cast::<()>();
        let found = context::with_current_task(|header| header.extras.after()?.take(what, number));
        drop(found);
    }

    /// Wakes the task. False if it has ended: then there is no turn to come, and the caller does what was to be done after it.
    #[must_use]
    pub fn wake(&self) -> bool {
        // Not by the waker: one of the running task itself would leave the word as it is. After the wake in the order of that word (A2).
        self.header().wake();
        !self.header().state.is_complete()
    }

    fn header(&self) -> &Header {
        // SAFETY: a waker of `task::waker` points to the header, and keeps it alive.
        unsafe { &*self.0.data().cast::<Header>() }
    }
}

/// Among the extras of a task: what is armed.
pub(crate) struct After {
    list: AtomicPtr<List>,
}

struct List {
    /// Whose `first` is (A5).
    place: AtomicU8,
    first: UnsafeCell<Option<Armed>>,
    more: Mutex<Vec<Armed>>,
    /// Whether there are more; changed under the lock.
    any_more: AtomicBool,
    /// For the turn that is under way (A4).
    due: UnsafeCell<InTurn>,
}

// The states of the place, see A5.
const EMPTY: u8 = 0;
const FILLING: u8 = 1;
const FULL: u8 = 2;

// SAFETY: what is due is touched by the holder of `RUNNING` only (A4), what is in the place by who has it (A5), and both may go to another thread with that.
unsafe impl Sync for List {}

struct Armed {
    what: Arc<dyn AfterTurn>,
    number: u64,
    /// A turn did not count, as the task was due again.
    spared: bool,
}

impl Armed {
    fn is(&self, what: *const (), number: u64) -> bool {
        self.number == number && ptr::eq(Arc::as_ptr(&self.what).cast(), what)
    }

    /// Whether its turn has been: not if the task is due again, once.
    fn is_over(&mut self, due_again: bool) -> bool {
        !due_again || std::mem::replace(&mut self.spared, true)
    }
}

/// What was armed before the turn began. Of more than one only where a task waits for several things at once.
#[derive(Default)]
struct InTurn {
    /// That which is in the place.
    first: bool,
    more: Vec<Armed>,
}

/// What is to be told at the end of a turn.
#[must_use]
pub(super) struct Due(Option<Vec<Armed>>);

impl Due {
    /// Nothing.
    pub(super) const NONE: Self = Self(None);

    /// The turn has ended.
    #[inline]
    pub(super) fn tell(self) {
        if let Some(due) = self.0 {
            due.into_iter().for_each(Armed::tell);
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
        Self { list: AtomicPtr::new(ptr::null_mut()) }
    }

    /// A turn begins: what is armed becomes due. The caller holds `RUNNING`.
    #[inline]
    pub(super) fn turn_begins(&self) {
        if let Some(list) = self.list() {
            list.make_due();
        }
    }

    /// The turn ends, and with it perhaps the task: what is to be told then. The task may be `due_again`, as it was woken meanwhile. The caller holds `RUNNING`.
    #[inline]
    pub(super) fn turn_ends(&self, due_again: impl FnOnce() -> bool) -> Due {
        Due(self.list().and_then(|list| list.take_due(due_again)))
    }

    /// What is armed, if that is. The caller runs in the task, so it holds `RUNNING`.
    #[inline]
    fn take(&self, what: *const (), number: u64) -> Option<Armed> {
        self.list()?.take(what, number)
    }

    #[inline]
    fn list(&self) -> Option<&List> {
        // Acquire pairs with the exchange in `arm`. Whether it is seen in time is a matter of the state word (A2).
        // SAFETY: A1.
        unsafe { self.list.load(Acquire).as_ref() }
    }

    fn arm(&self, armed: Armed) {
        let list = self.list().unwrap_or_else(|| {
            let made = Box::into_raw(Box::new(List::new()));
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
        list.arm(armed);
    }
}

impl List {
    fn new() -> Self {
        Self {
            place: AtomicU8::new(EMPTY),
            first: UnsafeCell::new(None),
            more: Mutex::new(Vec::new()),
            any_more: AtomicBool::new(false),
            due: UnsafeCell::new(InTurn::default()),
        }
    }

    #[inline]
    fn arm(&self, armed: Armed) {
        // Acquire pairs with the release in `empty`: what was there has been taken out.
        if self.place.compare_exchange(EMPTY, FILLING, Acquire, Relaxed).is_err() {
            return self.arm_more(armed);
        }
        self.first.with_mut(|first| {
            // SAFETY: A5: we have made it Filling. Nothing is in it, so nothing is dropped.
            unsafe { first.write(Some(armed)) }
        });
        // Release pairs with the acquire in `is_full`. Whether it is seen in time is a matter of the state word (A2).
        self.place.store(FULL, Release);
    }

    #[cold]
    fn arm_more(&self, armed: Armed) {
        let mut more = self.more.lock();
        more.push(armed);
        // Release pairs with the acquire in `turn_begins`; for the rest as in `arm`.
        self.any_more.store(true, Release);
    }

    /// Whether `first` is ours. The caller holds `RUNNING`, as in all that follows.
    #[inline]
    fn is_full(&self) -> bool {
        self.place.load(Acquire) == FULL
    }

    /// Gives `f` what is in the place, which is full.
    #[inline]
    fn with_first<R>(&self, f: impl FnOnce(&mut Option<Armed>) -> R) -> R {
        self.first.with_mut(|first| {
            // SAFETY: Full, and `RUNNING` is ours (A5).
            f(unsafe { &mut *first })
        })
    }

    /// Takes out what is in the place, which is full.
    #[inline]
    fn empty(&self) -> Option<Armed> {
        let armed = self.with_first(Option::take);
        self.place.store(EMPTY, Release);
        armed
    }

    /// Gives `f` what is due.
    #[inline]
    fn with_due<R>(&self, f: impl FnOnce(&mut InTurn) -> R) -> R {
        self.due.with_mut(|due| {
            // SAFETY: A4.
            f(unsafe { &mut *due })
        })
    }

    #[inline]
    fn make_due(&self) {
        if self.is_full() {
            self.with_due(|due| due.first = true);
        }
        if self.any_more.load(Acquire) {
            self.make_more_due();
        }
    }

    #[cold]
    fn make_more_due(&self) {
        let mut locked = self.more.lock();
        self.any_more.store(false, Relaxed);
        let more = std::mem::take(&mut *locked);
        drop(locked);
        // What is there was spared.
        self.with_due(|due| due.more.extend(more));
    }

    #[inline]
    fn take_due(&self, due_again: impl FnOnce() -> bool) -> Option<Vec<Armed>> {
        let is_any = self.with_due(|due| due.first || !due.more.is_empty());
        is_any.then(|| self.take_over(due_again()))
    }

    /// Those that are due, and over.
    #[cold]
    fn take_over(&self, due_again: bool) -> Vec<Armed> {
        let mut over = Vec::new();
        let first = self.with_due(|due| due.first);
        // A3: one that is taken out moves to `over`, and is not dropped here.
        if first && self.with_first(|first| first.as_mut().is_some_and(|armed| armed.is_over(due_again))) {
            self.with_due(|due| due.first = false);
            over.extend(self.empty());
        }
        self.with_due(|due| over.extend(due.more.extract_if(.., |armed| armed.is_over(due_again))));
        over
    }

    #[inline]
    fn take(&self, what: *const (), number: u64) -> Option<Armed> {
        if self.is_full() && self.with_first(|first| first.as_ref().is_some_and(|armed| armed.is(what, number))) {
            self.with_due(|due| due.first = false);
            return self.empty();
        }
        self.with_due(|due| {
            let place = due.more.iter().position(|armed| armed.is(what, number))?;
            Some(due.more.remove(place))
        })
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

/// How many locks a task holds, but for multiples of 2¹⁶.
///
/// The holder of `RUNNING` alone uses it, one after the other as the state word says; so it is a standard atomic, also in the models.
pub(super) struct Holds(AtomicU16);

impl Holds {
    pub(super) const fn none() -> Self {
        Self(AtomicU16::new(0))
    }
}

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

/// The running task, if there is one, has taken a lock. If it ends before it has called [`release`], the lines are told.
#[inline]
pub(crate) fn hold() {
    context::with_current_task(Header::hold);
}

/// The lock that `holder` took is free again. False if it is not that task that is running: then it has ended holding, or will.
#[inline]
pub(crate) fn release(holder: u64) -> bool {
    let is_holder = context::with_current_task(|header| {
        let is_holder = header.id.0 == holder;
        if is_holder {
            header.holds.0.store(header.holds.0.load(Relaxed).wrapping_sub(1), Relaxed);
        }
        is_holder
    });
    is_holder == Some(true)
}

impl Header {
    /// As [`holder`].
    #[inline]
    pub(crate) fn holder(&self) -> u64 {
        self.id.0
    }

    /// The task, which is running, has taken a lock.
    #[inline]
    pub(crate) fn hold(&self) {
        let now = self.holds.0.load(Relaxed).wrapping_add(1);
        self.holds.0.store(now, Relaxed);
        if now == 0 {
            self.marks.set(HOLDS_MANY);
        }
    }

    /// The task has completed: there is no turn to come, so what is armed is told of. The caller held `RUNNING`, and nobody does after it.
    #[inline]
    pub(super) fn tell_end(&self) {
        if let Some(after) = self.extras.after() {
            after.turn_begins();
            after.turn_ends(|| false).tell();
        }
    }

    /// The future has ended: tells if it has left locks behind.
    pub(super) fn report_held(&self) {
        if self.holds.0.load(Relaxed) != 0 || self.marks.has(HOLDS_MANY) {
            contain::call(|| line::task_ended(self.id));
        }
    }
}
