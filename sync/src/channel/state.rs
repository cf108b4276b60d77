//! What a bounded channel keeps under its lock, and every change that can happen to it.
//!
//! Invariants, whenever the lock is free:
//! - **C1** While a receiver waits there is no message to take: none returned, none buffered, none with
//!   a waiting sender.
//! - **C2** While a sender waits there is no room: `len() >= capacity`.
//! - **C3** What has been returned is older than what is buffered: a message is handed over only while
//!   the buffer is empty (C1), so the buffer's were sent later.
//! - **C4** With no receiver there is no message, and no sender begins to wait: the last receiver takes the
//!   messages with it and notifies the senders. With no sender no receiver begins to wait.
//!
//! Nothing of type `T` is dropped in here: what that runs may use the same channel.

use super::{Channel, Parcel, RECEIVERS, SENDERS, SendError, TryRecvError, TrySendError};
use std::collections::VecDeque;
use trioxide_runtime::lowlevel::Locked;

/// What the lock of a channel guards.
pub(super) struct State<T> {
    /// Sent and not handed to anyone.
    buffer: VecDeque<T>,
    /// Handed over and come back, by the number of the hand-over. Nearly always empty.
    returned: VecDeque<(u64, T)>,
    capacity: usize,
    hand_overs: u64,
    senders: usize,
    receivers: usize,
    peak: usize,
}

/// A bounded channel's lock while it is held.
pub(super) type LockedChannel<'a, T> = Locked<'a, State<T>, Parcel<T>, 2>;

/// A channel with more room than this grows its buffer as it needs it.
const RESERVED: usize = 64;

impl<T> State<T> {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            buffer: VecDeque::with_capacity(capacity.min(RESERVED)),
            returned: VecDeque::new(),
            capacity,
            hand_overs: 0,
            senders: 1,
            receivers: 1,
            peak: 0,
        }
    }

    /// How many messages are there to be taken.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.buffer.len() + self.returned.len()
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(super) fn has_senders(&self) -> bool {
        self.senders > 0
    }

    pub(super) fn has_receivers(&self) -> bool {
        self.receivers > 0
    }

    pub(super) fn add_sender(&mut self) {
        self.senders += 1;
    }

    pub(super) fn add_receiver(&mut self) {
        self.receivers += 1;
    }

    /// Whether it was the last one. Then the caller notifies all receivers.
    pub(super) fn drop_sender(&mut self) -> bool {
        self.senders -= 1;
        self.senders == 0
    }

    /// What nobody will receive if it was the last one; to be dropped without the lock. Then the caller
    /// notifies all senders, too.
    pub(super) fn drop_receiver(&mut self) -> Option<impl Sized + use<T>> {
        self.receivers -= 1;
        (self.receivers == 0).then(|| (std::mem::take(&mut self.buffer), std::mem::take(&mut self.returned)))
    }

    #[inline]
    fn push(&mut self, value: T) {
        self.buffer.push_back(value);
        self.peak = self.peak.max(self.len());
    }
}

/// Sends if that can be done at once.
#[inline]
pub(super) fn send<T>(channel: &mut LockedChannel<'_, T>, value: T) -> Result<(), TrySendError<T>> {
    if !channel.has_receivers() {
        return Err(TrySendError::Closed(value));
    }
    if channel.waiting(RECEIVERS) > 0 {
        let number = channel.hand_overs;
        channel.hand_overs += 1;
        hand_over(channel, number, value);
        return Ok(());
    }
    if channel.len() < channel.capacity {
        channel.push(value);
        return Ok(());
    }
    Err(TrySendError::Full(value))
}

/// Sends without waiting; if there is no room the oldest message makes it, and is what comes back. So does the value itself if there is no room for any.
pub(super) fn force_send<T>(channel: &mut LockedChannel<'_, T>, value: T) -> Result<Option<T>, SendError<T>> {
    match send(channel, value) {
        Ok(()) => Ok(None),
        Err(TrySendError::Closed(value)) => Err(SendError(value)),
        Err(TrySendError::Full(value)) => {
            let oldest = match channel.returned.pop_front() {
                Some((_, oldest)) => Some(oldest),
                None => channel.buffer.pop_front(),
            };
            // C2: there are as many as before. With none there is a rendezvous that nobody waits at.
            match oldest {
                Some(oldest) => {
                    channel.push(value);
                    Ok(Some(oldest))
                }
                None => Ok(Some(value)),
            }
        }
    }
}

/// Takes the oldest message if there is one.
#[inline]
pub(super) fn receive<T>(channel: &mut LockedChannel<'_, T>) -> Result<T, TryRecvError> {
    let oldest = match channel.returned.pop_front() {
        Some((_, value)) => Some(value),
        None => channel.buffer.pop_front(),
    };
    match oldest {
        Some(value) => {
            // C2: the free place belongs to the sender that has waited longest.
            if channel.len() < channel.capacity
                && let Some(next) = take_from_sender(channel)
            {
                channel.push(next);
            }
            Ok(value)
        }
        // Senders that wait for room while there is nothing to take: a rendezvous.
        None => match take_from_sender(channel) {
            Some(value) => Ok(value),
            None if channel.has_senders() => Err(TryRecvError::Empty),
            None => Err(TryRecvError::Closed),
        },
    }
}

/// Puts back a message that was handed to a receiver that will not deliver it: to the receiver that
/// has waited longest, or to the front, in the order of the hand-overs.
pub(super) fn give_back<T>(channel: &mut LockedChannel<'_, T>, number: u64, value: T) {
    if channel.waiting(RECEIVERS) > 0 {
        hand_over(channel, number, value);
        return;
    }
    let place = channel.returned.partition_point(|&(other, _)| other < number);
    channel.returned.insert(place, (number, value));
    channel.peak = channel.peak.max(channel.len());
}

/// Hands `value` to the first of the waiting receivers, of which there is one. A message keeps the
/// number of its first hand-over however often it comes back.
fn hand_over<T>(channel: &mut LockedChannel<'_, T>, number: u64, value: T) {
    channel.notify_first(RECEIVERS, |parcel| {
        *parcel = Parcel { value: Some(value), number };
    });
}

/// The value of the sender that has waited longest, which has thereby sent it.
#[inline]
fn take_from_sender<T>(channel: &mut LockedChannel<'_, T>) -> Option<T> {
    channel.notify_first(SENDERS, |parcel| parcel.value.take()).flatten()
}

/// What goes on in a channel; made by [`Sender::statistics`](super::Sender::statistics) and
/// [`Receiver::statistics`](super::Receiver::statistics).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChannelStatistics {
    /// How many messages are there to be received.
    pub buffered: usize,
    /// The most that were there at one time.
    pub peak_buffered: usize,
    /// How many there may be before a send waits.
    pub capacity: usize,
    /// How many handles to send there are.
    pub senders: usize,
    /// How many handles to receive there are.
    pub receivers: usize,
    /// How many sends wait for room.
    pub tasks_waiting_send: usize,
    /// How many receives wait for a message.
    pub tasks_waiting_recv: usize,
}

pub(super) fn statistics<T>(channel: &Channel<T>) -> ChannelStatistics {
    let locked = channel.lock();
    ChannelStatistics {
        buffered: locked.len(),
        peak_buffered: locked.peak,
        capacity: locked.capacity,
        senders: locked.senders,
        receivers: locked.receivers,
        tasks_waiting_send: locked.waiting(SENDERS),
        tasks_waiting_recv: locked.waiting(RECEIVERS),
    }
}
