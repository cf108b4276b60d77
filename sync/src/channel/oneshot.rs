//! A channel for one message: [`oneshot()`].

mod slot;

use super::TryRecvError;
use crate::thread;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use trioxide_runtime::lowlevel::{passes_checkpoint, poll_checkpoint};

/// A channel for one message from one task to another. One allocation; neither end ever takes a lock.
///
/// ```
/// use trioxide_runtime::{nursery, run};
/// use trioxide_sync::channel;
///
/// run(async {
///     nursery(async |n| {
///         let (sender, answer) = channel::oneshot();
///         n.spawn(async move {
///             sender.send(6 * 7).expect("somebody waits for it");
///         });
///         assert_eq!(answer.await, Ok(42));
///     })
///     .await;
/// });
/// ```
#[inline]
pub fn oneshot<T>() -> (Sender<T>, Receiver<T>) {
    let (sending, receiving) = slot::halves();
    (Sender { half: sending }, Receiver { half: receiving })
}

/// What goes on at a [`oneshot()`] channel; a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OneshotStatistics {
    /// Whether the message was sent; whether it has been received since is not told.
    pub is_sent: bool,
    /// How many handles to send there are: one, until it has sent or is dropped.
    pub senders: usize,
    /// How many handles to receive there are: one, until it is dropped.
    pub receivers: usize,
    /// How many wait for the message: one, from when the receiver was polled until there is a message, or will be none.
    pub tasks_waiting: usize,
}

impl From<slot::State> for OneshotStatistics {
    fn from(state: slot::State) -> Self {
        Self {
            is_sent: state.is_sent,
            senders: state.has_sender.into(),
            receivers: state.has_receiver.into(),
            tasks_waiting: state.is_awaited.into(),
        }
    }
}

/// Sends the one message of a [`oneshot()`] channel.
///
/// Dropped without having sent, it tells the receiver so.
pub struct Sender<T> {
    half: slot::SendHalf<T>,
}

impl<T> Sender<T> {
    /// Sends `value`. It never waits, and may be called from any thread, in a run or not.
    ///
    /// `Ok` means that the receiver can have it, not that it will ask for it.
    ///
    /// # Errors
    ///
    /// The value, when the receiver is gone.
    #[inline]
    pub fn send(self, value: T) -> Result<(), T> {
        self.half.send(value)
    }

    /// Whether the receiver is gone.
    pub fn is_closed(&self) -> bool {
        self.half.is_closed()
    }

    /// What goes on here at the moment.
    ///
    /// ```
    /// use trioxide_sync::channel;
    ///
    /// let (sender, receiver) = channel::oneshot::<u32>();
    /// assert_eq!((sender.statistics().receivers, sender.statistics().tasks_waiting), (1, 0));
    /// drop(receiver);
    /// assert_eq!(sender.statistics().receivers, 0);
    /// ```
    pub fn statistics(&self) -> OneshotStatistics {
        self.half.state().into()
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("oneshot::Sender").field("statistics", &self.statistics()).finish()
    }
}

/// Receives the one message of a [`oneshot()`] channel; await it.
///
/// # Errors
///
/// Awaiting it gives [`Closed`] when the sender was dropped without having sent, or when the message has
/// been received before.
///
/// # Cancellation
///
/// A checkpoint, also when the message is there. A cancelled wait on `&mut receiver` has taken nothing, and
/// the receiver can be awaited again. Awaited by value, a cancelled wait drops the receiver with whatever
/// was sent to it.
///
/// # Panics
///
/// When polled outside a run.
#[must_use = "a future does nothing unless it is awaited"]
pub struct Receiver<T> {
    half: slot::RecvHalf<T>,
}

impl<T> Receiver<T> {
    /// Receives the message if it is there. Works in a run and outside, on any thread.
    ///
    /// # Errors
    ///
    /// [`TryRecvError::Empty`] when it has not been sent yet; [`TryRecvError::Closed`] when the sender was
    /// dropped without having sent, or when the message has been received before.
    ///
    /// ```
    /// use trioxide_sync::channel::{self, TryRecvError};
    ///
    /// let (sender, mut receiver) = channel::oneshot();
    /// assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    /// sender.send(1).unwrap();
    /// assert_eq!(receiver.try_recv(), Ok(1));
    /// assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
    /// ```
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        match self.half.try_take() {
            Poll::Ready(Some(value)) => Ok(value),
            Poll::Ready(None) => Err(TryRecvError::Closed),
            Poll::Pending => Err(TryRecvError::Empty),
        }
    }

    /// As awaiting the receiver, for a plain thread, which it blocks.
    ///
    /// # Errors
    ///
    /// [`Closed`], as for awaiting it.
    ///
    /// # Panics
    ///
    /// In a task.
    ///
    /// ```
    /// use std::thread;
    /// use trioxide_sync::channel;
    ///
    /// let (sender, answer) = channel::oneshot();
    /// let asks = thread::spawn(move || answer.blocking_recv());
    /// sender.send(42).unwrap();
    /// assert_eq!(asks.join().unwrap(), Ok(42));
    /// ```
    pub fn blocking_recv(mut self) -> Result<T, Closed> {
        let received = poll_fn(|cx| self.half.poll_take(cx.waker()));
        thread::wait("oneshot::Receiver::blocking_recv", "the receiver", received).ok_or(Closed)
    }

    /// What goes on here at the moment.
    pub fn statistics(&self) -> OneshotStatistics {
        self.half.state().into()
    }
}

impl<T> Future for Receiver<T> {
    type Output = Result<T, Closed>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if !self.half.has_waited() && passes_checkpoint() {
            return match self.half.take_sent() {
                Some(value) => Poll::Ready(Ok(value)),
                None => self.poll_take(cx),
            };
        }
        self.poll_slowly(cx)
    }
}

impl<T> Receiver<T> {
    #[inline(never)]
    fn poll_slowly(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, Closed>> {
        if !self.half.has_waited() {
            ready!(poll_checkpoint(cx, "oneshot::Receiver"));
        }
        self.poll_take(cx)
    }

    /// Past the checkpoint.
    #[inline(never)]
    fn poll_take(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, Closed>> {
        self.half.poll_take(cx.waker()).map(|value| value.ok_or(Closed))
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("oneshot::Receiver").field("statistics", &self.statistics()).finish_non_exhaustive()
    }
}

/// There is no message, and none will come: the sender was dropped without having sent, or the message
/// has been received before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the channel is closed: its sender was dropped without having sent")
    }
}

impl std::error::Error for Closed {}
