//! Something that happens once: [`Event`].

use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use trioxide_runtime::lowlevel::poll_checkpoint;
use trioxide_runtime::lowlevel::primitives::atomic::{AtomicBool, Ordering};
use trioxide_runtime::lowlevel::{Lot, Waiter};

/// Something that happens once, for which any number of tasks can wait.
///
/// It starts out unset; [`set`](Event::set) sets it for good and wakes everyone. There is no way back:
/// for the next occasion take a new event.
///
/// Tasks share it by reference, as in a `nursery_with`, by `Arc`, or as a `static`.
///
/// ```
/// use std::sync::Arc;
/// use trioxide_runtime::{nursery, run};
/// use trioxide_sync::Event;
///
/// run(async {
///     let ready = Arc::new(Event::new());
///     nursery(async |n| {
///         let started = Arc::clone(&ready);
///         n.spawn(async move {
///             // … open the listener, then:
///             started.set();
///         });
///         ready.wait().await;
///     })
///     .await;
///     assert!(ready.is_set());
/// });
/// ```
pub struct Event {
    set: AtomicBool,
    lot: Lot<(), (), 1>,
}

/// The one queue of an event.
const WAITERS: usize = 0;

impl Event {
    /// An event that is not set.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self { set: AtomicBool::new(false), lot: Lot::new(()) }
    }

    /// An event that is not set.
    #[cfg(loom)]
    pub fn new() -> Self {
        Self { set: AtomicBool::new(false), lot: Lot::new(()) }
    }

    /// Sets the event and wakes everyone who waits for it. Setting it again changes nothing.
    ///
    /// It never waits, and may be called from any thread, in a run or not. Whoever sees the event set,
    /// or comes out of a wait, sees all that was done before it was set.
    pub fn set(&self) {
        // The flag changes under the lock: whoever has entered the queue with the flag unset is notified.
        let locked = self.lot.lock_quietly();
        let was_set = self.set.swap(true, Ordering::AcqRel);
        if !was_set && locked.waiting(WAITERS) > 0 {
            locked.into_locked().notify_all(WAITERS);
        }
    }

    /// Whether the event has been set.
    #[inline]
    pub fn is_set(&self) -> bool {
        self.set.load(Ordering::Acquire)
    }

    /// Waits until the event is set.
    ///
    /// Cancellation: a checkpoint, also when the event is set already. A cancelled wait leaves no trace.
    ///
    /// # Panics
    ///
    /// When polled outside a run.
    #[inline]
    pub fn wait(&self) -> Wait<'_> {
        Wait { event: self, waiter: None }
    }

    /// What goes on here at the moment.
    pub fn statistics(&self) -> EventStatistics {
        EventStatistics { tasks_waiting: self.lot.lock().waiting(WAITERS) }
    }
}

impl Default for Event {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event").field("is_set", &self.is_set()).finish_non_exhaustive()
    }
}

/// Who waits for an [`Event`]; made by [`Event::statistics`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventStatistics {
    /// How many waits have begun and have neither been woken nor cancelled.
    pub tasks_waiting: usize,
}

pin_project! {
    /// The future of [`Event::wait`].
    #[must_use = "a future does nothing unless it is awaited"]
    pub struct Wait<'a> {
        event: &'a Event,
        // From when it has to wait until it is done.
        #[pin]
        waiter: Option<Waiter<'a, (), (), 1>>,
    }
}

impl Future for Wait<'_> {
    type Output = ();

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.waiter.is_some() {
            return self.poll_waiting(cx);
        }
        ready!(poll_checkpoint(cx, "Event::wait"));
        if self.event.is_set() { Poll::Ready(()) } else { self.begin(cx) }
    }
}

impl Wait<'_> {
    fn begin(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        let mut locked = this.event.lot.lock();
        if this.event.is_set() {
            return Poll::Ready(());
        }
        this.waiter.set(Some(Waiter::new(&this.event.lot)));
        let waiter = this.waiter.as_pin_mut().expect("just set");
        waiter.enter(&mut locked, WAITERS, (), cx.waker());
        Poll::Pending
    }

    fn poll_waiting(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        ready!(this.waiter.as_mut().as_pin_mut().expect("it waits").poll(cx));
        this.waiter.set(None);
        Poll::Ready(())
    }
}

impl fmt::Debug for Wait<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait").field("event", self.event).finish_non_exhaustive()
    }
}
