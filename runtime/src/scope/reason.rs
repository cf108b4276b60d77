//! Why a scope was cancelled, and what tells the caller so.

use std::borrow::Cow;
use std::fmt;

/// What cancelled a scope. The first reason wins and stays.
///
/// After Trio's cancel reasons (0.31).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CancelReason {
    source: CancelSource,
    message: Option<Cow<'static, str>>,
}

/// The kind of a [`CancelReason`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CancelSource {
    /// Somebody called `cancel`.
    Explicit,
    /// The scope's deadline has passed.
    Deadline,
    /// What [`move_on_when`](crate::move_on_when) waits for has come.
    Condition,
    /// The body or a child of the nursery returned an error.
    Failed,
    /// The body or a child of the nursery panicked.
    Panicked,
    /// The future that ran the scope or nursery was dropped before its end.
    Dropped,
    /// The body and the ordinary children of the nursery have ended: its services go home.
    NurseryClosed,
    /// `stop` was called, and the grace is over.
    Stopped,
    /// The process got a second SIGINT or SIGTERM; the message says which.
    Signal,
}

impl CancelReason {
    pub(crate) const fn of(source: CancelSource) -> Self {
        Self { source, message: None }
    }

    pub(crate) const fn with(source: CancelSource, message: &'static str) -> Self {
        Self { source, message: Some(Cow::Borrowed(message)) }
    }

    /// The kind of reason.
    pub fn source(&self) -> CancelSource {
        self.source
    }

    /// What the caller of `cancel` said.
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }
}

impl From<&'static str> for CancelReason {
    fn from(message: &'static str) -> Self {
        Self { source: CancelSource::Explicit, message: Some(message.into()) }
    }
}

impl From<String> for CancelReason {
    fn from(message: String) -> Self {
        Self { source: CancelSource::Explicit, message: Some(message.into()) }
    }
}

impl fmt::Display for CancelReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = match self.source {
            CancelSource::Explicit => "on request",
            CancelSource::Deadline => "the deadline has passed",
            CancelSource::Condition => "what it was to go on until has come",
            CancelSource::Failed => "another task of the nursery failed",
            CancelSource::Panicked => "another task of the nursery panicked",
            CancelSource::Dropped => "the future that ran the scope was dropped",
            CancelSource::NurseryClosed => "the body and the children of the nursery have ended",
            CancelSource::Stopped => "it was stopped and the grace is over",
            CancelSource::Signal => "the process got a second signal to end",
        };
        match &self.message {
            Some(message) => write!(f, "{source}: {message}"),
            None => f.write_str(source),
        }
    }
}

/// The scope or task was cancelled before it had a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cancelled {
    pub(crate) reason: CancelReason,
}

impl Cancelled {
    /// Why.
    pub fn reason(&self) -> &CancelReason {
        &self.reason
    }
}

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cancelled: {}", self.reason)
    }
}

impl std::error::Error for Cancelled {}

/// The time-out of [`fail_after`](crate::fail_after) or [`fail_at`](crate::fail_at) has cut its future short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TooSlow;

impl fmt::Display for TooSlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time-out passed before the operation was done")
    }
}

impl std::error::Error for TooSlow {}

impl From<TooSlow> for std::io::Error {
    fn from(error: TooSlow) -> Self {
        Self::new(std::io::ErrorKind::TimedOut, error)
    }
}
