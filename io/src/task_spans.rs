//! A span of `tracing` for each task (feature `tracing`).

use std::collections::HashMap;

use parking_lot::RwLock;
use tracing::field::display;
use tracing::{Id, Span, info_span};
use trioxide_runtime::{Instrument, Moment, TaskId, TaskInfo};

/// An instrument that opens a span for each task: `task`, of level INFO and target `trioxide::task`, with the fields `id`, `name` (or the type of its future) and
/// `spawned_at`. It is entered while the task runs, so that what is logged there says in which task, on whatever worker; and closed when the task has ended.
///
/// It has no parent: a span would stay open as long as its children, and that of an accept loop as long as all connections. It *follows from* the span that was
/// current where the task was spawned.
///
/// Tasks that were spawned before the instrument was installed have none. What it costs is a look into a shared map at each step of a task.
///
/// ```
/// use std::sync::Arc;
/// use trioxide_io::TaskSpans;
/// use trioxide_runtime::Runtime;
/// let runtime = Runtime::builder().instrument(Arc::new(TaskSpans::default())).build().unwrap();
/// runtime.run(async { tracing::info!("this is said in the span of the main task") });
/// ```
#[derive(Debug, Default)]
pub struct TaskSpans(RwLock<HashMap<TaskId, Span>>);

impl TaskSpans {
    /// With the task's span, by the subscriber that has made it. Out of the lock: a subscriber may spawn.
    fn with(&self, task: &TaskInfo, enter_or_exit: impl FnOnce(&tracing::Dispatch, &Id)) {
        let span = self.0.read().get(&task.id()).cloned();
        if let Some(span) = span {
            span.with_subscriber(|(id, subscriber)| enter_or_exit(subscriber, id));
        }
    }
}

impl Instrument for TaskSpans {
    fn task_spawned(&self, _: &Moment, task: &TaskInfo) {
        let (id, name) = (display(task.id()), task.name().unwrap_or(task.type_name()));
        let span =
            info_span!(target: "trioxide::task", parent: None, "task", id, name, spawned_at = %task.spawned_at());
        span.follows_from(Span::current());
        self.0.write().insert(task.id(), span);
    }

    fn before_task_step(&self, _: &Moment, task: &TaskInfo) {
        self.with(task, |subscriber, id| subscriber.enter(id));
    }

    fn after_task_step(&self, _: &Moment, task: &TaskInfo) {
        self.with(task, |subscriber, id| subscriber.exit(id));
    }

    fn task_exited(&self, _: &Moment, task: &TaskInfo) {
        let span = self.0.write().remove(&task.id());
        drop(span); // outside of the lock: closing is the subscriber's code
    }
}
