//! The sending end of a [`bounded`](super::bounded) channel.

use super::locked::Channel;
use super::state::{self, State};
use super::{ChannelStatistics, MessageSink, Parcel, Permit, RECEIVERS, Reserving, SENDERS, SendError, TrySendError};
use crate::apart::Apart;
use crate::thread;
use pin_project_lite::pin_project;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use trioxide_runtime::lowlevel::Waiter;
use trioxide_runtime::lowlevel::poll_checkpoint;
use trioxide_runtime::lowlevel::primitives::Arc;

/// Sends into a [`bounded`](super::bounded) channel. A clone sends into the same one.
///
/// When the last of them is dropped, receivers take what is buffered and are then told that the channel is
/// closed.
pub struct Sender<T> {
    channel: Arc<Channel<T>>,
}

impl<T> Sender<T> {
    /// The sender that a new channel counts already.
    pub(super) fn first(channel: Arc<Channel<T>>) -> Self {
        Self { channel }
    }

    pub(super) fn channel(&self) -> &Channel<T> {
        &self.channel
    }

    /// Sends `value`; waits while there is no room for it.
    ///
    /// # Errors
    ///
    /// [`SendError`] with the value when all receivers are gone, also when the last one goes while this waits.
    ///
    /// # Cancellation
    ///
    /// A checkpoint, also when there is room. A send that is cancelled while it waits has not sent, and its
    /// value is dropped. Where a `select!` drops it, that can happen right after a receiver has taken the
    /// value; to keep a value that may not get through, use [`try_send`](Sender::try_send), or await the
    /// send to its end.
    ///
    /// # Panics
    ///
    /// When polled outside a run.
    ///
    /// ```
    /// use trioxide_sync::channel;
    ///
    /// trioxide_runtime::run(async {
    ///     let (sender, receiver) = channel::bounded(1);
    ///     sender.send("first").await.unwrap();
    ///     drop(receiver);
    ///     let error = sender.send("second").await.unwrap_err();
    ///     assert_eq!(error.into_inner(), "second");
    /// });
    /// ```
    #[inline]
    pub fn send(&self, value: T) -> Sending<'_, T> {
        Sending { channel: &self.channel, value: Some(value), waiter: None }
    }

    /// Sends `value` if that can be done without waiting. Works in a run and outside, on any thread.
    ///
    /// # Errors
    ///
    /// [`TrySendError::Full`] when there is no room, which includes that others wait for it;
    /// [`TrySendError::Closed`] when all receivers are gone. Both hold the value.
    ///
    /// ```
    /// use trioxide_sync::channel::{self, TrySendError};
    ///
    /// let (sender, receiver) = channel::bounded(1);
    /// assert_eq!(sender.try_send(1), Ok(()));
    /// assert_eq!(sender.try_send(2), Err(TrySendError::Full(2)));
    /// drop(receiver);
    /// assert_eq!(sender.try_send(3), Err(TrySendError::Closed(3)));
    /// ```
    #[inline]
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        match self.channel.send(value) {
            Ok(()) => Ok(()),
            Err(value) => self.try_send_slowly(value),
        }
    }

    #[inline(never)]
    fn try_send_slowly(&self, value: T) -> Result<(), TrySendError<T>> {
        self.channel.change(|channel| state::send(channel, value))
    }

    /// Sends `value` in any case, as into a ring: if there is no room, the oldest message is taken out to make it, and comes back. Works in a run and outside, on any thread. Sends that wait go on waiting.
    ///
    /// In a rendezvous where nobody waits to receive, and where all places are [reserved](Sender::reserve), it is `value` itself that comes back.
    ///
    /// # Errors
    ///
    /// [`SendError`] with the value when all receivers are gone.
    ///
    /// ```
    /// use trioxide_sync::channel;
    ///
    /// let (sender, receiver) = channel::bounded(2);
    /// assert_eq!(sender.force_send(1), Ok(None));
    /// assert_eq!(sender.force_send(2), Ok(None));
    /// assert_eq!(sender.force_send(3), Ok(Some(1)));
    /// assert_eq!((receiver.try_recv(), receiver.try_recv()), (Ok(2), Ok(3)));
    /// ```
    pub fn force_send(&self, value: T) -> Result<Option<T>, SendError<T>> {
        self.channel.change(|channel| state::force_send(channel, value))
    }

    /// Waits for room for one message, and keeps it: the first of two phases. The second, [`Permit::send`], waits for nothing; so what is to be sent need not exist before
    /// there is room for it, and a cancelled wait loses nothing.
    ///
    /// It stands in one line with the sends. In a rendezvous a place is a receiver that waits for nobody else's message. A reservation that was granted and is then neither
    /// polled nor dropped keeps its place, as a permit does that is not used.
    ///
    /// # Errors
    ///
    /// [`SendError`] when all receivers are gone, also when the last one goes while this waits.
    ///
    /// # Cancellation
    ///
    /// A checkpoint, also when there is room. One that is cancelled while it waits has reserved nothing; one that is dropped right after it was granted a place gives it to
    /// the next in line.
    ///
    /// # Panics
    ///
    /// When polled outside a run.
    ///
    /// ```
    /// use trioxide_sync::channel;
    ///
    /// trioxide_runtime::run(async {
    ///     let (sender, receiver) = channel::bounded(1);
    ///     let permit = sender.reserve().await.unwrap();
    ///     assert!(sender.try_send("no room").is_err());
    ///     permit.send("room").unwrap();
    ///     assert_eq!(receiver.recv().await, Ok("room"));
    /// });
    /// ```
    pub fn reserve(&self) -> Reserving<'_, T> {
        Reserving::new(self)
    }

    /// As [`reserve`](Sender::reserve), if that can be done without waiting. Works in a run and outside, on any thread.
    ///
    /// # Errors
    ///
    /// As [`try_send`](Sender::try_send).
    pub fn try_reserve(&self) -> Result<Permit<'_, T>, TrySendError<()>> {
        self.channel.change(state::reserve).map(|()| Permit::granted(self))
    }

    /// The channel as a [`Sink`](futures_sink::Sink), which reserves a place before it takes a message.
    pub fn sink(&self) -> MessageSink<'_, T> {
        MessageSink::new(self)
    }

    /// As [`send`](Sender::send), for a plain thread, which it blocks; it stands in the same line.
    ///
    /// # Errors
    ///
    /// As [`send`](Sender::send).
    ///
    /// # Panics
    ///
    /// In a task.
    ///
    /// ```
    /// use trioxide_runtime::{blocking, join, run};
    /// use trioxide_sync::channel;
    ///
    /// let (sender, receiver) = channel::bounded(0);
    /// let (sent, received) = run(async { join!(blocking(move || sender.blocking_send(1)), receiver.recv()) });
    /// assert_eq!((sent, received), (Ok(()), Ok(1)));
    /// ```
    pub fn blocking_send(&self, value: T) -> Result<(), SendError<T>> {
        let mut sending = pin!(self.send(value));
        let sent = poll_fn(|cx| sending.as_mut().poll_through(cx));
        thread::wait("Sender::blocking_send", "Sender::send", sent)
    }

    /// Whether all receivers are gone, so that nothing can be sent any more.
    pub fn is_closed(&self) -> bool {
        !self.channel.lot.lock().has_receivers()
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

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.channel.lot.lock().add_sender();
        Self { channel: self.channel.clone() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let last = self.channel.lot.lock().drop_sender();
        if last {
            self.channel.lot.notify_all(RECEIVERS);
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("statistics", &self.statistics()).finish()
    }
}

pin_project! {
    /// The future of [`Sender::send`].
    #[must_use = "a future does nothing unless it is awaited"]
    pub struct Sending<'a, T> {
        channel: &'a Channel<T>,
        // Until the first poll; then it is sent, or in the waiter's parcel.
        value: Option<T>,
        // From when it has to wait until it is done.
        #[pin]
        waiter: Option<Apart<Waiter<'a, State<T>, Parcel<T>, 2>>>,
    }
}

impl<T> Future for Sending<'_, T> {
    type Output = Result<(), SendError<T>>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.waiter.is_some() {
            return self.poll_waiting(cx);
        }
        // Taken out before the checkpoint, of which the compiler could think that it changes what is in there.
        let value = self.as_mut().take_value();
        if poll_checkpoint(cx, "Sender::send").is_pending() {
            *self.project().value = Some(value);
            return Poll::Pending;
        }
        self.poll_first(value, cx)
    }
}

impl<'a, T> Sending<'a, T> {
    /// Without a checkpoint.
    fn poll_through(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError<T>>> {
        if self.waiter.is_some() {
            return self.poll_waiting(cx);
        }
        let value = self.as_mut().take_value();
        self.poll_first(value, cx)
    }

    #[inline]
    fn take_value(self: Pin<&mut Self>) -> T {
        self.project().value.take().expect("`Sender::send` was polled again after it had finished")
    }

    /// Sends, or begins to wait.
    #[inline]
    fn poll_first(self: Pin<&mut Self>, value: T, cx: &mut Context<'_>) -> Poll<Result<(), SendError<T>>> {
        match self.channel.send(value) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(value) => self.send_or_wait(value, cx),
        }
    }

    #[inline(never)]
    fn send_or_wait(self: Pin<&mut Self>, value: T, cx: &mut Context<'_>) -> Poll<Result<(), SendError<T>>> {
        let channel = self.channel;
        channel.change(|channel| match state::send(channel, value) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(TrySendError::Closed(value)) => Poll::Ready(Err(SendError(value))),
            Err(TrySendError::Full(value)) => {
                let mut this = self.project();
                this.waiter.set(Some(Apart::new(Waiter::new(&this.channel.lot))));
                let waiter = this.waiter.as_pin_mut().expect("just set").get();
                waiter.enter(channel, SENDERS, Parcel { value: Some(value), ..Parcel::EMPTY }, cx.waker());
                Poll::Pending
            }
        })
    }

    #[inline(never)]
    fn poll_waiting(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError<T>>> {
        let mut this = self.project();
        let mut waiter = this.waiter.as_mut().as_pin_mut().expect("it waits");
        let parcel = ready!(waiter.as_mut().get().poll(cx));
        this.waiter.set(None);
        Poll::Ready(match parcel.value {
            None => Ok(()),
            Some(value) => Err(SendError(value)),
        })
    }
}

impl<T> fmt::Debug for Sending<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sending").field("waiting", &self.waiter.is_some()).finish_non_exhaustive()
    }
}
