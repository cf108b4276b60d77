//! A value that is made once, by whoever needs it first: [`OnceCell`], [`Lazy`].
//!
//! The one permit is the right to make the value. When it is made there are permits for everybody, so that all who wait go on at once.

use crate::at_once::{at_once, unbroken};
use std::convert::Infallible;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::Poll;
use trioxide_runtime::lowlevel::line::{MOST, Permits, Sharing};
use trioxide_runtime::lowlevel::{passes_checkpoint, poll_checkpoint};

/// A place for a value that is made once, asynchronously, by whoever needs it first; the others wait for it.
///
/// ```
/// use trioxide_runtime::run;
/// use trioxide_sync::OnceCell;
///
/// static CONFIG: OnceCell<String> = OnceCell::new();
///
/// run(async {
///     let config = CONFIG.get_or_init(async || "read from somewhere".to_owned()).await;
///     assert_eq!(config, "read from somewhere");
///     assert_eq!(CONFIG.get(), Some(config));
/// });
/// ```
pub struct OnceCell<T> {
    value: OnceLock<T>,
    right: Permits,
}

/// There is a value, or one is being made. Holds the one that was not set.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SetError<T>(pub T);

impl<T> fmt::Debug for SetError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SetError").finish_non_exhaustive()
    }
}

impl<T> fmt::Display for SetError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the cell has a value already, or one is being made")
    }
}

impl<T> std::error::Error for SetError<T> {}

impl<T> OnceCell<T> {
    /// Without a value.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self { value: OnceLock::new(), right: Permits::new(1) }
    }

    /// Without a value.
    #[cfg(loom)]
    pub fn new() -> Self {
        Self { value: OnceLock::new(), right: Permits::new(1) }
    }

    /// The value, if it is there.
    pub fn get(&self) -> Option<&T> {
        self.value.get()
    }

    /// The value, to change it.
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.value.get_mut()
    }

    /// The value, if there is one.
    pub fn into_inner(self) -> Option<T> {
        self.value.into_inner()
    }

    /// What goes on here at the moment.
    pub fn statistics(&self) -> OnceCellStatistics {
        let is_set = self.value.get().is_some();
        let now = self.right.snapshot();
        // Once it is set, there are rights for all.
        OnceCellStatistics { is_set, is_being_made: !is_set && now.free == 0, tasks_waiting: now.waiting }
    }

    /// Puts a value there.
    ///
    /// # Errors
    ///
    /// If there is one, or one is being made.
    pub fn set(&self, value: T) -> Result<(), SetError<T>> {
        let Ok(right) = Sharing::try_acquire(&self.right, 1) else { return Err(SetError(value)) };
        if self.value.get().is_some() {
            return Err(SetError(value));
        }
        self.made(value);
        drop(right);
        Ok(())
    }

    /// The value; if there is none, `make` makes it. If several tasks come, one makes it, and the others wait.
    ///
    /// A `make` that needs the value of this very cell waits for itself.
    ///
    /// # Cancellation
    ///
    /// A checkpoint, also if the value is there. Cancelled while it waits, it has done nothing. Cancelled while it makes the value, or if `make` panics, there is none; the first of those who wait makes it then, with a `make`
    /// of its own.
    ///
    /// # Panics
    ///
    /// When polled outside a run.
    #[inline]
    pub fn get_or_init(&self, make: impl AsyncFnOnce() -> T) -> impl Future<Output = &T> {
        at_once(
            (self, make),
            |(cell, _), _| Poll::Ready(cell.get_quickly()),
            async |(cell, make)| match cell.get_or_make(async || Ok::<_, Infallible>(make().await)).await {
                Ok(value) => value,
            },
        )
    }

    /// As [`get_or_init`](Self::get_or_init); if `make` fails there is no value, and the next makes it.
    ///
    /// # Errors
    ///
    /// Those of its own `make`.
    ///
    /// # Cancellation
    ///
    /// As for [`get_or_init`](Self::get_or_init).
    ///
    /// # Panics
    ///
    /// When polled outside a run.
    #[inline]
    pub fn get_or_try_init<E>(&self, make: impl AsyncFnOnce() -> Result<T, E>) -> impl Future<Output = Result<&T, E>> {
        at_once(
            (self, make),
            |(cell, _), _| Poll::Ready(cell.get_quickly().map(Ok)),
            async |(cell, make)| cell.get_or_make(make).await,
        )
    }

    /// The value, if it is there and the checkpoint is passed without more ado.
    #[inline]
    fn get_quickly(&self) -> Option<&T> {
        self.value.get().filter(|_| passes_checkpoint())
    }

    async fn get_or_make<E>(&self, make: impl AsyncFnOnce() -> Result<T, E>) -> Result<&T, E> {
        if let Some(value) = self.value.get() {
            poll_fn(|cx| poll_checkpoint(cx, OPERATION)).await;
            return Ok(value);
        }
        if poll_fn(|cx| self.right.poll_take(cx, 1, OPERATION)).await.is_none() {
            unbroken(self.right.acquire(1, false).await);
        }
        let right = Sharing::acquired(&self.right, 1);
        if let Some(value) = self.value.get() {
            // There are rights for everyone who may come now, so none needs to come back.
            right.forget();
            return Ok(value);
        }
        let value = make().await?;
        let value = self.made(value);
        drop(right);
        Ok(value)
    }

    /// The caller has the right.
    fn made(&self, value: T) -> &T {
        let value = self.value.get_or_init(|| value);
        self.right.open(MOST / 2);
        value
    }
}

const OPERATION: &str = "OnceCell::get_or_init";

/// What [`OnceCell::statistics`] gives: a moment's view, which may be old when it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OnceCellStatistics {
    /// Whether the value is there.
    pub is_set: bool,
    /// Whether somebody is making it.
    pub is_being_made: bool,
    /// How many tasks wait for who is making it.
    pub tasks_waiting: usize,
}

impl<T> Default for OnceCell<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for OnceCell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OnceCell").field(&self.get()).finish()
    }
}

/// What makes the value of a [`Lazy`] in a `static`, whose type must be written down.
type Boxed<T> = fn() -> Pin<Box<dyn Future<Output = T> + Send>>;

/// A value that is made when it is needed for the first time.
///
/// ```
/// use trioxide_runtime::run;
/// use trioxide_sync::Lazy;
///
/// static TABLE: Lazy<Vec<u32>> = Lazy::new(|| Box::pin(async { (0..3).collect() }));
///
/// run(async {
///     assert_eq!(TABLE.force().await, &[0, 1, 2]);
/// });
/// ```
pub struct Lazy<T, F = Boxed<T>> {
    cell: OnceCell<T>,
    make: F,
}

impl<T, F> Lazy<T, F> {
    /// `make` makes the value when it is needed.
    #[cfg(not(loom))]
    pub const fn new(make: F) -> Self {
        Self { cell: OnceCell::new(), make }
    }

    /// The value, if it has been made.
    pub fn get(&self) -> Option<&T> {
        self.cell.get()
    }

    /// What goes on here at the moment.
    pub fn statistics(&self) -> OnceCellStatistics {
        self.cell.statistics()
    }
}

impl<T, F: AsyncFn() -> T> Lazy<T, F> {
    /// The value, which is made if it has not been.
    ///
    /// # Cancellation
    ///
    /// As for [`OnceCell::get_or_init`]. Cancelled while it is being made it is made anew when it is next needed.
    ///
    /// # Panics
    ///
    /// When polled outside a run.
    pub async fn force(&self) -> &T {
        self.cell.get_or_init(&self.make).await
    }
}

impl<T: fmt::Debug, F> fmt::Debug for Lazy<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lazy").field(&self.get()).finish()
    }
}
