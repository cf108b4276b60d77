//! The sending ends as [`Sink`]s: [`MessageSink`] for channels in which a send may wait for room, [`NewsSink`] for those in which it never does.

use super::{Permit, Reserving, SendError, Sender, broadcast, watch};
use futures_sink::Sink;
use pin_project_lite::pin_project;
use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use trioxide_runtime::lowlevel::poll_checkpoint;

pin_project! {
    /// A channel as a [`Sink`]; made by [`Sender::sink`].
    ///
    /// It is ready when it has reserved a place, with which the next message is sent at once: nothing is buffered here, a flush waits for nothing, and what was accepted is in the channel. To close it does
    /// nothing: the channel closes with its last [`Sender`].
    ///
    /// # Cancellation
    ///
    /// As [`Sender::reserve`]. One that is dropped while it is ready gives its place back.
    #[must_use = "a sink does nothing unless something is sent into it"]
    #[derive(Debug)]
    pub struct MessageSink<'a, T> {
        sender: &'a Sender<T>,
        // Begins anew for each message.
        #[pin]
        reserving: Reserving<'a, T>,
        permit: Option<Permit<'a, T>>,
    }
}

impl<'a, T> MessageSink<'a, T> {
    pub(super) fn new(sender: &'a Sender<T>) -> Self {
        Self { sender, reserving: sender.reserve(), permit: None }
    }
}

impl<T> Sink<T> for MessageSink<'_, T> {
    /// Holds the message that was not sent, if one was given.
    type Error = SendError<Option<T>>;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        let mut this = self.project();
        if this.permit.is_none() {
            let reserved = ready!(this.reserving.as_mut().poll(cx));
            this.reserving.set(this.sender.reserve());
            *this.permit = Some(reserved.map_err(|_| SendError(None))?);
        }
        Poll::Ready(Ok(()))
    }

    fn start_send(self: Pin<&mut Self>, message: T) -> Result<(), Self::Error> {
        let permit = self.project().permit.take();
        let permit = permit.expect("trioxide: `start_send` before `poll_ready` has said that there is room; await `ready` first, or use `send`");
        permit.send(message).map_err(|error| SendError(Some(error.into_inner())))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        *self.project().permit = None;
        Poll::Ready(Ok(()))
    }
}

/// The sending end of a [`broadcast()`](super::broadcast()) or [`watch()`](super::watch()) channel as a [`Sink`]; made by [`broadcast::Sender::sink`] and [`watch::Sender::sink`].
///
/// A send waits for nobody, so it is ready after a checkpoint, and what was accepted is in the channel: a flush waits for nothing. To close it does nothing: the channel closes with its last sender.
///
/// # Cancellation
///
/// A checkpoint for each message. A cancelled wait has sent nothing.
#[must_use = "a sink does nothing unless something is sent into it"]
pub struct NewsSink<'a, S> {
    sender: &'a S,
    /// It has been a checkpoint for the next message.
    is_ready: bool,
}

impl<'a, S> NewsSink<'a, S> {
    pub(super) fn new(sender: &'a S) -> Self {
        Self { sender, is_ready: false }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>, operation: &'static str) -> Poll<()> {
        if !self.is_ready {
            ready!(poll_checkpoint(cx, operation));
            self.is_ready = true;
        }
        Poll::Ready(())
    }

    /// The sender, for one message.
    fn start_send(&mut self) -> &'a S {
        let was_ready = std::mem::take(&mut self.is_ready);
        assert!(
            was_ready,
            "trioxide: `start_send` before `poll_ready` has said that it is ready; await `ready` first, or use `send`"
        );
        self.sender
    }
}

impl<T> Sink<T> for NewsSink<'_, broadcast::Sender<T>> {
    /// Holds the message that nobody was there to receive.
    type Error = SendError<T>;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        NewsSink::poll_ready(&mut self, cx, "broadcast::Sender::sink").map(Ok)
    }

    fn start_send(mut self: Pin<&mut Self>, message: T) -> Result<(), Self::Error> {
        NewsSink::start_send(&mut self).send(message).map(drop)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }
}

impl<T> Sink<T> for NewsSink<'_, watch::Sender<T>> {
    type Error = Infallible;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        NewsSink::poll_ready(&mut self, cx, "watch::Sender::sink").map(Ok)
    }

    fn start_send(mut self: Pin<&mut Self>, value: T) -> Result<(), Self::Error> {
        drop(NewsSink::start_send(&mut self).send(value));
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }
}

impl<S: fmt::Debug> fmt::Debug for NewsSink<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewsSink").field("sender", self.sender).finish_non_exhaustive()
    }
}
