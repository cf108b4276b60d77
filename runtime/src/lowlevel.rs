//! For those who write leaf operations and drivers: the sync and io crates, and yours.

use std::task::{Context, Poll};

pub use crate::scheduler::driver::{Driver, driver};
pub use crate::task::after::{AfterTurn, TaskRef, hold, holder, holder_id, holder_of, release};
pub use crate::wait_list::{Left, Locked, Lot, Waiter};

use crate::context;

/// The locks, atomics and cells under everything whose interleavings matter: the real ones, or the model checker's under `--cfg loom`. For the
/// sync crate; not part of the interface.
#[doc(hidden)]
pub mod primitives {
    pub use crate::primitives::{Arc, Mutex, MutexGuard, UnsafeCell, atomic};
}

/// The gate of every leaf operation.
///
/// `Pending`, and nothing is registered, in a cancelled scope: the scope will drop the future. `Pending` with a wake if the task's budget is used up.
/// Otherwise it takes one unit of the budget and is `Ready`.
///
/// A leaf that keeps a state between polls asks at its first poll only: later it delivers what was completed, or stays `Pending`. A stateless poll
/// function asks each time, before it tries the operation.
///
/// # Panics
///
/// Outside a run, naming `operation`.
#[inline]
#[track_caller]
pub fn poll_checkpoint(cx: &mut Context<'_>, operation: &'static str) -> Poll<()> {
    context::poll_checkpoint(cx, operation)
}

/// Whether the caller runs in a task of some run, so that scopes, timers and sockets may be used.
pub fn in_run() -> bool {
    context::in_task()
}
