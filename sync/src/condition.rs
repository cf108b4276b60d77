//! Waiting for what a mutex guards to change: [`Condition`].

use crate::{Mutex, MutexGuard};
use std::fmt;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use trioxide_runtime::lowlevel::line::Broken;
use trioxide_runtime::lowlevel::poll_checkpoint;

/// Tasks wait, without the lock, until somebody who has the lock says that what it guards has changed.
///
/// Notifying needs the guard, so that no notification falls between a look at the value and the wait. Who is notified gets in the line of the mutex at that moment, in the order of the waits; so nobody is woken only to
/// wait again, and nothing wakes without having been notified.
///
/// One condition may be used with several mutexes, and one mutex with several conditions.
///
/// ```
/// use std::sync::Arc;
/// use trioxide_runtime::{nursery, run};
/// use trioxide_sync::{Condition, Mutex};
///
/// static NOT_EMPTY: Condition = Condition::new();
///
/// run(async {
///     let queue = Arc::new(Mutex::new(vec![]));
///     nursery(async |n| {
///         let other = Arc::clone(&queue);
///         n.spawn(async move {
///             let mut guard = other.lock().await.unwrap();
///             guard.push("job");
///             NOT_EMPTY.notify_one(&guard);
///         });
///         let guard = queue.lock().await.unwrap();
///         let mut guard = NOT_EMPTY.wait_while(guard, |queue| queue.is_empty()).await.unwrap();
///         assert_eq!(guard.pop(), Some("job"));
///     })
///     .await;
/// });
/// ```
pub struct Condition {
    /// Tells those who wait for it from others at the same mutex; given when it is first used. Zero: not yet.
    id: AtomicU64,
}

/// The numbers of conditions.
static IDS: AtomicU64 = AtomicU64::new(1);

/// Who waits for a [`Condition`]; a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConditionStatistics {
    /// How many wait and have not been notified.
    pub tasks_waiting: usize,
}

impl Condition {
    /// A condition that nobody waits for.
    pub const fn new() -> Self {
        Self { id: AtomicU64::new(0) }
    }

    /// Gives the lock back, waits until it is notified, and takes the lock again, first come, first served.
    ///
    /// What was true when it was notified may have changed until it has the lock: look again, or use [`wait_while`](Self::wait_while).
    ///
    /// # Errors
    ///
    /// [`Broken`], when the lock breaks meanwhile.
    ///
    /// # Cancellation
    ///
    /// A checkpoint. A cancelled wait gives the lock back, or does not take it again: the guard went into the wait, so nothing that runs after it could need the lock. If it had been notified and had not got the lock yet,
    /// that notification is used up; who notifies one of several that can do the same work uses [`notify_all`](Self::notify_all) if waits may be cancelled.
    ///
    /// # Panics
    ///
    /// When polled outside a run.
    pub async fn wait<'a, T: ?Sized>(&self, guard: MutexGuard<'a, T>) -> Result<MutexGuard<'a, T>, Broken> {
        poll_fn(|cx| poll_checkpoint(cx, "Condition::wait")).await;
        let mutex = MutexGuard::settle(guard);
        mutex.await_condition(self.id()).await
    }

    /// Waits as long as `pending` says so of the value; looks before each wait.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    ///
    /// # Cancellation
    ///
    /// As for [`wait`](Self::wait); a checkpoint also if it need not wait.
    ///
    /// # Panics
    ///
    /// When polled outside a run.
    pub async fn wait_while<'a, T: ?Sized>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut pending: impl FnMut(&mut T) -> bool,
    ) -> Result<MutexGuard<'a, T>, Broken> {
        poll_fn(|cx| poll_checkpoint(cx, "Condition::wait_while")).await;
        while pending(&mut guard) {
            guard = self.wait(guard).await?;
        }
        Ok(guard)
    }

    /// Notifies the one who has waited longest at the mutex of `guard`; false if nobody does.
    pub fn notify_one<T: ?Sized>(&self, guard: &MutexGuard<'_, T>) -> bool {
        self.notify(guard, 1) == 1
    }

    /// Notifies up to `count` of those who have waited longest at the mutex of `guard`; how many.
    pub fn notify<T: ?Sized>(&self, guard: &MutexGuard<'_, T>, count: usize) -> usize {
        MutexGuard::mutex(guard).permits().notify(self.id(), count)
    }

    /// Notifies all who wait at the mutex of `guard`; how many.
    pub fn notify_all<T: ?Sized>(&self, guard: &MutexGuard<'_, T>) -> usize {
        self.notify(guard, usize::MAX)
    }

    /// Who waits at `mutex` at the moment.
    pub fn statistics<T: ?Sized>(&self, mutex: &Mutex<T>) -> ConditionStatistics {
        ConditionStatistics { tasks_waiting: mutex.permits().waiting_for(self.id()) }
    }

    fn id(&self) -> u64 {
        // Relaxed: the number says nothing of anything else.
        let id = self.id.load(Ordering::Relaxed);
        if id != 0 {
            return id;
        }
        let new = IDS.fetch_add(1, Ordering::Relaxed);
        self.id.compare_exchange(0, new, Ordering::Relaxed, Ordering::Relaxed).map_or_else(|there| there, |_| new)
    }
}

impl Default for Condition {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condition").finish_non_exhaustive()
    }
}
