//! Channels.
//!
//! | channel | each message goes to | when there is no room |
//! | --- | --- | --- |
//! | [`bounded`] | one receiver | a send waits; or [`force_send`](Sender::force_send): the oldest is dropped |
//! | [`rendezvous`] | one receiver | there never is: a send waits for the receive |
//! | [`unbounded`] | one receiver | there is always room |
//! | [`oneshot()`] | the receiver | there is one message |
//! | [`broadcast()`] | all receivers | a receiver that is too slow misses the oldest, and is told |
//! | [`watch()`] | all receivers | they see the newest value |
//!
//! ```
//! use trioxide_runtime::{nursery, run};
//! use trioxide_sync::channel;
//!
//! let total = run(async {
//!     let (sender, receiver) = channel::bounded(8);
//!     nursery(async |n| {
//!         for first in [0, 100] {
//!             let sender = sender.clone();
//!             n.spawn(async move {
//!                 for number in first..first + 100 {
//!                     sender.send(number).await.expect("the receiver is there");
//!                 }
//!             });
//!         }
//!         drop(sender); // so that the channel closes with the last child
//!         let mut total = 0;
//!         while let Ok(number) = receiver.recv().await {
//!             total += number;
//!         }
//!         assert_eq!(total, 19_900);
//!     })
//!     .await;
//! });
//! ```
//!
//! # From several at once
//!
//! `select!` is [`race!`](trioxide_runtime::race) here: a receive (or a send) that loses has taken nothing, and what had been handed to it goes back to the front of its channel.
//!
//! ```
//! use trioxide_runtime::{race, run};
//! use trioxide_sync::channel;
//!
//! run(async {
//!     let (numbers, from_numbers) = channel::bounded(8);
//!     let (_texts, from_texts) = channel::bounded::<&str>(8);
//!     numbers.send(1).await.unwrap();
//!     let first = race!(
//!         async { from_numbers.recv().await.unwrap().to_string() },
//!         async { from_texts.recv().await.unwrap().to_owned() },
//!     );
//!     assert_eq!(first, "1");
//! });
//! ```

pub mod broadcast;
mod error;
mod generate;
mod locked;
mod news;
pub mod oneshot;
mod receiver;
mod reserve;
mod ring;
mod sender;
mod sink;
mod state;
pub mod watch;

pub use broadcast::broadcast;
pub use error::{RecvError, SendError, TryRecvError, TrySendError};
pub use generate::generate;
pub use oneshot::oneshot;
pub use receiver::{Messages, Receiver, Receiving};
pub use reserve::{Permit, Reserving};
pub use sender::{Sender, Sending};
pub use sink::{MessageSink, NewsSink};
pub use state::ChannelStatistics;
pub use watch::watch;

use locked::Channel;
use trioxide_runtime::lowlevel::primitives::Arc;

/// A channel that holds up to `capacity` messages; a send to a full one waits.
///
/// Both ends can be cloned: each message goes to exactly one receiver. The channel has no handle to
/// close it; dropping the last handle of one end does:
///
/// - no [`Sender`] left: receivers take what is buffered, then get [`RecvError`];
/// - no [`Receiver`] left: what is buffered is dropped, and senders, waiting or later, get their
///   value back in a [`SendError`].
///
/// # Fairness
///
/// Both ends are first in, first out. What is sent while a receiver waits is handed to the one that has
/// waited longest, and no `try_recv` can snatch it; a place that gets free while a sender waits is filled
/// at once with the value of the one that has waited longest, and no `try_send` can snatch it.
///
/// A hand-over is for good: a [`recv`](Receiver::recv) that was handed a message and is then neither polled nor
/// dropped, say because a `select!` on `&mut` of it took another branch, keeps the message to itself until
/// one of the two happens. Others go on with the messages that follow.
///
/// # Capacity
///
/// A capacity of 0 makes a *rendezvous*: a send is done when a receiver has taken its value. With
/// `usize::MAX` no send ever waits; then nothing holds back a sender that is faster than its receiver.
///
/// What was handed to a [`recv`](Receiver::recv) that was dropped before it could deliver comes back to the
/// front; until it is received again the channel may hold more than `capacity`.
pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let channel = Arc::new(Channel::new(capacity));
    (Sender::first(channel.clone()), Receiver::first(channel))
}

/// A [`bounded`] channel without a bound: no send waits, so nothing holds back a sender that is faster than its receiver. [`try_send`](Sender::try_send) always has room.
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    bounded(usize::MAX)
}

/// A [`bounded`] channel without room: a send is done when a receiver has taken its value.
///
/// ```
/// use trioxide_runtime::{join, run};
/// use trioxide_sync::channel::{self, TrySendError};
///
/// run(async {
///     let (sender, receiver) = channel::rendezvous();
///     assert_eq!(sender.try_send(1), Err(TrySendError::Full(1))); // nobody is there to take it
///     let (sent, received) = join!(sender.send(1), receiver.recv());
///     assert_eq!((sent, received), (Ok(()), Ok(1)));
/// });
/// ```
pub fn rendezvous<T>() -> (Sender<T>, Receiver<T>) {
    bounded(0)
}

/// The line of those who wait for room: sends, each with its value in the parcel, and reservations.
const SENDERS: usize = 0;
/// Receivers that wait for a message, each with an empty parcel.
const RECEIVERS: usize = 1;

/// What passes between a waiter and the one who notifies it.
///
/// A sender's: full on entering; found empty when a receiver has taken the value, and full when the
/// channel was closed. A reservation's is always empty; its number says whether it was granted. A receiver's: empty on entering; found full when it was handed a message, and
/// empty when the channel was closed.
struct Parcel<T> {
    value: Option<T>,
    /// The number of a hand-over to a receiver: keeps the order of those that come back. In the line of the senders 0, or one of these two.
    number: u64,
}

const RESERVES: u64 = 1;
const GRANTED: u64 = 2;

impl<T> Parcel<T> {
    const EMPTY: Self = Self { value: None, number: 0 };
}

impl<T> Default for Parcel<T> {
    fn default() -> Self {
        Self::EMPTY
    }
}
