//! So many at once: [`Semaphore`].

use crate::at_once::{acquire_at_once, unbroken};
use crate::thread;
use std::fmt;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use trioxide_runtime::lowlevel::line::{Acquire, HasPermits, MOST, Permits, Refusal, Sharing};

/// A number of permits. Who has one, or several, may go on; the others wait.
///
/// Use a [`CapacityLimiter`](crate::CapacityLimiter) if their number is to change both ways, or if it matters who has them.
///
/// # Fairness
///
/// First come, first served, also if somebody who came later wants fewer: who wants many is not starved by those who want few. A hand-over that is not claimed in the next turn of the task that
/// waits passes on, as with a [`Mutex`](crate::Mutex#fairness): a future that nobody polls holds nobody up.
///
/// ```
/// use trioxide_runtime::run;
/// use trioxide_sync::Semaphore;
///
/// static BUFFERS: Semaphore = Semaphore::new(8);
///
/// run(async {
///     let three = BUFFERS.acquire_many(3).await;
///     assert_eq!(BUFFERS.available(), 5);
///     drop(three);
///     assert_eq!(BUFFERS.available(), 8);
/// });
/// ```
pub struct Semaphore {
    permits: Permits,
    /// All that there are, free or not. Read and changed by itself.
    total: AtomicUsize,
    most: usize,
}

/// [`add_permits`](Semaphore::add_permits) would have made more than there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyPermits {
    most: usize,
}

impl fmt::Display for TooManyPermits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there may be {} permits at most, held ones included", self.most)
    }
}

impl std::error::Error for TooManyPermits {}

/// No permits were to be had at once: too few are free, or others have waited longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoPermits;

impl fmt::Display for NoPermits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too few permits are free, or others have waited longer for them")
    }
}

impl std::error::Error for NoPermits {}

/// What goes on at a [`Semaphore`]; a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SemaphoreStatistics {
    /// How many permits are free.
    pub available: usize,
    /// How many there are, free or held.
    pub total: usize,
    /// How many wait.
    pub tasks_waiting: usize,
}

impl Semaphore {
    /// The most permits that a semaphore can have.
    pub const MAX_PERMITS: usize = MOST;

    /// A semaphore with `permits`.
    ///
    /// # Panics
    ///
    /// If that is more than [`MAX_PERMITS`](Self::MAX_PERMITS).
    #[cfg(not(loom))]
    pub const fn new(permits: usize) -> Self {
        Self { permits: Permits::new(permits), total: AtomicUsize::new(permits), most: MOST }
    }

    /// A semaphore with `permits`.
    #[cfg(loom)]
    pub fn new(permits: usize) -> Self {
        Self { permits: Permits::new(permits), total: AtomicUsize::new(permits), most: MOST }
    }

    /// A semaphore with `permits`, of which there may never be more than `most`. After Trio's `max_value`.
    ///
    /// # Panics
    ///
    /// If there are more than that.
    #[cfg(not(loom))]
    pub const fn with_most(permits: usize, most: usize) -> Self {
        assert!(permits <= most, "trioxide: `Semaphore::with_most` with more permits than the most there may be");
        Self { permits: Permits::new(permits), total: AtomicUsize::new(permits), most }
    }

    /// Waits for a permit, which goes back when it is dropped.
    ///
    /// # Cancellation
    ///
    /// A checkpoint, also if a permit is free. A cancelled wait has taken nothing; permits that were on their way to it go to the next in line.
    ///
    /// # Panics
    ///
    /// When polled outside a run.
    #[inline]
    pub fn acquire(&self) -> impl Future<Output = SemaphorePermit<'_>> {
        acquire_at_once(
            self,
            |semaphore, cx| semaphore.poll_at_once(cx, 1, "Semaphore::acquire"),
            |semaphore| semaphore.wait(1),
            |semaphore, acquired| {
                unbroken(acquired);
                semaphore.acquired(1)
            },
        )
    }

    /// Waits for so many permits at once: it has all of them, or none. Zero are had when nobody waits.
    ///
    /// If there are not so many at all, it waits until they are [added](Self::add_permits), and so do those behind it.
    ///
    /// # Cancellation
    ///
    /// As for [`acquire`](Self::acquire).
    ///
    /// # Panics
    ///
    /// When polled outside a run, and if it wants more than [`MAX_PERMITS`](Self::MAX_PERMITS).
    #[inline]
    pub fn acquire_many(&self, permits: usize) -> impl Future<Output = SemaphorePermit<'_>> {
        acquire_at_once(
            (self, permits),
            |&(semaphore, permits), cx| {
                possible(permits);
                semaphore.poll_at_once(cx, permits, "Semaphore::acquire_many")
            },
            |&(semaphore, permits)| semaphore.wait(permits),
            |&(semaphore, permits), acquired| {
                unbroken(acquired);
                semaphore.acquired(permits)
            },
        )
    }

    /// As [`acquire`](Self::acquire), with a permit that keeps the semaphore: it may go anywhere.
    ///
    /// # Cancellation
    ///
    /// As for [`acquire`](Self::acquire).
    ///
    /// # Panics
    ///
    /// When polled outside a run.
    pub async fn acquire_owned(self: Arc<Self>) -> OwnedSemaphorePermit {
        self.acquire_many_owned(1).await
    }

    /// As [`acquire_many`](Self::acquire_many), with a permit that keeps the semaphore.
    ///
    /// # Cancellation
    ///
    /// As for [`acquire`](Self::acquire).
    ///
    /// # Panics
    ///
    /// As [`acquire_many`](Self::acquire_many).
    pub async fn acquire_many_owned(self: Arc<Self>, permits: usize) -> OwnedSemaphorePermit {
        possible(permits);
        if poll_fn(|cx| self.permits.poll_take(cx, permits, "Semaphore::acquire_owned")).await.is_none() {
            unbroken(self.wait(permits).await);
        }
        OwnedSemaphorePermit { sharing: Sharing::acquired(self, permits) }
    }

    /// Takes a permit if one is free and nobody waits. Works in a run and outside.
    ///
    /// # Errors
    ///
    /// [`NoPermits`].
    pub fn try_acquire(&self) -> Result<SemaphorePermit<'_>, NoPermits> {
        self.try_acquire_many(1)
    }

    /// Takes so many permits if they are free and nobody waits.
    ///
    /// # Errors
    ///
    /// [`NoPermits`].
    pub fn try_acquire_many(&self, permits: usize) -> Result<SemaphorePermit<'_>, NoPermits> {
        Ok(SemaphorePermit { sharing: Sharing::try_acquire(self, permits).map_err(refused)? })
    }

    /// As [`try_acquire_many`](Self::try_acquire_many), with a permit that keeps the semaphore.
    ///
    /// # Errors
    ///
    /// [`NoPermits`].
    pub fn try_acquire_many_owned(self: Arc<Self>, permits: usize) -> Result<OwnedSemaphorePermit, NoPermits> {
        Ok(OwnedSemaphorePermit { sharing: Sharing::try_acquire(self, permits).map_err(refused)? })
    }

    /// As [`acquire_many`](Self::acquire_many), for a plain thread, which it blocks; it stands in the same line.
    ///
    /// # Panics
    ///
    /// In a task.
    pub fn blocking_acquire_many(&self, permits: usize) -> SemaphorePermit<'_> {
        unbroken(thread::wait("Semaphore::blocking_acquire_many", "Semaphore::acquire_many", self.wait(permits)));
        self.acquired(permits)
    }

    /// How many permits are free.
    pub fn available(&self) -> usize {
        self.permits.snapshot().free
    }

    /// So many permits more; those who wait get them, in order. From any thread, in a run or not.
    ///
    /// # Errors
    ///
    /// If there would be too many; then none is added.
    pub fn add_permits(&self, permits: usize) -> Result<(), TooManyPermits> {
        // Relaxed: the count guards nothing.
        let more = |total: usize| total.checked_add(permits).filter(|&total| total <= self.most);
        let added = self.total.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        added.map_err(|_| TooManyPermits { most: self.most })?;
        self.permits.give(permits);
        Ok(())
    }

    /// What goes on here at the moment.
    pub fn statistics(&self) -> SemaphoreStatistics {
        let now = self.permits.snapshot();
        let total = self.total.load(Ordering::Relaxed);
        SemaphoreStatistics { available: now.free, total, tasks_waiting: now.waiting }
    }

    #[inline]
    fn poll_at_once(
        &self,
        cx: &mut Context<'_>,
        permits: usize,
        operation: &'static str,
    ) -> Poll<Option<SemaphorePermit<'_>>> {
        let taken = self.permits.poll_take(cx, permits, operation);
        taken.map(|taken| taken.map(|_| self.acquired(permits)))
    }

    #[inline]
    fn acquired(&self, permits: usize) -> SemaphorePermit<'_> {
        SemaphorePermit { sharing: Sharing::acquired(self, permits) }
    }

    #[inline]
    fn wait(&self, permits: usize) -> Acquire<'_> {
        possible(permits);
        self.permits.acquire(permits, false)
    }

    fn forgotten(&self, permits: usize) {
        self.total.fetch_sub(permits, Ordering::Relaxed);
    }
}

/// There can be so many permits.
#[inline]
fn possible(permits: usize) {
    assert!(permits <= MOST, "trioxide: a semaphore was asked for {permits} permits; there can be {MOST} at most");
}

fn refused(_: Refusal) -> NoPermits {
    NoPermits
}

impl HasPermits for Semaphore {
    #[inline]
    fn permits(&self) -> &Permits {
        &self.permits
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let now = self.statistics();
        f.debug_struct("Semaphore")
            .field("available", &now.available)
            .field("tasks_waiting", &now.tasks_waiting)
            .finish()
    }
}

/// One or several permits of a [`Semaphore`]; they go back when this is dropped.
#[must_use = "the permits go back when this is dropped"]
pub struct SemaphorePermit<'a> {
    sharing: Sharing<&'a Semaphore>,
}

/// As [`SemaphorePermit`], but it keeps the semaphore.
#[must_use = "the permits go back when this is dropped"]
pub struct OwnedSemaphorePermit {
    sharing: Sharing<Arc<Semaphore>>,
}

macro_rules! permit {
    ($($permit:ty)*) => {
        $(
            impl $permit {
                /// How many permits.
                pub fn permits(&self) -> usize {
                    self.sharing.permits()
                }

                /// So many of them by themselves, if there are so many.
                pub fn split(&mut self, permits: usize) -> Option<Self> {
                    let keep = self.sharing.keep().clone();
                    self.sharing.take(permits).then(|| Self { sharing: Sharing::acquired(keep, permits) })
                }

                /// Those of `other` are this one's too.
                ///
                /// # Panics
                ///
                /// If they are of another semaphore.
                pub fn merge(&mut self, other: Self) {
                    let same = std::ptr::eq::<Semaphore>(&**self.sharing.keep(), &**other.sharing.keep());
                    assert!(same, "trioxide: `merge` of permits of two semaphores; keep them apart");
                    self.sharing.merge(other.sharing);
                }

                /// The semaphore has so many permits less, for good.
                pub fn forget(self) {
                    let semaphore = self.sharing.keep().clone();
                    semaphore.forgotten(self.sharing.forget());
                }
            }

            impl fmt::Debug for $permit {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.debug_struct(stringify!($permit)).field("permits", &self.permits()).finish_non_exhaustive()
                }
            }
        )*
    };
}

permit! { SemaphorePermit<'_> OwnedSemaphorePermit }
