//! Who returned an error.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use crate::task::TaskId;

/// Who returned an error: the body of a nursery, or a child, with its name and where it was spawned.
#[derive(Clone, Debug)]
pub struct Origin {
    who: Who,
    name: Option<Arc<str>>,
    at: Option<&'static Location<'static>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Body,
    Child(TaskId),
    /// A child of a local nursery, which runs in the task that opened it.
    Local,
    /// Neither: made into a nursery's error by `?`.
    Outside,
}

impl Origin {
    pub(in crate::nursery) fn body() -> Self {
        Self { who: Who::Body, name: None, at: None }
    }

    pub(super) fn outside(at: &'static Location<'static>) -> Self {
        Self { who: Who::Outside, name: None, at: Some(at) }
    }

    pub(in crate::nursery) fn child(task: TaskId, name: Option<Arc<str>>, at: &'static Location<'static>) -> Self {
        Self { who: Who::Child(task), name, at: Some(at) }
    }

    pub(in crate::nursery) fn local(name: Option<Arc<str>>, at: &'static Location<'static>) -> Self {
        Self { who: Who::Local, name, at: Some(at) }
    }

    /// The child; `None`: the body, or a child of a local nursery, which has no task of its own.
    pub fn task(&self) -> Option<TaskId> {
        match self.who {
            Who::Child(task) => Some(task),
            Who::Body | Who::Local | Who::Outside => None,
        }
    }

    /// Whether the nursery's body returned it.
    pub fn is_body(&self) -> bool {
        self.who == Who::Body
    }

    /// The child's name, if it was given one.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Where the child was spawned.
    pub fn spawned_at(&self) -> Option<&'static Location<'static>> {
        self.at
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.who {
            Who::Body | Who::Outside => f.write_str("body")?,
            Who::Child(task) => write!(f, "task {task}")?,
            Who::Local => f.write_str("local task")?,
        }
        if let Some(name) = &self.name {
            write!(f, " {name:?}")?;
        }
        match (self.who, self.at) {
            (_, None) => Ok(()),
            (Who::Outside | Who::Body, Some(at)) => write!(f, ", at {at}"),
            (Who::Child(_) | Who::Local, Some(at)) => write!(f, ", spawned at {at}"),
        }
    }
}
