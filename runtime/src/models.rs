//! What the loom models in `loom-tests` are made of: the real types, where they are private behind a safe interface.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use crate::blocking::{Limits, Pool};
pub use crate::nursery::kept::{Kept, not_ended};
pub use crate::nursery::start::handover::{End, Handover, Set};
use crate::primitives::atomic::Ordering::{AcqRel, Relaxed};
use crate::scheduler::Shared;
pub use crate::scheduler::idle::{Idle, Risen};
pub use crate::scheduler::parker::Parker;
pub use crate::scheduler::sentry::{Seen, Sentries};
use crate::scope::guard::Settled;
pub use crate::scope::live::{Left, Live};
use crate::scope::node::{Place, flag};
use crate::scope::{self, CancelReason, CancelSource};
use crate::task::extras::{self, Requested};
pub use crate::task::state::{Completed, HandleGoes, HandleStep, LastNotify, Notify, State, Stopped};
use crate::task::waker::OneWord;
use crate::time::{self, Fire, Time};
pub use crate::token::{Mailbox, Posted};

/// A node of the scope tree. It hangs in no task and no runtime, and its deadline is never set.
#[derive(Clone)]
pub struct Node(Arc<scope::Node>);

/// What a node stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A cancel scope.
    Scope,
    /// A nursery.
    Nursery,
    /// A shield.
    Shield,
    /// A task.
    Task,
}

impl Node {
    /// The node at the top.
    pub fn root() -> Self {
        Self::hung(Kind::Scope, None)
    }

    /// A node below this one.
    pub fn below(&self, kind: Kind) -> Self {
        Self::hung(kind, Some(Arc::clone(&self.0)))
    }

    fn hung(kind: Kind, parent: Option<Arc<scope::Node>>) -> Self {
        let flags = match kind {
            Kind::Scope => 0,
            Kind::Nursery => flag::HOLDER,
            Kind::Shield => flag::HOLDER | flag::SHIELD,
            Kind::Task => flag::TASK_ROOT,
        };
        Self(scope::Node::attached(flags, place(parent)))
    }

    /// A nursery below this node that nobody has used yet. The caller is its owner: he links it or takes it back, before this node goes.
    pub fn unlinked_below(&self) -> Self {
        let node = scope::Node::pristine();
        // SAFETY: as promised by the caller of this, who has the only handle; the reference to the parent is not counted: it is forgotten by `take_back`, or counted by `link`.
        unsafe {
            let parent = Arc::from_raw(Arc::as_ptr(&self.0));
            node.stand(flag::HOLDER, ManuallyDrop::new(place(Some(parent))));
        }
        Self(node)
    }

    /// The nursery is used.
    pub fn link(&self) {
        self.0.link_late(|_| ());
    }

    /// Its owner takes the nursery back, unless it is linked or somebody else has a handle.
    pub fn take_back(&self) -> bool {
        self.0.take_back()
    }

    /// The handle that the body of a nursery gets, which is not counted; once, before anybody else has the nursery. The owner keeps it until he has taken it back or paid.
    pub fn lend(&self) -> Handle {
        // SAFETY: as promised by the caller of this; it comes back when it is dropped.
        Handle(ManuallyDrop::new(unsafe { self.0.lend() }))
    }

    /// The owner counts what he has lent.
    pub fn pay(&self) {
        self.0.pay();
    }

    /// Cancels the scope.
    pub fn cancel(&self) {
        self.0.cancel(CancelReason::of(CancelSource::Explicit));
    }

    /// Begins to start `child` for a caller that waits at this node: as `start` does.
    pub fn start(&self, child: &Node) -> Arc<Handover> {
        let handover = Arc::new(Handover::new(Arc::clone(&child.0)));
        self.0.inner.lock().extra().relay = Some(Arc::clone(&handover) as _);
        if self.0.is_effective() {
            scope::node::Relay::cancelled(&*handover, self.0.reason());
        }
        handover
    }

    /// Whether a suspension in it is cut.
    pub fn is_effective(&self) -> bool {
        self.0.is_effective()
    }

    /// Whether anything below waits for the guard of a holder.
    pub fn has_guards(&self) -> bool {
        self.0.guards.load(Relaxed) != 0
    }

    /// The same, as the one asks who then drops what the holders use.
    pub fn is_free(&self) -> bool {
        self.0.guards.fetch_add(0, AcqRel) == 0
    }

    /// Switches its shield.
    pub fn set_shield(&self, on: bool) {
        self.0.set_shield(on);
    }

    /// Asks for a leaf that begins, polled with `waker`, which is not its task's. False if it was refused.
    pub fn admits(&self, waker: &Waker) -> bool {
        !(self.0.is_effective() && self.0.refuse(waker))
    }

    /// How many marks were taken back.
    pub fn unmarked() -> u64 {
        scope::unmarked()
    }

    /// Whether its shield is on.
    pub fn is_shielded(&self) -> bool {
        self.0.has(flag::SHIELD)
    }

    /// Whether it was woken and has not answered.
    pub fn is_woken(&self) -> bool {
        self.0.has(flag::WOKEN)
    }

    /// Stores the waker of the future that runs the node.
    pub fn set_owner(&self, waker: &Waker) {
        self.0.set_owner(waker);
    }

    /// Wakes that future.
    pub fn wake(&self) {
        self.0.notify_owner();
    }

    /// The holder is being polled.
    pub fn answer(&self, waker: &Waker) {
        self.0.answer(waker);
    }

    /// Begins to hold a guard.
    pub fn hold(&self) {
        self.0.hold();
    }

    /// Lets go of the guard.
    pub fn let_go(&self) {
        self.0.let_go();
    }

    /// A cancelled scope after the poll of its inside; whether it may drop that.
    pub fn settle(&self, due: bool, waker: &Waker) -> bool {
        self.0.settle(due, &Context::from_waker(waker)) == Settled::Free
    }

    /// The future that ran the node is gone.
    pub fn detach(&self) {
        self.0.detach();
    }

    /// How many references to the node there are: its handles, its children, and the parent's list.
    pub fn references(&self) -> usize {
        Arc::strong_count(&self.0)
    }
}

/// A handle of a nursery.
pub struct Handle(ManuallyDrop<Arc<scope::Node>>);

impl Handle {
    /// The handle of a child that `kept`'s worker polls is dropped: its reference is kept.
    pub fn leave_with(self, kept: &Kept) {
        let handle = ManuallyDrop::new(self);
        assert!(kept.add_reference(&handle.0), "there is room");
    }

    /// The next child's, made of what is kept.
    pub fn of_kept(node: &Node, kept: &Kept) -> Self {
        assert!(kept.take_reference(&node.0), "one was kept");
        // SAFETY: `kept` J7.
        Self(ManuallyDrop::new(unsafe { Arc::from_raw(Arc::as_ptr(&node.0)) }))
    }

    /// What is kept is given up.
    pub fn give_up(kept: &Kept) {
        kept.give_references_up();
    }
}

impl Clone for Handle {
    fn clone(&self) -> Self {
        Self(ManuallyDrop::new(Arc::clone(&self.0)))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: once, and nobody uses it after that.
        unsafe { ManuallyDrop::take(&mut self.0) }.hand_back();
    }
}

/// What a task has besides its future. The model is the task, its handle, and those who cancel it; the wakers are none of tasks, and so lie in boxes.
pub struct Extras(extras::Extras);

impl Extras {
    /// Nothing.
    pub fn none() -> Self {
        Self(extras::Extras::none())
    }

    /// The task gets a node of its own, which is cancelled if somebody has asked for that. Once, by the holder of `RUNNING`.
    pub fn adopt(&self, node: &Node) {
        if let Some(reason) = self.0.put_node(Arc::clone(&node.0)) {
            node.0.cancel(reason);
        }
    }

    /// Cancels the task: its node, or else the next poll finds the request. Whether the task is to be woken for that.
    pub fn cancel(&self) -> bool {
        match self.0.ask(CancelReason::of(CancelSource::Explicit)) {
            Requested::Noted => true,
            Requested::Before => false,
            Requested::HasNode(reason) => {
                let own = self.0.node().expect("as was said");
                // SAFETY: it lives in an `Arc`, of which this has a reference for as long as it is there.
                ManuallyDrop::new(unsafe { Arc::from_raw(own) }).cancel(reason);
                false
            }
        }
    }

    /// Whether somebody has asked, and the task has no node.
    pub fn has_request(&self) -> bool {
        self.0.has_request()
    }

    /// The handle waits with this waker from now on, by the rules of `State`, as for the two that follow.
    pub fn put_waker(&self, waker: &Waker) {
        if !self.0.has_waker(waker) {
            self.0.put_waker(OneWord::of(waker));
        }
    }

    /// The handle goes.
    pub fn take_waker(&self) {
        drop(self.0.take_waker());
    }

    /// The completer wakes the handle.
    pub fn wake_waker(&self) {
        self.0.wake_waker();
    }

    /// Makes the place for what is told after a turn, as who arms it does.
    pub fn arm(&self) {
        let _ = self.0.after_or_make();
    }

    /// Whether there is that place.
    pub fn is_armed(&self) -> bool {
        self.0.after().is_some()
    }
}

impl Drop for Extras {
    fn drop(&mut self) {
        // SAFETY: nobody else has it; once.
        unsafe { self.0.drop_all() };
    }
}

/// Nobody follows the pointers (N5, N6): no task registers here, and no timer is armed.
fn place(parent: Option<Arc<scope::Node>>) -> Place {
    Place {
        parent,
        runtime: NonNull::dangling(),
        task: NonNull::dangling(),
        task_id: crate::task::TaskId(0),
        operation: "model",
    }
}

/// The timers of a runtime with one worker, which no thread drives.
#[derive(Clone)]
pub struct Timers {
    shared: Arc<Shared>,
    epoch: Instant,
}

impl Timers {
    /// No timer.
    pub fn new() -> Self {
        let limits =
            Limits { threads: 1, keep_alive: Duration::ZERO, name: String::new(), stack_size: None, simulated: false };
        let (shared, _workers) = Shared::new(1, Time::new(None), Pool::new(limits), 1);
        Self { shared, epoch: Instant::now() }
    }

    /// Fires what is due.
    pub fn fire_due(&self) {
        self.shared.remotes[0].shard.fire_due(&self.shared.time);
    }
}

impl Default for Timers {
    fn default() -> Self {
        Self::new()
    }
}

/// A timer in a place of its own. It is `Send`, and not `Sync`: its owner alone uses it (M1).
pub struct Timer {
    timers: Timers,
    timer: Box<time::Timer>,
    _owner: PhantomData<Cell<()>>,
}

impl Timer {
    /// A timer that is not armed.
    pub fn new(timers: &Timers) -> Self {
        Self { timers: timers.clone(), timer: Box::new(time::Timer::new()), _owner: PhantomData }
    }

    /// Wakes `waker` at once, or in the far future. Whatever it was armed for before is forgotten.
    pub fn arm(&self, due: bool, waker: &Waker) {
        drop(self.timer.disarm());
        let deadline = if due { self.timers.epoch } else { self.timers.epoch + Duration::from_secs(1 << 30) };
        // SAFETY: M1: the box keeps the timer in place, `self` is its only user, and it is not armed; `timers` keeps the runtime.
        unsafe { self.timer.arm(NonNull::from(&*self.timers.shared), deadline, Fire::Wake(waker.clone())) };
    }

    /// Takes the timer out; the waker, unless it has fired.
    pub fn disarm(&self) -> Option<Waker> {
        match self.timer.disarm()? {
            Fire::Wake(waker) => Some(waker),
            Fire::Cancel(..) => None,
        }
    }

    /// Replaces the waker; false if it has fired.
    pub fn rewake(&self, waker: &Waker) -> bool {
        self.timer.rewake(waker)
    }
}
