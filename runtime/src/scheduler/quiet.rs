//! What happens when every task is blocked: the one place that decides it.
//!
//! A run is *quiet* when every worker has lain down, no task is queued and no job runs on the thread pool. The worker that was the last to lie down sees it, and
//! does the first of these that applies:
//!
//! ```text
//!  a timer is due ──────────────────────▶ fires it
//!  the driver was not asked since ──────▶ asks it for what has come already
//!  tasks wait for just this ────────────▶ wakes those with the shortest cushion, when that is over
//!  the user's clock wants to move ──────▶ lets it, when its patience is over, and fires what is due then
//!  nothing can wake anything any more ──▶ fails the run, if it was asked for (`watch::deadlock`)
//! ```
//!
//! The order of the third and the fourth is Trio's: a task in [`wait_all_tasks_blocked`] comes before a jump of the clock. Unlike Trio's, a job on the thread pool counts as something that
//! runs (Trio #456).
//!
//! Invariants:
//! - **Q1** One worker decides at a time, and it is up before the next one looks: two that lay down together would both see everything asleep, and the second would
//!   move the clock on while the first runs what was due.
//! - **Q2** A *rest* is told from the next by the number of polls so far: nothing changes in a run without one. It is noted under the lock of Q1, and not by the worker, for it may be another
//!   one that looks again. A jump that wakes nobody does not end it.
//! - **Q3** Who asks the driver has it to himself. If another worker waits in it, that one is woken, to be the last to lie down; for the events that it has got are known to nobody else.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use super::Shared;
use crate::contain;
use crate::context;
use crate::primitives::atomic::Ordering::Relaxed;
use crate::primitives::{Mutex, MutexGuard};

/// See the module.
pub(crate) struct Quiet {
    waits: Mutex<Waits>,
    /// How many waits there are, to be read without the lock. Relaxed: who has begun to wait lies down before the last one does. (The standard
    /// atomic: the models have nobody who waits here.)
    waiting: AtomicUsize,
    rest: Mutex<Rest>,
}

/// Who waits, the shortest cushion first; the second number tells them apart.
#[derive(Default)]
struct Waits {
    next: u64,
    wakers: BTreeMap<(Duration, u64), Waker>,
}

/// The present rest (Q2).
pub(super) struct Rest {
    polls: u64,
    since: Option<Instant>,
    driver_was_asked: bool,
    pub(super) deadlock_was_told: bool,
}

/// What the last worker to lie down does.
pub(super) enum Decision {
    /// Sleeps for as long as it would.
    Sleep,
    /// Looks again after so long.
    LookAgain(Duration),
    /// Fires what is due, on every worker's behalf.
    Fire,
    Wake(Vec<Waker>),
    AskDriver,
    /// Fails the run.
    Deadlock,
}

impl Quiet {
    pub(super) fn new() -> Self {
        Self {
            waits: Mutex::new(Waits::default()),
            waiting: AtomicUsize::new(0),
            rest: Mutex::new(Rest { polls: u64::MAX, since: None, driver_was_asked: false, deadlock_was_told: false }),
        }
    }

    /// Takes all those with the shortest cushion.
    fn take_first(&self, cushion: Duration) -> Vec<Waker> {
        let mut waits = self.waits.lock();
        let later = waits.wakers.split_off(&(cushion, u64::MAX));
        let taken = std::mem::replace(&mut waits.wakers, later);
        self.waiting.store(waits.wakers.len(), Relaxed);
        taken.into_values().collect()
    }

    fn shortest(&self) -> Option<Duration> {
        self.waits.lock().wakers.keys().next().map(|(cushion, _)| *cushion)
    }
}

impl Rest {
    /// For how long everything has rested, with so many polls.
    fn so_far(&mut self, polls: u64) -> Duration {
        let now = Instant::now();
        if self.polls != polls || self.since.is_none() {
            *self = Self { polls, since: Some(now), driver_was_asked: false, deadlock_was_told: false };
        }
        self.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    pub(super) fn driver_is_asked(&mut self) {
        self.driver_was_asked = true;
    }
}

impl Shared {
    /// For a worker that has lain down: the right to decide (Q1), if the run is quiet and anybody wants to know.
    pub(super) fn quiet(&self) -> Option<MutexGuard<'_, Rest>> {
        let wanted = self.time.is_custom() || self.quiet.waiting.load(Relaxed) != 0 || self.watch.fails_on_deadlock();
        if !wanted {
            return None;
        }
        let rest = self.quiet.rest.lock();
        // The pool first: what its last job has woken is queued, and a worker claimed for it, before the pool is idle.
        let quiet = self.pool.is_idle() && self.idle.all_sleep() && !self.has_queued() && !self.main_due.load(Relaxed);
        quiet.then_some(rest)
    }

    /// In a simulation in which nothing can go on: wakes those with the shortest cushion, whatever that is, for no real time passes there. False if nobody waits.
    pub(super) fn wake_blocked(&self) -> bool {
        let Some(cushion) = self.quiet.shortest() else { return false };
        self.quiet.take_first(cushion).into_iter().for_each(contain::wake);
        true
    }

    /// What is to be done.
    pub(super) fn decide(&self, rest: &mut Rest) -> Decision {
        let so_far = rest.so_far(self.polls());
        let next = self.remotes.iter().filter_map(|remote| remote.shard.next()).min();
        if next.is_some_and(|next| self.time.sleep_time(next) == Some(Duration::ZERO)) {
            return Decision::Fire; // Its worker is just lying down.
        }
        if self.driver.get().is_some() && !rest.driver_was_asked {
            return Decision::AskDriver;
        }
        if let Some(cushion) = self.quiet.shortest() {
            return match cushion.saturating_sub(so_far) {
                Duration::ZERO => Decision::Wake(self.quiet.take_first(cushion)),
                left => Decision::LookAgain(left),
            };
        }
        if let Some(patience) = self.time.patience() {
            match patience.saturating_sub(so_far) {
                Duration::ZERO if self.time.all_idle(next) => return Decision::Fire,
                left if next.is_some() && !left.is_zero() => return Decision::LookAgain(left),
                _ => {}
            }
        }
        if self.watch.fails_on_deadlock() && !rest.deadlock_was_told && self.at_rest() {
            return Decision::Deadlock;
        }
        Decision::Sleep
    }
}

/// Waits until every other task of the run is blocked, and has been for `cushion`, in real time, whatever the clock. Those that wait here count as blocked themselves.
///
/// *Blocked* is: suspended, and not woken. A task that sleeps is blocked, be its deadline near or far. Nothing is blocked while a call of [`blocking`](crate::blocking) runs,
/// and not before the I/O driver, if there is one, has told of what had arrived when everything else was blocked. What other threads and processes do is not known.
///
/// Of several, those with the shortest cushion go first, and together if it is the same; what they do then begins a new wait for the rest. They come before a clock that
/// moves by itself (`MockClock::autojump`), whatever their cushions. After Trio's function of that name.
///
/// # Cancellation
///
/// A checkpoint; nothing is lost.
///
/// # Panics
///
/// When polled outside a run.
///
/// ```
/// use std::time::Duration;
/// use trioxide_runtime::{lowlevel::wait_all_tasks_blocked, nursery, run, sleep_forever};
///
/// run(nursery(async |n| {
///     n.task("server").spawn(sleep_forever());
///     wait_all_tasks_blocked(Duration::ZERO).await;
///     // Now the server waits, on whatever core it runs.
///     n.cancel("seen");
/// }));
/// ```
pub fn wait_all_tasks_blocked(cushion: Duration) -> impl Future<Output = ()> + Send {
    AllBlocked { cushion, wait: None }
}

struct AllBlocked {
    cushion: Duration,
    wait: Option<Wait>,
}

/// An entry in the waits of a runtime.
struct Wait {
    key: (Duration, u64),
    shared: Arc<Shared>,
}

impl Future for AllBlocked {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(wait) = &self.wait {
            return wait.poll(cx.waker());
        }
        ready!(context::poll_checkpoint(cx, "wait_all_tasks_blocked"));
        let shared = context::hold_runtime("wait_all_tasks_blocked");
        let cushion = self.cushion;
        self.wait = Some(Wait::begin(shared, cushion, cx.waker().clone()));
        Poll::Pending
    }
}

impl Wait {
    fn begin(shared: Arc<Shared>, cushion: Duration, waker: Waker) -> Self {
        let mut waits = shared.quiet.waits.lock();
        let key = (cushion, waits.next);
        waits.next += 1;
        waits.wakers.insert(key, waker);
        shared.quiet.waiting.store(waits.wakers.len(), Relaxed);
        drop(waits);
        Self { key, shared }
    }

    fn poll(&self, waker: &Waker) -> Poll<()> {
        let mut waits = self.shared.quiet.waits.lock();
        let Some(known) = waits.wakers.get_mut(&self.key) else { return Poll::Ready(()) };
        let old = (!known.will_wake(waker)).then(|| std::mem::replace(known, waker.clone()));
        drop(waits);
        drop(old); // Outside the lock: it is foreign.
        Poll::Pending
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let mut waits = self.shared.quiet.waits.lock();
        let waker = waits.wakers.remove(&self.key);
        self.shared.quiet.waiting.store(waits.wakers.len(), Relaxed);
        drop(waits);
        drop(waker);
    }
}
