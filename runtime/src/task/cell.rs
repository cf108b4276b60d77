//! The allocation of a task, its poll, and its way to the end.
//!
//! ```text
//! poll ─▶ Ready(output) ─┐
//!      ─▶ panic ─────────┼─▶ finish: drop the future, settle the output, give up the future's token
//!      ─▶ Pending, cut ──┘                 │ last token (here, or at a nursery's end)
//!      ─▶ Pending ─▶ idle or queued again  ▼
//!                                        end: leave the tree, COMPLETE, wake the handle, leave the nursery
//! ```
#![allow(unsafe_code)]

use std::alloc::Layout;
use std::any::Any;
use std::cell::UnsafeCell;
use std::future::Future;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::ptr::NonNull;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::after::{Due, Holds};
use super::extras::Extras;
use super::marks::{FUTURE_ENDED, LOCALS, MAIN, Marks, NO_VALUE, SERVICE, VALUE};
use super::site::Site;
use super::state::{State, Stopped};
use super::waker::waker_ref;
use super::{Header, TaskId, is_cut, is_due, memory, unregister};
pub(crate) use crate::contain::drop_payload;
use crate::list::Links;
use crate::local::Locals;
use crate::nursery::{self, Kept};
use crate::primitives::atomic::AtomicU8;
use crate::scheduler::Worker;
use crate::scope::suspended::NOWHERE;
use crate::scope::{CancelReason, CancelSource, Cancelled, Node};
use crate::watch::{self, Turn};
use crate::{contain, context};

/// What becomes of a future's output: the value for the handle, and the error for the nursery.
pub(crate) trait Settle<O> {
    type Value;

    /// The value, or `None` after the error was reported to `base`.
    fn settle(base: &Arc<Node>, task: &Header, output: O) -> Option<Self::Value>;
}

pub(crate) struct VTable {
    /// Whether the task is due again.
    poll: unsafe fn(NonNull<Header>, Turn) -> bool,
    /// Moves the output to `*mut Result<V, Cancelled>`.
    read_output: unsafe fn(NonNull<Header>, *mut ()),
    drop_output: unsafe fn(NonNull<Header>),
    free: unsafe fn(NonNull<Header>),
    pub(super) type_name: fn() -> &'static str,
    /// Where the locals lie that a task may have.
    pub(super) locals_at: usize,
}

/// Behind it there may be locals, see `Cell::WITH_LOCALS`.
#[repr(C)]
struct Cell<F: Future, S: Settle<F::Output>> {
    header: Header,
    stage: UnsafeCell<Stage<F, S::Value>>,
    settle: PhantomData<fn() -> S>,
}

/// What it is at the moment is said by the marks (T4). So there may be no word that says it.
union Stage<F, V> {
    future: ManuallyDrop<F>,
    value: ManuallyDrop<V>,
    /// Why there is no value. It lies here itself if there is room, see `Cell::REASON_FITS`.
    boxed: ManuallyDrop<Box<Cancelled>>,
}

/// What a task takes up, for each of a million. With the eight bytes that glibc's malloc puts before each block, and its steps of sixteen, a task with a small future comes to 80 (`memory`).
/// A field more, and it is 96: then let it lie among the extras, or where the locals do.
#[cfg(all(target_pointer_width = "64", not(loom)))]
const _: () = {
    assert!(size_of::<Header>() == 64);
    assert!(size_of::<Stage<(), ()>>() == 8);
};

/// What is known of a task before it exists.
pub(crate) struct Birth {
    /// Counts the task in its `live` already (T2).
    pub(crate) base: NonNull<Node>,
    pub(crate) id: TaskId,
    pub(crate) spawned_at: &'static Location<'static>,
    pub(crate) main: bool,
    /// It counts as a service.
    pub(crate) service: bool,
}

/// Makes a task; the caller owns its first queue entry and the handle's reference. `worker` is this thread's.
///
/// # Safety
///
/// `future` may be polled and dropped on any thread (or on this one only, if the task is main), and outlives the task's end.
#[inline]
pub(crate) unsafe fn new<F, S>(future: F, birth: Birth, worker: Option<&Worker>) -> NonNull<Header>
where
    F: Future,
    S: Settle<F::Output>,
{
    // A run is a world of its own: its main task inherits nothing.
    let locals = if birth.main { Locals::default() } else { Locals::current() };
    let marks = if birth.main { MAIN } else { 0 } | if birth.service { SERVICE } else { 0 };
    let cell = Cell::<F, S> {
        header: Header {
            state: State::new(),
            vtable: &VTable {
                poll: poll::<F, S>,
                read_output: read_output::<F, S>,
                drop_output: drop_output::<F, S>,
                free: free::<F, S>,
                type_name: std::any::type_name::<F>,
                locals_at: Cell::<F, S>::LOCALS_AT,
            },
            base: birth.base,
            links: Links::new(),
            id: birth.id,
            extras: Extras::none(),
            spawned_at: Site::of(birth.spawned_at),
            holds: Holds::none(),
            linked: AtomicU8::new(NOWHERE),
            marks: Marks::new(marks),
        },
        stage: UnsafeCell::new(Stage { future: ManuallyDrop::new(future) }),
        settle: PhantomData,
    };
    if locals.is_any() {
        return with_locals(cell, locals, worker);
    }
    let block = memory::take(Cell::<F, S>::CLASS, Cell::<F, S>::LAYOUT, worker).cast::<Cell<F, S>>();
    // SAFETY: the block is ours, and made for this layout. From here on the cell is reached through raw pointers only.
    unsafe { block.write(cell) };
    block.cast()
}

/// The end of `new` for a task that inherits something.
#[cold]
fn with_locals<F: Future, S: Settle<F::Output>>(
    cell: Cell<F, S>,
    locals: Locals,
    worker: Option<&Worker>,
) -> NonNull<Header> {
    cell.header.marks.set(LOCALS);
    let block = memory::take(Cell::<F, S>::CLASS_WITH_LOCALS, Cell::<F, S>::WITH_LOCALS, worker).cast::<Cell<F, S>>();
    // SAFETY: as in `new`; the block has room for the locals behind the cell.
    unsafe {
        block.write(cell);
        block.byte_add(Cell::<F, S>::LOCALS_AT).cast::<Locals>().write(locals);
    }
    block.cast()
}

impl<F: Future, S: Settle<F::Output>> Cell<F, S> {
    const LAYOUT: Layout = Layout::new::<Self>();
    const CLASS: memory::Class = memory::Class::of(Self::LAYOUT);

    /// A cell is as aligned as a header, which is more than locals need.
    const LOCALS_AT: usize = Self::LAYOUT.size();
    const WITH_LOCALS: Layout = {
        assert!(align_of::<Locals>() <= align_of::<Header>());
        match Layout::from_size_align(Self::LOCALS_AT + size_of::<Locals>(), Self::LAYOUT.align()) {
            Ok(layout) => layout,
            Err(_) => unreachable!(),
        }
    };
    const CLASS_WITH_LOCALS: memory::Class = memory::Class::of(Self::WITH_LOCALS);

    /// Whether the reason of a task without a value lies in the stage itself: in that of a future with two words or more it does.
    const REASON_FITS: bool = size_of::<Stage<F, S::Value>>() >= size_of::<Cancelled>()
        && align_of::<Stage<F, S::Value>>() >= align_of::<Cancelled>();
}

/// Polls the task once. Whether it is due again: then its queue entry is the caller's, who has to queue it.
///
/// # Safety
///
/// The caller owns the task's queue entry, which is used up.
#[must_use]
pub(crate) unsafe fn run(task: NonNull<Header>, turn: Turn) -> bool {
    // SAFETY: a task in a queue has not ended (T1).
    unsafe {
        // Acquire pairs with the release in `wake_and_unlink`: whoever has found the task in its list is done with it.
        task.as_ref().state.start_running(task.as_ref().is_listed());
        (task.as_ref().vtable.poll)(task, turn)
    }
}

/// Moves the output to `to`.
///
/// # Safety
///
/// The output belongs to the caller (`state` rule 4), has not been taken, and `to` is a `*mut Result<V, Cancelled>` of the task's `V`.
pub(super) unsafe fn take_output(task: NonNull<Header>, to: *mut ()) {
    // SAFETY: passed on.
    unsafe { (task.as_ref().vtable.read_output)(task, to) }
}

/// Drops the output, which belongs to the caller. A panic in its `Drop` is contained.
pub(super) unsafe fn discard_output(task: NonNull<Header>) {
    // SAFETY: passed on.
    contain::call(|| unsafe { (task.as_ref().vtable.drop_output)(task) });
}

/// Gives up a reference; the last frees the task.
///
/// # Safety
///
/// The caller owns the reference.
pub(crate) unsafe fn drop_reference(task: NonNull<Header>) {
    // SAFETY: the reference keeps the header alive until here; the last one frees it.
    unsafe {
        if task.as_ref().state.drop_reference() {
            free_last(task);
        }
    }
}

/// Frees a task whose last reference is gone.
///
/// # Safety
///
/// That reference was the caller's.
unsafe fn free_last(task: NonNull<Header>) {
    // SAFETY: passed on.
    unsafe { (task.as_ref().vtable.free)(task) }
}

/// Drops the output and frees the task.
///
/// # Safety
///
/// The future has ended, and nobody else can reach the task (`state` rule 5).
unsafe fn free_with_output(task: NonNull<Header>) {
    // SAFETY: passed on. The output goes with the cell.
    unsafe { free_last(task) }
}

enum Outcome<O> {
    Output(O),
    Panic(Box<dyn Any + Send>),
    Cut,
}

unsafe fn poll<F: Future, S: Settle<F::Output>>(task: NonNull<Header>, turn: Turn) -> bool {
    // SAFETY: `RUNNING` is ours (caller), so the task has not ended (T1).
    let header = unsafe { task.as_ref() };
    // What is armed later than this, in this turn, does not become due in it: so at the end of the turn there is no second look.
    let (own, notes) = header.extras.at_poll(|| header.own_or_make());
    let node = if own.is_null() { header.base() } else { own };
    // SAFETY: T2, T6.
    let node = unsafe { &*node };
    let next = context::with_task(task, node, turn.budget, || {
        watch::step_begins(header, turn);
        let waker = waker_ref(header);
        let mut cx = Context::from_waker(&waker);
        let mut deliver = !node.is_effective();
        if let Some(notes) = notes {
            notes.turn_begins();
        }
        let outcome = loop {
            let yields = context::yields();
            // SAFETY: `RUNNING` is ours (T4); the future never moves: it lies in the cell.
            let polled = catch_unwind(AssertUnwindSafe(|| unsafe { poll_future::<F, S>(task, &mut cx) }));
            match polled {
                Ok(Poll::Ready(output)) => break Outcome::Output(output),
                Err(panic) => break Outcome::Panic(panic),
                Ok(Poll::Pending) if !is_cut(header, yields, &cx) => {
                    if let Some(notes) = notes {
                        notes.turn_ends(|| is_due(header)).tell();
                    }
                    if context::must_ask_again() {
                        let _ = header.state.notify(); // We hold `RUNNING`, so it is noted, and queues nothing.
                    }
                    watch::step_ends(header, turn);
                    return match header.state.stop_running(header.is_listed(), context::has_woken_itself()) {
                        Stopped::Again => Next::Again,
                        Stopped::Idle => Next::Idle,
                    };
                }
                // Cancelled during this poll, as something was woken: what was completed before the cancel is delivered first.
                Ok(Poll::Pending) if std::mem::take(&mut deliver) && is_due(header) => {}
                Ok(Poll::Pending) => break Outcome::Cut,
            }
        };
        let due = notes.map_or(Due::NONE, |notes| notes.turn_ends(|| false));
        // SAFETY: `RUNNING` is ours, and the future has not been finished before.
        unsafe { finish::<F, S>(task, outcome, turn) };
        due.tell();
        Next::Ended
    });
    match next {
        Next::Idle => false,
        Next::Again => true, // `stop_running` has left the queue entry to us.
        // SAFETY: the future's own token, given back once. No task is current here.
        Next::Ended => unsafe {
            if task.as_ref().state.give_token_back() {
                context::worker(|worker| end_outside(task, worker, worker.map(|worker| &*worker.kept)));
            }
            false
        },
    }
}

/// What the poll of a task leaves to do when the task is not the current one any more.
enum Next {
    Idle,
    Again,
    Ended,
}

/// The future has ended, one way or another.
unsafe fn finish<F: Future, S: Settle<F::Output>>(task: NonNull<Header>, outcome: Outcome<F::Output>, turn: Turn) {
    // SAFETY: `RUNNING` is ours.
    let header = unsafe { task.as_ref() };
    let base = header.borrow_base();
    // The panic of the poll first: it is the cause, whatever the drop of the future makes of it.
    let outcome = match outcome {
        Outcome::Panic(panic) => {
            nursery::report_panic(&base, panic);
            None
        }
        other => Some(other),
    };
    // SAFETY: T4.
    let dropped = catch_unwind(AssertUnwindSafe(|| unsafe { ManuallyDrop::drop(&mut (*stage::<F, S>(task)).future) }));
    if let Err(panic) = dropped {
        nursery::report_panic(&base, panic);
    }
    header.report_held();
    if !header.locals().is_null() {
        context::clear_locals();
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(header.take_locals())));
        if let Err(panic) = dropped {
            nursery::report_panic(&base, panic);
        }
    }
    if let Some(own) = header.own_node() {
        nursery::bodies_gone(own);
    }
    let value = match outcome {
        Some(Outcome::Output(output)) => match catch_unwind(AssertUnwindSafe(|| S::settle(&base, header, output))) {
            Ok(value) => value,
            Err(panic) => {
                nursery::report_panic(&base, panic);
                None
            }
        },
        Some(Outcome::Cut) => {
            // Not if only this task was cancelled. What the base says now may have been changed by a shield.
            let by_base = base.is_effective() || !header.own_node().is_some_and(|own| own.is_cancelled());
            // A service that was cut has taken nothing from what its nursery has to give.
            if by_base && !header.is_service() && !base.has(crate::scope::node::flag::CHILD_CUT) {
                base.set(crate::scope::node::flag::CHILD_CUT);
            }
            None
        }
        Some(Outcome::Panic(_)) | None => None,
    };
    // Without a handle nobody asks for the value, nor why there is none; but it may have to be dropped where no task is current.
    if header.state.has_handle() || (value.is_some() && std::mem::needs_drop::<S::Value>()) {
        let result = value.ok_or_else(|| Cancelled { reason: header.own_node().unwrap_or(&base).reason() });
        // SAFETY: T4; the future is gone, so nothing is in the stage.
        unsafe { put_output::<F, S>(task, result) };
    }
    watch::step_ends(header, turn);
    header.marks.set(FUTURE_ENDED);
}

/// Ends the task: the last token is back.
///
/// # Safety
///
/// The future has ended, and this is called once.
pub(super) unsafe fn end(task: NonNull<Header>) {
    // What is dropped from here on (the value, a nursery's loan) may be users'. It must not find a task that has ended, and can not be given tokens.
    // SAFETY: passed on.
    context::without_task(|| context::worker(|worker| unsafe { end_outside(task, worker, None) }));
}

/// As `end`, where no task is current. `kept`: for a caller that returns to the worker's loop at once.
///
/// # Safety
///
/// As `end`.
unsafe fn end_outside(task: NonNull<Header>, worker: Option<&Worker>, kept: Option<&Kept>) {
    // SAFETY: T1, T2: until the end of this function.
    let header = unsafe { task.as_ref() };
    let (base, service, main) = (header.base, header.is_service(), header.is_main());
    // SAFETY: every base has a place, and the task counts in it.
    let runtime = unsafe { header.runtime() };
    let at_end = header.own_node().and_then(|own| leave_tree(header, own));
    unregister(header);
    watch::exits(header, worker);
    // SAFETY: the task's reference to itself (T1), given up once. It is in no list any more (`state` rule 5).
    unsafe {
        if header.state.is_alone() {
            header.tell_end();
            free_with_output(task);
        } else if !header.state.complete_for_handle() {
            complete(task);
        }
    }
    if let Some(at_end) = at_end {
        at_end();
    }
    if main {
        // SAFETY: the task still counts in the root, so its run has not ended.
        unsafe { runtime.as_ref() }.present.main_ended();
    }
    // SAFETY: the task's count in the nursery (T2), given up once, last.
    unsafe {
        match kept {
            Some(kept) if !service && !main => kept.keep(base),
            _ => nursery::leave_as(base, service),
        }
    }
}

/// The end of a task that has a node of its own. What is to be run when the task has ended.
#[cold]
fn leave_tree(header: &Header, own: &Node) -> Option<Box<dyn FnOnce() + Send>> {
    let (panic, at_end) = {
        let mut inner = own.inner.lock();
        inner.extra.as_mut().map_or((None, None), |extra| (extra.panic.take(), extra.at_end.take()))
    };
    if let Some(panic) = panic {
        // Of a nursery of this task that was dropped.
        let base = header.borrow_base();
        nursery::keep_panic(&base, panic);
        base.cancel_once(|| CancelReason::child(CancelSource::Panicked, header));
    }
    // SAFETY: T6: the node lives in an `Arc` of which the task holds a reference.
    let own = unsafe {
        Arc::increment_strong_count(std::ptr::from_ref(own));
        Arc::from_raw(std::ptr::from_ref(own))
    };
    own.detach_task();
    at_end
}

/// The end of a task that others refer to.
///
/// # Safety
///
/// `RUNNING` and the task's reference to itself are the caller's; the latter is used up.
unsafe fn complete(task: NonNull<Header>) {
    // SAFETY: the reference keeps the task.
    let header = unsafe { task.as_ref() };
    let completed = header.state.complete();
    header.tell_end();
    if !completed.has_handle {
        // SAFETY: without a handle the output is ours.
        unsafe { discard_output(task) };
    } else if completed.has_waker {
        // `state` rule 3.
        contain::call(|| header.extras.wake_waker());
    }
    // SAFETY: passed on.
    unsafe { drop_reference(task) };
}

fn stage<F: Future, S: Settle<F::Output>>(task: NonNull<Header>) -> *mut Stage<F, S::Value> {
    let cell = task.cast::<Cell<F, S>>().as_ptr();
    // SAFETY: the vtable of a task is made for its own `F` and `S`; only the address of the field is taken.
    unsafe { UnsafeCell::raw_get(&raw const (*cell).stage) }
}

unsafe fn poll_future<F: Future, S: Settle<F::Output>>(task: NonNull<Header>, cx: &mut Context<'_>) -> Poll<F::Output> {
    // SAFETY: T4 (caller): a task that is polled has its future. That is never moved out of the stage, which stays where it is.
    unsafe { Pin::new_unchecked(&mut *(*stage::<F, S>(task)).future) }.poll(cx)
}

/// Puts the output in the stage.
///
/// # Safety
///
/// T4; nothing is in the stage.
#[inline]
unsafe fn put_output<F: Future, S: Settle<F::Output>>(task: NonNull<Header>, output: Result<S::Value, Cancelled>) {
    let stage = stage::<F, S>(task);
    // SAFETY: passed on; a reason fits (`REASON_FITS`), or lies in a box.
    let mark = unsafe {
        match output {
            Ok(value) => {
                (&raw mut (*stage).value).write(ManuallyDrop::new(value));
                VALUE
            }
            Err(cancelled) => {
                if Cell::<F, S>::REASON_FITS {
                    stage.cast::<Cancelled>().write(cancelled);
                } else {
                    (&raw mut (*stage).boxed).write(ManuallyDrop::new(Box::new(cancelled)));
                }
                NO_VALUE
            }
        }
    };
    // SAFETY: the task is alive (caller).
    unsafe { task.as_ref() }.marks.set(mark);
}

/// Takes the output out of the stage, if there is any.
///
/// # Safety
///
/// T4, after the end of the future.
#[inline]
unsafe fn get_output<F: Future, S: Settle<F::Output>>(task: NonNull<Header>) -> Option<Result<S::Value, Cancelled>> {
    let stage = stage::<F, S>(task);
    // SAFETY: the task is alive (caller).
    let marks = &unsafe { task.as_ref() }.marks;
    // SAFETY: passed on; the marks say what `put_output` has put there, and that it was not taken.
    let output = unsafe {
        if marks.has(VALUE) {
            Ok(ManuallyDrop::into_inner((&raw const (*stage).value).read()))
        } else if !marks.has(NO_VALUE) {
            return None;
        } else if Cell::<F, S>::REASON_FITS {
            Err(stage.cast::<Cancelled>().read())
        } else {
            Err(*ManuallyDrop::into_inner((&raw const (*stage).boxed).read()))
        }
    };
    marks.clear(VALUE | NO_VALUE);
    Some(output)
}

unsafe fn read_output<F: Future, S: Settle<F::Output>>(task: NonNull<Header>, to: *mut ()) {
    // SAFETY: the output is the caller's, and `to` has the right type.
    unsafe { *to.cast::<Option<Result<S::Value, Cancelled>>>() = get_output::<F, S>(task) };
}

unsafe fn drop_output<F: Future, S: Settle<F::Output>>(task: NonNull<Header>) {
    let stage = stage::<F, S>(task);
    // SAFETY: as in `get_output`; a value is dropped where it lies.
    unsafe {
        if task.as_ref().marks.has(VALUE) {
            task.as_ref().marks.clear(VALUE);
            ManuallyDrop::drop(&mut (*stage).value);
        } else {
            drop(get_output::<F, S>(task));
        }
    }
}

unsafe fn free<F: Future, S: Settle<F::Output>>(task: NonNull<Header>) {
    // SAFETY: the last reference is gone.
    let header = unsafe { task.as_ref() };
    // SAFETY: as above; once.
    unsafe { header.extras.drop_all() };
    // The future is gone (T1, T4), and the locals with it (`finish`).
    debug_assert!(header.marks.has(FUTURE_ENDED));
    let (class, layout) = match header.marks.has(LOCALS) {
        false => (Cell::<F, S>::CLASS, Cell::<F, S>::LAYOUT),
        true => (Cell::<F, S>::CLASS_WITH_LOCALS, Cell::<F, S>::WITH_LOCALS),
    };
    // SAFETY: as above; the block was taken for this very layout in `new`.
    unsafe {
        if header.marks.has(VALUE | NO_VALUE) {
            contain::call(|| drop_output::<F, S>(task));
        }
        const { assert!(!std::mem::needs_drop::<Header>()) };
        context::worker(|worker| memory::put(task.cast(), class, layout, worker));
    }
}
