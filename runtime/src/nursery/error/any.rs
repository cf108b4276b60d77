//! `AnyError`: any error in a box; one of a nursery keeps its nesting.
//!
//! `NurseryError<Box<dyn Error>>` cannot be an `Error` (a `Box<dyn Error>` is none, and coherence forbids to make it one), so it could not go
//! into another such box by `?`. `AnyError` is no `Error` either, which is what lets everything that is one convert into it; and the error of a nursery of
//! `AnyError`s converts by an implementation of its own, which remembers what it was.

use std::error::Error;
use std::fmt;
use std::ops::Deref;
use std::panic::Location;

use super::{ErrorGroup, NurseryError, Origin};
use crate::scope::CancelReason;

/// Any error: what the children of a nursery return when they fail in different ways.
///
/// Whatever is `Error + Send + Sync + 'static` converts into it by `?`; so does the [`NurseryError`] of an inner nursery of `AnyError`s, which
/// stays a group in the outer group. It derefs to the `dyn Error` in it. A `NurseryError` with another type of errors is kept whole, as one
/// error; `error.map(AnyError::from)` takes it apart.
///
/// Printed with `{:#}`, and by `Debug`, it tells its sources, too.
///
/// ```
/// use trioxide_runtime::{AnyError, NurseryError, TooSlow, nursery, run};
/// let joined: Result<(), NurseryError<AnyError>> = run(nursery(async |n| {
///     n.spawn(async {
///         // A nursery in a nursery: its error goes up by `?`.
///         nursery(async |inner| {
///             inner.spawn(async { "12x".parse::<u32>() });
///             Ok::<_, AnyError>(())
///         })
///         .await?;
///         Ok::<_, AnyError>(())
///     });
///     Ok(())
/// }));
/// let (numbers, rest) = joined.unwrap_err().catch::<std::num::ParseIntError>();
/// assert_eq!(numbers.unwrap().len(), 1); // found in the inner group
/// assert!(rest.is_none());
/// ```
pub struct AnyError(Box<dyn Error + Send + Sync>);

/// The error of an inner nursery.
struct Nested(NurseryError<AnyError>);

impl AnyError {
    /// From anything that is an error; `?` and `into` do the same.
    pub fn new(error: impl Error + Send + Sync + 'static) -> Self {
        Self(Box::new(error))
    }

    /// From a text.
    pub fn msg(text: impl Into<String>) -> Self {
        Self(text.into().into())
    }

    /// From an error that is in a box already.
    pub fn from_boxed(error: Box<dyn Error + Send + Sync>) -> Self {
        Self(error)
    }

    /// Whether it is a `T`.
    pub fn is<T: Error + 'static>(&self) -> bool {
        self.0.is::<T>()
    }

    /// The `T` that it is.
    pub fn downcast_ref<T: Error + 'static>(&self) -> Option<&T> {
        self.0.downcast_ref()
    }

    /// The `T` that it is, by value.
    ///
    /// # Errors
    ///
    /// Itself, if it is something else.
    pub fn downcast<T: Error + 'static>(self) -> Result<T, Self> {
        self.0.downcast().map(|error| *error).map_err(Self)
    }

    /// The error of the inner nursery that it is.
    pub fn nested(&self) -> Option<&NurseryError<AnyError>> {
        self.0.downcast_ref::<Nested>().map(|nested| &nested.0)
    }

    /// The error of the inner nursery that it is, by value.
    ///
    /// # Errors
    ///
    /// Itself, if it is something else.
    pub fn into_nested(self) -> Result<NurseryError<AnyError>, Self> {
        self.downcast::<Nested>().map(|nested| nested.0)
    }

    /// The group that it is.
    pub fn group(&self) -> Option<&ErrorGroup<AnyError>> {
        self.nested()?.group()
    }

    /// Why the inner nursery was cancelled, if this is what it tells.
    pub fn cancelled(&self) -> Option<&CancelReason> {
        match self.nested()? {
            NurseryError::Cancelled(reason) => Some(reason),
            NurseryError::Failed(_) => None,
        }
    }
}

impl<T: Error + Send + Sync + 'static> From<T> for AnyError {
    fn from(error: T) -> Self {
        Self::new(error)
    }
}

/// The nesting is kept.
impl From<NurseryError<AnyError>> for AnyError {
    fn from(error: NurseryError<AnyError>) -> Self {
        Self(Box::new(Nested(error)))
    }
}

/// The nesting is kept.
impl From<ErrorGroup<AnyError>> for AnyError {
    fn from(group: ErrorGroup<AnyError>) -> Self {
        NurseryError::Failed(group).into()
    }
}

/// So that `?` works on any error where a `NurseryError<AnyError>` is returned.
impl<T: Error + Send + Sync + 'static> From<T> for NurseryError<AnyError> {
    #[track_caller]
    fn from(error: T) -> Self {
        Self::Failed(ErrorGroup::of_one(AnyError::new(error), Origin::outside(Location::caller())))
    }
}

impl From<AnyError> for Box<dyn Error + Send + Sync> {
    fn from(error: AnyError) -> Self {
        error.0
    }
}

impl From<AnyError> for Box<dyn Error> {
    fn from(error: AnyError) -> Self {
        error.0
    }
}

impl Deref for AnyError {
    type Target = dyn Error + Send + Sync;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl AsRef<dyn Error + Send + Sync> for AnyError {
    fn as_ref(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.0
    }
}

impl fmt::Display for AnyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !f.alternate() || self.nested().is_some() {
            return self.0.fmt(f);
        }
        self.0.fmt(f)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

/// As a reader wants it who gets it from `main`.
impl fmt::Debug for AnyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:#}")
    }
}

impl fmt::Display for Nested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Nested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Nested {
    /// The error that was reported first.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let first: &(dyn Error + 'static) = &**self.0.group()?.first();
        Some(first)
    }
}
