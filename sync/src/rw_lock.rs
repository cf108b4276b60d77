//! Many readers or one writer: [`RwLock`].
//!
//! Invariants:
//! - **R1** The value is reached shared by who has a permit, and alone by who owns all; or through `&mut`, or by value.
//! - **R2** A guard's pointer is into the value of the lock that its permits are of, which the guard borrows or keeps.
#![allow(unsafe_code)]

mod guard;

pub use guard::{
    MappedRwLockWriteGuard, OwnedMappedRwLockWriteGuard, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLockReadGuard,
    RwLockWriteGuard,
};

use crate::TryLockError;
use crate::at_once::acquire_at_once;
use crate::thread;
use std::cell::UnsafeCell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use trioxide_runtime::TaskId;
use trioxide_runtime::lowlevel;
use trioxide_runtime::lowlevel::line::{Acquire, Broken, HasPermits, Owning, Permits, Sharing};

/// Any number of readers, or one writer.
///
/// # Fairness
///
/// First come, first served: a reader that comes while a writer waits, waits behind it, so writers are not starved; and readers that wait side by side are let in together. So who
/// reads, and reads again while it still has the first guard, may wait for a writer that waits for it. A hand-over that is not claimed in the next turn of its task passes on, as with a
/// [`Mutex`](crate::Mutex#fairness): a future that nobody polls holds nobody up.
///
/// # Broken locks
///
/// A writer that panics, or ends and leaves its guard undropped, breaks the lock as that of a [`Mutex`](crate::Mutex#broken-locks). Readers break nothing: what they see they do not change. (A read
/// guard that is leaked keeps writers out, and nobody is told.)
///
/// ```
/// use trioxide_runtime::run;
/// use trioxide_sync::RwLock;
///
/// run(async {
///     let config = RwLock::new(String::from("old"));
///     {
///         let (one, two) = (config.read().await.unwrap(), config.read().await.unwrap());
///         assert_eq!(*one, *two);
///     }
///     config.write().await.unwrap().replace_range(.., "new");
///     assert_eq!(*config.read().await.unwrap(), "new");
/// });
/// ```
pub struct RwLock<T: ?Sized> {
    permits: Permits,
    value: UnsafeCell<T>,
}

// SAFETY: the value goes where the lock goes, and to a writer on any thread (R1).
unsafe impl<T: ?Sized + Send> Send for RwLock<T> {}
// SAFETY: readers share the value, on any threads (R1).
unsafe impl<T: ?Sized + Send + Sync> Sync for RwLock<T> {}

/// The most readers at a time; a writer has all these permits.
const ALL: usize = u32::MAX as usize;

/// What goes on at a [`RwLock`]; a snapshot, exact when it was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RwLockStatistics {
    /// How many read, or have been handed the lock to read; if `writing` that is one who writes.
    pub readers: usize,
    /// Somebody writes, or has been handed the lock to write.
    pub writing: bool,
    /// The task that writes; `None` also for a thread outside the run.
    pub writer: Option<TaskId>,
    /// How many wait, to read or to write.
    pub tasks_waiting: usize,
}

impl<T> RwLock<T> {
    /// A lock that nobody holds.
    #[cfg(not(loom))]
    pub const fn new(value: T) -> Self {
        Self { permits: Permits::new(ALL), value: UnsafeCell::new(value) }
    }

    /// A lock that nobody holds.
    #[cfg(loom)]
    pub fn new(value: T) -> Self {
        Self { permits: Permits::new(ALL), value: UnsafeCell::new(value) }
    }

    /// The value; nobody else has the lock.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Waits until nobody writes, and nobody waits who came before.
    ///
    /// # Errors
    ///
    /// [`Broken`], also for those who wait when the lock breaks.
    ///
    /// # Cancellation
    ///
    /// A checkpoint, also if it need not wait. A cancelled wait has taken nothing; a lock that was on its way to it goes to the next in line.
    ///
    /// # Panics
    ///
    /// When polled outside a run.
    #[inline]
    pub fn read(&self) -> impl Future<Output = Result<RwLockReadGuard<'_, T>, Broken>> {
        acquire_at_once(
            self,
            |lock, cx| {
                let taken = lock.permits.poll_take(cx, 1, "RwLock::read");
                taken.map(|taken| taken.map(|_| Ok(lock.to_read())))
            },
            |lock| lock.acquire(false),
            |lock, taken| taken.map(|_| lock.to_read()),
        )
    }

    /// Waits until nobody reads or writes, and nobody waits who came before.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    ///
    /// # Cancellation
    ///
    /// As for [`read`](Self::read). Readers that waited behind a cancelled writer go on.
    ///
    /// # Panics
    ///
    /// When polled outside a run.
    #[inline]
    pub fn write(&self) -> impl Future<Output = Result<RwLockWriteGuard<'_, T>, Broken>> {
        acquire_at_once(
            self,
            |lock, cx| {
                let holder = lock.permits.poll_own(cx, ALL, "RwLock::write");
                holder.map(|holder| holder.map(|holder| Ok(lock.to_write(holder))))
            },
            |lock| lock.acquire(true),
            |lock, holder| holder.map(|holder| lock.to_write(holder)),
        )
    }

    /// As [`read`](Self::read), with a guard that keeps the lock.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    ///
    /// # Cancellation
    ///
    /// As for [`read`](Self::read).
    ///
    /// # Panics
    ///
    /// When polled outside a run.
    pub async fn read_owned(self: Arc<Self>) -> Result<OwnedRwLockReadGuard<T>, Broken> {
        if poll_fn(|cx| self.permits.poll_take(cx, 1, "RwLock::read_owned")).await.is_none() {
            self.acquire(false).await?;
        }
        Ok(OwnedRwLockReadGuard::new(Sharing::acquired(self, 1)))
    }

    /// As [`write`](Self::write), with a guard that keeps the lock.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    ///
    /// # Cancellation
    ///
    /// As for [`write`](Self::write).
    ///
    /// # Panics
    ///
    /// When polled outside a run.
    pub async fn write_owned(self: Arc<Self>) -> Result<OwnedRwLockWriteGuard<T>, Broken> {
        let holder = match poll_fn(|cx| self.permits.poll_own(cx, ALL, "RwLock::write_owned")).await {
            Some(holder) => holder,
            None => self.acquire(true).await?,
        };
        Ok(OwnedRwLockWriteGuard::new(Owning::acquired(self, holder)))
    }

    /// Takes the lock to read if nobody writes, and nobody waits. Works in a run and outside.
    ///
    /// # Errors
    ///
    /// [`TryLockError`].
    pub fn try_read(&self) -> Result<RwLockReadGuard<'_, T>, TryLockError> {
        Ok(RwLockReadGuard::new(self, Sharing::try_acquire(&self.permits, 1)?))
    }

    /// Takes the lock to write if nobody has it, and nobody waits. Works in a run and outside.
    ///
    /// # Errors
    ///
    /// [`TryLockError`].
    pub fn try_write(&self) -> Result<RwLockWriteGuard<'_, T>, TryLockError> {
        Ok(RwLockWriteGuard::new(self, Owning::try_acquire(&self.permits)?))
    }

    /// As [`try_read`](Self::try_read), with a guard that keeps the lock.
    ///
    /// # Errors
    ///
    /// [`TryLockError`].
    pub fn try_read_owned(self: Arc<Self>) -> Result<OwnedRwLockReadGuard<T>, TryLockError> {
        Ok(OwnedRwLockReadGuard::new(Sharing::try_acquire(self, 1)?))
    }

    /// As [`try_write`](Self::try_write), with a guard that keeps the lock.
    ///
    /// # Errors
    ///
    /// [`TryLockError`].
    pub fn try_write_owned(self: Arc<Self>) -> Result<OwnedRwLockWriteGuard<T>, TryLockError> {
        Ok(OwnedRwLockWriteGuard::new(Owning::try_acquire(self)?))
    }

    /// As [`read`](Self::read), for a plain thread, which it blocks; it stands in the same line.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    ///
    /// # Panics
    ///
    /// In a task.
    pub fn blocking_read(&self) -> Result<RwLockReadGuard<'_, T>, Broken> {
        thread::wait("RwLock::blocking_read", "RwLock::read", self.acquire(false))?;
        Ok(self.to_read())
    }

    /// As [`write`](Self::write), for a plain thread, which it blocks; it stands in the same line.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    ///
    /// # Panics
    ///
    /// In a task.
    pub fn blocking_write(&self) -> Result<RwLockWriteGuard<'_, T>, Broken> {
        let holder = thread::wait("RwLock::blocking_write", "RwLock::write", self.acquire(true))?;
        Ok(self.to_write(holder))
    }

    /// The value; nobody else has the lock.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// Who has broken the lock, if it is broken.
    pub fn broken(&self) -> Option<Broken> {
        self.permits.broken()
    }

    /// As [`Mutex::repair`](crate::Mutex::repair).
    pub fn repair(&self) {
        self.permits.repair();
    }

    /// What goes on here at the moment.
    pub fn statistics(&self) -> RwLockStatistics {
        let now = self.permits.snapshot();
        let writing = now.free == 0;
        RwLockStatistics {
            readers: if writing { 0 } else { ALL - now.free },
            writing,
            writer: now.owner.and_then(lowlevel::holder_id),
            tasks_waiting: now.waiting,
        }
    }

    fn acquire(&self, to_write: bool) -> Acquire<'_> {
        self.permits.acquire(if to_write { ALL } else { 1 }, to_write)
    }

    /// The guard of one who has acquired the lock to read.
    #[inline]
    fn to_read(&self) -> RwLockReadGuard<'_, T> {
        RwLockReadGuard::new(self, Sharing::acquired(&self.permits, 1))
    }

    /// The guard for `holder`, who has acquired the lock to write.
    #[inline]
    fn to_write(&self, holder: u64) -> RwLockWriteGuard<'_, T> {
        RwLockWriteGuard::new(self, Owning::acquired(&self.permits, holder))
    }
}

impl<T: ?Sized> HasPermits for RwLock<T> {
    #[inline]
    fn permits(&self) -> &Permits {
        &self.permits
    }
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for RwLock<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("RwLock");
        match self.try_read() {
            Ok(guard) => out.field("value", &&*guard),
            Err(TryLockError::WouldBlock) => out.field("value", &format_args!("<locked>")),
            Err(TryLockError::Broken(_)) => out.field("value", &format_args!("<broken>")),
        };
        out.finish_non_exhaustive()
    }
}
