//! The sending end as a [`Sink`].

use super::{Permit, Reserving, SendError, Sender};
use futures_sink::Sink;
use pin_project_lite::pin_project;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

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
