//! A lock whose holder is gone.

use std::fmt;

use crate::task::TaskId;
use crate::task::after;

/// Whoever held the lock has ended, or panicked, and has not left what it guards in order.
///
/// After Trio's `BrokenResourceError`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Broken(
    /// The number of the holder, and whether it has panicked in the lowest bit: one word, as every wait for a lock has room for it in its result.
    u64,
);

impl Broken {
    pub(super) fn by_panic(holder: u64) -> Self {
        Self(holder << 1 | 1)
    }

    pub(super) fn by_end(holder: u64) -> Self {
        Self(holder << 1)
    }

    /// The task that held the lock; `None` if it was a thread outside the run.
    pub fn holder(&self) -> Option<TaskId> {
        after::holder_id(self.0 >> 1)
    }

    /// Whether the guard was dropped by a panic. Otherwise it was not dropped before its task ended: leaked, or given away.
    pub fn is_panic(&self) -> bool {
        self.0 & 1 != 0
    }
}

impl fmt::Debug for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broken").field("holder", &self.holder()).field("panicked", &self.is_panic()).finish()
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.holder() {
            Some(task) => write!(f, "the lock is broken: task {task}, which held it, ")?,
            None => f.write_str("the lock is broken: the thread that held it ")?,
        }
        f.write_str(match self.is_panic() {
            true => "has panicked, so what it guards may be half changed; put that in order, then call `repair`",
            false => "has ended without having dropped the guard; if another task has the guard now, let that one call `adopt`",
        })
    }
}

impl std::error::Error for Broken {}
