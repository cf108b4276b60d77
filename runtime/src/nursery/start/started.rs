//! `Started`: what a child says that it is ready with.
#![allow(unsafe_code)]

use std::fmt;
use std::sync::Arc;

use super::Hold;
use super::handover::{Handover, Set};
use crate::primitives::Mutex;

/// With this a child that is being [started](crate::Nursery::start) says that it is ready, and hands its caller a value.
///
/// It may be sent to another task. When it is dropped without [`set`](Self::set) the child can never be ready any more, so it is cancelled, and
/// `start` says [`NotStarted`](crate::StartError::NotStarted). After Trio's `task_status`.
///
/// ```
/// use trioxide_runtime::{NurseryError, StartError, Started, nursery, run, sleep_forever};
/// async fn serve(started: Started<u16>) -> Result<(), std::io::Error> {
///     let port = 8080; // binds, listens, …
///     started.set(port);
///     sleep_forever().await; // … and serves
///     Ok(())
/// }
/// run(nursery(async |n| {
///     let port = n.start(serve).await.expect("it listens");
///     assert_eq!(port, 8080);
///     n.cancel("seen enough");
///     Ok::<_, std::io::Error>(())
/// }))
/// .unwrap();
/// ```
#[must_use = "the child is cancelled if this is dropped without `set`"]
pub struct Started<T> {
    slot: Option<Arc<Slot<T>>>,
}

/// Where the value waits for the caller.
pub(super) struct Slot<T> {
    value: Mutex<Option<T>>,
    handover: Arc<Handover>,
    pub(super) hold: Hold,
}

impl<T> Started<T> {
    pub(super) fn new(slot: Arc<Slot<T>>) -> Self {
        Self { slot: Some(slot) }
    }

    /// For a direct call of a function that is made for `start`: nobody waits, and the value is dropped.
    ///
    /// ```
    /// # use trioxide_runtime::{Started, run};
    /// async fn serve(started: Started<u16>) {
    ///     started.set(8080);
    /// }
    /// run(serve(Started::ignored()));
    /// ```
    pub fn ignored() -> Self {
        Self { slot: None }
    }

    /// The child is ready. `start` returns `value`, and from now on the child is the nursery's alone.
    ///
    /// If the caller of `start` was cancelled before, the child was, too, and is cut at its next suspension; the value counts only if it returns
    /// without one. It can be said once: this takes the `Started`.
    pub fn set(mut self, value: T) {
        let Some(slot) = self.slot.take() else { return };
        *slot.value.lock() = Some(value);
        match slot.handover.set() {
            // SAFETY: H2: ours is the step to `READY`.
            Set::Ready => unsafe { slot.hold.release() },
            Set::Late | Set::TooLate => {}
        }
    }
}

impl<T> Drop for Started<T> {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            slot.handover.abandon();
        }
    }
}

impl<T> fmt::Debug for Started<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Started").field("ignored", &self.slot.is_none()).finish()
    }
}

impl<T> Slot<T> {
    pub(super) fn new(handover: Arc<Handover>, hold: Hold) -> Self {
        Self { value: Mutex::new(None), handover, hold }
    }

    pub(super) fn handover(&self) -> &Handover {
        &self.handover
    }

    /// The value, if the child was ready in time; `returned`: or if it has returned since.
    pub(super) fn take(&self, returned: bool) -> Option<T> {
        if returned || self.handover.is_ready() { self.value.lock().take() } else { None }
    }
}
