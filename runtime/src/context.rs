//! What the running thread is doing: for which worker, in which task, inside which scope, with how much budget left.
//!
//! Set by the worker for the poll of a task, narrowed by each scope for the poll of its inside, and restored on the way out, also
//! by a panic. What the code there sees of locals is set with them.
//!
//! Invariant **C1**: while `task` is set, the task, `node` and `worker` outlive the frame that set them; whoever reads one here uses it
//! only before that frame returns. Between `node` and the running code there may be scopes without a node (`scope::unmade`), in `unmade`; whoever wants more
//! of the node than a look at its marks has them made first.
#![allow(unsafe_code)]

mod budget;
mod notes;
mod standing;

pub(crate) use budget::{give_back_unit, has_budget, left_of_budgets, take_unit, use_up_budget};
pub(crate) use notes::note_held;
use notes::{note, note_now};
pub(crate) use standing::{Around, Standing};

use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use crate::local::{Bindings, Carried};
use crate::nursery;
use crate::primitives::per_thread;
use crate::scheduler::{Shared, Worker};
use crate::scope::Node;
use crate::scope::node::{Place, flag};
use crate::scope::unmade::{Unmade, make_all};
use crate::scope::unmarked;
use crate::task::{Header, TaskId};

struct Context {
    worker: Cell<*const Worker>,
    /// The worker's runtime notes what tasks do.
    tracks: Cell<bool>,
    task: Cell<*const Header>,
    node: Cell<*const Node>,
    /// The innermost of the scopes that have no node (`scope::unmade` U1).
    unmade: Cell<*const Unmade>,
    /// How often a holder that has no node has only yielded (`scope::unmade` U2).
    yields: Cell<u32>,
    budget: Cell<u32>,
    /// What all polls on this thread have left of their budgets; it wraps round.
    left: Cell<u64>,
    /// The task has had itself woken in this poll, which its state does not say yet (`task::state` rule 6).
    woken: Cell<bool>,
    /// Some leaf was refused with the task's own waker, when so many marks had been taken back (`scope::shield` A2).
    refused: Cell<Option<u64>>,
    /// What is bound to task locals (`local` V2).
    locals: Cell<*const Bindings>,
    /// Outside tasks: what was carried here from one (`local` V2).
    carried: Cell<*const Carried>,
}

per_thread! {
    static CONTEXT: Context = const {
        Context {
            worker: Cell::new(ptr::null()),
            tracks: Cell::new(false),
            task: Cell::new(ptr::null()),
            node: Cell::new(ptr::null()),
            unmade: Cell::new(ptr::null()),
            yields: Cell::new(0),
            budget: Cell::new(0),
            left: Cell::new(0),
            woken: Cell::new(false),
            refused: Cell::new(None),
            locals: Cell::new(ptr::null()),
            carried: Cell::new(ptr::null()),
        }
    };
}

/// This thread's context; `None` while the thread ends. For what is in the way of every operation: `CONTEXT.try_with` with all of it as a closure may be a call, to which what the closure captures goes through memory.
///
/// It stays where it is, and alive, until the thread ends, and so at least until the caller returns.
#[inline]
fn this_thread() -> Option<NonNull<Context>> {
    CONTEXT.try_with(|context| NonNull::from(context)).ok()
}

/// Runs `f` as the worker of this thread.
pub(crate) fn with_worker<R>(worker: &Worker, f: impl FnOnce() -> R) -> R {
    struct Reset;
    impl Drop for Reset {
        fn drop(&mut self) {
            CONTEXT.with(|context| {
                context.worker.set(ptr::null());
                context.tracks.set(false);
            });
        }
    }
    CONTEXT.with(|context| {
        context.worker.set(worker);
        context.tracks.set(worker.shared().watch.tracks_tasks());
    });
    let _reset = Reset;
    f()
}

/// Runs `f` as if this thread were no worker. Outside of any task.
pub(crate) fn without_worker<R>(f: impl FnOnce() -> R) -> R {
    struct Reset(*const Worker, bool);
    impl Drop for Reset {
        fn drop(&mut self) {
            CONTEXT.with(|context| {
                context.worker.set(self.0);
                context.tracks.set(self.1);
            });
        }
    }
    let _reset = CONTEXT.with(|context| Reset(context.worker.replace(ptr::null()), context.tracks.replace(false)));
    f()
}

/// The worker that this thread is, if any.
#[inline]
pub(crate) fn worker<R>(f: impl FnOnce(Option<&Worker>) -> R) -> R {
    let worker = CONTEXT.try_with(|context| context.worker.get()).unwrap_or(ptr::null());
    // SAFETY: C1: set by a frame of this thread that has not returned.
    f(unsafe { worker.as_ref() })
}

/// Runs `f` as a poll of `task`, with `node` as the current node.
#[inline(always)]
pub(crate) fn with_task<R>(task: NonNull<Header>, node: &Node, budget: u32, f: impl FnOnce() -> R) -> R {
    struct Reset(*const Header, Scope, u32, bool, *const Bindings);
    impl Drop for Reset {
        #[inline]
        fn drop(&mut self) {
            CONTEXT.with(|context| {
                context.task.set(self.0);
                context.leave(self.1);
                context.left.set(context.left.get().wrapping_add(context.budget.replace(self.2).into()));
                context.woken.set(self.3);
                context.locals.set(self.4);
            });
        }
    }
    // SAFETY: the caller polls the task. Its own bindings are in force until `clear_locals` (`local` V3).
    let locals = unsafe { task.as_ref() }.locals();
    let _reset = CONTEXT.with(|context| {
        Reset(
            context.task.replace(task.as_ptr()),
            context.enter(node),
            context.budget.replace(budget),
            context.woken.replace(false),
            context.locals.replace(locals),
        )
    });
    f()
}

/// Runs `f` with `bindings`, which the caller holds, as what is bound to task locals.
pub(crate) fn with_locals<R>(bindings: *const Bindings, f: impl FnOnce() -> R) -> R {
    struct Reset(*const Bindings);
    impl Drop for Reset {
        fn drop(&mut self) {
            let _ = CONTEXT.try_with(|context| context.locals.set(self.0));
        }
    }
    // A thread that is ending has no context any more, and no bindings.
    let _reset = CONTEXT.try_with(|context| Reset(context.locals.replace(bindings)));
    f()
}

/// What is bound to task locals; null: nothing.
#[inline]
pub(crate) fn locals() -> *const Bindings {
    CONTEXT.try_with(|context| context.locals.get()).unwrap_or(ptr::null())
}

/// The task that is being polled is about to give up its bindings.
pub(crate) fn clear_locals() {
    CONTEXT.with(|context| context.locals.set(ptr::null()));
}

/// Runs `f` with what was carried here from a task.
pub(crate) fn with_carried<R>(carried: &Carried, f: impl FnOnce() -> R) -> R {
    struct Reset(*const Carried);
    impl Drop for Reset {
        fn drop(&mut self) {
            CONTEXT.with(|context| context.carried.set(self.0));
        }
    }
    let _reset = Reset(CONTEXT.with(|context| context.carried.replace(carried)));
    f()
}

/// What was carried here from a task, if any.
pub(crate) fn carried<R>(f: impl FnOnce(Option<&Carried>) -> R) -> R {
    let carried = CONTEXT.try_with(|context| context.carried.get()).unwrap_or(ptr::null());
    // SAFETY: `local` V2: set by a frame of this thread that has not returned.
    f(unsafe { carried.as_ref() })
}

/// The scope that is being polled, if any.
pub(crate) fn current_node() -> Option<Arc<Node>> {
    let node = CONTEXT.try_with(Context::made).unwrap_or(ptr::null());
    if node.is_null() {
        return None;
    }
    // SAFETY: C1: the node is alive now, and every node lives in an `Arc`.
    unsafe {
        Arc::increment_strong_count(node);
        Some(Arc::from_raw(node))
    }
}

/// Runs `f` outside of any task: the one that was being polled may have ended.
pub(crate) fn without_task<R>(f: impl FnOnce() -> R) -> R {
    struct Reset(*const Header, Scope);
    impl Drop for Reset {
        fn drop(&mut self) {
            CONTEXT.with(|context| {
                context.task.set(self.0);
                context.leave(self.1);
            });
        }
    }
    let reset = CONTEXT.try_with(|context| Reset(context.task.replace(ptr::null()), context.enter(ptr::null())));
    let _reset = reset.ok();
    f()
}

/// Runs `f` with `node` as the current node.
pub(crate) fn with_node<R>(node: &Node, f: impl FnOnce() -> R) -> R {
    let _reset = Reset(CONTEXT.with(|context| context.enter(node)));
    f()
}

/// Whether `node` is the current node. Between it and the running code there may be scopes without one.
#[inline]
pub(crate) fn is_node(node: &Node) -> bool {
    CONTEXT.try_with(|context| ptr::eq(context.node.get(), node)).unwrap_or(false)
}

/// Where the running code stands, to come back to it.
#[derive(Clone, Copy)]
struct Scope {
    node: *const Node,
    unmade: *const Unmade,
}

/// Leaves the scope that was entered.
struct Reset(Scope);

impl Drop for Reset {
    #[inline]
    fn drop(&mut self) {
        CONTEXT.with(|context| context.leave(self.0));
    }
}

impl Context {
    fn enter(&self, node: *const Node) -> Scope {
        Scope { node: self.node.replace(node), unmade: self.unmade.replace(ptr::null()) }
    }

    /// Back to where the code around stands; what has no node there may have got one meanwhile.
    #[inline]
    fn leave(&self, to: Scope) {
        // SAFETY: `scope::unmade` U1: the scope's frame is further up this stack, and holds what it has got.
        let made = unsafe { to.unmade.as_ref().and_then(|unmade| unmade.made()) };
        match made {
            Some(made) => {
                self.node.set(Arc::as_ptr(made));
                self.unmade.set(ptr::null());
            }
            None => {
                self.node.set(to.node);
                self.unmade.set(to.unmade);
            }
        }
    }

    /// The present scope's node, which is made if it has none, and linked if it is not.
    fn made(&self) -> *const Node {
        // SAFETY: C1.
        if let Some(node) = unsafe { self.node.get().as_ref() } {
            nursery::link(node);
        }
        let unmade = self.unmade.get();
        if !unmade.is_null() {
            self.unmade.set(ptr::null());
            make_all(unmade);
        }
        self.node.get()
    }
}

/// So often holders without a node have yielded on this thread: what is below a poll is told by a change (`scope::unmade` U2).
#[inline]
pub(crate) fn yields() -> u32 {
    CONTEXT.with(|context| context.yields.get())
}

/// A holder without a node has only yielded.
pub(crate) fn note_yield() {
    CONTEXT.with(|context| context.yields.set(context.yields.get().wrapping_add(1)));
}

/// A scope without a node has got one, `node`, which hangs below the present one.
pub(crate) fn enter_made(node: *const Node) {
    CONTEXT.with(|context| context.node.set(node));
}

/// Whether this thread is polling a task.
pub(crate) fn in_task() -> bool {
    CONTEXT.with(|context| !context.task.get().is_null())
}

/// The task that is being polled.
#[track_caller]
#[inline]
pub(crate) fn task(operation: &str) -> NonNull<Header> {
    NonNull::new(CONTEXT.with(|context| context.task.get()).cast_mut()).unwrap_or_else(|| outside(operation))
}

/// Calls `f` with the task that is being polled, as `task` gave it.
pub(crate) fn with_current<R>(task: NonNull<Header>, f: impl FnOnce(&Header) -> R) -> R {
    debug_assert_eq!(task.as_ptr().cast_const(), CONTEXT.with(|context| context.task.get()));
    // SAFETY: C1: it is being polled further up this stack.
    f(unsafe { task.as_ref() })
}

/// Whether the task that is being polled has been woken meanwhile, and so will be polled again.
#[inline]
pub(crate) fn task_is_due() -> bool {
    CONTEXT.with(|context| {
        // SAFETY: C1.
        unsafe { context.task.get().as_ref() }.is_some_and(|task| context.is_due(task))
    })
}

/// Notes the wake of the task with that header if it is the one that is being polled; false if it is not.
#[inline]
pub(crate) fn wakes_itself(task: *const Header) -> bool {
    let noted = CONTEXT.try_with(|context| {
        let own = ptr::eq(context.task.get(), task);
        if own {
            context.woken.set(true);
        }
        own
    });
    noted.unwrap_or(false)
}

/// Whether the task that is being polled has had itself woken in this poll.
#[inline]
pub(crate) fn has_woken_itself() -> bool {
    CONTEXT.with(|context| context.woken.get())
}

/// Whether the code that is running stands in a cancelled scope.
#[inline]
pub(crate) fn is_cancelled() -> bool {
    CONTEXT.with(Context::is_cancelled)
}

/// Whether the code that is running stands in the parent of `node`, so that this sees to what its surroundings ask for.
pub(crate) fn is_below_parent_of(node: &Node) -> bool {
    let current = CONTEXT.with(|context| context.node.get());
    node.parent().is_some_and(|parent| {
        // A task that had no node of its own when the poll began stands in its base.
        ptr::eq(Arc::as_ptr(parent), current)
            || (parent.has(flag::TASK_ROOT) && parent.parent().is_some_and(|base| ptr::eq(Arc::as_ptr(base), current)))
    })
}

/// Whether it is noted what tasks do.
#[inline]
pub(crate) fn tracks() -> bool {
    CONTEXT.with(|context| context.tracks.get())
}

/// A reference to the runtime of the task that is being polled.
#[track_caller]
pub(crate) fn hold_runtime(operation: &str) -> Arc<Shared> {
    let task = task(operation);
    // SAFETY: C1: the task is being polled, so its run has not ended; and `Shared` lives in an `Arc`.
    unsafe {
        let runtime = task.as_ref().runtime();
        Arc::increment_strong_count(runtime.as_ptr());
        Arc::from_raw(runtime.as_ptr().cast_const())
    }
}

/// Tells of the task that is being polled, if one is.
#[inline]
pub(crate) fn with_current_task<R>(f: impl FnOnce(&Header) -> R) -> Option<R> {
    with_task_if_any(|task| task.map(f))
}

/// Calls `f` with the task that is being polled, if there is one: one look at the thread's context for all that `f` needs of it.
#[inline]
pub(crate) fn with_task_if_any<R>(f: impl FnOnce(Option<&Header>) -> R) -> R {
    // SAFETY: as `this_thread` says; and C1.
    f(unsafe { this_thread().and_then(|context| context.as_ref().task.get().as_ref()) })
}

/// The worker, for `f`, if the task that it polls counts in `node` as an ordinary child; false otherwise.
#[inline]
pub(crate) fn worker_of_child(node: &Node, f: impl FnOnce(&Worker) -> bool) -> bool {
    let found = CONTEXT.try_with(|context| (context.task.get(), context.worker.get()));
    let (task, worker) = found.unwrap_or((ptr::null(), ptr::null()));
    // SAFETY: C1, for both.
    let (task, worker) = unsafe { (task.as_ref(), worker.as_ref()) };
    task.is_some_and(|task| ptr::eq(task.counts_in(), node)) && worker.is_some_and(f)
}

/// Whether the task that is being polled is that with `id`.
pub(crate) fn is_task(id: TaskId) -> bool {
    let task = CONTEXT.with(|context| context.task.get());
    // SAFETY: C1.
    unsafe { task.as_ref() }.is_some_and(|task| task.id() == id)
}

/// Where a new scope of the running task hangs: below the scope that is being polled.
#[track_caller]
pub(crate) fn place(operation: &'static str) -> Place {
    let place = place_uncounted(operation);
    if let Some(parent) = &place.parent {
        // SAFETY: the node lives in an `Arc`.
        unsafe { Arc::increment_strong_count(Arc::as_ptr(parent)) };
    }
    ManuallyDrop::into_inner(place)
}

/// As `place`, without a count for the reference to the parent, which outlives this frame.
#[track_caller]
pub(crate) fn place_uncounted(operation: &'static str) -> ManuallyDrop<Place> {
    let task = task(operation);
    note(operation);
    let node = CONTEXT.with(Context::made);
    // SAFETY: C1.
    let (header, current) = unsafe { (task.as_ref(), &*node) };
    let ours = current.place().is_some_and(|place| place.task_id == header.id());
    // Otherwise: the base of the task, or a scope that was entered by another task and moved into this one: its tree is not ours.
    let parent = if ours { node } else { header.own_or_make() };
    // SAFETY: the task is being polled, so it has not ended; and C1: the node is alive now, and lives in an `Arc`.
    let (runtime, parent) = unsafe { (header.runtime(), Arc::from_raw(parent)) };
    ManuallyDrop::new(Place { parent: Some(parent), runtime, task, task_id: header.id(), operation })
}

/// The gate of every leaf; see `lowlevel::poll_checkpoint`.
#[inline(always)]
pub(crate) fn poll_checkpoint(cx: &mut TaskContext<'_>, operation: &'static str) -> Poll<()> {
    poll_past_checkpoint(cx, operation, |_| ())
}

/// As `poll_checkpoint`, where that would be ready, and there is nothing to note; false otherwise, and nothing has happened.
#[inline]
pub(crate) fn passes_checkpoint() -> bool {
    // SAFETY: as `this_thread` says.
    this_thread().is_some_and(|context| unsafe { context.as_ref() }.passes())
}

/// As `poll_checkpoint`; past it `f` gets the running task. (Without one only in models of a leaf by itself.) It is one look at the thread's context for both, and what is rare
/// stands elsewhere: this is in the way of every operation.
#[inline(always)]
pub(crate) fn poll_past_checkpoint<R>(
    cx: &mut TaskContext<'_>,
    operation: &'static str,
    f: impl FnOnce(Option<&Header>) -> R,
) -> Poll<R> {
    let Some(context) = this_thread() else { outside(operation) };
    // SAFETY: as `this_thread` says.
    let context = unsafe { context.as_ref() };
    if !context.passes() && context.stops(cx, operation) {
        return Poll::Pending;
    }
    // SAFETY: C1.
    Poll::Ready(f(unsafe { context.task.get().as_ref() }))
}

/// Whether the code that is running stands in a cancelled scope, and so a leaf that begins is to stay pending.
pub(crate) fn is_refused(cx: &TaskContext<'_>) -> bool {
    CONTEXT.with(|context| {
        // SAFETY: C1.
        unsafe { context.node.get().as_ref() }.is_some_and(|node| node.is_effective() && context.refuses(cx))
    })
}

/// Whether the poll of the task that is about to end has to be followed by another one, because a mark was taken back meanwhile (`scope::shield` A2).
/// Everything in the task is registered.
#[inline]
pub(crate) fn must_ask_again() -> bool {
    CONTEXT.with(|context| {
        let refused = context.refused.get();
        refused.is_some_and(|before| {
            context.refused.set(None);
            before != unmarked()
        })
    })
}

impl Context {
    /// The gate, in nearly all cases: takes a unit of the budget. False if more is to be looked at.
    #[inline]
    fn passes(&self) -> bool {
        // SAFETY: C1.
        let Some(node) = (unsafe { self.node.get().as_ref() }) else { return false };
        if node.is_effective() {
            return false;
        }
        if self.tracks.get() {
            return false;
        }
        let Some(rest) = self.budget.get().checked_sub(1) else { return false };
        self.budget.set(rest);
        true
    }

    /// The gate, in all cases. Whether the leaf is to stay pending.
    #[cold]
    fn stops(&self, cx: &TaskContext<'_>, operation: &'static str) -> bool {
        // SAFETY: C1.
        let Some(node) = (unsafe { self.node.get().as_ref() }) else {
            // A model of a leaf by itself has no run round it: there the gate stands open.
            return if cfg!(loom) { false } else { outside(operation) };
        };
        if self.tracks.get() {
            note_now(operation);
        }
        if node.is_effective() && self.refuses(cx) {
            return true;
        }
        let budget = self.budget.get();
        if budget == 0 {
            cx.waker().wake_by_ref();
            return true;
        }
        self.budget.set(budget - 1);
        false
    }

    /// Whether `task`, which is being polled, has been woken in that poll.
    #[inline]
    fn is_due(&self, task: &Header) -> bool {
        self.woken.get() || task.state.is_notified()
    }

    #[inline]
    fn is_tasks_own(&self, cx: &TaskContext<'_>) -> bool {
        ptr::eq(cx.waker().data().cast::<Header>(), self.task.get())
    }

    #[inline]
    fn is_cancelled(&self) -> bool {
        self.node_is_effective() && (self.unmade.get().is_null() || self.is_cancelled_inside())
    }

    /// There may be a shield among the scopes that have no node.
    #[cold]
    fn is_cancelled_inside(&self) -> bool {
        self.made();
        self.node_is_effective()
    }

    #[inline]
    fn node_is_effective(&self) -> bool {
        // SAFETY: C1.
        unsafe { self.node.get().as_ref() }.is_some_and(Node::is_effective)
    }

    /// Refuses a leaf in a cancelled scope. False if the scope is not cancelled after all.
    #[cold]
    fn refuses(&self, cx: &TaskContext<'_>) -> bool {
        // SAFETY: C1; there is one, which the caller has found cancelled.
        let node = unsafe { &*self.made() };
        if !node.is_effective() {
            return false;
        }
        if !self.is_tasks_own(cx) {
            return node.refuse(cx.waker());
        }
        // Of several, the first counts.
        let before = unmarked();
        self.refused.set(self.refused.get().or(Some(before)));
        node.is_effective()
    }
}

#[cold]
#[track_caller]
pub(crate) fn outside(operation: &str) -> ! {
    panic!(
        "trioxide: `{operation}` was called outside a run; call it from a future that `trioxide::run` (or `Runtime::run`, or a nursery's `spawn`) runs"
    )
}
