//! The errors that come out of a nursery, all of them, with who returned them.
//!
//! ```text
//! NurseryError<E> ─┬─ Cancelled(reason)
//!                  └─ Failed(ErrorGroup<E>) ── Failure<E> { error, origin } … at least one
//!                                                         │ of a group of `AnyError`:
//!                                                         └─ a leaf, or the `NurseryError<AnyError>` of an inner nursery
//! ```
//!
//! | file | duty |
//! | --- | --- |
//! | `mod` (here) | `NurseryError` |
//! | `group` | `ErrorGroup`: at least one error, in the order of the reports; the printed tree |
//! | `origin` | who returned an error |
//! | `any` | `AnyError`: any error in a box, and a nursery's error with its nesting |
//! | `leaves` | walking down to the leaves, and taking groups apart by what their leaves are |
//!
//! Invariants:
//! - **G1** A group is never empty; taking one apart gives `None` for a part without errors.
//! - **G2** A group in a group keeps its place and its origin, also when it is taken apart, until somebody asks for the leaves.
//!
//! Groups in groups: a child that opens a nursery of its own returns that one's `NurseryError`. A nursery of [`AnyError`] takes it as it is and knows
//! it again; so do errors of your own with `From<NurseryError<…>>`, but what is in those only you know, so they count as leaves.

mod any;
mod group;
mod leaves;
mod origin;

use std::error::Error;
use std::fmt;
use std::panic::Location;

pub use any::AnyError;
pub use group::{ErrorGroup, Failure};
pub use leaves::{Leaf, Leaves};
pub use origin::Origin;

use crate::scope::CancelReason;

/// Why a nursery has no value to give.
///
/// It prints as a tree of all errors, with the tasks that returned them. To deal with some of them and let the rest go on up, see
/// [`handle`](Self::handle) and, for groups of [`AnyError`], [`catch`](NurseryError::catch): what `except*` is in Python.
#[derive(Debug)]
pub enum NurseryError<E> {
    /// It was cancelled before its body had a value, and nothing failed.
    Cancelled(CancelReason),
    /// The body, or children, failed.
    Failed(ErrorGroup<E>),
}

impl<E> NurseryError<E> {
    /// The errors, if there are any.
    pub fn group(&self) -> Option<&ErrorGroup<E>> {
        match self {
            Self::Failed(group) => Some(group),
            Self::Cancelled(_) => None,
        }
    }

    /// The errors, by value.
    ///
    /// # Errors
    ///
    /// The reason, if the nursery was cancelled and nothing failed.
    pub fn into_group(self) -> Result<ErrorGroup<E>, CancelReason> {
        match self {
            Self::Failed(group) => Ok(group),
            Self::Cancelled(reason) => Err(reason),
        }
    }

    /// The same with every error of the group changed by `f`; who returned them stays.
    pub fn map<E2>(self, f: impl FnMut(E) -> E2) -> NurseryError<E2> {
        match self {
            Self::Failed(group) => NurseryError::Failed(group.map(f)),
            Self::Cancelled(reason) => NurseryError::Cancelled(reason),
        }
    }
}

impl<E: 'static> NurseryError<E> {
    /// Gives `f` the errors for which `matches` says true, if there are any, and hands back the rest: as `except*` does in Python.
    ///
    /// Groups in the group are searched, too ([`ErrorGroup::split`]).
    ///
    /// # Errors
    ///
    /// What did not match. That a nursery was cancelled matches nothing.
    ///
    /// ```
    /// use std::io;
    /// use trioxide_runtime::{NurseryError, nursery, run};
    /// let joined: Result<(), NurseryError<io::Error>> = run(nursery(async |n| {
    ///     n.spawn(async { Err::<(), _>(io::Error::from(io::ErrorKind::NotFound)) });
    ///     Ok(())
    /// }));
    /// let mut missing = 0;
    /// joined
    ///     .or_else(|error| error.handle(|e| e.kind() == io::ErrorKind::NotFound, |found| missing = found.len()))
    ///     .expect("nothing else went wrong");
    /// assert_eq!(missing, 1);
    /// ```
    pub fn handle(self, matches: impl FnMut(&E) -> bool, f: impl FnOnce(ErrorGroup<E>)) -> Result<(), Self> {
        match self {
            Self::Failed(group) => group.handle(matches, f).map_err(Self::Failed),
            cancelled @ Self::Cancelled(_) => Err(cancelled),
        }
    }

    /// The errors at the ends of the tree: none if the nursery was cancelled.
    pub fn leaves(&self) -> Leaves<'_, E> {
        Leaves::of(self.group())
    }
}

/// So that `?` works on an error of the nursery's own type where a `NurseryError` is returned.
impl<E> From<E> for NurseryError<E> {
    #[track_caller]
    fn from(error: E) -> Self {
        Self::Failed(ErrorGroup::of_one(error, Origin::outside(Location::caller())))
    }
}

/// So that what is left of a group can go on up.
impl<E> From<ErrorGroup<E>> for NurseryError<E> {
    fn from(group: ErrorGroup<E>) -> Self {
        Self::Failed(group)
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
    /// The error that was reported first.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Cancelled(_) => None,
            Self::Failed(group) => group.source(),
        }
    }
}
