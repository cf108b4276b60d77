//! The receiving end of a [`bounded`](super::bounded) channel.

use super::locked::Channel;
use super::state::{self, State};
use super::{ChannelStatistics, Parcel, RECEIVERS, RecvError, SENDERS, TryRecvError};
use crate::apart::Apart;
use crate::thread;
use futures_core::Stream;
use pin_project_lite::pin_project;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use trioxide_runtime::lowlevel::poll_checkpoint;
use trioxide_runtime::lowlevel::primitives::Arc;
use trioxide_runtime::lowlevel::{Left, Waiter};

/// Receives from a [`bounded`](super::bounded) channel. A clone receives from the same one: each message
/// goes to one of them.
///
/// When the last of them is dropped, what is buffered is dropped too, and senders get their values back.
pub struct Receiver<T> {
    channel: Arc<Channel<T>>,
}

impl<T> Receiver<T> {
    /// The receiver that a new channel counts already.
    pub(super) fn first(channel: Arc<Channel<T>>) -> Self {
        Self { channel }
    }

    /// Receives the oldest message; waits while there is none.
    ///
    /// # Errors
    ///
    /// [`RecvError`] when all senders are gone and there is no message left.
    ///
    /// # Cancellation
    ///
    /// A checkpoint, also when there is a message. A receive that is cancelled while it waits has taken
    /// nothing. One that is dropped right after a message was handed to it passes the message on to the
    /// receiver next in line, or else back to the front of the channel: nothing is lost, and the order is kept.
    ///
    /// # Panics
    ///
    /// When polled outside a run.
    ///
    /// ```
    /// use trioxide_sync::channel;
    ///
    /// trioxide_runtime::run(async {
    ///     let (sender, receiver) = channel::bounded(2);
    ///     sender.send(1).await.unwrap();
    ///     drop(sender);
    ///     assert_eq!(receiver.recv().await, Ok(1));
    ///     assert!(receiver.recv().await.is_err());
    /// });
    /// ```
    #[inline]
    pub fn recv(&self) -> Receiving<'_, T> {
        Receiving { channel: &self.channel, wait: None }
    }

    /// Receives the oldest message if there is one. Works in a run and outside, on any thread.
    ///
    /// # Errors
    ///
    /// [`TryRecvError::Empty`] when there is none now, [`TryRecvError::Closed`] when there will be none.
    ///
    /// ```
    /// use trioxide_sync::channel::{self, TryRecvError};
    ///
    /// let (sender, receiver) = channel::bounded(1);
    /// assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    /// sender.try_send(1).unwrap();
    /// drop(sender);
    /// assert_eq!(receiver.try_recv(), Ok(1));
    /// assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
    /// ```
    #[inline]
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        match self.channel.ring.receive() {
            Some(value) => Ok(value),
            None => self.try_recv_slowly(),
        }
    }

    #[inline(never)]
    fn try_recv_slowly(&self) -> Result<T, TryRecvError> {
        self.channel.change(|channel| state::receive(channel, false))
    }

    /// As [`recv`](Receiver::recv), for a plain thread, which it blocks; it stands in the same line.
    ///
    /// # Errors
    ///
    /// As [`recv`](Receiver::recv).
    ///
    /// # Panics
    ///
    /// In a task.
    pub fn blocking_recv(&self) -> Result<T, RecvError> {
        let mut receiving = pin!(self.recv());
        let received = poll_fn(|cx| receiving.as_mut().poll_through(cx));
        thread::wait("Receiver::blocking_recv", "Receiver::recv", received)
    }

    /// The messages as a [`Stream`], which ends when the channel is closed and empty.
    ///
    /// Waiting for its next item is as [`recv`](Receiver::recv) in all respects. A message that was handed to a
    /// stream which is then dropped is passed on.
    pub fn messages(&self) -> Messages<'_, T> {
        Messages { next: self.recv() }
    }

    /// Whether all senders are gone. What they have sent may still be there to be received.
    pub fn is_closed(&self) -> bool {
        !self.channel.lot.lock().has_senders()
    }

    /// How many messages are there to be received. Those of sends that still wait are not counted.
    pub fn len(&self) -> usize {
        self.channel.lot.lock().len(&self.channel.ring)
    }

    /// Whether there is no message to be received.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many messages there may be before a send waits.
    pub fn capacity(&self) -> usize {
        self.channel.lot.lock().capacity()
    }

    /// What goes on in the channel at the moment.
    pub fn statistics(&self) -> ChannelStatistics {
        state::statistics(&self.channel)
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        self.channel.lot.lock().add_receiver();
        Self { channel: self.channel.clone() }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let unread = self.channel.change(state::drop_receiver);
        if unread.is_some() {
            self.channel.lot.notify_all(SENDERS);
        }
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("statistics", &self.statistics()).finish()
    }
}

pin_project! {
    /// The future of [`Receiver::recv`].
    #[must_use = "a future does nothing unless it is awaited"]
    pub struct Receiving<'a, T> {
        channel: &'a Channel<T>,
        // From when it has to wait until it is done.
        #[pin]
        wait: Option<Apart<Wait<'a, T>>>,
    }
}

pin_project! {
    /// A receive that has had to wait. Apart, so that one that need not has nothing to do when it is dropped.
    struct Wait<'a, T> {
        channel: &'a Channel<T>,
        #[pin]
        waiter: Waiter<'a, State<T>, Parcel<T>, 2>,
    }

    impl<T> PinnedDrop for Wait<'_, T> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if let Some(Left::Notified(Parcel { value: Some(value), number })) = this.waiter.leave() {
                this.channel.change(|channel| state::give_back(channel, number, value));
            }
        }
    }
}

impl<T> Future for Receiving<'_, T> {
    type Output = Result<T, RecvError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.wait.is_some() {
            return self.poll_waiting(cx);
        }
        ready!(poll_checkpoint(cx, "Receiver::recv"));
        self.poll_first(cx)
    }
}

impl<'a, T> Receiving<'a, T> {
    /// Without a checkpoint.
    fn poll_through(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, RecvError>> {
        if self.wait.is_some() { self.poll_waiting(cx) } else { self.poll_first(cx) }
    }

    /// Receives, or begins to wait.
    #[inline]
    fn poll_first(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, RecvError>> {
        match self.channel.ring.receive() {
            Some(value) => Poll::Ready(Ok(value)),
            None => self.receive_or_wait(cx),
        }
    }

    #[inline(never)]
    fn receive_or_wait(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, RecvError>> {
        let channel = self.channel;
        channel.change(|channel| match state::receive(channel, true) {
            Ok(value) => Poll::Ready(Ok(value)),
            Err(TryRecvError::Closed) => Poll::Ready(Err(RecvError)),
            Err(TryRecvError::Empty) => {
                let mut this = self.project();
                let wait = Wait { channel: *this.channel, waiter: Waiter::new(&this.channel.lot) };
                this.wait.set(Some(Apart::new(wait)));
                let wait = this.wait.as_pin_mut().expect("just set").get().project();
                wait.waiter.enter(channel, RECEIVERS, Parcel::EMPTY, cx.waker());
                Poll::Pending
            }
        })
    }

    #[inline(never)]
    fn poll_waiting(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, RecvError>> {
        let mut this = self.project();
        let wait = this.wait.as_mut().as_pin_mut().expect("it waits").get().project();
        let parcel = ready!(wait.waiter.poll(cx));
        this.wait.set(None);
        // Without a value the channel was closed, but a message may have come back since.
        Poll::Ready(match parcel.value {
            Some(value) => Ok(value),
            None => this.channel.change(|channel| state::receive(channel, false)).map_err(|_| RecvError),
        })
    }
}

impl<T> fmt::Debug for Receiving<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiving").field("waiting", &self.wait.is_some()).finish_non_exhaustive()
    }
}

pin_project! {
    /// The messages of a channel as a [`Stream`]; made by [`Receiver::messages`].
    #[must_use = "a stream does nothing unless it is polled"]
    #[derive(Debug)]
    pub struct Messages<'a, T> {
        // Begins anew after each message.
        #[pin]
        next: Receiving<'a, T>,
    }
}

impl<T> Stream for Messages<'_, T> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.project().next.poll(cx).map(Result::ok)
    }
}
