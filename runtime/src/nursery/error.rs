//! The errors that come out of a nursery, all of them, with who returned them.

use std::error::Error;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use crate::scope::CancelReason;
use crate::task::TaskId;

/// Why a nursery has no value to give.
#[derive(Debug)]
pub enum NurseryError<E> {
    /// It was cancelled before its body had a value, and nothing failed.
    Cancelled(CancelReason),
    /// The body, or children, failed.
    Failed(ErrorGroup<E>),
}

/// So that `?` works on an error of the nursery's own type where a `NurseryError` is returned.
impl<E> From<E> for NurseryError<E> {
    #[track_caller]
    fn from(error: E) -> Self {
        Self::Failed(ErrorGroup::new(vec![Failure { error, origin: Origin::outside(Location::caller()) }]))
    }
}

impl<E: fmt::Display> fmt::Display for NurseryError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled(reason) => write!(f, "the nursery was cancelled: {reason}"),
            Self::Failed(group) => group.fmt(f),
        }
    }
}

impl<E: Error + 'static> Error for NurseryError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Cancelled(_) => None,
            Self::Failed(group) => group.source(),
        }
    }
}

/// The errors of a nursery, at least one, in the order in which they were reported.
///
/// Its `Display` is a tree: a line for each error, with the task that returned it and where that was spawned.
#[derive(Debug)]
pub struct ErrorGroup<E> {
    failures: Vec<Failure<E>>,
}

/// One error of a group, and where it comes from.
#[derive(Debug)]
pub struct Failure<E> {
    /// The error.
    pub error: E,
    /// Who returned it.
    pub origin: Origin,
}

/// Who returned an error.
#[derive(Clone, Debug)]
pub struct Origin {
    task: Option<TaskId>,
    name: Option<Arc<str>>,
    at: Option<&'static Location<'static>>,
}

impl Origin {
    pub(super) fn body() -> Self {
        Self { task: None, name: None, at: None }
    }

    fn outside(at: &'static Location<'static>) -> Self {
        Self { task: None, name: None, at: Some(at) }
    }

    pub(super) fn child(task: TaskId, name: Option<Arc<str>>, at: &'static Location<'static>) -> Self {
        Self { task: Some(task), name, at: Some(at) }
    }

    /// The child; `None`: the body.
    pub fn task(&self) -> Option<TaskId> {
        self.task
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
        match (self.task, &self.name) {
            (None, _) => f.write_str("body")?,
            (Some(task), None) => write!(f, "task {task}")?,
            (Some(task), Some(name)) => write!(f, "task {task} {name:?}")?,
        }
        match (self.task, self.at) {
            (Some(_), Some(at)) => write!(f, ", spawned at {at}"),
            (None, Some(at)) => write!(f, ", at {at}"),
            (_, None) => Ok(()),
        }
    }
}

impl<E> ErrorGroup<E> {
    pub(super) fn new(failures: Vec<Failure<E>>) -> Self {
        assert!(!failures.is_empty(), "a group of errors has at least one");
        Self { failures }
    }

    /// The errors, in the order in which they were reported.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &E> {
        self.failures.iter().map(|failure| &failure.error)
    }

    /// The errors with their origins.
    pub fn failures(&self) -> &[Failure<E>] {
        &self.failures
    }

    /// The error that was reported first.
    pub fn first(&self) -> &E {
        &self.failures[0].error
    }

    /// The error that was reported first, by value; the others are dropped.
    pub fn into_first(mut self) -> E {
        self.failures.swap_remove(0).error
    }

    /// How many there are: at least one.
    #[expect(clippy::len_without_is_empty, reason = "a group is never empty")]
    pub fn len(&self) -> usize {
        self.failures.len()
    }
}

impl<E> IntoIterator for ErrorGroup<E> {
    type Item = E;
    type IntoIter = std::iter::Map<std::vec::IntoIter<Failure<E>>, fn(Failure<E>) -> E>;

    fn into_iter(self) -> Self::IntoIter {
        self.failures.into_iter().map(|failure| failure.error)
    }
}

impl<E: fmt::Display> fmt::Display for ErrorGroup<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.failures.len();
        write!(f, "{count} {} in the nursery", if count == 1 { "error" } else { "errors" })?;
        for (index, failure) in self.failures.iter().enumerate() {
            let (branch, stem) = if index + 1 == count { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            write!(f, "\n{branch}{}: ", failure.origin)?;
            let text = failure.error.to_string();
            for (line_number, line) in text.lines().enumerate() {
                if line_number > 0 {
                    write!(f, "\n{stem}")?;
                }
                f.write_str(line)?;
            }
        }
        Ok(())
    }
}

impl<E: Error + 'static> Error for ErrorGroup<E> {
    /// The error that was reported first.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.first())
    }
}
