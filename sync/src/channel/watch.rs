//! A value that is observed: [`watch()`].
//!
//! The version changes while the value is locked to be changed, so who sees a version sees that value, or a newer one.

use super::news::{Newer, News, NewsLot, WAITERS, tell};
use super::{NewsSink, RecvError};
use crate::thread;
use futures_core::Stream;
#[cfg(loom)]
use loom::sync::{RwLock, RwLockReadGuard};
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::PoisonError;
#[cfg(not(loom))]
use std::sync::{RwLock, RwLockReadGuard};
use std::task::{Context, Poll, ready};
use trioxide_runtime::lowlevel::primitives::Arc;
use trioxide_runtime::lowlevel::{Lot, poll_checkpoint};

/// A value that some change and others observe: a receiver sees the newest, and can wait for the next. What was replaced meanwhile is not seen.
///
/// ```
/// use trioxide_runtime::{nursery, run};
/// use trioxide_sync::channel;
///
/// run(async {
///     let (sender, mut receiver) = channel::watch("starting");
///     nursery(async |n| {
///         n.spawn(async move {
///             sender.send("ready");
///         });
///         assert_eq!(*receiver.wait_for(|state| *state == "ready").await.unwrap(), "ready");
///         assert!(receiver.changed().await.is_err()); // the sender is gone
///     })
///     .await;
/// });
/// ```
pub fn watch<T>(value: T) -> (Sender<T>, Receiver<T>) {
    let shared =
        Arc::new(Shared { lot: Lot::new(State { version: 1, senders: 1, receivers: 1 }), value: RwLock::new(value) });
    (Sender { shared: shared.clone() }, Receiver { shared, seen: 1 })
}

struct Shared<T> {
    lot: NewsLot<State>,
    value: RwLock<T>,
}

struct State {
    version: u64,
    senders: usize,
    receivers: usize,
}

impl News for State {
    fn version(&self) -> u64 {
        self.version
    }

    fn is_open(&self) -> bool {
        self.senders > 0
    }
}

impl<T> Shared<T> {
    fn read(&self) -> Ref<'_, T> {
        Ref(self.value.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Changes the value of a [`watch()`] channel. A clone changes the same one.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

/// Observes the value of a [`watch()`] channel. A clone has seen what this one has.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    seen: u64,
}

/// The value, while it is looked at. Changes wait for that, so not for long, and not across an `.await`.
pub struct Ref<'a, T>(RwLockReadGuard<'a, T>);

impl<T> Deref for Ref<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: fmt::Debug> fmt::Debug for Ref<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// What goes on at a [`watch()`] channel; a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WatchStatistics {
    /// How many handles to change the value there are.
    pub senders: usize,
    /// How many handles to observe it there are.
    pub receivers: usize,
    /// How many wait for a change.
    pub tasks_waiting: usize,
}

fn statistics<T>(shared: &Shared<T>) -> WatchStatistics {
    let locked = shared.lot.lock();
    WatchStatistics { senders: locked.senders, receivers: locked.receivers, tasks_waiting: locked.waiting(WAITERS) }
}

impl<T> Sender<T> {
    /// Replaces the value, and wakes who waits for that; the old one comes back. It never waits for a receiver, and works without one.
    pub fn send(&self, value: T) -> T {
        let mut value = Some(value);
        let mut old = None;
        self.modify(|there| {
            old = value.take().map(|value| std::mem::replace(there, value));
            true
        });
        old.expect("`modify` calls its argument once")
    }

    /// Changes the value in place, and wakes who waits if `change` says that it has. From any thread, in a run or not.
    ///
    /// A panic in `change` leaves the value as it is then, and nobody is woken for it.
    pub fn modify(&self, change: impl FnOnce(&mut T) -> bool) -> bool {
        let mut value = self.shared.value.write().unwrap_or_else(PoisonError::into_inner);
        let changed = change(&mut value);
        if changed {
            let (version, is_awaited) = {
                let mut locked = self.shared.lot.lock_quietly();
                locked.version += 1;
                (locked.version, locked.waiting(WAITERS) > 0)
            };
            drop(value);
            if is_awaited {
                tell(&self.shared.lot, version);
            }
        }
        changed
    }

    /// The value at the moment.
    pub fn borrow(&self) -> Ref<'_, T> {
        self.shared.read()
    }

    /// This end as a [`Sink`](futures_sink::Sink): each value replaces the one before. It waits for nobody.
    ///
    /// ```
    /// use futures_util::{StreamExt, stream};
    /// use trioxide_sync::channel;
    ///
    /// trioxide_runtime::run(async {
    ///     let (sender, receiver) = channel::watch(0);
    ///     stream::iter(1..=3).map(Ok).forward(sender.sink()).await.unwrap();
    ///     assert_eq!(*receiver.borrow(), 3);
    /// });
    /// ```
    pub fn sink(&self) -> NewsSink<'_, Self> {
        NewsSink::new(self)
    }

    /// A new receiver, which has seen the value that is there now.
    pub fn subscribe(&self) -> Receiver<T> {
        let mut locked = self.shared.lot.lock();
        locked.receivers += 1;
        Receiver { shared: self.shared.clone(), seen: locked.version }
    }

    /// What goes on here at the moment.
    pub fn statistics(&self) -> WatchStatistics {
        statistics(&self.shared)
    }
}

impl<T> Receiver<T> {
    /// The value at the moment. A change that has not been waited for is still news to [`changed`](Self::changed).
    pub fn borrow(&self) -> Ref<'_, T> {
        self.shared.read()
    }

    /// The value at the moment, which counts as seen from now on.
    pub fn borrow_and_update(&mut self) -> Ref<'_, T> {
        // The version while the value is locked: so it is that of this value.
        let value = self.shared.read();
        self.seen = self.shared.lot.lock().version;
        value
    }

    /// Whether there has been a change since what was seen last.
    pub fn has_changed(&self) -> bool {
        self.shared.lot.lock().version > self.seen
    }

    /// Waits until the value is another one than was seen last; then that counts as seen.
    ///
    /// # Errors
    ///
    /// [`RecvError`] when all senders are gone, and what they have sent was seen.
    ///
    /// # Cancellation
    ///
    /// A checkpoint, also if there was a change. A cancelled wait has seen nothing: the change is still news to the next.
    ///
    /// # Panics
    ///
    /// When polled outside a run.
    pub async fn changed(&mut self) -> Result<(), RecvError> {
        Newer::than(self.seen, &self.shared.lot, Some("watch::Receiver::changed")).await?;
        self.seen = self.shared.lot.lock().version;
        Ok(())
    }

    /// As [`changed`](Self::changed), for a plain thread, which it blocks.
    ///
    /// # Errors
    ///
    /// As [`changed`](Self::changed).
    ///
    /// # Panics
    ///
    /// In a task.
    pub fn blocking_changed(&mut self) -> Result<(), RecvError> {
        let changed = Newer::than(self.seen, &self.shared.lot, None);
        thread::wait("watch::Receiver::blocking_changed", "watch::Receiver::changed", changed)?;
        self.seen = self.shared.lot.lock().version;
        Ok(())
    }

    /// Waits until `wanted` says so of the value; looks at the one that is there first.
    ///
    /// # Errors
    ///
    /// As [`changed`](Self::changed).
    ///
    /// # Cancellation
    ///
    /// As for [`changed`](Self::changed); values that were not wanted count as seen.
    ///
    /// # Panics
    ///
    /// When polled outside a run.
    pub async fn wait_for(&mut self, wanted: impl FnMut(&T) -> bool) -> Result<Ref<'_, T>, RecvError> {
        std::future::poll_fn(|cx| poll_checkpoint(cx, "watch::Receiver::wait_for")).await;
        self.wanted(wanted).await
    }

    /// As [`wait_for`](Self::wait_for), for a plain thread, which it blocks.
    ///
    /// # Errors
    ///
    /// As [`changed`](Self::changed).
    ///
    /// # Panics
    ///
    /// In a task.
    pub fn blocking_wait_for(&mut self, wanted: impl FnMut(&T) -> bool) -> Result<Ref<'_, T>, RecvError> {
        thread::wait("watch::Receiver::blocking_wait_for", "watch::Receiver::wait_for", self.wanted(wanted))
    }

    async fn wanted(&mut self, mut wanted: impl FnMut(&T) -> bool) -> Result<Ref<'_, T>, RecvError> {
        loop {
            let value = self.shared.read();
            self.seen = self.shared.lot.lock().version;
            if wanted(&value) {
                return Ok(value);
            }
            drop(value);
            Newer::than(self.seen, &self.shared.lot, None).await?;
        }
    }

    /// The values as a [`Stream`], which ends when all senders are gone: the newest, each time that it is another than was seen last.
    ///
    /// Waiting for its next item is as [`changed`](Self::changed) in all respects. What it has given counts as seen.
    ///
    /// ```
    /// use futures_util::StreamExt;
    /// use trioxide_sync::channel;
    ///
    /// trioxide_runtime::run(async {
    ///     let (sender, mut receiver) = channel::watch(0);
    ///     sender.send(1);
    ///     sender.send(2);
    ///     let mut values = std::pin::pin!(receiver.values());
    ///     assert_eq!(values.next().await, Some(2));
    ///     drop(sender);
    ///     assert_eq!(values.next().await, None);
    /// });
    /// ```
    pub fn values(&mut self) -> Values<'_, T>
    where
        T: Clone,
    {
        let Self { shared, seen } = self;
        let next = Newer::than(*seen, &shared.lot, Some("watch::Values::next"));
        Values { shared, seen, next }
    }

    /// What goes on here at the moment.
    pub fn statistics(&self) -> WatchStatistics {
        statistics(&self.shared)
    }
}

pin_project! {
    /// The values of a [`watch()`] channel as a [`Stream`]; made by [`Receiver::values`].
    #[must_use = "a stream does nothing unless it is polled"]
    pub struct Values<'a, T> {
        shared: &'a Shared<T>,
        seen: &'a mut u64,
        // Begins anew after each value.
        #[pin]
        next: Newer<'a, State>,
    }
}

impl<T: Clone> Stream for Values<'_, T> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut this = self.project();
        let changed = ready!(this.next.as_mut().poll(cx)).is_ok();
        let value = changed.then(|| {
            // The version while the value is locked, as in `borrow_and_update`.
            let value = this.shared.read();
            **this.seen = this.shared.lot.lock().version;
            value.clone()
        });
        this.next.set(Newer::than(**this.seen, &this.shared.lot, Some("watch::Values::next")));
        Poll::Ready(value)
    }
}

impl<T> fmt::Debug for Values<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("watch::Values").field("statistics", &statistics(self.shared)).finish_non_exhaustive()
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.lot.lock().senders += 1;
        Self { shared: self.shared.clone() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let last = {
            let mut locked = self.shared.lot.lock();
            locked.senders -= 1;
            locked.senders == 0
        };
        if last {
            // Nobody begins to wait any more.
            self.shared.lot.notify_all(WAITERS);
        }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        self.shared.lot.lock().receivers += 1;
        Self { shared: self.shared.clone(), seen: self.seen }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.lot.lock().receivers -= 1;
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("watch::Sender").field("statistics", &self.statistics()).finish()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("watch::Receiver").field("statistics", &self.statistics()).finish()
    }
}
