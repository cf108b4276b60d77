//! Deadlines: set before entry or at any time later, from anywhere; and the grace of a stop, which is one, too.
//!
//! Before entry a deadline may be relative; it is resolved at entry (`activate`). A scope that ends without having waited needs no timer: one is
//! armed at the first suspension (`arm`) that is more than a yield (`unmade`), or when the deadline is written after entry. A node has one timer, which goes to the earlier of deadline and
//! grace; each change takes the old one out of its wheel.
//!
//! A deadline that has passed has cancelled its scope: whoever looks (`cancel_called`) or writes a new one first does what the timer would have
//! done. The clock may be a user's, so it is never asked under a lock.

use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use super::node::flag::SHIELD;
use super::node::{Inner, Node};
use super::reason::{CancelReason, CancelSource};
use crate::context;
use crate::scheduler::Shared;
use crate::time;

/// When a scope ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deadline {
    Never,
    /// From entry on, which is the first poll.
    After(Duration),
    At(Instant),
}

impl Deadline {
    pub(super) fn at(self) -> Option<Instant> {
        match self {
            Self::At(at) => Some(at),
            Self::Never | Self::After(_) => None,
        }
    }

    /// The same, counted from `now`.
    pub(super) fn from(self, now: Instant) -> Self {
        match self {
            Self::After(after) => now.checked_add(after).map_or(Self::Never, Self::At),
            known => known,
        }
    }
}

impl Inner {
    /// The deadline of this node as a moment, if it has one and has been entered.
    pub(crate) fn deadline_at(&self) -> Option<Instant> {
        self.deadline.at()
    }
}

/// When the code that asks will be cut by a deadline, if nothing else happens: what [`current_effective_deadline`] gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EffectiveDeadline {
    /// No scope around has a deadline.
    Never,
    /// The earliest deadline of the scopes around.
    At(Instant),
    /// A scope around is cancelled already.
    Cancelled,
}

impl EffectiveDeadline {
    /// The time that is left by the clock of the run: `None` for [`Never`](Self::Never), and nothing for one that has passed or was cancelled.
    ///
    /// # Panics
    ///
    /// Outside a run.
    pub fn remaining(self) -> Option<Duration> {
        match self {
            Self::Never => None,
            Self::At(at) => Some(at.saturating_duration_since(time::now_for("EffectiveDeadline::remaining"))),
            Self::Cancelled => Some(Duration::ZERO),
        }
    }

    /// The moment, if there is one.
    pub fn instant(self) -> Option<Instant> {
        match self {
            Self::At(at) => Some(at),
            Self::Never | Self::Cancelled => None,
        }
    }
}

/// The earliest deadline that the caller is under: of the scopes around it, across tasks, up to the first shield, whose own deadline counts.
/// The grace of a stop counts as a deadline.
///
/// For passing a time limit on, as to a server that is asked to do something. After Trio's `current_effective_deadline`, where minus infinity stands for
/// [`Cancelled`](EffectiveDeadline::Cancelled) and infinity for [`Never`](EffectiveDeadline::Never).
///
/// # Panics
///
/// Outside a run.
///
/// ```
/// use std::time::Duration;
/// use trioxide_runtime::{EffectiveDeadline, current_effective_deadline, move_on_after, now, run};
/// run(async {
///     assert_eq!(current_effective_deadline(), EffectiveDeadline::Never);
///     let limit = now() + Duration::from_secs(60);
///     move_on_after(Duration::from_secs(7), async move {
///         assert!(current_effective_deadline().instant().unwrap() < limit);
///     })
///     .await;
/// });
/// ```
pub fn current_effective_deadline() -> EffectiveDeadline {
    let node = context::current_node().unwrap_or_else(|| context::outside("current_effective_deadline"));
    if node.is_effective() {
        return EffectiveDeadline::Cancelled;
    }
    let mut earliest = None;
    let mut at = Some(&node);
    while let Some(node) = at {
        let own = node.inner.lock().next_end().map(|(at, _)| at);
        earliest = [earliest, own].into_iter().flatten().min();
        at = node.parent().filter(|_| !node.has(SHIELD));
    }
    earliest.map_or(EffectiveDeadline::Never, EffectiveDeadline::At)
}

/// Where a scope is in its life.
pub(super) enum Stage {
    Unentered,
    Running,
    Ended,
}

/// A deadline as people tell it.
pub(super) enum FromNow {
    Relative(Duration),
    In(Duration),
    Ago(Duration),
}

impl Inner {
    /// When the node is cancelled by itself, and why then.
    fn next_end(&self) -> Option<(Instant, CancelSource)> {
        let deadline = self.deadline.at().map(|at| (at, CancelSource::Deadline));
        let grace = self.extra.as_ref().and_then(|extra| extra.grace).and_then(Deadline::at);
        let grace = grace.map(|at| (at, CancelSource::Stopped));
        [deadline, grace].into_iter().flatten().min_by_key(|(at, _)| *at)
    }
}

impl Node {
    /// The scope is entered: relative deadlines count from here.
    pub(super) fn activate(self: &Arc<Self>) {
        let mut now = None;
        loop {
            let mut inner = self.inner.lock();
            let grace = inner.extra.as_ref().and_then(|extra| extra.grace);
            if now.is_none() && (inner.deadline != Deadline::Never || grace.is_some()) {
                drop(inner);
                now = Some(time::now_for("CancelScope::run"));
                continue;
            }
            inner.active = true;
            let Some(now) = now else { return };
            inner.deadline = inner.deadline.from(now);
            if let Some(extra) = &mut inner.extra {
                extra.grace = grace.map(|grace| grace.from(now));
            }
            let past = inner.next_end().filter(|(at, _)| *at <= now);
            drop(inner);
            if let Some((_, source)) = past {
                self.cancel(CancelReason::of(source));
            }
            return;
        }
    }

    /// The scope stays suspended for the first time: stores its waker (N3), which its deadline must be able to wake from here on.
    pub(super) fn arm(self: &Arc<Self>, waker: &Waker) {
        let mut inner = self.inner.lock();
        let known = inner.set_owner(waker);
        let old = self.rearm(&mut inner);
        drop(inner);
        drop((known, old));
    }

    /// Sets the timer anew; what the old one would have done, to be dropped outside the lock.
    fn rearm(self: &Arc<Self>, inner: &mut Inner) -> impl Sized + use<> {
        let old = inner.timer.disarm();
        if let Some((at, source)) = inner.next_end()
            && let Some(runtime) = self.runtime(inner)
        {
            time::arm_node(&inner.timer, runtime, at, self, source);
        }
        old
    }

    /// Another task than the one that has entered the scope polls it: it may outlive that one, and keeps its deadline.
    pub(super) fn move_to(self: &Arc<Self>, runtime: Arc<Shared>) {
        let mut inner = self.inner.lock();
        let extra = inner.extra();
        if extra.moved.as_ref().is_some_and(|known| Arc::ptr_eq(known, &runtime)) {
            return;
        }
        let known = extra.moved.replace(runtime);
        (inner.active, inner.ended) = (true, false);
        let old = self.rearm(&mut inner);
        drop(inner);
        drop((known, old));
    }

    /// The present moment for this scope's deadline; `None` after its end. Before entry that of the caller's run, or without one the system's.
    fn clock(&self) -> Option<Instant> {
        let runtime = {
            let inner = self.inner.lock();
            if inner.ended {
                return None;
            }
            self.runtime(&inner).map(time::hold_runtime)
        };
        Some(runtime.map_or_else(time::now_or_system, |runtime| runtime.time.now()))
    }

    /// Writes the deadline; a relative one counts from entry, or from now if that has been. One that has passed already stays in effect, and
    /// one in the past takes effect at once.
    pub(super) fn set_deadline(self: &Arc<Self>, deadline: Deadline) {
        let Some(now) = self.clock() else { return };
        let mut inner = self.inner.lock();
        let passed = inner.deadline.at().is_some_and(|at| at <= now);
        inner.deadline = if inner.active { deadline.from(now) } else { deadline };
        let due = inner.active && inner.deadline.at().is_some_and(|at| at <= now);
        let old = inner.active.then(|| self.rearm(&mut inner));
        drop(inner);
        drop(old);
        if passed || due {
            self.cancel(CancelReason::of(CancelSource::Deadline));
        }
    }

    /// The moment of the deadline, unless it is still relative.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.inner.lock().deadline.at()
    }

    /// The time that is left, or, before entry, that it will have.
    pub(super) fn time_left(&self) -> Option<Duration> {
        let deadline = self.inner.lock().deadline;
        match deadline {
            Deadline::Never => None,
            Deadline::After(after) => Some(after),
            Deadline::At(at) => Some(at.saturating_duration_since(self.clock().unwrap_or(at))),
        }
    }

    pub(super) fn stage(&self) -> Stage {
        let inner = self.inner.lock();
        match (inner.active, inner.ended) {
            (true, _) => Stage::Running,
            (false, true) => Stage::Ended,
            (false, false) => Stage::Unentered,
        }
    }

    /// How far away the deadline is; after the end of the scope that does not matter any more.
    pub(super) fn deadline_from_now(&self) -> Option<FromNow> {
        let now = self.clock()?;
        let deadline = self.inner.lock().deadline;
        match deadline {
            Deadline::Never => None,
            Deadline::After(after) => Some(FromNow::Relative(after)),
            Deadline::At(at) if at <= now => Some(FromNow::Ago(now - at)),
            Deadline::At(at) => Some(FromNow::In(at - now)),
        }
    }

    /// Whether the node was cancelled, or its deadline has passed, which then cancels it.
    pub(super) fn cancel_called(self: &Arc<Self>) -> bool {
        if self.is_cancelled() {
            return true;
        }
        let passed = self.deadline().is_some_and(|at| self.clock().is_some_and(|now| at <= now));
        if passed {
            self.cancel(CancelReason::of(CancelSource::Deadline));
        }
        passed
    }

    /// Cancels the node `grace` after now, or after entry, unless an earlier stop does.
    pub(super) fn stop_after(self: &Arc<Self>, grace: Duration) {
        let Some(now) = self.clock() else { return };
        let mut inner = self.inner.lock();
        let active = inner.active;
        let grace = if active { Deadline::After(grace).from(now) } else { Deadline::After(grace) };
        let slot = &mut inner.extra().grace;
        *slot = Some(match (*slot, grace) {
            (Some(Deadline::After(known)), Deadline::After(new)) => Deadline::After(known.min(new)),
            (Some(Deadline::At(known)), Deadline::At(new)) => Deadline::At(known.min(new)),
            (Some(known), Deadline::Never) => known,
            (_, new) => new,
        });
        let due = active && grace.at().is_some_and(|at| at <= now);
        let old = active.then(|| self.rearm(&mut inner));
        drop(inner);
        drop(old);
        if due {
            self.cancel(CancelReason::of(CancelSource::Stopped));
        }
    }
}
