//! What wants to know that a task has had a turn: a hand-over that the task has not taken by then goes to somebody else.
//!
//! ```text
//!  after_turn ─▶ armed ── the next turn begins ─▶ due ── it ends, or the task does ─▶ `turn_ended`
//!                  └───────────────────────────────┴──── claimed ─▶ nobody is told
//! ```
//!
//! What is armed is a *note*, and the note is the hand-over: who claims takes it out, in the task that it was handed to, and nobody else can have it. So it ends once, one way or the other.
//!
//! A *turn* is a poll of the whole task. One that was under way when something was armed does not count: it may have passed the place already. Nor does the first, if the task is due again at once after it:
//! a combinator that had itself woken to go on (`FuturesUnordered` does, when another thread is just telling it who is woken) has not come by yet. Nor one that begins before a combinator has been told which of its parts to poll.
//!
//! Invariants:
//! - **A1** `notes` is null, or a box that stays until the task is freed. A task that was never handed anything has none, and pays one load per poll.
//! - **A2** Who arms has a reference to the task, and wakes it after that, by a read-modify-write of its state word. The end of a task that is not alone is one, too, and looks afterwards at what is armed; unless it finds that nobody has woken
//!   the task since its last turn began, which took what was armed before. So either the end finds what was armed, or the wake finds the task complete, and tells: nothing is forgotten. A task that is alone at its end looks, too:
//!   nobody can arm any more (`state` rule 5).
//! - **A3** The lock is a leaf: nothing is called, nor dropped, under it.
//! - **A4** What is due is touched by the holder of `RUNNING` only, in steps that call nothing.
//! - **A5** There is a place for one that needs no lock, and nearly always is enough; who finds it taken goes to the others, under the lock. The place is Empty, Filling or Full. Who has made it Filling from Empty has what is in it, alone, and makes
//!   it Full. Of what is Full the holder of `RUNNING` has what is in it, and alone makes it Empty. When the task has ended, and there is no such holder any more, several may want to take out what is left: who makes it Filling from Full has it, and makes it Empty.
//!   So each step has one who may take it, and what is in the place passes from one to the other by a release and an acquire. A turn that begins while it is being filled does not see it, and need not: the wake is yet to come (A2).
#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::AtomicU16;
use std::task::Waker;

use super::marks::HOLDS_MANY;
use super::{Header, TaskId, cell, waker};
use crate::primitives::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use crate::primitives::atomic::{AtomicBool, AtomicPtr, AtomicU8};
use crate::primitives::{Mutex, UnsafeCell};
use crate::{contain, context, line};

/// What is told that a turn of a task has ended.
pub trait AfterTurn: Send + Sync {
    /// The first turn that began after [`TaskRef::after_turn`] has ended, or the task has; or the second, if the task was due again at once after the first. `number` is what was given there. Called once for each
    /// `after_turn` that is not claimed.
    ///
    /// On the worker of the task, outside of its future, or in the [`TaskRef::wake`] of a task that has ended; a panic is contained. It may take locks and wake tasks, and does not block.
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
        context::with_current_task(Self::to)
    }

    #[inline]
    pub(crate) fn to(header: &Header) -> Self {
        Self(waker::waker(header))
    }

    /// The task that `waker`, which is that of a task, belongs to: a clone of the waker that its own poll was called with will do where a reference to the task is wanted.
    ///
    /// # Panics
    ///
    /// If it is the waker of something else.
    #[inline]
    pub(crate) fn of(waker: Waker) -> Self {
        assert!(waker::is_any(&waker), "the waker of a task");
        Self(waker)
    }

    /// Its id.
    pub fn id(&self) -> TaskId {
        self.header().id
    }

    /// Has `what` told when the task has had a turn. The caller calls [`wake`](Self::wake) after that, without a lock.
    pub fn after_turn(&self, what: Arc<dyn AfterTurn>, number: u64) {
        let place = Arc::as_ptr(&what).addr();
        self.put(Armed::new(what, place, number));
    }

    /// In the poll of a task that was handed something: it claims it, if it was handed that, and its turn is not over. What [`after_turn`](Self::after_turn) was called with for that, `what` and `number`, is not told any more: of several
    /// that are alike, one.
    pub fn claimed<T>(what: &Arc<T>, number: u64) {
        context::with_current_task(|header| header.claims(what, number));
    }

    /// Wakes the task. False if it has ended: then there is no turn to come, and what is armed has been told, or is being told.
    pub fn wake(&self) -> bool {
        let header = self.header();
        // Not by the waker: one of the running task itself would leave the word as it is. After the wake in the order of that word (A2).
        header.wake();
        let has_ended = header.state.is_complete();
        if has_ended {
            header.tell_end();
        }
        !has_ended
    }

    /// As [`wake`](Self::wake), and gives up the reference.
    #[inline]
    pub(crate) fn wake_and_drop(self) {
        let task = NonNull::from(self.header());
        std::mem::forget(self);
        // SAFETY: the reference was ours. Its notice changes the word whoever is running, and says of that very word whether the task has ended (A2); then the reference still is ours.
        unsafe {
            if !waker::wake_and_drop(task) {
                Self::tell_end_and_drop(task);
            }
        }
    }

    /// # Safety
    ///
    /// The task has ended, and the caller owns a reference to it.
    #[cold]
    unsafe fn tell_end_and_drop(task: NonNull<Header>) {
        // SAFETY: the caller's.
        unsafe {
            task.as_ref().tell_end();
            cell::drop_reference(task);
        }
    }

    /// Arms, for one who is woken by the waker of the task itself. The caller calls [`wake_and_drop`](Self::wake_and_drop) after that.
    #[inline]
    pub(crate) fn arm<T: AfterTurn + 'static>(&self, what: &Arc<T>, number: u64) {
        self.put(Armed::of(what, number));
    }

    #[inline]
    fn put(&self, armed: Armed) {
        match self.header().extras.after().and_then(After::notes) {
            Some(notes) => notes.arm(armed),
            None => self.put_first(armed),
        }
    }

    #[cold]
    #[inline(never)]
    fn put_first(&self, armed: Armed) {
        self.header().extras.after_or_make().notes_or_make().arm(armed);
    }

    /// Arms, for a part of the task that is yet to be woken with a waker of its own: turns that begin before [`count_turns`](Self::count_turns) do not count. It can be claimed at once.
    #[cold]
    pub(crate) fn arm_uncounted<T: AfterTurn + 'static>(&self, what: &Arc<T>, number: u64) {
        let notes = self.header().extras.after_or_make().notes_or_make();
        notes.more.lock().push(Armed { counts: false, ..Armed::of(what, number) });
    }

    /// What was armed so, and has not been claimed meanwhile, is due with the next turn. The caller wakes the task after that.
    #[cold]
    pub(crate) fn count_turns<T: AfterTurn + 'static>(&self, what: &Arc<T>, number: u64) {
        let Some(notes) = self.header().extras.after().and_then(After::notes) else { return };
        let mut more = notes.more.lock();
        if let Some(armed) = more.iter_mut().find(|armed| !armed.counts && armed.is(Arc::as_ptr(what).cast(), number)) {
            armed.counts = true;
            // Release: as in `arm_more`.
            notes.any_more.store(true, Release);
        }
    }

    /// Whether the task has ended, so that no turn is to come.
    #[inline]
    pub(crate) fn has_ended(&self) -> bool {
        self.header().state.is_complete()
    }

    /// Its number as a holder.
    #[inline]
    pub(crate) fn holder(&self) -> u64 {
        self.header().holder()
    }

    #[inline]
    fn header(&self) -> &Header {
        // SAFETY: a waker of `task::waker` points to the header, and keeps it alive.
        unsafe { &*self.0.data().cast::<Header>() }
    }
}

/// Among the extras of a task: what is armed.
pub(crate) struct After {
    notes: AtomicPtr<Notes>,
}

/// See there.
pub(crate) struct Notes {
    /// Whose `first` is (A5).
    place: AtomicU8,
    first: UnsafeCell<MaybeUninit<Armed>>,
    more: Mutex<Vec<Armed>>,
    /// Whether among them is one that counts; changed under the lock.
    any_more: AtomicBool,
    /// Of `more`, what was armed before the turn that is under way began (A4). Nearly always empty: there are several only where a task waits for several things at once.
    more_due: UnsafeCell<Vec<Armed>>,
}

// The states of the place, see A5.
const EMPTY: u8 = 0;
const FILLING: u8 = 1;
const FULL: u8 = 2;

// SAFETY: what is due is touched by the holder of `RUNNING` only (A4), what is in the place by who has it (A5), and both may go to another thread with that.
unsafe impl Sync for Notes {}

struct Armed {
    what: Arc<dyn AfterTurn>,
    /// Where that lies: to tell whether it is that, without asking it.
    place: usize,
    number: u64,
    /// Of those in `more`: the turns that begin now count.
    counts: bool,
    /// It was armed before the turn that is under way began (A4).
    due: bool,
    /// A turn did not count, as the task was due again.
    spared: bool,
}

impl Armed {
    #[inline]
    fn of<T: AfterTurn + 'static>(what: &Arc<T>, number: u64) -> Self {
        let place = Arc::as_ptr(what).addr();
        Self::new(Arc::clone(what) as Arc<dyn AfterTurn>, place, number)
    }

    #[inline]
    fn new(what: Arc<dyn AfterTurn>, place: usize, number: u64) -> Self {
        Self { what, place, number, counts: true, due: false, spared: false }
    }

    #[inline]
    fn is(&self, what: *const (), number: u64) -> bool {
        self.number == number && self.place == what.addr()
    }

    /// Whether its turn has been: not if the task is due again, once.
    fn is_over(&mut self, due_again: bool) -> bool {
        !due_again || std::mem::replace(&mut self.spared, true)
    }
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
        Self { notes: AtomicPtr::new(ptr::null_mut()) }
    }

    /// What is armed, if anything ever was.
    #[inline]
    pub(super) fn notes(&self) -> Option<&Notes> {
        // Acquire pairs with the exchange in `make`. Whether it is seen in time is a matter of the state word (A2).
        // SAFETY: A1.
        unsafe { self.notes.load(Acquire).as_ref() }
    }

    #[inline]
    fn notes_or_make(&self) -> &Notes {
        self.notes().unwrap_or_else(|| self.make())
    }

    #[cold]
    fn make(&self) -> &Notes {
        let made = Box::into_raw(Box::new(Notes::new()));
        match self.notes.compare_exchange(ptr::null_mut(), made, AcqRel, Acquire) {
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
    }
}

impl Notes {
    fn new() -> Self {
        Self {
            place: AtomicU8::new(EMPTY),
            first: UnsafeCell::new(MaybeUninit::uninit()),
            more: Mutex::new(Vec::new()),
            any_more: AtomicBool::new(false),
            more_due: UnsafeCell::new(Vec::new()),
        }
    }

    #[inline]
    fn arm(&self, armed: Armed) {
        // Acquire pairs with the release in `empty` and `take_left`: what was there has been taken out.
        if self.place.compare_exchange(EMPTY, FILLING, Acquire, Relaxed).is_err() {
            return self.arm_more(armed);
        }
        self.first.with_mut(|first| {
            // SAFETY: A5: we have made it Filling. Nothing is in it.
            unsafe { first.write(MaybeUninit::new(armed)) }
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

    /// A turn begins: what is armed becomes due. The caller holds `RUNNING`, as in all that follows.
    #[inline]
    pub(super) fn turn_begins(&self) {
        if self.is_full() {
            self.with_first(|first| first.due = true);
        }
        if self.any_more.load(Acquire) {
            self.make_more_due();
        }
    }

    #[cold]
    fn make_more_due(&self) {
        let mut locked = self.more.lock();
        self.any_more.store(false, Relaxed);
        // What is there was spared.
        self.with_more_due(|due| due.extend(locked.extract_if(.., |armed| armed.counts)));
    }

    /// The turn ends, and with it perhaps the task: what is to be told then. The task may be `due_again`, as it was woken meanwhile.
    #[inline]
    pub(super) fn turn_ends(&self, due_again: impl FnOnce() -> bool) -> Due {
        let is_any = self.is_first_due() || self.with_more_due(|due| !due.is_empty());
        Due(is_any.then(|| self.take_over(due_again())))
    }

    /// Those that are due, and over.
    #[cold]
    fn take_over(&self, due_again: bool) -> Vec<Armed> {
        let mut over = Vec::new();
        // A3: one that is taken out moves to `over`, and is not dropped here.
        if self.is_first_due() && self.with_first(|first| first.is_over(due_again)) {
            over.push(self.empty());
        }
        self.with_more_due(|due| over.extend(due.extract_if(.., |armed| armed.is_over(due_again))));
        over
    }

    /// Takes out one that was armed so, due or not; whether there was one.
    #[inline]
    fn strike(&self, what: *const (), number: u64) -> bool {
        if self.is_full() && self.with_first(|first| first.is(what, number)) {
            drop(self.empty().what);
            return true;
        }
        self.strike_more(what, number)
    }

    #[cold]
    fn strike_more(&self, what: *const (), number: u64) -> bool {
        let strike = |from: &mut Vec<Armed>| {
            let place = from.iter().position(|armed| armed.is(what, number))?;
            Some(from.remove(place))
        };
        // A3: what is taken out is not dropped under the lock.
        let struck = self.with_more_due(strike).or_else(|| strike(&mut self.more.lock()));
        struck.is_some()
    }

    /// Takes out all that is left in a task that has ended; several may do so at once. Nothing is due: the last turn has taken that.
    fn take_left(&self) -> impl Iterator<Item = Armed> {
        // Acquire, as in `is_full`. Then it is ours (A5).
        let is_ours = self.place.compare_exchange(FULL, FILLING, Acquire, Relaxed).is_ok();
        let first = is_ours.then(|| self.empty());
        let more = std::mem::take(&mut *self.more.lock());
        first.into_iter().chain(more)
    }

    /// Whether `first` is ours.
    #[inline]
    fn is_full(&self) -> bool {
        self.place.load(Acquire) == FULL
    }

    #[inline]
    fn is_first_due(&self) -> bool {
        self.is_full() && self.with_first(|first| first.due)
    }

    /// Gives `f` what is in the place, which is full.
    #[inline]
    fn with_first<R>(&self, f: impl FnOnce(&mut Armed) -> R) -> R {
        self.first.with_mut(|first| {
            // SAFETY: Full, and `RUNNING` is ours (A5).
            f(unsafe { (*first).assume_init_mut() })
        })
    }

    /// Takes out what is in the place, which is full, or was until it became ours.
    #[inline]
    fn empty(&self) -> Armed {
        let armed = self.first.with_mut(|first| {
            // SAFETY: there is something, and it is ours (A5); the place is Empty from now on.
            unsafe { (*first).assume_init_read() }
        });
        self.place.store(EMPTY, Release);
        armed
    }

    #[inline]
    fn with_more_due<R>(&self, f: impl FnOnce(&mut Vec<Armed>) -> R) -> R {
        self.more_due.with_mut(|due| {
            // SAFETY: A4.
            f(unsafe { &mut *due })
        })
    }
}

impl Drop for Notes {
    fn drop(&mut self) {
        if self.is_full() {
            drop(self.empty());
        }
    }
}

impl Drop for After {
    fn drop(&mut self) {
        let notes = self.notes.load(Relaxed);
        if !notes.is_null() {
            // SAFETY: A1: made by `Box::into_raw`, and the task is being freed.
            drop(unsafe { Box::from_raw(notes) });
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

    /// The task has completed: there is no turn to come, so what is armed is told of. Nobody holds `RUNNING` any more.
    #[inline]
    pub(super) fn tell_end(&self) {
        if let Some(notes) = self.extras.after().and_then(After::notes) {
            notes.take_left().for_each(Armed::tell);
        }
    }

    /// As [`TaskRef::claimed`], of the running task.
    #[inline]
    pub(crate) fn claims<T>(&self, what: &Arc<T>, number: u64) -> bool {
        let what = Arc::as_ptr(what).cast::<()>();
        self.extras.after().and_then(After::notes).is_some_and(|notes| notes.strike(what, number))
    }

    /// The future has ended: tells if it has left locks behind.
    pub(super) fn report_held(&self) {
        if self.holds.0.load(Relaxed) != 0 || self.marks.has(HOLDS_MANY) {
            contain::call(|| line::task_ended(self.id));
        }
    }
}
