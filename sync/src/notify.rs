//! A signal that can be given again and again: [`Notify`].
//!
//! Signals are permits, which never come back.

use crate::at_once::{acquire_at_once, unbroken};
use crate::thread;
use std::fmt;
use std::future::Future;
use trioxide_runtime::lowlevel::line::{Permits, Want};

/// A signal that can be given again and again: it wakes one who waits, or is kept, once, for the next who comes. After tokio's `Notify`.
///
/// It says no more than "look again": who is notified looks for what there is to do, and finds all that was done before the notification. For something that happens once and for all there is [`Event`](crate::Event); for a
/// value that changes, [`watch`](crate::channel::watch()); for what a mutex guards, [`Condition`](crate::Condition).
///
/// # Fairness
///
/// First come, first served. A notification that was handed to a wait goes on to the next if that wait is dropped, and also if its task has had a turn and has not taken it, as with a
/// [`Mutex`](crate::Mutex#fairness): a future that nobody polls keeps no notification from others.
///
/// ```
/// use std::sync::Mutex;
/// use trioxide_runtime::{nursery_with, run};
/// use trioxide_sync::Notify;
///
/// #[derive(Default)]
/// struct Jobs {
///     todo: Mutex<Vec<u32>>,
///     more: Notify,
/// }
///
/// impl Jobs {
///     fn push(&self, job: u32) {
///         self.todo.lock().unwrap().push(job);
///         self.more.notify_one();
///     }
///
///     async fn pop(&self) -> u32 {
///         loop {
///             // Not in the condition of a `while let`: the lock would be held while this waits.
///             let job = self.todo.lock().unwrap().pop();
///             match job {
///                 Some(job) => return job,
///                 None => self.more.wait().await,
///             }
///         }
///     }
/// }
///
/// run(nursery_with(Jobs::default(), async |s| {
///     let jobs = s.env();
///     s.spawn(async move { jobs.push(7) });
///     assert_eq!(jobs.pop().await, 7);
/// }));
/// ```
pub struct Notify {
    signals: Permits,
}

/// The most that are kept for those who come.
const KEPT: usize = 1;

/// What goes on at a [`Notify`]; a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotifyStatistics {
    /// Whether a notification is kept for the next who comes.
    pub is_notified: bool,
    /// How many wait.
    pub tasks_waiting: usize,
}

impl Notify {
    /// Nobody waits, and no notification is kept.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self { signals: Permits::new(0) }
    }

    /// Nobody waits, and no notification is kept.
    #[cfg(loom)]
    pub fn new() -> Self {
        Self { signals: Permits::new(0) }
    }

    /// Notifies the one who has waited longest; if nobody waits, the next who comes need not wait. Such a notification is kept once: several, with nobody there, are one.
    ///
    /// It never waits, and may be called from any thread, in a run or not. Who is notified sees all that was done before this.
    pub fn notify_one(&self) {
        self.signals.give_up_to(1, KEPT);
    }

    /// Notifies all who wait now, and nobody who comes later; how many. A notification that is kept stays so.
    ///
    /// As [`notify_one`](Self::notify_one) in all else, but that nothing goes on to others: who is dropped after it has been told with all others is missed by nobody.
    pub fn notify_all(&self) -> usize {
        self.signals.let_in_waiting()
    }

    /// Waits until it is notified, or takes the notification that is kept.
    ///
    /// # Cancellation
    ///
    /// A checkpoint, also if a notification is kept. A cancelled wait has taken nothing: what [`notify_one`](Self::notify_one) handed to it goes to the next who waits, or is kept.
    ///
    /// # Panics
    ///
    /// When polled outside a run.
    #[inline]
    pub fn wait(&self) -> impl Future<Output = ()> {
        acquire_at_once(
            self,
            |notify, cx| notify.signals.poll_take(cx, 1, "Notify::wait"),
            |notify| notify.signals.acquire(1, false),
            |_, acquired| unbroken(acquired),
        )
    }

    /// Takes the notification that is kept, if one is. Works in a run and outside.
    pub fn try_wait(&self) -> bool {
        self.signals.try_take(Want { permits: 1, holder: None }).is_ok()
    }

    /// As [`wait`](Self::wait), for a plain thread, which it blocks; it stands in the same line.
    ///
    /// # Panics
    ///
    /// In a task.
    pub fn blocking_wait(&self) {
        unbroken(thread::wait("Notify::blocking_wait", "Notify::wait", self.signals.acquire(1, false)));
    }

    /// What goes on here at the moment.
    pub fn statistics(&self) -> NotifyStatistics {
        let now = self.signals.snapshot();
        NotifyStatistics { is_notified: now.free > 0, tasks_waiting: now.waiting }
    }
}

impl Default for Notify {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let now = self.statistics();
        f.debug_struct("Notify")
            .field("is_notified", &now.is_notified)
            .field("tasks_waiting", &now.tasks_waiting)
            .finish()
    }
}
