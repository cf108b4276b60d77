//! Why a scope was cancelled, and what tells the caller so.

use std::borrow::Cow;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use super::node::Node;
use crate::context;
use crate::task::{Header, TaskId};

/// What cancelled a scope, and who. The first reason wins and stays; what is cancelled because its surroundings are takes over theirs.
///
/// Two reasons are equal if source and message are; who it was is not compared. The alternate form `{:#}` of its text also says who has asked. After
/// Trio's cancel reasons (0.31).
///
/// ```
/// use trioxide_runtime::{CancelScope, CancelSource, run, sleep_forever};
/// run(async {
///     let scope = CancelScope::new();
///     scope.handle().cancel("not needed");
///     let cancelled = scope.run(sleep_forever()).await.unwrap_err();
///     assert_eq!(cancelled.reason().source(), CancelSource::Explicit);
///     assert_eq!(cancelled.reason().message(), Some("not needed"));
///     assert!(cancelled.reason().by().is_some()); // the task that has called `cancel`
/// });
/// ```
#[derive(Clone, Debug)]
pub struct CancelReason {
    source: CancelSource,
    /// Few reasons have any; so a reason is two words.
    details: Option<Arc<Details>>,
}

#[derive(Clone, Debug, Default)]
struct Details {
    message: Option<Cow<'static, str>>,
    by: Option<CancelledBy>,
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
    /// The body or a child of the nursery returned an error; [`by`](CancelReason::by) says which.
    Failed,
    /// The body or a child of the nursery panicked; [`by`](CancelReason::by) says which.
    Panicked,
    /// The future that ran the scope or nursery was dropped before its end.
    Dropped,
    /// `stop` was called, and the grace is over.
    Stopped,
    /// The process got a second SIGINT or SIGTERM; the message says which.
    Signal,
    /// The body and the ordinary children of the nursery have ended: its services go home.
    NurseryClosed,
    /// The run ends.
    Shutdown,
}

/// Who cancelled: a task, and whether that was as the body of the nursery or as a child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CancelledBy {
    task: TaskId,
    name: Option<Arc<str>>,
    at: &'static Location<'static>,
    body: bool,
}

impl CancelledBy {
    /// The task that is being polled; `nursery`: the node whose body it may be.
    fn current(nursery: Option<&Node>) -> Option<Self> {
        context::with_current_task(|task| Self::task_of(task, nursery))
    }

    fn task_of(task: &Header, nursery: Option<&Node>) -> Self {
        let opener = nursery.and_then(Node::place).is_some_and(|place| place.task_id == task.id());
        Self { task: task.id(), name: task.name(), at: task.spawned_at(), body: opener }
    }

    /// The task. For a body: that which has opened the nursery.
    pub fn task(&self) -> TaskId {
        self.task
    }

    /// The task's name, if it was given one.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Where the task was spawned.
    pub fn spawned_at(&self) -> &'static Location<'static> {
        self.at
    }

    /// Whether it was the body of the nursery that was cancelled, and not a child.
    pub fn is_body(&self) -> bool {
        self.body
    }
}

impl fmt::Display for CancelledBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.body {
            f.write_str("the body of the nursery, in ")?;
        }
        write!(f, "task {}", self.task)?;
        if let Some(name) = &self.name {
            write!(f, " {name:?}")?;
        }
        write!(f, ", spawned at {}", self.at)
    }
}

impl CancelReason {
    pub(crate) const fn of(source: CancelSource) -> Self {
        Self { source, details: None }
    }

    pub(crate) fn with(source: CancelSource, message: &'static str) -> Self {
        Self::detailed(source, Some(message.into()), None)
    }

    fn detailed(source: CancelSource, message: Option<Cow<'static, str>>, by: Option<CancelledBy>) -> Self {
        Self { source, details: Some(Arc::new(Details { message, by })) }
    }

    /// The body or a child of `nursery` has failed or panicked: the task that is being polled.
    pub(crate) fn sibling(source: CancelSource, nursery: &Node) -> Self {
        Self::detailed(source, None, CancelledBy::current(Some(nursery)))
    }

    /// As `sibling`, for the child `task`. Called by the holder of its `RUNNING`.
    pub(crate) fn child(source: CancelSource, task: &Header) -> Self {
        Self::detailed(source, None, Some(CancelledBy::task_of(task, None)))
    }

    /// The same, asked for by the task that is being polled.
    pub(crate) fn asked(reason: impl Into<Self>) -> Self {
        let mut reason = reason.into();
        if reason.by().is_none()
            && let Some(by) = CancelledBy::current(None)
        {
            Arc::make_mut(reason.details.get_or_insert_default()).by = Some(by);
        }
        reason
    }

    /// The kind of reason.
    pub fn source(&self) -> CancelSource {
        self.source
    }

    /// What the caller of `cancel` said.
    pub fn message(&self) -> Option<&str> {
        self.details.as_ref()?.message.as_deref()
    }

    /// Who: the task that called `cancel`, or the child or body that failed or panicked. `None` for a deadline and the like, and for a call from outside
    /// any task.
    pub fn by(&self) -> Option<&CancelledBy> {
        self.details.as_ref()?.by.as_ref()
    }
}

impl PartialEq for CancelReason {
    fn eq(&self, other: &Self) -> bool {
        (self.source, self.message()) == (other.source, other.message())
    }
}

impl Eq for CancelReason {}

impl From<&'static str> for CancelReason {
    fn from(message: &'static str) -> Self {
        Self::with(CancelSource::Explicit, message)
    }
}

impl From<String> for CancelReason {
    fn from(message: String) -> Self {
        Self::detailed(CancelSource::Explicit, Some(message.into()), None)
    }
}

impl fmt::Display for CancelReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.source, self.by()) {
            (CancelSource::Failed, Some(by)) => write!(f, "{by}, failed")?,
            (CancelSource::Panicked, Some(by)) => write!(f, "{by}, panicked")?,
            (source, by) => {
                f.write_str(match source {
                    CancelSource::Explicit => "on request",
                    CancelSource::Deadline => "the deadline has passed",
                    CancelSource::Condition => "what it was to go on until has come",
                    CancelSource::Failed => "another task of the nursery failed",
                    CancelSource::Panicked => "another task of the nursery panicked",
                    CancelSource::Dropped => "the future that ran the scope was dropped",
                    CancelSource::Stopped => "it was stopped and the grace is over",
                    CancelSource::Signal => "the process got a second signal to end",
                    CancelSource::NurseryClosed => "the body and the children of the nursery have ended",
                    CancelSource::Shutdown => "the run ends",
                })?;
                if let Some(by) = by.filter(|_| f.alternate()) {
                    write!(f, " by {by}")?;
                }
            }
        }
        match self.message() {
            Some(message) => write!(f, ": {message}"),
            None => Ok(()),
        }
    }
}

/// Why the code that asks was cancelled, or what it stands in: `None` if no scope around is cancelled.
///
/// Sees through shields, so that a clean-up can tell: inside of `finally` it is the reason for which the body was cut. Of several cancelled scopes the
/// nearest counts, which has taken over what came from further out, if that came first. Not a checkpoint.
///
/// # Panics
///
/// Outside a run.
///
/// ```
/// use std::time::Duration;
/// use trioxide_runtime::{CancelSource, current_cancel_reason, finally, move_on_after, run, sleep_forever};
/// run(async {
///     let farewell = async {
///         let reason = current_cancel_reason().unwrap();
///         assert_eq!(reason.source(), CancelSource::Deadline);
///     };
///     move_on_after(Duration::from_millis(1), finally(sleep_forever(), farewell)).await;
///     assert!(current_cancel_reason().is_none());
/// });
/// ```
pub fn current_cancel_reason() -> Option<CancelReason> {
    let node = context::current_node().unwrap_or_else(|| context::outside("current_cancel_reason"));
    let mut at = Some(&node);
    while let Some(node) = at {
        if node.is_effective() {
            return Some(node.reason());
        }
        at = node.parent();
    }
    None
}

/// The scope or task was cancelled before it had a result. Made by the runtime alone.
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
        f.write_str("cancelled: ")?;
        self.reason.fmt(f)
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
