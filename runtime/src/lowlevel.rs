//! For those who write leaf operations and drivers: the sync and io crates, and yours.

use std::task::{Context, Poll, ready};

#[doc(hidden)]
pub use crate::scheduler::choose::{Candidate, Choose};
pub use crate::scheduler::driver::{Driver, driver, is_driven_here};
pub use crate::scheduler::quiet::wait_all_tasks_blocked;
pub use crate::task::after::{AfterTurn, TaskRef, holder, holder_id, holder_of};
pub use crate::wait_list::{Left, Locked, Lot, Quiet, Waiter};
pub use crate::watch::count_elsewhere;

use crate::context;

/// The locks, atomics and cells under everything whose interleavings matter: the real ones, or the model checker's under `--cfg loom`. For the
/// sync crate; not part of the interface.
#[doc(hidden)]
pub mod primitives {
    pub use crate::primitives::{Arc, Mutex, MutexGuard, UnsafeCell, atomic};
}

/// Permits and who stands in line for them. For the sync crate; not part of the interface.
#[doc(hidden)]
pub mod line {
    pub use crate::line::{Acquire, Broken, HasPermits, Keep, MOST, Owning, Permits, Refusal, Sharing, Snapshot, Want};
}

/// The gate of every leaf operation.
///
/// `Pending`, and nothing is registered, in a cancelled scope: the scope will drop the future. `Pending` with a wake if the task's budget is used up.
/// Otherwise it takes one unit of the budget and is `Ready`.
///
/// A leaf that keeps a state between polls asks at its first poll only: later it delivers what was completed, or stays `Pending`. A stateless poll
/// function asks each time, before it tries the operation: [`poll_stateless`] does, and takes the unit of one only that is done.
///
/// # Panics
///
/// Outside a run, naming `operation`.
#[inline]
pub fn poll_checkpoint(cx: &mut Context<'_>, operation: &'static str) -> Poll<()> {
    context::poll_checkpoint(cx, operation)
}

/// As [`poll_checkpoint`] in nearly all cases, in which it is ready: a few instructions without a call. False where it is not, or the operation is to be noted: then nothing has happened, and [`poll_checkpoint`] is to be asked.
#[inline]
pub fn passes_checkpoint() -> bool {
    context::passes_checkpoint()
}

/// The gate of a leaf that keeps no state between its polls, and so asks at each: `poll`, past [`poll_checkpoint`]. It takes a unit of the budget if `poll` is ready, and none if it stays pending: or else a
/// combinator that polls many in a fixed order would have the first ones use up the budget each time, and never get to the last. `poll` may poll leaves in its turn, which take their own.
///
/// # Cancellation
///
/// A checkpoint at each poll: in a cancelled scope `poll` is not called, so it takes nothing that the cut could lose. What `poll` keeps from one call to the next is the caller's to keep, or to undo when the leaf is dropped.
///
/// # Panics
///
/// As [`poll_checkpoint`], and whatever `poll` panics with.
#[inline]
pub fn poll_stateless<R>(
    cx: &mut Context<'_>,
    operation: &'static str,
    poll: impl FnOnce(&mut Context<'_>) -> Poll<R>,
) -> Poll<R> {
    ready!(context::poll_checkpoint(cx, operation));
    context::give_back_unit();
    let polled = poll(cx);
    if polled.is_ready() {
        context::take_unit();
    }
    polled
}

/// A leaf that has passed [`poll_checkpoint`] stays pending, and asks again at its next poll: as [`poll_stateless`] has it.
#[doc(hidden)]
#[inline]
pub fn stays_pending() {
    context::give_back_unit();
}

/// The operation of the library that the running task has begun last, if the runtime [notes](crate::Builder::track_tasks) that.
#[doc(hidden)]
pub fn current_operation() -> Option<&'static str> {
    context::with_current_task(|task| task.doing())?
}

/// Whether the caller is the closure of a call of [`blocking`](crate::blocking) in a simulation, where it has no thread of its own: it must not wait for what others do.
#[doc(hidden)]
pub fn in_simulated_blocking() -> bool {
    crate::blocking::host::Host::current().is_some_and(|host| host.is_simulated())
}

/// Whether the caller runs in a task of some run, so that scopes, timers and sockets may be used.
pub fn in_run() -> bool {
    context::in_task()
}

/// Uses up the budget of the running task: the next operation in this poll yields. For tests, and for what has done as much as many operations.
///
/// Outside of a task it does nothing.
pub fn use_up_budget() {
    context::use_up_budget();
}
