//! The tree of scopes: one node for each cancel scope, nursery, shield, clean-up and task that has any of these.
//!
//! A node is *cancelled* when somebody has cancelled it, and *effectively cancelled* (`EFFECTIVE`) when it is cancelled, or
//! its parent is effectively cancelled and it is not shielded. The effective bit is kept in the node: inherited when the node is
//! attached, spread downwards by `cancel`. A leaf's check is one load.
//!
//! Which task a node belongs to: the *task node* (`TASK_ROOT`) of a task is made when the task first needs one; every scope the task
//! enters hangs below it. The children of a nursery hang their task nodes below the nursery's node, in a list of their own,
//! so that a walk over the scopes of one task never sees another task's.
//!
//! The end of a node: its future is gone (`active` is cleared), nothing is left below it in its task, and if it is a nursery, all of its
//! children have ended. Then it leaves the tree, once (`GONE`), and whoever waits for its end is told. So a nursery that was dropped
//! half-way stays linked until it is empty, as does a call on the thread pool until its closure has returned (`OCCUPIED`), and holds what is around it in
//! the tree; the end of a scope is the end of everything in it.
//!
//! The end of a task takes what hangs below its node out of the tree (`detach_task`). Another task may go on polling such a scope: then what is in it goes on hanging below it, though `GONE`, so that
//! a cancel of it comes to that, and it finds the holders that it waits for. Each leaves the list of the one above when its own future goes.
//!
//! Invariants:
//! - **N1** `links` and `linked` belong to the lists of the parent, and are used under the parent's lock. A list owns one reference to each node in it, and
//!   `linked` says that it does.
//! - **N2** `EFFECTIVE` is set and cleared under the node's own lock, by `follow`, which reads the parent's bit under it. Whoever has changed
//!   the bit of a node visits its children afterwards; so walks that meet agree in the end. Attaching a child reads the parent's bit
//!   and links under the same hold of the parent's lock; so a child either inherits it or is found by the walk. A node that is
//!   `CANCELLED` stays `EFFECTIVE`.
//! - **N3** A task joins `tasks` (or a shard, `suspended`), or an owner stores its waker, *before* it reads `EFFECTIVE` for the decision to stay suspended.
//!   So a cancel between the two is not missed.
//! - **N4** Two node locks are never held at once. Under a node's lock a timer's lock, those of its shards (`suspended` S3) and the scheduler's queues may be taken, never
//!   the other way round; no foreign code runs under it (wakes, clocks, drops of users' values), but for the clone of a waker.
//! - **N5** `place.task` may be followed only by the task itself while it is polled, by the holder of one of its tokens, of
//!   a linked task node under the parent's lock, and so of an unlinked node (`unlinked` V1).
//! - **N6** `place.runtime` may be followed while some task of the node's run has not ended; for one, while `active` is set, under the lock:
//!   the end of the node's task clears it. A scope that another task goes on polling keeps that one's runtime in `Inner::moved`.
//! - **N7** `place` is written once, before `ATTACHED` is set, by the one who made the node or took the scope by value; it is read only after
//!   `ATTACHED` was seen.
#![allow(unsafe_code)]

use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::ptr::NonNull;
use std::sync::{Arc, Weak};
use std::task::Waker;

use super::deadline::Deadline;
use super::live::Live;
use super::reason::{CancelReason, CancelSource};
use super::suspended::Shards;
use crate::blocking::host::WeakHost;
use crate::contain;
use crate::list::{Linked, Links, List};
use crate::local::Binding;
use crate::primitives::Mutex;
use crate::primitives::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use crate::primitives::atomic::{AtomicBool, AtomicU32};
use crate::scheduler::Shared;
use crate::task::{Header, TaskId};
use crate::time::Timer;
use crate::watch::Held;

/// Bits of `Node::flags`.
pub(crate) mod flag {
    /// Somebody has cancelled this node itself; the reason is stored.
    pub(crate) const CANCELLED: u32 = 1;
    /// Effectively cancelled.
    pub(crate) const EFFECTIVE: u32 = 1 << 1;
    /// Cancellation from outside does not enter. Changed under the node's lock.
    pub(crate) const SHIELD: u32 = 1 << 2;
    /// `stop` was called here or above.
    pub(crate) const STOPPING: u32 = 1 << 3;
    /// `stop` from above cancels this node: it waits for just that.
    pub(crate) const CUT_ON_STOP: u32 = 1 << 4;
    /// The node of a task.
    pub(crate) const TASK_ROOT: u32 = 1 << 5;
    /// A kind of node that holds a guard while its future is suspended. Fixed when the node is attached.
    pub(crate) const HOLDER: u32 = 1 << 15;
    /// Hangs in the tree, or did: `place` is set.
    pub(crate) const ATTACHED: u32 = 1 << 14;
    /// Holds a guard (see `guard`).
    pub(crate) const HOLDING: u32 = 1 << 7;
    /// The holder was woken and has not been polled since.
    pub(crate) const WOKEN: u32 = 1 << 8;
    /// A cancelled scope above has asked the woken holder to show itself.
    pub(crate) const SUSPECT: u32 = 1 << 9;
    /// A nursery whose body still counts in `live`.
    pub(crate) const BODY_OPEN: u32 = 1 << 10;
    /// A nursery whose body and children have all ended.
    pub(crate) const CLOSED: u32 = 1 << 11;
    /// A nursery of which some child, no service, was cut by cancellation.
    pub(crate) const CHILD_CUT: u32 = 1 << 12;
    /// A nursery whose future is gone: nobody will ask for its errors.
    pub(crate) const ORPHANED: u32 = 1 << 13;
    /// A nursery that nobody has used yet: it hangs in no list (`unlinked`).
    pub(crate) const UNLINKED: u32 = 1 << 21;
    /// Binds a tree variable.
    pub(crate) const BINDS: u32 = 1 << 20;
    /// The node of a nursery: it does not leave the tree before it is `CLOSED`.
    pub(crate) const NURSERY: u32 = 1 << 16;
    /// A call on the thread pool whose closure has not returned: it does not leave the tree before.
    pub(crate) const OCCUPIED: u32 = 1 << 6;
    /// Has left the tree, for good, if only together with what is around it; whoever waited for that was told. Set under the node's lock.
    pub(crate) const GONE: u32 = 1 << 17;
    /// A cancel of this node has come to everything below it: another one need not look.
    pub(crate) const REACHED: u32 = 1 << 18;
    /// The scope has dropped its inside.
    pub(crate) const CAUGHT: u32 = 1 << 19;
}
use flag::{
    ATTACHED, CANCELLED, CLOSED, EFFECTIVE, GONE, HOLDING, NURSERY, OCCUPIED, STOPPING, TASK_ROOT, UNLINKED, WOKEN,
};

/// See the module. In this order, because workers that share a nursery read the last three with each task, and write the first two, as well as the count of the `Arc`, which lies
/// before them: `inner` keeps these on lines of their own.
#[repr(C)]
pub(crate) struct Node {
    /// Nursery: its body and children that have not ended.
    pub(crate) live: Live,
    pub(crate) inner: Mutex<Inner>,
    /// Guards held by holders below, in the same task.
    pub(crate) guards: AtomicU32,
    /// How many polls in a row have found a holder silent while something else was due.
    pub(crate) waited: AtomicU32,
    /// How often this silent holder was asked, with nothing else due.
    pub(super) rounds: AtomicU32,
    /// How many threads are in the waker of this holder.
    pub(super) waking: AtomicU32,
    links: Links<Node>,
    /// See N1.
    linked: Cell<bool>,
    /// See `unlinked` V4.
    pub(super) lent: AtomicBool,
    /// More lists of suspended tasks.
    pub(super) shards: Shards,
    /// See N7.
    pub(super) place: UnsafeCell<Option<Place>>,
    pub(crate) flags: AtomicU32,
}

/// Where a node hangs; fixed when it is attached.
pub(crate) struct Place {
    pub(crate) parent: Option<Arc<Node>>,
    pub(crate) runtime: NonNull<Shared>,
    pub(crate) task: NonNull<Header>,
    /// The task's id: unlike its address, no other task ever has it.
    pub(crate) task_id: TaskId,
    /// What made the node, by the name that users know.
    pub(crate) operation: &'static str,
}

/// What a node's lock guards.
pub(crate) struct Inner {
    /// The future that runs this node is in use, so its run has not ended (N6). Set when attached.
    pub(crate) active: bool,
    /// That future is gone, or its task.
    pub(crate) ended: bool,
    /// Wakes the future that runs this node; for a task node, the task.
    pub(crate) owner: Option<Waker>,
    /// Suspended tasks that have this node as their base; there may be more in the shards (`suspended`).
    pub(crate) tasks: List<Header>,
    /// Nodes below, of the same task.
    pub(super) scopes: List<Node>,
    /// Task nodes below.
    task_nodes: List<Node>,
    /// How often a task has found the lock taken (`suspended`).
    pub(super) fought_over: u8,
    pub(crate) reason: Option<CancelReason>,
    /// What the user has set; relative only before entry.
    pub(super) deadline: Deadline,
    /// Cancels the node at its deadline, or at the end of its grace.
    pub(crate) timer: Timer,
    /// Rarely needed parts.
    pub(crate) extra: Option<Box<Extra>>,
}

/// See `Inner::extra`.
#[derive(Default)]
pub(crate) struct Extra {
    /// `Vec<Failure<E>>` of a `Nursery<E>`.
    pub(crate) failures: Option<Box<dyn Any + Send>>,
    pub(crate) panic: Option<Box<dyn Any + Send>>,
    /// What `nursery_with` lends to the children.
    pub(crate) env: Option<Arc<dyn Any + Send + Sync>>,
    pub(crate) name: Option<Arc<str>>,
    /// Of a call on the thread pool that has sent something to its task (`blocking::host` H2).
    pub(crate) host: Option<WeakHost>,
    /// Is told when this node is effectively cancelled.
    pub(crate) relay: Option<Arc<dyn Relay>>,
    /// Runs when the task of this node has ended.
    pub(crate) at_end: Option<Box<dyn FnOnce() + Send>>,
    /// Of a node with `BINDS`.
    pub(crate) binding: Option<Binding>,
    /// `stop`: when the node is cancelled; relative before entry.
    pub(super) grace: Option<Deadline>,
    /// Wait for the node to be gone.
    pub(super) waiters: Vec<(u64, Waker)>,
    /// Of leaves that were refused here (`shield`).
    pub(super) refused: Vec<Waker>,
    /// The runtime of a scope that a task goes on polling which has not entered it (N6).
    pub(super) moved: Option<Arc<Shared>>,
    /// Of a task node, with `track_tasks`.
    pub(crate) doing: Option<Doing>,
}

/// The operation that a task has begun last, and when.
#[derive(Clone)]
pub(crate) struct Doing {
    pub(crate) operation: &'static str,
    pub(crate) since: std::time::Instant,
    /// What it waits for, if that may be somebody's.
    pub(crate) held: Option<Weak<dyn Held>>,
}

/// Passes a cancellation on to where the tree does not lead.
pub(crate) trait Relay: Send + Sync {
    /// The node is effectively cancelled. May be called more than once; no lock of a node is held.
    fn cancelled(&self, reason: CancelReason);
}

impl Drop for Extra {
    /// What users' `Drop`s panic with here would take along a worker.
    fn drop(&mut self) {
        contain::drop_value(self.failures.take());
        contain::drop_value(self.panic.take());
        contain::drop_value(self.env.take());
        contain::drop_value(std::mem::take(&mut self.waiters));
        contain::drop_value(std::mem::take(&mut self.refused));
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        contain::drop_value(self.owner.take());
    }
}

// SAFETY: the raw parts are `links` and `linked` (N1: under the parent's lock), the lists (under the own lock) and `place`, whose pointers
// are followed only as N5 and N6 allow; `Header` and `Shared` are made for use from any thread. `Extra` is `Send` and locked.
unsafe impl Send for Node {}
// SAFETY: as above.
unsafe impl Sync for Node {}

// SAFETY: always the same field, reached through a raw pointer.
unsafe impl Linked for Node {
    unsafe fn links(element: NonNull<Self>) -> NonNull<Links<Self>> {
        // SAFETY: `element` is live (caller); no reference to the whole node is made.
        unsafe { NonNull::new_unchecked(&raw mut (*element.as_ptr()).links) }
    }
}

impl Node {
    /// A node that hangs nowhere yet.
    pub(crate) fn unattached(flags: u32) -> Arc<Self> {
        Self::unattached_until(flags, Deadline::Never)
    }

    pub(super) fn unattached_until(flags: u32, deadline: Deadline) -> Arc<Self> {
        Arc::new(Self::with(flags, None, Inner::new(false, deadline)))
    }

    /// A node at `place`, attached, with a deadline that is not relative.
    pub(crate) fn attached(flags: u32, place: Place) -> Arc<Self> {
        Self::attached_until(flags, place, Deadline::Never)
    }

    pub(super) fn attached_until(flags: u32, place: Place, deadline: Deadline) -> Arc<Self> {
        let node = Arc::new(Self::with(flags | ATTACHED, Some(place), Inner::new(true, deadline)));
        node.link();
        node
    }

    pub(super) fn with(flags: u32, place: Option<Place>, inner: Inner) -> Self {
        Self {
            flags: AtomicU32::new(flags),
            guards: AtomicU32::new(0),
            waited: AtomicU32::new(0),
            rounds: AtomicU32::new(0),
            waking: AtomicU32::new(0),
            live: Live::with_body(),
            place: UnsafeCell::new(place),
            shards: Shards::none(),
            links: Links::new(),
            linked: Cell::new(false),
            lent: AtomicBool::new(false),
            inner: Mutex::new(inner),
        }
    }

    /// Hangs an unattached node at `place`, once. Only the one who made it, or has taken its scope by value, calls this.
    pub(crate) fn attach(self: &Arc<Self>, place: Place) {
        assert!(self.flags.load(Relaxed) & ATTACHED == 0, "a node is attached once");
        // SAFETY: N7: nobody reads before `ATTACHED` is set, and nobody else writes.
        unsafe { *self.place.get() = Some(place) };
        self.flags.fetch_or(ATTACHED, AcqRel);
        self.activate();
        self.link();
    }

    #[inline]
    pub(crate) fn place(&self) -> Option<&Place> {
        // Acquire pairs with `attach`.
        if self.flags.load(Acquire) & ATTACHED == 0 {
            return None;
        }
        // SAFETY: N7.
        unsafe { &*self.place.get() }.as_ref()
    }

    /// The runtime of an active node, whose lock the caller holds (N6).
    pub(crate) fn runtime(&self, inner: &Inner) -> Option<NonNull<Shared>> {
        if !inner.active {
            return None;
        }
        let moved = inner.extra.as_ref().and_then(|extra| extra.moved.as_ref());
        moved.map(|shared| NonNull::from(&**shared)).or_else(|| Some(self.place()?.runtime))
    }

    pub(crate) fn parent(&self) -> Option<&Arc<Node>> {
        self.place()?.parent.as_ref()
    }

    /// Enters the list of the parent. Takes over what has become of the parent already.
    fn link(self: &Arc<Self>) {
        let Some(parent) = self.parent() else { return };
        let above;
        {
            let mut inner = parent.inner.lock();
            above = parent.flags.load(Relaxed) & (EFFECTIVE | STOPPING);
            let own = self.flags.load(Relaxed); // The kind of a node is fixed.
            // The list's own reference (N1).
            let _ = Arc::into_raw(Arc::clone(self));
            let list = if own & TASK_ROOT != 0 { &mut inner.task_nodes } else { &mut inner.scopes };
            // SAFETY: the node lives as long as the list's reference, and has never been in a list (`place` is set once).
            unsafe { self.enter(list) };
        }
        if above != 0 {
            self.follow();
            self.follow_stop();
        }
    }

    /// Enters a list of its parent, whose lock is held.
    ///
    /// # Safety
    ///
    /// The list has a reference of its own, and the node is in none (N1).
    pub(super) unsafe fn enter(&self, list: &mut List<Node>) {
        self.linked.set(true);
        // SAFETY: passed on.
        unsafe { list.push_back(NonNull::from(self)) };
    }

    /// The future that ran this node is gone: takes the node out of the tree. With something forgotten below it, or as a nursery that was
    /// dropped half-way, it stays: a cancel from above still reaches what is there. Then the last of that takes it out, or the end of the task.
    pub(crate) fn detach(self: &Arc<Self>) {
        match self.retire() {
            Retired::Gone(waiters) => self.leave_tree(waiters),
            // What was forgotten in a shield has nobody left to shield it.
            Retired::Stays => {
                self.set_shield(false);
                if self.has(GONE) {
                    // Its task had ended before, and it may hang below another one that lives on.
                    self.leave_tree(Vec::new());
                }
            }
        }
    }

    /// Takes back what the node would still have woken or cancelled.
    fn retire(&self) -> Retired {
        let mut inner = self.inner.lock();
        let taken = inner.deactivate();
        let gone = self.goes(&mut inner);
        // Its task has ended before, and another one has gone on polling it: who was refused there since.
        let refused = if gone.is_none() && self.has(GONE) { inner.take_waiters() } else { Vec::new() };
        drop(inner);
        contain::drop_value((taken, refused)); // Outside the lock (N4).
        gone.map_or(Retired::Stays, Retired::Gone)
    }

    /// The task of this node has ended, and its future may not have: it was forgotten, or another task goes on polling it. Whether that is there.
    fn abandon(&self) -> bool {
        let mut inner = self.inner.lock();
        let lives = inner.active;
        if inner.extra.as_ref().is_some_and(|extra| extra.moved.is_some()) {
            return lives;
        }
        let owner = inner.owner.take();
        let taken = inner.deactivate();
        // `WOKEN`, as its owner is woken below: who goes on polling it leaves his waker only if it was (`owner` O1, `combine` B2).
        self.flags.fetch_or(GONE | WOKEN, AcqRel);
        let waiters = inner.take_waiters();
        drop(inner);
        contain::drop_value(taken);
        // Another task that has it, and has not polled it yet, does so now: its deadline must be set anew.
        if let Some(owner) = owner {
            contain::wake(owner);
        }
        waiters.into_iter().for_each(contain::wake);
        lives
    }

    /// Whether the node may leave the tree now: the one who is told so does that, and wakes the waiters.
    fn goes(&self, inner: &mut Inner) -> Option<Vec<Waker>> {
        let flags = self.flags.load(Relaxed);
        let open = flags & OCCUPIED != 0 || (flags & NURSERY != 0 && flags & CLOSED == 0);
        if inner.active || open || !inner.scopes.is_empty() || flags & GONE != 0 {
            return None;
        }
        self.flags.fetch_or(GONE, AcqRel);
        Some(inner.take_waiters())
    }

    /// Leaves the tree if nothing keeps the node there any more.
    pub(crate) fn leave_if_done(self: &Arc<Self>) {
        let waiters = self.goes(&mut self.inner.lock());
        if let Some(waiters) = waiters {
            self.leave_tree(waiters);
        }
    }

    /// Takes out a node that is `GONE`, and those above that have waited for this alone.
    fn leave_tree(&self, mut waiters: Vec<Waker>) {
        let mut left = self.unlink();
        waiters.drain(..).for_each(contain::wake);
        while let Some(parent) = left {
            let Some(waiters) = parent.goes(&mut parent.inner.lock()) else { return };
            left = parent.unlink();
            waiters.into_iter().for_each(contain::wake);
        }
    }

    /// Out of the parent's list. The parent, if it has ended already and this was the last below it.
    fn unlink(&self) -> Option<Arc<Node>> {
        let parent = self.parent()?;
        let mut inner = parent.inner.lock();
        if !self.linked.replace(false) {
            return None;
        }
        let root = self.flags.load(Relaxed) & TASK_ROOT != 0;
        let list = if root { &mut inner.task_nodes } else { &mut inner.scopes };
        // SAFETY: `linked`, under the parent's lock: the node is in this list, which owns a reference (N1).
        let own = unsafe {
            list.remove(NonNull::from(self));
            Arc::from_raw(std::ptr::from_ref(self))
        };
        let last = !root && !inner.active && inner.scopes.is_empty();
        drop(inner);
        let parent = last.then(|| Arc::clone(parent));
        // The caller reached `self` through a reference of its own, so this is not the last.
        drop(own);
        parent
    }

    /// The task of this task node has ended: takes apart what was forgotten below. A scope that another task goes on polling lives on with what is in it,
    /// without a place in the tree.
    pub(crate) fn detach_task(self: &Arc<Self>) {
        let mut tops = Vec::new();
        self.children(&self.inner.lock(), false, &mut tops);
        let mut todo: Vec<_> = tops.into_iter().map(|top| (top, false)).collect();
        while let Some((node, has_parent)) = todo.pop() {
            let mut below = Vec::new();
            node.children(&node.inner.lock(), false, &mut below);
            let lives = node.abandon();
            if !(lives && has_parent) {
                node.unlink();
            }
            todo.extend(below.into_iter().map(|node| (node, lives)));
        }
        self.detach();
        // Whatever may still hang below: once its task has ended no walk from above finds this node (N5).
        let _ = self.unlink();
    }

    /// Whether a suspension here is to be cut by some scope above or by this node itself.
    #[inline]
    pub(crate) fn is_effective(&self) -> bool {
        // Acquire pairs with the release in `cancel`: who sees the bit also sees the reason.
        let flags = self.flags.load(Acquire);
        flags & (EFFECTIVE | UNLINKED) != 0 && (flags & EFFECTIVE != 0 || self.is_cancelled_around())
    }

    /// All flags, for the snapshot of the tree.
    pub(crate) fn flags(&self) -> u32 {
        self.flags.load(Acquire)
    }

    /// How many guards are held below.
    pub(crate) fn guards(&self) -> u32 {
        self.guards.load(Acquire)
    }

    pub(crate) fn has(&self, flag: u32) -> bool {
        self.flags.load(Acquire) & flag != 0
    }

    pub(crate) fn set(&self, flag: u32) {
        self.flags.fetch_or(flag, AcqRel);
    }

    /// Clears `flag`; whether it was set.
    pub(crate) fn clear(&self, flag: u32) -> bool {
        self.flags.fetch_and(!flag, AcqRel) & flag != 0
    }

    /// Why the node is effectively cancelled: its own reason or that of the nearest node above that has one.
    pub(crate) fn reason(&self) -> CancelReason {
        let mut node = self;
        loop {
            if let Some(reason) = &node.inner.lock().reason {
                return reason.clone();
            }
            match node.parent() {
                Some(parent) => node = parent,
                None => return CancelReason::of(CancelSource::Explicit),
            }
        }
    }

    /// The nodes below: those of the same task, then (if asked for) the task nodes.
    pub(crate) fn children(&self, inner: &Inner, with_tasks: bool, out: &mut Vec<Arc<Node>>) {
        let mut add = |list: &List<Node>| {
            let mut at = list.front();
            while let Some(child) = at {
                // SAFETY: the own lock is held (`inner`), so the child stays linked, and a linked child has the list's
                // reference (N1), from which this one is made.
                unsafe {
                    Arc::increment_strong_count(child.as_ptr());
                    out.push(Arc::from_raw(child.as_ptr()));
                    at = list.next(child);
                }
            }
        };
        add(&inner.scopes);
        if with_tasks {
            add(&inner.task_nodes);
        }
    }

    pub(crate) fn is_holding(&self) -> bool {
        self.flags.load(Acquire) & HOLDING != 0
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.flags.load(Acquire) & CANCELLED != 0
    }
}

/// What has become of a node whose future is gone.
enum Retired {
    /// It leaves the tree; these wait for that.
    Gone(Vec<Waker>),
    /// Something below it, or its children, must end first.
    Stays,
}

impl Inner {
    pub(super) fn new(active: bool, deadline: Deadline) -> Self {
        Self {
            active,
            ended: false,
            owner: None,
            tasks: List::new(),
            scopes: List::new(),
            task_nodes: List::new(),
            fought_over: 0,
            reason: None,
            deadline,
            timer: Timer::new(),
            extra: None,
        }
    }

    pub(crate) fn extra(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }

    /// The future of the node is gone, or its task. What is to be dropped outside the lock.
    fn deactivate(&mut self) -> impl Sized + use<> {
        (self.active, self.ended) = (false, true);
        let moved = self.extra.as_mut().and_then(|extra| extra.moved.take());
        (self.owner.take(), self.timer.disarm(), moved)
    }

    /// Who waits for the end. And who was refused: some of those wakers may own the node, which must not own itself for ever.
    fn take_waiters(&mut self) -> Vec<Waker> {
        let Some(extra) = self.extra.as_mut() else { return Vec::new() };
        let waiters = std::mem::take(&mut extra.waiters).into_iter().map(|(_, waker)| waker);
        waiters.chain(std::mem::take(&mut extra.refused)).collect()
    }
}
