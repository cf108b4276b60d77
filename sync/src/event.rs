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
        let was_set = self.set.load(Ordering::Relaxed);
        self.set.store(true, Ordering::Release); // Pairs with `is_set`.
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
        Wait { stage: Stage::Beginning { event: Some(self) } }
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
        #[pin]
        stage: Stage<'a>,
    }
}

pin_project! {
    // One or the other, and nothing beside: as many may wait as there are tasks. How large it is, a test knows.
    #[project = StageProjected]
    enum Stage<'a> {
        // `None`: the wait is over.
        Beginning { event: Option<&'a Event> },
        // From when it has to wait until it is done.
        Waiting { #[pin] waiter: Waiter<'a, (), (), 1> },
    }
}

impl Future for Wait<'_> {
    type Output = ();

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut stage = self.project().stage;
        let event = match stage.as_mut().project() {
            StageProjected::Waiting { waiter } => {
                ready!(waiter.poll(cx));
                stage.set(Stage::Beginning { event: None });
                return Poll::Ready(());
            }
            StageProjected::Beginning { event } => *event,
        };
        ready!(poll_checkpoint(cx, "Event::wait"));
        match event {
            Some(event) if !event.is_set() => stage.begin(event, cx),
            _ => Poll::Ready(()),
        }
    }
}

impl<'a> Stage<'a> {
    fn begin(mut self: Pin<&mut Self>, event: &'a Event, cx: &mut Context<'_>) -> Poll<()> {
        let mut locked = event.lot.lock();
        if event.is_set() {
            return Poll::Ready(());
        }
        self.set(Stage::Waiting { waiter: Waiter::new(&event.lot) });
        let StageProjected::Waiting { waiter } = self.project() else { unreachable!("just set") };
        waiter.enter(&mut locked, WAITERS, (), cx.waker());
        Poll::Pending
    }
}

impl fmt::Debug for Wait<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waits = matches!(self.stage, Stage::Waiting { .. });
        f.debug_struct("Wait").field("waits", &waits).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn a_wait_is_as_large_as_a_place_in_the_queue() {
        // The lot; state, links and waker of the place.
        assert_eq!(size_of::<Wait<'_>>(), 48);
    }
}
