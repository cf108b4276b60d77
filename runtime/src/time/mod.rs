//! Time: the clock of a run, a wheel of timers for each worker, and sleeping.
//!
//! A timer is put into the wheel of the worker that runs the task, and taken out by whoever ends the wait, on any worker, under the
//! lock of that wheel, which is hardly ever contended. A worker fires its own wheel every few tasks and before it searches, and
//! sleeps no longer than until its first timer. Deadlines are exact to the nanosecond of the clock; a timer never fires early.
//!
//! Invariant **M1**: a `Timer` is armed and disarmed by its owner alone (a `Sleep` being polled or dropped, or a node under its lock),
//! stays in place while armed, and is disarmed when dropped.
#![allow(unsafe_code)]

mod clock;
mod sleep;
mod wheel;

use std::cell::{Cell, UnsafeCell};
use std::marker::PhantomPinned;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

pub use clock::Clock;
pub use sleep::{Sleep, sleep, sleep_forever, sleep_until};

use crate::primitives::Mutex;
use crate::primitives::atomic::AtomicU64;
use crate::primitives::atomic::Ordering::{Acquire, Release};
use crate::scheduler::Shared;
use crate::scope::{CancelReason, CancelSource, Node};
use crate::task::waker;
use crate::{contain, context, nursery, sys};
use wheel::{Entry, Wheel};

/// What a timer does when it fires.
pub(crate) enum Fire {
    Wake(Waker),
    Cancel(Arc<Node>, CancelSource),
}

impl Fire {
    fn run(self) {
        match self {
            Self::Wake(waker) => contain::wake(waker),
            Self::Cancel(node, source) => node.cancel(CancelReason::of(source)),
        }
    }
}

/// The timers of one worker.
pub(crate) struct Shard {
    wheel: Mutex<Wheel<Fire>>,
    /// `Wheel::next`, to be read without the lock; `u64::MAX`: none.
    next: AtomicU64,
}

/// So many timers fire per hold of the lock.
const BATCH: usize = 64;

impl Default for Shard {
    fn default() -> Self {
        Self { wheel: Mutex::new(Wheel::new()), next: AtomicU64::new(u64::MAX) }
    }
}

impl Shard {
    /// When the first timer may fire.
    pub(crate) fn next(&self) -> Option<u64> {
        // Acquire pairs with the release in `publish`.
        Some(self.next.load(Acquire)).filter(|&next| next != u64::MAX)
    }

    /// Fires what is due.
    pub(crate) fn fire_due(&self, time: &Time) {
        let Some(next) = self.next() else { return };
        let Some(now) = time.ask(Time::now) else { return };
        let now = time.nanos(now);
        if next > now {
            return;
        }
        let mut due = Vec::with_capacity(BATCH);
        loop {
            let more = {
                let mut wheel = self.wheel.lock();
                let more = wheel.fire(now, BATCH, |fire| due.push(fire));
                self.publish(&wheel);
                more
            };
            due.drain(..).for_each(Fire::run);
            if !more {
                return;
            }
        }
    }

    /// As `fire_due`, in the order that `choose` says, which is given how many are due, if they are more than one. For simulations.
    #[cold]
    pub(crate) fn fire_due_as(&self, time: &Time, mut choose: impl FnMut(usize) -> usize) {
        let Some(next) = self.next() else { return };
        let Some(now) = time.ask(Time::now) else { return };
        let now = time.nanos(now);
        if next > now {
            return;
        }
        let mut due = Vec::new();
        {
            let mut wheel = self.wheel.lock();
            while wheel.fire(now, BATCH, |fire| due.push(fire)) {}
            self.publish(&wheel);
        }
        while due.len() > 1 {
            due.swap_remove(choose(due.len())).run();
        }
        due.into_iter().for_each(Fire::run);
    }

    fn publish(&self, wheel: &Wheel<Fire>) {
        self.next.store(wheel.next().unwrap_or(u64::MAX), Release);
    }
}

/// A place for one timer. See M1.
pub(crate) struct Timer {
    entry: UnsafeCell<Entry<Fire>>,
    shard: Cell<Option<Arc<Shard>>>,
    /// The task that the armed timer was set to wake, if it is that; null, if it is anything else.
    wakes: Cell<*const ()>,
    _pinned: PhantomPinned,
}

// SAFETY: `entry` is touched under the shard's lock while armed, and `shard` by the owner alone (M1).
unsafe impl Send for Timer {}
// SAFETY: as above: a shared reference gives no access but through the unsafe `arm` and `disarm`.
unsafe impl Sync for Timer {}

impl Timer {
    pub(crate) const fn new() -> Self {
        Self {
            entry: UnsafeCell::new(Entry::new()),
            shard: Cell::new(None),
            wakes: Cell::new(ptr::null()),
            _pinned: PhantomPinned,
        }
    }

    fn entry(&self) -> NonNull<Entry<Fire>> {
        // SAFETY: the address of a field is not null.
        unsafe { NonNull::new_unchecked(self.entry.get()) }
    }

    /// Fires `fire` at `deadline`.
    ///
    /// # Safety
    ///
    /// M1; the timer is not armed; `runtime` has not ended.
    pub(crate) unsafe fn arm(&self, runtime: NonNull<Shared>, deadline: Instant, fire: Fire) {
        // SAFETY: the runtime has not ended (caller).
        let shared = unsafe { runtime.as_ref() };
        let (index, outside) = context::worker(|worker| match worker {
            Some(worker) if ptr::eq(worker.shared(), shared) => (worker.index, false),
            _ => (0, true),
        });
        let shard = &shared.remotes[index].shard;
        self.wakes.set(if let Fire::Wake(waker) = &fire { task_of(waker) } else { ptr::null() });
        {
            let mut wheel = shard.wheel.lock();
            // SAFETY: the entry stays in place until it is disarmed (M1), and is in no wheel: not armed, or fired since.
            unsafe { wheel.insert(self.entry(), shared.time.nanos(deadline), fire) };
            shard.publish(&wheel);
        }
        self.shard.set(Some(Arc::clone(shard)));
        if outside {
            shared.wake_worker(index); // It may sleep for longer than this.
        }
    }

    /// Takes the timer out of its wheel; what it would have done, unless it has fired.
    pub(crate) fn disarm(&self) -> Option<Fire> {
        let shard = self.shard.take()?;
        self.wakes.set(ptr::null());
        let mut wheel = shard.wheel.lock();
        // SAFETY: `entry` was armed in this wheel.
        let fire = unsafe { wheel.remove(self.entry()) };
        if fire.is_some() {
            shard.publish(&wheel);
        }
        drop(wheel);
        fire
    }

    /// Whether the timer was armed with this waker, as far as that can be said without the lock. It may have fired since; if it has not, it owns a reference
    /// to the task, and no other has that address.
    #[inline]
    pub(crate) fn has(&self, waker: &Waker) -> bool {
        let known = self.wakes.get();
        !known.is_null() && ptr::eq(known, task_of(waker))
    }

    /// Replaces the waker of an armed timer; false if it has fired.
    pub(crate) fn rewake(&self, waker: &Waker) -> bool {
        let Some(shard) = self.shard.take() else { return false };
        let mut old = None;
        let armed = {
            let mut wheel = shard.wheel.lock();
            // SAFETY: `entry` was armed in this wheel.
            unsafe {
                match wheel.action(self.entry()) {
                    Some(Fire::Wake(known)) if known.will_wake(waker) => true,
                    Some(_) => {
                        old = wheel.replace_action(self.entry(), Fire::Wake(waker.clone())).ok();
                        true
                    }
                    None => false,
                }
            }
        };
        drop(old);
        self.shard.set(Some(shard));
        self.wakes.set(if armed { task_of(waker) } else { ptr::null() });
        armed
    }
}

/// The task whose own waker this is; null if it is another.
fn task_of(waker: &Waker) -> *const () {
    if waker::is_any(waker) { waker.data() } else { ptr::null() }
}

impl Drop for Timer {
    fn drop(&mut self) {
        drop(self.disarm());
    }
}

/// The clock of a runtime, and how its instants become the wheels' nanoseconds.
pub(crate) struct Time {
    epoch: Instant,
    custom: Option<Box<dyn Clock>>,
    /// The root of the run, which gets the panic of a clock that a worker has asked.
    root: Mutex<Option<Arc<Node>>>,
}

impl Time {
    pub(crate) fn new(custom: Option<Box<dyn Clock>>) -> Self {
        let epoch = custom.as_ref().map_or_else(Instant::now, |clock| clock.now());
        Self { epoch, custom, root: Mutex::new(None) }
    }

    /// Tells a custom clock how to wake the runtime, and the pool to wake it, too: the clock may wait for its last job.
    pub(crate) fn attach(&self, shared: &Arc<Shared>) {
        let runtime = Arc::downgrade(shared);
        shared.pool.attach(runtime.clone());
        let Some(clock) = &self.custom else { return };
        clock.attach(Arc::new(move || {
            if let Some(shared) = runtime.upgrade() {
                shared.wake_all();
            }
        }));
    }

    /// The root of the run that begins, or none any more.
    pub(crate) fn set_root(&self, root: Option<&Arc<Node>>) {
        let old = std::mem::replace(&mut *self.root.lock(), root.cloned());
        drop(old);
    }

    /// Asks the clock for a worker, which must outlive its panic: that becomes the panic of the run.
    fn ask<R>(&self, question: impl FnOnce(&Self) -> R) -> Option<R> {
        if self.custom.is_none() {
            return Some(question(self));
        }
        match catch_unwind(AssertUnwindSafe(|| question(self))) {
            Ok(answer) => Some(answer),
            Err(panic) => {
                let root = self.root.lock().clone();
                match root {
                    Some(root) => nursery::report_panic(&root, panic),
                    None => contain::drop_payload(Some(panic)),
                }
                None
            }
        }
    }

    #[inline]
    pub(crate) fn now(&self) -> Instant {
        match &self.custom {
            None => Instant::now(),
            Some(clock) => clock.now(),
        }
    }

    /// Whether `moment` has come. A look at the coarse clock is enough to see that it is still far away; a clock that was put in its place is always asked.
    #[inline]
    pub(crate) fn has_come(&self, moment: Instant) -> bool {
        match &self.custom {
            None => !sys::is_far(moment) && Instant::now() >= moment,
            Some(clock) => clock.now() >= moment,
        }
    }

    fn nanos(&self, instant: Instant) -> u64 {
        // The last value is kept for "no timer"; it is 584 years away.
        let nanos = instant.saturating_duration_since(self.epoch).as_nanos();
        u64::try_from(nanos).unwrap_or(u64::MAX).min(u64::MAX - 1)
    }

    /// How long a worker may sleep for a timer at `nanos`.
    pub(crate) fn sleep_time(&self, nanos: u64) -> Option<Duration> {
        let deadline = self.epoch.checked_add(Duration::from_nanos(nanos))?;
        match &self.custom {
            None => Some(deadline.saturating_duration_since(Instant::now())),
            Some(clock) => self.ask(|_| clock.sleep_time(deadline)).flatten(),
        }
    }

    /// How long until `nanos`; zero if that is past.
    pub(crate) fn until(&self, nanos: u64) -> Option<Duration> {
        Some(self.epoch.checked_add(Duration::from_nanos(nanos))?.saturating_duration_since(self.now()))
    }

    pub(crate) fn is_custom(&self) -> bool {
        self.custom.is_some()
    }

    /// How long everything must rest before the clock is asked whether it moves; `None`: never.
    pub(crate) fn patience(&self) -> Option<Duration> {
        let clock = self.custom.as_ref()?;
        self.ask(|_| clock.patience()).flatten()
    }

    pub(crate) fn all_idle(&self, next: Option<u64>) -> bool {
        let next = next.and_then(|nanos| self.epoch.checked_add(Duration::from_nanos(nanos)));
        self.custom.as_ref().is_some_and(|clock| self.ask(|_| clock.all_idle(next)).unwrap_or(false))
    }
}

/// The present moment by the clock of the run: virtual under a mock clock.
///
/// # Panics
///
/// Outside a run.
pub fn now() -> Instant {
    now_for("now")
}

pub(crate) fn now_for(operation: &str) -> Instant {
    context::worker(|worker| match worker {
        Some(worker) => worker.shared().time.now(),
        None => context::outside(operation),
    })
}

/// Whether `moment` has come by the clock of the run.
pub(crate) fn has_come(moment: Instant, operation: &str) -> bool {
    context::worker(|worker| match worker {
        Some(worker) => worker.shared().time.has_come(moment),
        None => context::outside(operation),
    })
}

/// The present moment by the clock of the caller's run, or outside of one by the system's.
pub(crate) fn now_or_system() -> Instant {
    context::worker(|worker| worker.map_or_else(Instant::now, |worker| worker.shared().time.now()))
}

/// Arms the timer of an active node, whose lock the caller holds, to cancel it at `at`.
pub(crate) fn arm_node(timer: &Timer, runtime: NonNull<Shared>, at: Instant, node: &Arc<Node>, source: CancelSource) {
    // SAFETY: M1: the timer belongs to the node, whose lock is held, and was disarmed by the caller; the node is active, so its run has
    // not ended (`scope::node` N6).
    unsafe { timer.arm(runtime, at, Fire::Cancel(Arc::clone(node), source)) };
}

/// A reference to the runtime of an active node, whose lock the caller holds.
pub(crate) fn hold_runtime(runtime: NonNull<Shared>) -> Arc<Shared> {
    // SAFETY: `scope::node` N6: the run has not ended; and `Shared` lives in an `Arc`.
    unsafe {
        Arc::increment_strong_count(runtime.as_ptr());
        Arc::from_raw(runtime.as_ptr().cast_const())
    }
}
