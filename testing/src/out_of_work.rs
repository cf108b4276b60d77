//! Plain threads that act when a run can go no further: [`OutOfWork`].

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;
use trioxide_runtime::{Instrument, Moment, Observer, TaskId, TaskInfo, current_task};

/// Tells a plain thread that a task is suspended and that the worker it ran on has found nothing else to do: the event for a thread that is to act only when the run waits for it.
/// [`wait_all_tasks_blocked`](crate::wait_all_tasks_blocked) is that for tasks; but it counts calls on the thread pool as work, and plain threads cannot await it.
///
/// With one worker, the run then does nothing until somebody else wakes it. With several, the other workers may be at work.
///
/// ```
/// use std::sync::Arc;
/// use trioxide_sync::Event;
/// use trioxide_testing::{OutOfWork, on_each};
///
/// on_each(&[1, 2, 8], async || {
///     let event = Arc::new(Event::new());
///     let (set, main) = (Arc::clone(&event), OutOfWork::new());
///     let thread = std::thread::spawn(move || {
///         main.wait(); // until it waits for the event
///         set.set();
///     });
///     event.wait().await;
///     thread.join().unwrap();
/// });
/// ```
pub struct OutOfWork {
    observer: Observer,
    watch: Arc<Watch>,
}

struct Watch {
    task: TaskId,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// The thread that polled the task last: a worker, which does not wait in the middle of that.
    polled_by: ThreadId,
    over: bool,
}

impl OutOfWork {
    /// About the calling task, from now on: its next suspensions count.
    ///
    /// # Panics
    ///
    /// Outside a run.
    #[track_caller]
    pub fn new() -> Self {
        let state = State { polled_by: thread::current().id(), over: false };
        let watch = Watch { task: current_task().id(), state: Mutex::new(state), changed: Condvar::new() };
        let (observer, watch) = (Observer::current(), Arc::new(watch));
        observer.add_instrument(Arc::clone(&watch));
        Self { observer, watch }
    }

    /// Blocks the calling thread until the task is suspended and its worker has nothing to do; at once if that has been so. For ever if the task ends before.
    pub fn wait(&self) {
        let waiting = self.watch.changed.wait_while(self.watch.locked(), |state| !state.over);
        drop(waiting.unwrap_or_else(PoisonError::into_inner));
    }
}

impl Default for OutOfWork {
    #[track_caller]
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for OutOfWork {
    fn drop(&mut self) {
        self.observer.remove_instrument(&self.watch);
    }
}

impl Watch {
    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Instrument for Watch {
    fn before_task_step(&self, _at: &Moment, task: &TaskInfo) {
        if task.id() == self.task {
            self.locked().polled_by = thread::current().id();
        }
    }

    fn before_io_wait(&self, _at: &Moment, _timeout: Option<Duration>) {
        let mut state = self.locked();
        if state.polled_by == thread::current().id() {
            state.over = true;
            self.changed.notify_all();
        }
    }
}
