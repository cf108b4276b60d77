//! A task: one allocation that holds the header, the state word, and the future or its output.
//!
//! ```text
//!  Cell<F, S>
//!  ┌ Header ──────────────────────────────────────────────────┐┌ stage ──────────────────────┐┌ locals ──────┐
//!  │ state  vtable  base  links  id  extras  spawn site  marks ││ the future, then the output ││ if there are │
//!  └──────────────────────────────────────────────────────────┘└─────────────────────────────┘└──────────────┘
//! ```
//!
//! There may be millions of tasks, and a spawn writes all of it: so a header has no word that one of the others can do for. `cell` asserts how large it is.
//!
//! | file | duty |
//! | --- | --- |
//! | `state` | the state word: bits, transitions |
//! | `mod` (here) | the header, and what others may do with a task of unknown type |
//! | `cell` | the allocation, the poll of a task, the way from `Ready`, a panic or a cut to its end |
//! | `waker` | the waker |
//! | `extras` | its own node, a request to cancel it, the waker of its handle, what is told after a turn |
//! | `marks`, `site` | what is said in one bit each; where it was spawned, in four bytes |
//! | `memory` | where cells lie, and lie again |
//! | `handle` | `Task<T>` |
//! | `after` | what is told at the end of a turn, and of locks left behind |
//!
//! Invariants:
//! - **T1** A task that has not ended holds a reference to itself (`state` rule 2).
//! - **T2** `base`, the node of the nursery it was spawned into, is alive while the task has not ended: the task counts in `base.live`,
//!   and gives that up last of all.
//! - **T3** `links` are used, and `linked` is changed, under the lock of the list of `base` that the task is in (`scope::suspended` S1). A task is unlinked before it ends.
//! - **T4** The stage, and the marks that say what it holds, are touched by the holder of `RUNNING`, and after the end by the owner of the output (`state` rule 4). It holds the future until that has ended
//!   (`FUTURE_ENDED`), and after that the output, if a mark says so.
//! - **T5** A task ends when its future has ended and every token is back: there is one for the future, and each nursery or
//!   thread-pool call that the task has begun holds one more. The last to give one back ends the task, on its thread.
//! - **T6** Among the `extras` there may be a node, the task's own. Only the holder of `RUNNING` puts it there; it stays until the task is freed.
#![allow(unsafe_code)]

pub(crate) mod after;
pub(crate) mod cell;
pub(crate) mod extras;
pub(crate) mod handle;
mod marks;
pub(crate) mod memory;
mod site;
pub(crate) mod state;
pub(crate) mod waker;

use std::fmt;
use std::mem::ManuallyDrop;
use std::panic::Location;
use std::ptr::{self, NonNull};
use std::sync::{Arc, Weak};
use std::task::Context as TaskContext;

pub use handle::Task;

use crate::context;
use crate::list::{Linked, Links, List};
use crate::local::{Bindings, Locals};
use crate::primitives::atomic::AtomicU8;
use crate::primitives::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::scheduler::{self, How, Shared};
use crate::scope::guard::Settled;
use crate::scope::node::{Doing, Place, flag};
use crate::scope::suspended::NOWHERE;
use crate::scope::{CancelReason, Node};
use crate::watch::Held;
use extras::{Extras, Requested};
use marks::{FUTURE_ENDED, LOCALS, MAIN, Marks, REGISTERED, SERVICE};
use site::Site;
use state::{Notify, State};

/// The part of a task that does not depend on its future. See the module.
#[repr(C)]
pub(crate) struct Header {
    pub(crate) state: State,
    vtable: &'static cell::VTable,
    base: NonNull<Node>,
    links: Links<Header>,
    id: TaskId,
    extras: Extras,
    spawned_at: Site,
    holds: after::Holds,
    /// In which of the lists of its base it is (`scope::suspended` S1).
    linked: AtomicU8,
    marks: Marks,
}

/// Identifies a task of this process; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId(pub(crate) u64);

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// What a task is at, in a [`TaskTree`](crate::TaskTree).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskState {
    /// It waits for a worker.
    Queued,
    /// A worker polls it.
    Running,
    /// It waits to be woken.
    Suspended,
    /// Its future has ended; a nursery that was dropped or forgotten half-way, or a call on the thread pool, has not.
    FutureEnded,
}

// SAFETY: always the same field, reached through a raw pointer.
unsafe impl Linked for Header {
    unsafe fn links(element: NonNull<Self>) -> NonNull<Links<Self>> {
        // SAFETY: `element` is live (caller); no reference to the whole header is made.
        unsafe { NonNull::new_unchecked(&raw mut (*element.as_ptr()).links) }
    }
}

// SAFETY: the header is shared by design: `links` are under the lock of a list (T3), `extras` follow E1 to E4, `base` T2.
unsafe impl Send for Header {}
// SAFETY: as above.
unsafe impl Sync for Header {}

impl Header {
    #[inline]
    pub(crate) fn base(&self) -> *const Node {
        self.base.as_ptr()
    }

    /// The node of the nursery that the task is in, for as long as the task has not left it (T2).
    #[inline]
    fn borrow_base(&self) -> ManuallyDrop<Arc<Node>> {
        // SAFETY: T2; every base is in an `Arc`, whose reference this does not give up.
        ManuallyDrop::new(unsafe { Arc::from_raw(self.base.as_ptr().cast_const()) })
    }

    /// Whether it can be found without a reference: it stands in a list of its base. Acquire pairs with the release in `wake_and_unlink`.
    #[inline]
    fn is_listed(&self) -> bool {
        self.linked.load(Acquire) != NOWHERE
    }

    #[inline]
    pub(crate) fn is_main(&self) -> bool {
        self.marks.has(MAIN)
    }

    /// The node in which it counts as an ordinary child; null for a service.
    #[inline]
    pub(crate) fn counts_in(&self) -> *const Node {
        if self.is_service() { ptr::null() } else { self.base.as_ptr() }
    }

    /// Whether it counts in its nursery as a service.
    #[inline]
    pub(crate) fn is_service(&self) -> bool {
        self.marks.has(SERVICE)
    }

    /// Whether it has not waited for anything yet. Called by the holder of `RUNNING`.
    #[inline]
    pub(crate) fn is_newborn(&self) -> bool {
        !self.marks.has(MAIN | REGISTERED)
    }

    pub(crate) fn id(&self) -> TaskId {
        self.id
    }

    pub(crate) fn spawned_at(&self) -> &'static Location<'static> {
        self.spawned_at.get()
    }

    /// What is bound to locals for this task. Called by the holder of `RUNNING`, as is `take_locals`.
    #[inline]
    pub(crate) fn locals(&self) -> *const Bindings {
        if !self.marks.has(LOCALS) {
            return ptr::null();
        }
        // SAFETY: `local` V3.
        unsafe { &*self.locals_slot() }.as_ptr()
    }

    fn take_locals(&self) -> Locals {
        // SAFETY: `local` V3.
        std::mem::take(unsafe { &mut *self.locals_slot() })
    }

    /// Where they lie. They have been put there (`LOCALS`).
    fn locals_slot(&self) -> *mut Locals {
        // SAFETY: the cell of a task with locals has them there, in one allocation with this header.
        unsafe { ptr::from_ref(self).cast_mut().byte_add(self.vtable.locals_at).cast() }
    }

    /// The name that the task was given. Called by the holder of `RUNNING`.
    pub(crate) fn name(&self) -> Option<Arc<str>> {
        self.own_node()?.inner.lock().extra.as_ref()?.name.clone()
    }

    /// The task that opened the nursery which this task is in. Called while the task has not ended.
    pub(crate) fn parent(&self) -> Option<TaskId> {
        // SAFETY: T2, and every base has a place. The root of a run is no task's.
        let place = unsafe { self.base.as_ref() }.place().expect("a task's base is attached");
        place.parent.is_some().then_some(place.task_id)
    }

    /// For those who look on.
    pub(crate) fn state(&self) -> TaskState {
        if self.marks.has(FUTURE_ENDED) {
            return TaskState::FutureEnded;
        }
        match (self.state.is_running(), self.state.is_notified()) {
            (true, _) => TaskState::Running,
            (false, true) => TaskState::Queued,
            (false, false) => TaskState::Suspended,
        }
    }

    /// Whether it has a node of its own.
    pub(crate) fn has_node(&self) -> bool {
        self.own_node().is_some()
    }

    /// Notes what the task is doing. Called by the holder of `RUNNING`.
    pub(crate) fn note(&self, doing: Doing) {
        self.own_node_or_make().inner.lock().extra().doing = Some(doing);
    }

    /// Notes what it waits for in the operation that it has begun last. Called by the holder of `RUNNING`.
    pub(crate) fn note_held(&self, held: Weak<dyn Held>) {
        if let Some(doing) = &mut self.own_node_or_make().inner.lock().extra().doing {
            doing.held = Some(held);
        }
    }

    /// The operation that it has begun last, if that was noted.
    pub(crate) fn doing(&self) -> Option<&'static str> {
        let inner = self.own_node()?.inner.lock();
        inner.extra.as_ref()?.doing.as_ref().map(|doing| doing.operation)
    }

    /// The name of the future's type.
    pub(crate) fn type_name(&self) -> fn() -> &'static str {
        self.vtable.type_name
    }

    /// The runtime of a task that has not ended.
    ///
    /// # Safety
    ///
    /// The task has not ended.
    pub(crate) unsafe fn runtime(&self) -> NonNull<Shared> {
        // SAFETY: T2, and every base has a place.
        unsafe { self.base.as_ref() }.place().expect("a task's base is attached").runtime
    }

    /// The task's own node, if it has one.
    #[inline]
    fn own_node(&self) -> Option<&Node> {
        self.extras.node()
    }

    /// The task's own node. Called by the holder of `RUNNING`.
    pub(crate) fn own_node_or_make(&self) -> Arc<Node> {
        let own = self.own_or_make();
        // SAFETY: T6: the node lives in an `Arc` of which the task holds a reference.
        unsafe {
            Arc::increment_strong_count(own);
            Arc::from_raw(own)
        }
    }

    /// The same, without a reference. It stays until the task is freed.
    pub(crate) fn own_or_make(&self) -> *const Node {
        match self.own_node() {
            Some(own) => own,
            None => self.adopt_node(Node::unattached(flag::TASK_ROOT)),
        }
    }

    /// Makes `node`, which hangs nowhere yet, the task's own. Called by the holder of `RUNNING`, when the task has none.
    pub(crate) fn adopt_node(&self, node: Arc<Node>) -> &Node {
        let waker = waker::waker(self);
        // SAFETY: T2: the base is alive, and it is in an `Arc`.
        let base = unsafe {
            Arc::increment_strong_count(self.base.as_ptr());
            Arc::from_raw(self.base.as_ptr().cast_const())
        };
        // SAFETY: the holder of `RUNNING` calls, so the task has not ended.
        let runtime = unsafe { self.runtime() };
        node.inner.lock().owner = Some(waker);
        node.attach(Place {
            parent: Some(base),
            runtime,
            task: NonNull::from(self),
            task_id: self.id,
            operation: "task",
        });
        let own = Arc::as_ptr(&node);
        if let Some(reason) = self.extras.put_node(node) {
            // SAFETY: T6: it stays there, in an `Arc` whose reference this does not give up.
            ManuallyDrop::new(unsafe { Arc::from_raw(own) }).cancel(reason);
        }
        // SAFETY: T6.
        unsafe { &*own }
    }

    /// Cancels this task alone. The caller holds a reference.
    pub(crate) fn cancel(&self, reason: CancelReason) {
        match self.extras.ask(reason) {
            Requested::Noted => self.wake(),
            Requested::Before => {}
            Requested::HasNode(reason) => self.own_node_or_make().cancel(reason),
        }
    }

    /// Sees to it that the task is polled. The caller holds a reference, or knows that the task has not ended.
    #[inline]
    pub(crate) fn wake(&self) {
        if self.state.notify() == Notify::Enqueue {
            // SAFETY: the queue entry is ours, so the task cannot end before it is queued and taken.
            unsafe { scheduler::enqueue(NonNull::from(self), How::Wake) };
        }
    }

    /// One token more. The caller is being polled as this task, or holds a token.
    pub(crate) fn add_token(&self) {
        self.state.add_token();
    }
}

/// Gives one token back; the last one ends the task (T5).
///
/// # Safety
///
/// The caller owns a token of the task.
pub(crate) unsafe fn leave(task: NonNull<Header>) {
    // SAFETY: passed on; with the last token gone the future has ended and `RUNNING` is ours.
    unsafe {
        // With a token out, the task has not ended (T5), so it is alive (T1).
        if task.as_ref().state.give_token_back() {
            cell::end(task);
        }
    }
}

/// A task that was woken and is to be queued; the right to do so, and the duty.
#[must_use]
pub(crate) struct Due(NonNull<Header>);

impl Due {
    /// Queues the task. Not under a lock: that there is something to run may be told to foreign code (`watch` W2).
    pub(crate) fn enqueue(self) {
        // SAFETY: the queue entry is ours (`wake_and_unlink`), so the task has not ended.
        unsafe { scheduler::enqueue(self.0, How::Wake) };
    }
}

/// Queues tasks of one node; when there are several, behind all that their worker has queued. Not under a lock, as `Due::enqueue`.
pub(crate) fn enqueue_all(due: &mut Vec<Due>) {
    if due.len() == 1 {
        due.drain(..).for_each(Due::enqueue);
    } else if let Some(Due(first)) = due.first() {
        // SAFETY: the queue entries are ours, so the tasks have not ended; they are of one node, and so of one runtime.
        unsafe { scheduler::enqueue_all(first.as_ref().runtime(), due.drain(..).map(|due| due.0)) };
    }
}

/// Takes a suspended task of a node that is being cancelled out of the list and marks it as woken.
pub(crate) fn wake_and_unlink(tasks: &mut List<Header>, task: NonNull<Header>) -> Option<Due> {
    // SAFETY: T3: the task is in this list and its lock is held, so it has not ended. Woken before `linked` is cleared,
    // because a task that finds it cleared ends without this lock.
    unsafe {
        tasks.remove(task);
        let due = task.as_ref().state.notify() == Notify::Enqueue;
        // Release pairs with the acquire in `unregister`.
        task.as_ref().linked.store(NOWHERE, Release);
        due.then_some(Due(task))
    }
}

/// Whether the task, which is being polled, has been woken meanwhile.
#[inline]
fn is_due(header: &Header) -> bool {
    context::has_woken_itself() || header.state.is_notified()
}

/// Whether a suspended task is to be dropped where it stands. Registers it first if it is to sleep (N3).
/// `yields`: what `context::yields` was before the poll.
#[inline(always)]
fn is_cut(header: &Header, yields: u32, cx: &TaskContext<'_>) -> bool {
    let due = is_due(header);
    // SAFETY: T2.
    let base = unsafe { header.base.as_ref() };
    // Nearly always: it need not be registered, and nothing is cancelled.
    let is_known = due || header.is_listed();
    if is_known && !base.is_effective() && !header.own_node().is_some_and(Node::is_effective) {
        return false;
    }
    is_cut_perhaps(header, due, yields, cx)
}

#[cold]
fn is_cut_perhaps(header: &Header, due: bool, yields: u32, cx: &TaskContext<'_>) -> bool {
    // SAFETY: T2.
    let base = unsafe { header.base.as_ref() };
    // Acquire pairs with the release in `wake_and_unlink`. A task that has outlived a cancel is registered again.
    // If the base is cancelled already, there is nothing to register for.
    let registered = due || header.is_listed() || (!base.is_effective() && register(header));
    // The base is asked, too: a cancel marks it, wakes its tasks, and only then comes to their own nodes. If it was cancelled when the task
    // wanted to register, that counts, whatever a shield has made of it since.
    let cancelled = !registered || base.is_effective();
    let own = header.own_node();
    // U2 of `scope::unmade`.
    if !(cancelled || own.is_some_and(Node::is_effective)) || yields != context::yields() {
        return false;
    }
    own.is_none_or(|own| own.settle(due, cx) == Settled::Free)
}

/// Enters the task in the waiters of its base, for the first time that it stays suspended. False if that is cancelled: the caller is cut, or goes
/// on by itself.
fn register(header: &Header) -> bool {
    // SAFETY: T2; and the task, which is being polled, has not ended.
    let (base, runtime) = unsafe { (header.base.as_ref(), header.runtime().as_ref()) };
    let worker = context::worker(|worker| worker.map_or(0, |worker| worker.index));
    let mut locked = base.list_to_join(worker, runtime.remotes.len());
    if base.is_effective() {
        return false;
    }
    header.marks.set(REGISTERED);
    header.linked.store(locked.number(), Relaxed);
    // SAFETY: the task is alive, in no list, and leaves this one before it ends (`unregister`).
    unsafe { locked.list().push_back(NonNull::from(header)) };
    true
}

fn unregister(header: &Header) {
    if !header.marks.has(REGISTERED) {
        return;
    }
    // Acquire pairs with the release in `wake_and_unlink`.
    let number = header.linked.load(Acquire);
    if number != NOWHERE {
        // SAFETY: T2.
        let mut locked = unsafe { header.base.as_ref() }.list_numbered(number);
        if header.linked.load(Relaxed) != NOWHERE {
            // SAFETY: `linked`, under the lock.
            unsafe { locked.list().remove(NonNull::from(header)) };
            header.linked.store(NOWHERE, Relaxed);
        }
    }
}
