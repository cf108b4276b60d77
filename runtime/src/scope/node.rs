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
//! Invariants:
//! - **N1** `links` belong to the lists of the parent, under the parent's lock. A list owns one reference to each node in it, and
//!   `LINKED` (changed under that lock) says that it does.
//! - **N2** `EFFECTIVE` is set under the node's own lock and never cleared. Attaching a child reads it and links under the same
//!   hold of the parent's lock; so a child either inherits the bit or is found by the walk that spreads it.
//! - **N3** A task joins `tasks`, or an owner stores its waker, *before* it reads `EFFECTIVE` for the decision to stay suspended.
//!   So a cancel between the two is not missed.
//! - **N4** Two node locks are never held at once. Under a node's lock a timer's lock and the scheduler's queues may be taken, never
//!   the other way round; no foreign code (wakers, drops of users' values) runs under it.
//! - **N5** `place.task` may be followed only by the task itself while it is polled, and by the holder of one of its tokens.
//! - **N6** `place.runtime` may be followed while some task of the node's run has not ended; for one, while `active` is set, under the lock.
//! - **N7** `place` is written once, before `ATTACHED` is set, by the one who made the node or took the scope by value; it is read only after
//!   `ATTACHED` was seen.
#![allow(unsafe_code)]

use std::any::Any;
use std::cell::UnsafeCell;
use std::ptr::NonNull;
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::Instant;

use super::live::Live;
use super::reason::{CancelReason, CancelSource};
use crate::list::{Linked, Links, List};
use crate::local::Binding;
use crate::primitives::Mutex;
use crate::primitives::atomic::AtomicU32;
use crate::primitives::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use crate::scheduler::Shared;
use crate::task::{Header, TaskId};
use crate::time::Timer;

/// Bits of `Node::flags`.
pub(crate) mod flag {
    /// Somebody has cancelled this node itself; the reason is stored.
    pub(crate) const CANCELLED: u32 = 1;
    /// Effectively cancelled.
    pub(crate) const EFFECTIVE: u32 = 1 << 1;
    /// Cancellation from outside does not enter. Fixed when the node is attached.
    pub(crate) const SHIELD: u32 = 1 << 2;
    /// `stop` was called here or above.
    pub(crate) const STOPPING: u32 = 1 << 3;
    /// `stop` from above cancels this node: it waits for just that.
    pub(crate) const CUT_ON_STOP: u32 = 1 << 4;
    /// The node of a task.
    pub(crate) const TASK_ROOT: u32 = 1 << 5;
    /// In a list of the parent.
    pub(crate) const LINKED: u32 = 1 << 6;
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
    /// Binds a tree variable.
    pub(crate) const BINDS: u32 = 1 << 20;
}
use flag::{ATTACHED, CANCELLED, CUT_ON_STOP, EFFECTIVE, HOLDING, LINKED, SHIELD, STOPPING, SUSPECT, TASK_ROOT, WOKEN};

/// See the module.
pub(crate) struct Node {
    pub(crate) flags: AtomicU32,
    /// Guards held by holders below, in the same task.
    pub(crate) guards: AtomicU32,
    /// How many polls in a row have found a holder silent while something else was due.
    pub(crate) waited: AtomicU32,
    /// Nursery: its body and children that have not ended.
    pub(crate) live: Live,
    /// See N7.
    place: UnsafeCell<Option<Place>>,
    links: Links<Node>,
    pub(crate) inner: Mutex<Inner>,
}

/// Where a node hangs; fixed when it is attached.
pub(crate) struct Place {
    pub(crate) parent: Option<Arc<Node>>,
    pub(crate) runtime: NonNull<Shared>,
    pub(crate) task: NonNull<Header>,
    /// The task's id: unlike its address, no other task ever has it.
    pub(crate) task_id: TaskId,
}

/// What a node's lock guards.
pub(crate) struct Inner {
    /// The future that runs this node is in use, so its run has not ended (N6). Set when attached.
    pub(crate) active: bool,
    /// Wakes the future that runs this node; for a task node, the task.
    pub(crate) owner: Option<Waker>,
    /// Suspended tasks that have this node as their base.
    pub(crate) tasks: List<Header>,
    /// Nodes below, of the same task.
    scopes: List<Node>,
    /// Task nodes below.
    task_nodes: List<Node>,
    pub(crate) reason: Option<CancelReason>,
    pub(crate) deadline: Option<Instant>,
    /// Cancels the node at its deadline.
    pub(crate) timer: Timer,
    /// Rarely needed parts of a nursery or task.
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
    /// Is told when this node is effectively cancelled.
    pub(crate) relay: Option<Arc<dyn Relay>>,
    /// Runs when the task of this node has ended.
    pub(crate) at_end: Option<Box<dyn FnOnce() + Send>>,
    /// Of a node with `BINDS`.
    pub(crate) binding: Option<Binding>,
}

/// Passes a cancellation on to where the tree does not lead.
pub(crate) trait Relay: Send + Sync {
    /// The node is effectively cancelled. May be called more than once; no lock of a node is held.
    fn cancelled(&self, reason: CancelReason);
}

// SAFETY: the raw parts are `links` (N1: under the parent's lock), the lists (under the own lock) and `place`, whose pointers
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
        Arc::new(Self::with(flags, None))
    }

    /// A node at `place`, attached.
    pub(crate) fn attached(flags: u32, place: Place) -> Arc<Self> {
        let node = Arc::new(Self::with(flags | ATTACHED, Some(place)));
        node.link();
        node
    }

    fn with(flags: u32, place: Option<Place>) -> Self {
        Self {
            flags: AtomicU32::new(flags),
            guards: AtomicU32::new(0),
            waited: AtomicU32::new(0),
            live: Live::with_body(),
            place: UnsafeCell::new(place),
            links: Links::new(),
            inner: Mutex::new(Inner {
                active: false,
                owner: None,
                tasks: List::new(),
                scopes: List::new(),
                task_nodes: List::new(),
                reason: None,
                deadline: None,
                timer: Timer::new(),
                extra: None,
            }),
        }
    }

    /// Hangs an unattached node at `place`, once. Only the one who made it, or has taken its scope by value, calls this.
    pub(crate) fn attach(self: &Arc<Self>, place: Place) {
        assert!(self.flags.load(Relaxed) & ATTACHED == 0, "a node is attached once");
        // SAFETY: N7: nobody reads before `ATTACHED` is set, and nobody else writes.
        unsafe { *self.place.get() = Some(place) };
        self.flags.fetch_or(ATTACHED, AcqRel);
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

    pub(crate) fn parent(&self) -> Option<&Arc<Node>> {
        self.place()?.parent.as_ref()
    }

    fn link(self: &Arc<Self>) {
        self.inner.lock().active = true;
        let Some(parent) = self.parent() else { return };
        let own = self.flags.load(Relaxed);
        let element = NonNull::from(&**self);
        let inherited;
        {
            let mut inner = parent.inner.lock();
            inherited = match own & SHIELD {
                0 => parent.flags.load(Relaxed) & (EFFECTIVE | STOPPING),
                _ => 0,
            };
            self.flags.fetch_or(LINKED | inherited, AcqRel);
            // The list's own reference (N1).
            let _ = Arc::into_raw(Arc::clone(self));
            let list = if own & TASK_ROOT != 0 { &mut inner.task_nodes } else { &mut inner.scopes };
            // SAFETY: the node lives as long as the list's reference, and has never been in a list (`place` is set once).
            unsafe { list.push_back(element) };
        }
        if inherited & STOPPING != 0 && own & CUT_ON_STOP != 0 {
            self.cancel(CancelReason::of(CancelSource::Stopped));
        }
    }

    /// The future that ran this node is gone: takes the node out of the tree. With a forgotten nursery below it the node stays,
    /// so that a cancel from above still reaches that nursery's children; then the end of the task takes it out.
    pub(crate) fn detach(&self) {
        let forgotten = self.retire();
        if !forgotten {
            self.unlink();
        }
    }

    /// Takes back what the node would still have woken or cancelled. Whether something forgotten hangs below.
    fn retire(&self) -> bool {
        let mut inner = self.inner.lock();
        inner.active = false;
        let gone = (inner.owner.take(), inner.timer.disarm());
        let forgotten = !inner.scopes.is_empty();
        drop(inner);
        drop(gone); // Outside the lock (N4).
        forgotten
    }

    fn unlink(&self) {
        let Some(parent) = self.parent() else { return };
        let mut inner = parent.inner.lock();
        if self.flags.load(Relaxed) & LINKED == 0 {
            return;
        }
        let root = self.flags.fetch_and(!LINKED, AcqRel) & TASK_ROOT != 0;
        let list = if root { &mut inner.task_nodes } else { &mut inner.scopes };
        // SAFETY: `LINKED`, under the parent's lock: the node is in this list, which owns a reference (N1).
        let own = unsafe {
            list.remove(NonNull::from(self));
            Arc::from_raw(std::ptr::from_ref(self))
        };
        drop(inner);
        // The caller reached `self` through a reference of its own, so this is not the last.
        drop(own);
    }

    /// The task of this task node has ended: takes apart what was forgotten below.
    pub(crate) fn detach_task(&self) {
        let mut todo = Vec::new();
        self.children(&self.inner.lock(), false, &mut todo);
        while let Some(node) = todo.pop() {
            node.children(&node.inner.lock(), false, &mut todo);
            node.unlink();
            node.retire();
        }
        self.detach();
    }

    /// Whether a suspension here is to be cut by some scope above or by this node itself.
    #[inline]
    pub(crate) fn is_effective(&self) -> bool {
        // Acquire pairs with the release in `cancel`: who sees the bit also sees the reason.
        self.flags.load(Acquire) & EFFECTIVE != 0
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

    /// Stores the waker of the future that runs this node. The caller reads the flags afterwards (N3).
    pub(crate) fn set_owner(&self, waker: &Waker) {
        if self.inner.lock().owner.as_ref().is_some_and(|owner| owner.will_wake(waker)) {
            return;
        }
        // Cloned and dropped outside the lock (N4); nobody but the one future that runs the node stores here.
        let waker = waker.clone();
        let old = self.inner.lock().owner.replace(waker);
        drop(old);
    }

    /// Wakes the future that runs this node, and remembers that it owes an answer if it holds a guard.
    pub(crate) fn notify_owner(&self) {
        self.flags.fetch_or(WOKEN, AcqRel);
        let owner = self.inner.lock().owner.clone();
        if let Some(owner) = owner {
            owner.wake();
        }
    }

    /// The holder is being polled: it has answered.
    pub(crate) fn answer(&self) {
        if self.flags.load(Relaxed) & (WOKEN | SUSPECT) != 0 {
            self.flags.fetch_and(!(WOKEN | SUSPECT), AcqRel);
        }
    }

    pub(crate) fn is_holding(&self) -> bool {
        self.flags.load(Acquire) & HOLDING != 0
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.flags.load(Acquire) & CANCELLED != 0
    }
}

/// A shield polls its inside with its own node as the waker: so it is known that it was woken, and whether it was polled since.
impl Wake for Node {
    fn wake(self: Arc<Self>) {
        self.notify_owner();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.notify_owner();
    }
}

impl Inner {
    pub(crate) fn extra(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }
}
