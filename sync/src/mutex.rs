//! A lock that is held across `.await`s: [`Mutex`].
//!
//! Invariants:
//! - **M1** The value is reached through a guard, or through `&mut` or by value; a guard is there while all permits are owned, of which there is one.
//! - **M2** A guard's pointer is to the value of the mutex that its permit is of, which the guard borrows or keeps.
#![allow(unsafe_code)]

mod guard;

pub use guard::{MappedMutexGuard, MutexGuard, OwnedMappedMutexGuard, OwnedMutexGuard};

use crate::at_once::acquire_at_once;
use crate::thread;
use std::cell::UnsafeCell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use trioxide_runtime::TaskId;
use trioxide_runtime::lowlevel;
use trioxide_runtime::lowlevel::line::{Acquire, Broken, HasPermits, Owning, Permits, Refusal};

/// One at a time: who has the guard has the value, also across `.await`s.
///
/// Where no guard is held across an `.await`, a mutex of the standard library is cheaper and does as well.
///
/// # Fairness
///
/// First come, first served: a lock that is released while somebody waits is handed to the one who has waited longest, and nobody can snatch it on the way. A hand-over is good until the task
/// that waits has had a turn in which it could have taken it. If it has not taken it (it polls something else: a `select!` on `&mut` of the wait took another
/// branch), the lock goes to the next in line; the wait that was passed over has its old place as soon as it is polled again. So a future that nobody polls holds nobody up.
///
/// # Broken locks
///
/// Somebody who waits is told when there is nothing to wait for any more. A guard that is dropped by a panic *breaks* the lock, as what it guards may be half changed: see [`repair`](Self::repair).
/// So does a task that ends and whose guard has not been dropped: it was leaked, or given to another task, which should [`adopt`](OwnedMutexGuard::adopt) it. When such a
/// guard is dropped after all the lock is in order again.
///
/// A task that waits for a lock that it holds itself waits for ever; the stall report of the runtime names it when nothing else can run. It is no error in itself: of two branches of a `join!` one
/// may hold the lock while the other waits.
///
/// ```
/// use std::sync::Arc;
/// use trioxide_runtime::{checkpoint, nursery, run};
/// use trioxide_sync::Mutex;
///
/// run(async {
///     let total = Arc::new(Mutex::new(0));
///     nursery(async |n| {
///         for _ in 0..10 {
///             let total = Arc::clone(&total);
///             n.spawn(async move {
///                 let mut total = total.lock().await.expect("nobody panics");
///                 let before = *total;
///                 checkpoint().await; // nobody else comes between
///                 *total = before + 1;
///             });
///         }
///     })
///     .await;
///     assert_eq!(*total.lock().await.unwrap(), 10);
/// });
/// ```
pub struct Mutex<T: ?Sized> {
    permits: Permits,
    value: UnsafeCell<T>,
}

// SAFETY: the value is used by one at a time (M1), on whatever thread that is.
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}

/// The one permit of a mutex.
const ALL: usize = 1;

/// Why [`try_lock`](Mutex::try_lock) has no guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TryLockError {
    /// Somebody holds the lock, or waits for it.
    WouldBlock,
    /// Whoever held the lock has left it in disorder.
    Broken(Broken),
}

impl From<Refusal> for TryLockError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::WouldBlock => Self::WouldBlock,
            Refusal::Broken(broken) => Self::Broken(broken),
        }
    }
}

impl fmt::Display for TryLockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WouldBlock => f.write_str("the lock is held, or others wait for it"),
            Self::Broken(broken) => broken.fmt(f),
        }
    }
}

impl std::error::Error for TryLockError {}

/// What goes on at a [`Mutex`]; a snapshot, exact when it was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MutexStatistics {
    /// Somebody holds it, or it is on its way to somebody who has waited.
    pub locked: bool,
    /// The task that holds it; `None` also for a thread outside the run.
    pub holder: Option<TaskId>,
    /// How many wait for it.
    pub tasks_waiting: usize,
}

impl<T> Mutex<T> {
    /// A mutex that nobody holds.
    #[cfg(not(loom))]
    pub const fn new(value: T) -> Self {
        Self { permits: Permits::new(ALL), value: UnsafeCell::new(value) }
    }

    /// A mutex that nobody holds.
    #[cfg(loom)]
    pub fn new(value: T) -> Self {
        Self { permits: Permits::new(ALL), value: UnsafeCell::new(value) }
    }

    /// The value; nobody else has the mutex, so nobody holds it.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits until nobody holds the lock, and takes it. First come, first served.
    ///
    /// # Errors
    ///
    /// [`Broken`], also for those who wait when the lock breaks.
    ///
    /// # Cancellation
    ///
    /// A checkpoint, also if the lock is free. A cancelled wait has taken nothing; a lock that was on its way to it goes to the next in line.
    ///
    /// # Panics
    ///
    /// When polled outside a run.
    #[inline]
    pub fn lock(&self) -> impl Future<Output = Result<MutexGuard<'_, T>, Broken>> {
        acquire_at_once(
            self,
            |lock, cx| {
                let holder = lock.permits.poll_own(cx, ALL, "Mutex::lock");
                holder.map(|holder| holder.map(|holder| Ok(lock.locked(holder))))
            },
            |lock| lock.acquire(),
            |lock, holder| holder.map(|holder| lock.locked(holder)),
        )
    }

    /// As [`lock`](Self::lock), with a guard that keeps the mutex: it may go anywhere.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock).
    ///
    /// # Cancellation
    ///
    /// As for [`lock`](Self::lock).
    ///
    /// # Panics
    ///
    /// When polled outside a run.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use trioxide_runtime::{nursery, run};
    /// use trioxide_sync::{Mutex, OwnedMutexGuard};
    ///
    /// let log = Arc::new(Mutex::new(vec![]));
    /// run(nursery(async |n| {
    ///     let mut guard = Arc::clone(&log).lock_owned().await.unwrap();
    ///     n.spawn(async move {
    ///         OwnedMutexGuard::adopt(&mut guard); // this task answers for it now
    ///         guard.push("from the child");
    ///     });
    /// }));
    /// assert_eq!(*log.try_lock().unwrap(), ["from the child"]);
    /// ```
    pub async fn lock_owned(self: Arc<Self>) -> Result<OwnedMutexGuard<T>, Broken> {
        let holder = match poll_fn(|cx| self.permits.poll_own(cx, ALL, "Mutex::lock_owned")).await {
            Some(holder) => holder,
            None => self.acquire().await?,
        };
        Ok(OwnedMutexGuard::new(Owning::acquired(self, holder)))
    }

    /// Takes the lock if nobody holds it and nobody waits for it. Works in a run and outside.
    ///
    /// # Errors
    ///
    /// [`TryLockError`], also if it is the caller that holds it.
    pub fn try_lock(&self) -> Result<MutexGuard<'_, T>, TryLockError> {
        Ok(MutexGuard::new(Owning::try_acquire(self)?))
    }

    /// As [`try_lock`](Self::try_lock), with a guard that keeps the mutex.
    ///
    /// # Errors
    ///
    /// As [`try_lock`](Self::try_lock).
    pub fn try_lock_owned(self: Arc<Self>) -> Result<OwnedMutexGuard<T>, TryLockError> {
        Ok(OwnedMutexGuard::new(Owning::try_acquire(self)?))
    }

    /// As [`lock`](Self::lock), for a plain thread, which it blocks; it stands in the same line.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock).
    ///
    /// # Panics
    ///
    /// In a task.
    pub fn blocking_lock(&self) -> Result<MutexGuard<'_, T>, Broken> {
        let holder = thread::wait("Mutex::blocking_lock", "Mutex::lock", self.acquire())?;
        Ok(self.locked(holder))
    }

    /// The value; nobody else has the mutex, so nobody holds it.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// Who has broken the lock, if it is broken.
    pub fn broken(&self) -> Option<Broken> {
        self.permits.broken()
    }

    /// What a panic has broken may be locked again. Whoever calls this has seen to it that the value is in order, or does so next.
    ///
    /// A lock that is broken because its guard has not been dropped stays broken: the guard may turn up yet.
    ///
    /// ```
    /// use std::panic::{AssertUnwindSafe, catch_unwind};
    /// use trioxide_sync::Mutex;
    ///
    /// let pair = Mutex::new((1, 1));
    /// let panicked = catch_unwind(AssertUnwindSafe(|| {
    ///     let mut pair = pair.try_lock().unwrap();
    ///     pair.0 = 2;
    ///     panic!("before the other half was changed");
    /// }));
    /// assert!(panicked.is_err() && pair.try_lock().is_err());
    /// pair.repair();
    /// let mut pair = pair.try_lock().unwrap();
    /// pair.1 = pair.0;
    /// ```
    pub fn repair(&self) {
        self.permits.repair();
    }

    /// What goes on here at the moment.
    pub fn statistics(&self) -> MutexStatistics {
        let now = self.permits.snapshot();
        MutexStatistics {
            locked: now.free == 0,
            holder: now.owner.and_then(lowlevel::holder_id),
            tasks_waiting: now.waiting,
        }
    }

    pub(crate) fn permits(&self) -> &Permits {
        &self.permits
    }

    /// Of one who holds it, without a guard: gives it back, waits for the condition, and takes it again.
    pub(crate) async fn await_condition(&self, condition: u64) -> Result<MutexGuard<'_, T>, Broken> {
        let holder = Acquire::after_condition(&self.permits, ALL, condition).await?;
        Ok(self.locked(holder))
    }

    fn acquire(&self) -> Acquire<'_> {
        self.permits.acquire(ALL, true)
    }

    /// The guard for `holder`, who has acquired the lock.
    #[inline]
    fn locked(&self, holder: u64) -> MutexGuard<'_, T> {
        MutexGuard::new(Owning::acquired(self, holder))
    }
}

impl<T: ?Sized> HasPermits for Mutex<T> {
    #[inline]
    fn permits(&self) -> &Permits {
        &self.permits
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for Mutex<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Mutex");
        match self.try_lock() {
            Ok(guard) => out.field("value", &&*guard),
            Err(TryLockError::WouldBlock) => out.field("value", &format_args!("<locked>")),
            Err(TryLockError::Broken(_)) => out.field("value", &format_args!("<broken>")),
        };
        out.finish_non_exhaustive()
    }
}
