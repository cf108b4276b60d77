//! A lock whose holder is gone.

use std::fmt;

use crate::task::TaskId;

/// Whoever held the lock has ended, or panicked, and has not left what it guards in order.
///
/// After Trio's `BrokenResourceError`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken {
    pub(crate) holder: Option<TaskId>,
    pub(crate) panicked: bool,
}

impl Broken {
    /// The task that held the lock; `None` if it was a thread outside the run.
    pub fn holder(&self) -> Option<TaskId> {
        self.holder
    }

    /// Whether the guard was dropped by a panic. Otherwise it was not dropped before its task ended: leaked, or given away.
    pub fn is_panic(&self) -> bool {
        self.panicked
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.holder {
            Some(task) => write!(f, "the lock is broken: task {task}, which held it, ")?,
            None => f.write_str("the lock is broken: the thread that held it ")?,
        }
        f.write_str(match self.panicked {
            true => "has panicked, so what it guards may be half changed; put that in order, then call `repair`",
            false => "has ended without having dropped the guard; if another task has the guard now, let that one call `adopt`",
        })
    }
}

impl std::error::Error for Broken {}
