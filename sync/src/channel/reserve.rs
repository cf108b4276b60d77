//! Sending in two phases: [`Sender::reserve`], and [`Permit::send`].

use super::state::{self, State, Wakes};
use super::{GRANTED, Parcel, RESERVES, SENDERS, SendError, Sender, TrySendError};
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use trioxide_runtime::lowlevel::{Left, Waiter, poll_checkpoint};

/// Room for one message in a channel, made by [`Sender::reserve`]. Dropped without being used, it gives the room to the next in line.
#[must_use = "a permit that is dropped gives its place back"]
pub struct Permit<'a, T> {
    sender: &'a Sender<T>,
}

impl<'a, T> Permit<'a, T> {
    /// The place is counted already (`state` C5).
    pub(crate) fn granted(sender: &'a Sender<T>) -> Self {
        Self { sender }
    }

    /// Sends `value`. Never waits, and works in a run and outside, on any thread.
    ///
    /// In a rendezvous whose receiver has gone away meanwhile, the message waits for the next one.
    ///
    /// # Errors
    ///
    /// [`SendError`] with the value when all receivers are gone.
    pub fn send(self, value: T) -> Result<(), SendError<T>> {
        let permit = ManuallyDrop::new(self);
        let mut wakes = Wakes::default();
        permit.sender.channel().change(|channel| state::send_reserved(channel, value, &mut wakes))
    }
}

impl<T> Drop for Permit<'_, T> {
    fn drop(&mut self) {
        let mut wakes = Wakes::default();
        self.sender.channel().change(|channel| state::give_up_place(channel, &mut wakes));
    }
}

impl<T> fmt::Debug for Permit<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").finish_non_exhaustive()
    }
}

pin_project! {
    /// The future of [`Sender::reserve`].
    #[must_use = "a future does nothing unless it is awaited"]
    pub struct Reserving<'a, T> {
        sender: &'a Sender<T>,
        #[pin]
        waiter: Waiter<'a, State<T>, Parcel<T>, 2>,
    }

    impl<T> PinnedDrop for Reserving<'_, T> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            let channel = this.sender.channel();
            let mut wakes = Wakes::default();
            match this.waiter.leave() {
                Some(Left::Notified(Parcel { number: GRANTED, .. })) => {
                    channel.change(|channel| state::give_up_place(channel, &mut wakes));
                }
                // It may have stood before a send that a receiver waits for.
                Some(_) => channel.change(|channel| state::settle(channel, &mut wakes)),
                None => {}
            }
        }
    }
}

impl<'a, T> Reserving<'a, T> {
    pub(super) fn new(sender: &'a Sender<T>) -> Self {
        Self { sender, waiter: Waiter::new(&sender.channel().lot) }
    }
}

impl<'a, T> Future for Reserving<'a, T> {
    type Output = Result<Permit<'a, T>, SendError<()>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if this.waiter.has_entered() {
            let parcel = ready!(this.waiter.as_mut().poll(cx));
            return Poll::Ready(match parcel.number {
                GRANTED => Ok(Permit::granted(this.sender)),
                _ => Err(SendError(())),
            });
        }
        ready!(poll_checkpoint(cx, "Sender::reserve"));
        this.sender.channel().change(|channel| match state::reserve(channel) {
            Ok(()) => Poll::Ready(Ok(Permit::granted(this.sender))),
            Err(TrySendError::Closed(())) => Poll::Ready(Err(SendError(()))),
            Err(TrySendError::Full(())) => {
                let parcel = Parcel { value: None, number: RESERVES };
                this.waiter.enter(channel, SENDERS, parcel, cx.waker());
                Poll::Pending
            }
        })
    }
}

impl<T> fmt::Debug for Reserving<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reserving").field("waiting", &self.waiter.has_entered()).finish_non_exhaustive()
    }
}
