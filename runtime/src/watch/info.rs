//! What one may know of a task.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use crate::context;
use crate::task::{Header, TaskId};

/// A task's identity: what it is called, where it was spawned, and by which task its nursery was opened.
///
/// A copy, which stays what it is when the task has ended. After Trio's `lowlevel.Task`.
#[derive(Clone)]
pub struct TaskInfo {
    id: TaskId,
    name: Option<Arc<str>>,
    spawned_at: &'static Location<'static>,
    parent: Option<TaskId>,
    type_name: fn() -> &'static str,
}

impl TaskInfo {
    /// The caller knows that `task` has not ended.
    pub(crate) fn of(task: &Header) -> Self {
        Self { name: task.name(), ..Self::unnamed(task) }
    }

    /// As `of`, but takes no lock and leaves out the name.
    pub(crate) fn unnamed(task: &Header) -> Self {
        Self {
            id: task.id(),
            name: None,
            spawned_at: task.spawned_at(),
            parent: task.parent(),
            type_name: task.type_name(),
        }
    }

    pub(super) fn named(self, name: Option<Arc<str>>) -> Self {
        Self { name, ..self }
    }

    /// Which task it is.
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// The name that it was given, with [`Nursery::task`](crate::Nursery::task).
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The type of its future: what stands in for a name. For an `async fn` that is its path.
    pub fn type_name(&self) -> &'static str {
        let name = (self.type_name)();
        name.strip_suffix("::{{closure}}").unwrap_or(name)
    }

    /// Where it was spawned; of a main task, where `run` was called.
    pub fn spawned_at(&self) -> &'static Location<'static> {
        self.spawned_at
    }

    /// The task that opened the nursery it is in; `None` for the main task of a run.
    pub fn parent(&self) -> Option<TaskId> {
        self.parent
    }
}

impl fmt::Display for TaskInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.describe_short(f)?;
        write!(f, ", spawned at {}", self.spawned_at)
    }
}

impl TaskInfo {
    /// Without the place.
    pub(super) fn describe_short(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {}", self.id)?;
        match self.name() {
            Some(name) => write!(f, " \"{name}\""),
            // Without what it is generic over, which may be long.
            None => write!(f, " {}", self.type_name().split_once('<').map_or(self.type_name(), |(path, _)| path)),
        }
    }
}

impl fmt::Debug for TaskInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskInfo")
            .field("id", &self.id.0)
            .field("name", &self.name())
            .field("type_name", &self.type_name())
            .field("spawned_at", &format_args!("{}", self.spawned_at))
            .field("parent", &self.parent.map(|id| id.0))
            .finish()
    }
}

/// The task that runs the caller.
///
/// # Panics
///
/// Outside a task. [`lowlevel::in_run`](crate::lowlevel::in_run) tells.
///
/// ```
/// use trioxide_runtime::{current_task, nursery, run};
/// run(async {
///     let parent = current_task().id();
///     nursery(async |n| {
///         n.task("child").spawn(async move {
///             let me = current_task();
///             assert_eq!((me.name(), me.parent()), (Some("child"), Some(parent)));
///         });
///     })
///     .await;
/// });
/// ```
#[track_caller]
pub fn current_task() -> TaskInfo {
    let task = context::task("current_task");
    context::with_current(task, TaskInfo::of)
}
