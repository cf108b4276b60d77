//! Each message to each receiver: [`broadcast()`].

use super::news::{NewsLot, Search, WAITERS, tell};
use super::{NewsSink, SendError};
use crate::thread;
use futures_core::Stream;
use pin_project_lite::pin_project;
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc as Shared;
use std::task::{Context, Poll, ready};
use trioxide_runtime::lowlevel::Lot;
use trioxide_runtime::lowlevel::primitives::Arc;

/// A channel on which each receiver gets each message that is sent after it was made. A send never waits: of a receiver that is more than `capacity` messages behind the oldest are dropped, and it is told
/// how many ([`RecvError::Lagged`]).
///
/// # Panics
///
/// If `capacity` is zero.
///
/// ```
/// use trioxide_runtime::run;
/// use trioxide_sync::channel::{self, broadcast::RecvError};
///
/// run(async {
///     let (sender, mut one) = channel::broadcast(2);
///     let mut two = sender.subscribe();
///     sender.send("a").unwrap();
///     assert_eq!(one.recv().await, Ok("a"));
///     sender.send("b").unwrap();
///     sender.send("c").unwrap();
///     assert_eq!(two.recv().await, Err(RecvError::Lagged(1))); // it has missed "a"
///     assert_eq!(two.recv().await, Ok("b"));
///     assert_eq!(one.recv().await, Ok("b"));
/// });
/// ```
pub fn broadcast<T: Clone>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(
        capacity > 0,
        "trioxide: `broadcast` with a capacity of 0; nothing could be received from it, it needs room for 1 at least"
    );
    let state = State { messages: VecDeque::new(), next: 0, capacity, senders: 1, receivers: 1 };
    let lot = Arc::new(Lot::new(state));
    (Sender { lot: lot.clone() }, Receiver { lot, next: 0 })
}

struct State<T> {
    /// The newest, up to `capacity` of them; the last is number `next - 1`.
    messages: VecDeque<Shared<T>>,
    next: u64,
    capacity: usize,
    senders: usize,
    receivers: usize,
}

impl<T> State<T> {
    /// The number of the oldest message that is there.
    fn oldest(&self) -> u64 {
        self.next - self.messages.len() as u64
    }

    /// What is there for a receiver that wants message `next`.
    fn get(&self, next: &mut u64) -> Result<Shared<T>, TryRecvError> {
        let oldest = self.oldest();
        if *next < oldest {
            let missed = oldest - *next;
            *next = oldest;
            return Err(TryRecvError::Lagged(missed));
        }
        match self.messages.get((*next - oldest) as usize) {
            Some(message) => {
                *next += 1;
                Ok(message.clone())
            }
            None if self.senders == 0 => Err(TryRecvError::Closed),
            None => Err(TryRecvError::Empty),
        }
    }
}

/// Sends on a [`broadcast()`] channel. A clone sends on the same one.
pub struct Sender<T> {
    lot: Arc<NewsLot<State<T>>>,
}

/// Receives from a [`broadcast()`] channel. A clone is at the same place, and goes on by itself.
pub struct Receiver<T> {
    lot: Arc<NewsLot<State<T>>>,
    /// The number of the message that it gets next.
    next: u64,
}

/// Why [`recv`](Receiver::recv) has no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecvError {
    /// It was too slow: so many messages were dropped. The next receive gets the oldest that is there.
    Lagged(u64),
    /// All senders are gone, and everything that they sent has been received.
    Closed,
}

/// Why [`try_recv`](Receiver::try_recv) has no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryRecvError {
    /// There is no message now.
    Empty,
    /// As [`RecvError::Lagged`].
    Lagged(u64),
    /// As [`RecvError::Closed`].
    Closed,
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lagged(missed) => write!(f, "the receiver was too slow: it has missed {missed} messages"),
            Self::Closed => f.write_str("the channel is closed and empty: all of its senders have been dropped"),
        }
    }
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the channel is empty"),
            Self::Lagged(missed) => RecvError::Lagged(*missed).fmt(f),
            Self::Closed => RecvError::Closed.fmt(f),
        }
    }
}

impl std::error::Error for RecvError {}
impl std::error::Error for TryRecvError {}

/// What goes on at a [`broadcast()`] channel; a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BroadcastStatistics {
    /// How many messages are kept, for those who are behind.
    pub kept: usize,
    /// How many can be.
    pub capacity: usize,
    /// How many were ever sent.
    pub sent: u64,
    /// How many handles to send there are.
    pub senders: usize,
    /// How many receivers there are.
    pub receivers: usize,
    /// How many receives wait for a message.
    pub tasks_waiting: usize,
}

fn statistics<T>(lot: &NewsLot<State<T>>) -> BroadcastStatistics {
    let locked = lot.lock();
    BroadcastStatistics {
        kept: locked.messages.len(),
        capacity: locked.capacity,
        sent: locked.next,
        senders: locked.senders,
        receivers: locked.receivers,
        tasks_waiting: locked.waiting(WAITERS),
    }
}

impl<T> Sender<T> {
    /// Sends `value` to all receivers that there are; how many. It never waits, and may be called from any thread, in a run or not.
    ///
    /// # Errors
    ///
    /// The value, when there is no receiver.
    pub fn send(&self, value: T) -> Result<usize, SendError<T>> {
        let mut locked = self.lot.lock_quietly();
        if locked.receivers == 0 {
            drop(locked);
            return Err(SendError(value));
        }
        let mut oldest = if locked.messages.len() == locked.capacity { locked.messages.pop_front() } else { None };
        let (message, replaced) = match oldest.as_mut().and_then(Shared::get_mut) {
            // Nobody has it in hand: the new one gets its place in memory.
            Some(place) => {
                let replaced = std::mem::replace(place, value);
                (oldest.take().expect("just seen"), Some(replaced))
            }
            None => (Shared::new(value), None),
        };
        locked.messages.push_back(message);
        locked.next += 1;
        let (version, receivers) = (locked.next, locked.receivers);
        let is_awaited = locked.waiting(WAITERS) > 0; // Who comes later sees it.
        drop(locked);
        drop((oldest, replaced)); // Whatever their `Drop` does, not under the lock.
        if is_awaited {
            tell(&self.lot, version);
        }
        Ok(receivers)
    }

    /// This end as a [`Sink`](futures_sink::Sink), for [`forward`](https://docs.rs/futures-util/latest/futures_util/stream/trait.StreamExt.html#method.forward) and the like. It waits for nobody.
    ///
    /// ```
    /// use futures_util::{StreamExt, stream};
    /// use trioxide_sync::channel;
    ///
    /// trioxide_runtime::run(async {
    ///     let (sender, mut receiver) = channel::broadcast(8);
    ///     stream::iter(0..3).map(Ok).forward(sender.sink()).await.unwrap();
    ///     drop(sender);
    ///     let received: Vec<_> = receiver.messages().map(Result::unwrap).collect().await;
    ///     assert_eq!(received, [0, 1, 2]);
    /// });
    /// ```
    pub fn sink(&self) -> NewsSink<'_, Self> {
        NewsSink::new(self)
    }

    /// A new receiver: it gets what is sent from now on.
    pub fn subscribe(&self) -> Receiver<T> {
        let mut locked = self.lot.lock();
        locked.receivers += 1;
        Receiver { lot: self.lot.clone(), next: locked.next }
    }

    /// What goes on here at the moment.
    pub fn statistics(&self) -> BroadcastStatistics {
        statistics(&self.lot)
    }
}

impl<T: Clone> Receiver<T> {
    /// Receives the next message; waits while there is none.
    ///
    /// # Errors
    ///
    /// [`RecvError::Lagged`] if it has missed some; [`RecvError::Closed`] at the end.
    ///
    /// # Cancellation
    ///
    /// A checkpoint, also if there is a message. A cancelled receive has taken nothing: the message is there for the next one.
    ///
    /// # Panics
    ///
    /// When polled outside a run.
    pub async fn recv(&mut self) -> Result<T, RecvError> {
        let Self { lot, next } = self;
        let mut search = pin!(Search::new(lot, Some("broadcast::Receiver::recv")));
        poll_fn(|cx| poll_receive(search.as_mut(), next, cx)).await
    }

    /// As [`recv`](Self::recv), for a plain thread, which it blocks.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    ///
    /// # Panics
    ///
    /// In a task.
    pub fn blocking_recv(&mut self) -> Result<T, RecvError> {
        let Self { lot, next } = self;
        let mut search = pin!(Search::new(lot, None));
        let received = poll_fn(|cx| poll_receive(search.as_mut(), next, cx));
        thread::wait("broadcast::Receiver::blocking_recv", "broadcast::Receiver::recv", received)
    }

    /// Receives the next message if there is one. Works in a run and outside.
    ///
    /// # Errors
    ///
    /// [`TryRecvError`].
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        let message = self.lot.lock_quietly().get(&mut self.next)?;
        Ok(clone_of(message))
    }

    /// The messages as a [`Stream`], which ends when the channel is closed and everything in it was received; an item is [`RecvError::Lagged`] where some were missed.
    ///
    /// Waiting for its next item is as [`recv`](Self::recv) in all respects.
    ///
    /// ```
    /// use futures_util::StreamExt;
    /// use trioxide_sync::channel;
    ///
    /// trioxide_runtime::run(async {
    ///     let (sender, mut receiver) = channel::broadcast(8);
    ///     sender.send(1).unwrap();
    ///     sender.send(2).unwrap();
    ///     drop(sender);
    ///     let received: Vec<_> = receiver.messages().collect().await;
    ///     assert_eq!(received, [Ok(1), Ok(2)]);
    /// });
    /// ```
    pub fn messages(&mut self) -> Messages<'_, T> {
        let Self { lot, next } = self;
        Messages { search: Search::new(lot, MESSAGES), lot, next }
    }
}

pin_project! {
    /// The messages of a [`broadcast()`] channel as a [`Stream`]; made by [`Receiver::messages`].
    #[must_use = "a stream does nothing unless it is polled"]
    pub struct Messages<'a, T> {
        lot: &'a NewsLot<State<T>>,
        next: &'a mut u64,
        // Begins anew after each message.
        #[pin]
        search: Search<'a, State<T>>,
    }
}

impl<T: Clone> Stream for Messages<'_, T> {
    type Item = Result<T, RecvError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut this = self.project();
        let received = ready!(poll_receive(this.search.as_mut(), this.next, cx));
        this.search.set(Search::new(this.lot, MESSAGES));
        Poll::Ready(match received {
            Err(RecvError::Closed) => None,
            received => Some(received),
        })
    }
}

const MESSAGES: Option<&str> = Some("broadcast::Messages::next");

impl<T> fmt::Debug for Messages<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("broadcast::Messages").field("statistics", &statistics(self.lot)).finish_non_exhaustive()
    }
}

/// The next message of a receiver that is at `next`, once there is one.
#[inline]
fn poll_receive<T: Clone>(
    search: Pin<&mut Search<'_, State<T>>>,
    next: &mut u64,
    cx: &mut Context<'_>,
) -> Poll<Result<T, RecvError>> {
    let found = ready!(search.poll_for(cx, |state| match state.get(next) {
        Ok(message) => Ok(Ok(message)),
        Err(TryRecvError::Lagged(missed)) => Ok(Err(RecvError::Lagged(missed))),
        Err(TryRecvError::Closed) => Ok(Err(RecvError::Closed)),
        Err(TryRecvError::Empty) => Err(*next),
    }));
    Poll::Ready(found.map(clone_of))
}

/// Without the lock: it is the user's code.
#[inline]
fn clone_of<T: Clone>(message: Shared<T>) -> T {
    T::clone(&message)
}

impl<T> Receiver<T> {
    /// What goes on here at the moment.
    pub fn statistics(&self) -> BroadcastStatistics {
        statistics(&self.lot)
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.lot.lock().senders += 1;
        Self { lot: self.lot.clone() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let last = {
            let mut locked = self.lot.lock();
            locked.senders -= 1;
            locked.senders == 0
        };
        if last {
            // Nobody begins to wait any more.
            self.lot.notify_all(WAITERS);
        }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        self.lot.lock().receivers += 1;
        Self { lot: self.lot.clone(), next: self.next }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut locked = self.lot.lock();
        locked.receivers -= 1;
        let unread = (locked.receivers == 0).then(|| std::mem::take(&mut locked.messages));
        drop(locked);
        drop(unread);
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("broadcast::Sender").field("statistics", &self.statistics()).finish()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("broadcast::Receiver").field("statistics", &self.statistics()).finish()
    }
}
