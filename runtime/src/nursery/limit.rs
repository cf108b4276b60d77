//! A limit to how many children run at once, with back-pressure on who spawns.
//!
//! The slots are the tokens of a `CapacityLimiter`: a spawn waits for one, first come, first served, and the child gives it back at its end, which is
//! the end of its task with everything in it, not only of its future.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::sync::Arc;

use super::handle::{Options, closed};
use super::{Closed, Nursery, TaskOutput};
use crate::limiter::{CapacityLimiter, OwnedLimiterGuard};
use crate::task::Task;

/// Spawns children of which only so many run at once: see [`Nursery::limit`]. Clones share the limit.
pub struct Limited<E> {
    nursery: Nursery<E>,
    slots: Arc<CapacityLimiter>,
}

/// No slot is free, or the nursery has closed; here is the future back.
#[derive(Debug)]
#[non_exhaustive]
pub enum TrySpawnError<F> {
    /// As many children run as may, or others have waited longer.
    Full(F),
    /// The nursery has closed.
    Closed(F),
}

impl<F> TrySpawnError<F> {
    /// The future.
    pub fn into_inner(self) -> F {
        match self {
            Self::Full(future) | Self::Closed(future) => future,
        }
    }
}

impl<F> fmt::Display for TrySpawnError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "as many children run as the limit lets in",
            Self::Closed(_) => "the nursery is closed: its body and all its children have ended",
        })
    }
}

impl<F: fmt::Debug> std::error::Error for TrySpawnError<F> {}

impl<E: Send + 'static> Nursery<E> {
    /// A spawner that lets at most `most` of its children run at once; further spawns wait until one has ended.
    ///
    /// Each call makes a limit of its own; clones of the spawner share it. Children that are spawned by other means do not count. For a limit
    /// that several nurseries share, or that changes, see [`limited_by`](Self::limited_by). Beware of a child that waits for a slot of the limit
    /// in which it runs itself: with all others doing the same, none ever gets one.
    ///
    /// # Panics
    ///
    /// On zero: nobody could ever spawn.
    ///
    /// ```
    /// use std::convert::Infallible;
    /// use trioxide_runtime::{checkpoint, nursery, run};
    /// let pages: Result<u32, _> = run(nursery(async |n| {
    ///     let two = n.limit(2);
    ///     let mut fetched = Vec::new();
    ///     for page in 0..10 {
    ///         // Waits while two are under way.
    ///         let fetch = async move {
    ///             checkpoint().await;
    ///             page
    ///         };
    ///         fetched.push(two.spawn(async move { Ok::<_, Infallible>(fetch.await) }).await);
    ///     }
    ///     let mut sum = 0;
    ///     for page in fetched {
    ///         sum += page.await.unwrap();
    ///     }
    ///     Ok::<_, Infallible>(sum)
    /// }));
    /// assert_eq!(pages.unwrap(), 45);
    /// ```
    pub fn limit(&self, most: usize) -> Limited<E> {
        assert!(most > 0, "trioxide: a limit of children needs room for at least 1, got 0; nobody could ever spawn");
        self.limited_by(Arc::new(CapacityLimiter::new(most)))
    }

    /// As [`limit`](Self::limit), with the tokens of a limiter that others may use as well.
    pub fn limited_by(&self, slots: Arc<CapacityLimiter>) -> Limited<E> {
        Limited { nursery: self.clone(), slots }
    }
}

impl<E: Send + 'static> Limited<E> {
    /// Waits for a slot, then spawns `future` as [`Nursery::spawn`] does. The slot is free again when the child has ended, with everything in it.
    ///
    /// First come, first served.
    ///
    /// # Cancellation
    ///
    /// A checkpoint, also if a slot is free. Cancelled while it waits, it has spawned nothing; `future` is dropped with it, and a slot that was on its
    /// way to it goes to the next in line.
    ///
    /// # Panics
    ///
    /// When polled outside a run; if the nursery is closed by the time that there is a slot.
    #[track_caller]
    #[expect(clippy::async_yields_async, reason = "who spawns is given the child's handle, to await or not")]
    pub fn spawn<F>(&self, future: F) -> impl Future<Output = Task<<F::Output as TaskOutput<E>>::Value>> + use<E, F>
    where
        F: Future + Send + 'static,
        F::Output: TaskOutput<E>,
        <F::Output as TaskOutput<E>>::Value: Send,
    {
        let (limited, at) = (self.clone(), Location::caller());
        async move {
            let slot = Arc::clone(&limited.slots).acquire_owned().await;
            match limited.spawn_in(slot, future, at) {
                Ok(task) => task,
                Err(_) => closed(),
            }
        }
    }

    /// Spawns `future` if there is a slot and nobody waits for one.
    ///
    /// # Errors
    ///
    /// [`TrySpawnError::Full`] or [`TrySpawnError::Closed`], with the future.
    #[track_caller]
    pub fn try_spawn<F>(&self, future: F) -> Result<Task<<F::Output as TaskOutput<E>>::Value>, TrySpawnError<F>>
    where
        F: Future + Send + 'static,
        F::Output: TaskOutput<E>,
        <F::Output as TaskOutput<E>>::Value: Send,
    {
        match Arc::clone(&self.slots).try_acquire_owned() {
            Ok(slot) => {
                self.spawn_in(slot, future, Location::caller()).map_err(|Closed(future)| TrySpawnError::Closed(future))
            }
            Err(_) => Err(TrySpawnError::Full(future)),
        }
    }

    fn spawn_in<F>(
        &self,
        slot: OwnedLimiterGuard,
        future: F,
        at: &'static Location<'static>,
    ) -> Result<Task<<F::Output as TaskOutput<E>>::Value>, Closed<F>>
    where
        F: Future + Send + 'static,
        F::Output: TaskOutput<E>,
        <F::Output as TaskOutput<E>>::Value: Send,
    {
        let mut options = Options::at(at);
        options.at_end(move || drop(slot));
        self.nursery.spawn_with(future, options)
    }

    /// The nursery.
    pub fn nursery(&self) -> &Nursery<E> {
        &self.nursery
    }

    /// The limiter whose tokens are the slots: its `statistics` tell how many run and wait, and `set_total` changes the limit.
    pub fn limiter(&self) -> &Arc<CapacityLimiter> {
        &self.slots
    }
}

impl<E> Clone for Limited<E> {
    fn clone(&self) -> Self {
        Self { nursery: self.nursery.clone(), slots: Arc::clone(&self.slots) }
    }
}

impl<E> fmt::Debug for Limited<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limited").field("nursery", &self.nursery).finish_non_exhaustive()
    }
}
