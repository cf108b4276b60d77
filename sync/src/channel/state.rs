//! What a bounded channel keeps under its lock, and every change that can happen to it there. Messages that concern nobody who waits pass the lock by, through the [`ring`](super::ring); here it is busy, and so a part of what is kept.
//!
//! Invariants, whenever the lock is free:
//! - **C1** While a receiver waits there is no message to take: none returned, none buffered, none with
//!   the sender that is first in line.
//! - **C2** While a sender or a reservation is first in line there is no room for it: `len() + reserved >= capacity`. In a rendezvous a place is a receiver that waits.
//! - **C3** What has been returned is older than what is in the ring, and that is older than what is `beyond` it: a message is handed over only while
//!   nothing is buffered (C1), so what is was sent later; and nothing comes into the ring while there is something beyond.
//! - **C4** With no receiver there is no message, and no sender begins to wait: the last receiver takes the
//!   messages with it and notifies the senders. With no sender no receiver begins to wait.
//!
//! - **C5** `reserved` counts the permits that are out. A permit is a place, and nobody else's. Places are given in the order of the line, to sends and reservations alike.
//!
//! C1 and C2 are restored by `settle`, whenever a place or a receiver may have become free for the line.
//!
//! Nothing of type `T` is dropped in here: what that runs may use the same channel.

use super::locked::{Channel, LockedChannel};
use super::ring::Ring;
use super::{GRANTED, Parcel, RECEIVERS, RESERVES, SENDERS, SendError, TryRecvError, TrySendError};
use std::collections::VecDeque;
use std::task::Waker;

/// What the lock of a channel guards.
pub(super) struct State<T> {
    /// Sent and not handed to anyone, when the ring was full.
    beyond: VecDeque<T>,
    /// Handed over and come back, by the number of the hand-over. Nearly always empty.
    returned: VecDeque<(u64, T)>,
    capacity: usize,
    hand_overs: u64,
    /// See C5.
    reserved: usize,
    senders: usize,
    receivers: usize,
    /// The most messages that there were when one was added here; of the others the ring knows.
    peak: usize,
}

impl<T> State<T> {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            beyond: VecDeque::new(),
            returned: VecDeque::new(),
            capacity,
            hand_overs: 0,
            reserved: 0,
            senders: 1,
            receivers: 1,
            peak: 0,
        }
    }

    /// How many messages are there to be taken; `ring` is the channel's, also below.
    #[inline]
    pub(super) fn len(&self, ring: &Ring<T>) -> usize {
        ring.len() + self.beyond.len() + self.returned.len()
    }

    /// As much as is left of what [`make_busy`](Ring::make_busy) began; `waiting`: how many wait, for whatever it may be. In a rendezvous nothing passes the lock.
    #[inline]
    pub(super) fn settle_ring(&mut self, ring: &Ring<T>, waiting: usize) {
        let is_calm = waiting == 0 && self.reserved == 0 && self.returned.is_empty() && self.receivers > 0;
        if is_calm && self.capacity > 0 {
            if !self.beyond.is_empty() {
                ring.fill_up(&mut self.beyond); // C3
            }
            ring.settle(self.beyond.is_empty());
        }
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

    /// Whether there is room beside `len` messages, which there are.
    #[inline]
    fn has_room_beside(&self, len: usize) -> bool {
        len.checked_add(self.reserved).is_some_and(|taken| taken < self.capacity)
    }

    #[inline]
    fn note_len(&mut self, len: usize) {
        if len > self.peak {
            self.peak = len;
        }
    }
}

impl<T> LockedChannel<'_, T> {
    fn len(&self) -> usize {
        State::len(self, self.ring)
    }

    fn has_room(&self) -> bool {
        self.has_room_beside(self.len())
    }

    #[inline]
    fn push(&mut self, value: T) {
        let len = self.len() + 1;
        // C3
        if self.beyond.is_empty() && self.ring.has_room() {
            self.ring.push(value);
        } else {
            self.beyond.push_back(value);
        }
        self.note_len(len);
    }

    /// Takes out the oldest message.
    #[inline]
    fn pop(&mut self) -> Option<T> {
        match self.returned.pop_front() {
            Some((_, value)) => Some(value),
            None => self.ring.pop().or_else(|| self.beyond.pop_front()),
        }
    }
}

/// A receiver goes. What nobody will receive if it was the last one; to be dropped without the lock. Then the caller notifies all senders, too.
pub(super) fn drop_receiver<T>(channel: &mut LockedChannel<'_, T>) -> Option<impl Sized + use<T>> {
    channel.receivers -= 1;
    (channel.receivers == 0).then(|| {
        let in_ring: Vec<_> = std::iter::from_fn(|| channel.ring.pop()).collect();
        (in_ring, std::mem::take(&mut channel.beyond), std::mem::take(&mut channel.returned))
    })
}

/// Sends beyond the ring, where something is already, and the ring need not be busy for that; otherwise the value comes back.
#[inline]
pub(super) fn send_beyond<T>(state: &mut State<T>, ring: &Ring<T>, value: T) -> Result<(), T> {
    // Nobody waits to receive where there are messages (C1), nor to send where there is room (C2). That in the ring can only become fewer.
    let len = state.len(ring);
    if state.beyond.is_empty() || !state.has_room_beside(len) || state.receivers == 0 {
        return Err(value);
    }
    state.beyond.push_back(value);
    state.note_len(len + 1);
    Ok(())
}

/// Sends if that can be done at once.
pub(super) fn send<T>(channel: &mut LockedChannel<'_, T>, value: T) -> Result<(), TrySendError<T>> {
    if !channel.has_receivers() {
        return Err(TrySendError::Closed(value));
    }
    // Nobody passes the line (C5). Without reservations it is empty whenever a receiver waits or there is room.
    if channel.waiting(SENDERS) == 0 {
        if is_wanted(channel) {
            deliver(channel, value);
            return Ok(());
        }
        if channel.has_room() {
            channel.push(value);
            return Ok(());
        }
    }
    Err(TrySendError::Full(value))
}

/// Whether a receiver waits for the next message; in a rendezvous, for another than those with a permit will send.
#[inline]
fn is_wanted<T>(channel: &mut LockedChannel<'_, T>) -> bool {
    let spoken_for = if channel.capacity == 0 { channel.reserved } else { 0 };
    channel.waiting(RECEIVERS) > spoken_for
}

/// To the receiver that has waited longest, of which there is one.
#[inline]
fn deliver<T>(channel: &mut LockedChannel<'_, T>, value: T) {
    let number = channel.hand_overs;
    channel.hand_overs += 1;
    hand_over(channel, number, value);
}

/// Takes a place if one is free.
pub(super) fn reserve<T>(channel: &mut LockedChannel<'_, T>) -> Result<(), TrySendError<()>> {
    if !channel.has_receivers() {
        return Err(TrySendError::Closed(()));
    }
    if channel.waiting(SENDERS) > 0 || !has_place(channel) {
        return Err(TrySendError::Full(()));
    }
    channel.reserved += 1;
    Ok(())
}

/// Whether a reservation can be granted.
fn has_place<T>(channel: &mut LockedChannel<'_, T>) -> bool {
    if channel.capacity == 0 { is_wanted(channel) } else { channel.has_room() }
}

/// Sends with a permit, which is used up.
pub(super) fn send_reserved<T>(
    channel: &mut LockedChannel<'_, T>,
    value: T,
    wakes: &mut Wakes,
) -> Result<(), SendError<T>> {
    channel.reserved -= 1;
    if !channel.has_receivers() {
        return Err(SendError(value));
    }
    if channel.waiting(RECEIVERS) > 0 {
        deliver(channel, value);
        settle(channel, wakes); // It has not needed its place.
    } else {
        channel.push(value);
    }
    Ok(())
}

/// Gives back a permit.
pub(super) fn give_up_place<T>(channel: &mut LockedChannel<'_, T>, wakes: &mut Wakes) {
    channel.reserved -= 1;
    settle(channel, wakes);
}

/// Gives free places, and receivers that wait, to the line, from its front.
pub(super) fn settle<T>(channel: &mut LockedChannel<'_, T>, wakes: &mut Wakes) {
    // C4: otherwise those in the line are being told that.
    while channel.has_receivers()
        && let Some(first) = channel.front(SENDERS)
    {
        if first.number == RESERVES {
            if !has_place(channel) {
                return;
            }
            channel.reserved += 1;
            wakes.add(channel.take_first(SENDERS, |parcel| parcel.number = GRANTED));
            continue;
        }
        let wanted = is_wanted(channel);
        if !wanted && !channel.has_room() {
            return;
        }
        let value = wakes.add(channel.take_first(SENDERS, |parcel| parcel.value.take())).flatten();
        let value = value.expect("a send that waits holds its value");
        if wanted {
            let number = channel.hand_overs;
            channel.hand_overs += 1;
            wakes.add(channel.take_first(RECEIVERS, |parcel| *parcel = Parcel { value: Some(value), number }));
        } else {
            channel.push(value);
        }
    }
}

/// Those whom a change of the line has notified. To be dropped without the lock: that wakes them. So it is declared before.
#[derive(Default)]
pub(super) struct Wakes(Vec<Waker>);

impl Wakes {
    fn add<R>(&mut self, notified: Option<(R, Option<Waker>)>) -> Option<R> {
        let (result, waker) = notified?;
        self.0.extend(waker);
        Some(result)
    }
}

impl Drop for Wakes {
    fn drop(&mut self) {
        self.0.drain(..).for_each(Waker::wake);
    }
}

/// Sends without waiting; if there is no room the oldest message makes it, and is what comes back. So does the value itself if there is no room for any.
pub(super) fn force_send<T>(channel: &mut LockedChannel<'_, T>, value: T) -> Result<Option<T>, SendError<T>> {
    match send(channel, value) {
        Ok(()) => Ok(None),
        Err(TrySendError::Closed(value)) => Err(SendError(value)),
        Err(TrySendError::Full(value)) if is_wanted(channel) => {
            deliver(channel, value); // The line waits for a place, and this needs none.
            Ok(None)
        }
        Err(TrySendError::Full(value)) => {
            // C2: there are as many as before. With none there is a rendezvous that nobody waits at, or all places are reserved.
            match channel.pop() {
                Some(oldest) => {
                    channel.push(value);
                    Ok(Some(oldest))
                }
                None => Ok(Some(value)),
            }
        }
    }
}

/// Takes the oldest message if there is one. `waits`: the caller is going to wait for one otherwise.
pub(super) fn receive<T>(channel: &mut LockedChannel<'_, T>, waits: bool) -> Result<T, TryRecvError> {
    match channel.pop() {
        Some(value) => {
            // C2: the free place belongs to the one who has waited longest. No receiver waits (C1), so this is all.
            if channel.has_room() {
                match channel.front(SENDERS).map(|first| first.number == RESERVES) {
                    None => {}
                    Some(true) => grant(channel),
                    Some(false) => {
                        let next = take_from_sender(channel);
                        channel.push(next);
                    }
                }
            }
            Ok(value)
        }
        None => take_from_line(channel, waits),
    }
}

/// Nothing is there to be taken: a rendezvous, or all places are reserved.
fn take_from_line<T>(channel: &mut LockedChannel<'_, T>, waits: bool) -> Result<T, TryRecvError> {
    let rendezvous = channel.capacity == 0;
    // In a rendezvous the next receivers are for those with a permit.
    let spoken_for = rendezvous && channel.waiting(RECEIVERS) < channel.reserved;
    if !spoken_for {
        match channel.front(SENDERS).map(|first| first.number == RESERVES) {
            Some(false) => return Ok(take_from_sender(channel)),
            Some(true) if waits && rendezvous => grant(channel),
            // There is no place for it (C2), and it is first in line.
            Some(true) | None => {}
        }
    }
    // Who has a permit borrows a sender.
    if channel.has_senders() { Err(TryRecvError::Empty) } else { Err(TryRecvError::Closed) }
}

/// A place to the reservation that is first in line.
fn grant<T>(channel: &mut LockedChannel<'_, T>) {
    channel.reserved += 1;
    channel.notify_first(SENDERS, |parcel| parcel.number = GRANTED);
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
    let len = channel.len();
    channel.note_len(len);
}

/// Hands `value` to the first of the waiting receivers, of which there is one. A message keeps the
/// number of its first hand-over however often it comes back.
fn hand_over<T>(channel: &mut LockedChannel<'_, T>, number: u64, value: T) {
    channel.notify_first(RECEIVERS, |parcel| {
        *parcel = Parcel { value: Some(value), number };
    });
}

/// The value of the send that is first in line, which is thereby sent.
#[inline]
fn take_from_sender<T>(channel: &mut LockedChannel<'_, T>) -> T {
    let value = channel.notify_first(SENDERS, |parcel| parcel.value.take()).flatten();
    value.expect("a send that waits holds its value")
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
    /// How many places are reserved, by permits that have not been used.
    pub reserved: usize,
    /// How many handles to send there are.
    pub senders: usize,
    /// How many handles to receive there are.
    pub receivers: usize,
    /// How many sends and reservations wait for room.
    pub tasks_waiting_send: usize,
    /// How many receives wait for a message.
    pub tasks_waiting_recv: usize,
}

pub(super) fn statistics<T>(channel: &Channel<T>) -> ChannelStatistics {
    let locked = channel.lot.lock();
    ChannelStatistics {
        buffered: locked.len(&channel.ring),
        peak_buffered: locked.peak.max(channel.ring.peak()),
        capacity: locked.capacity,
        reserved: locked.reserved,
        senders: locked.senders,
        receivers: locked.receivers,
        tasks_waiting_send: locked.waiting(SENDERS),
        tasks_waiting_recv: locked.waiting(RECEIVERS),
    }
}
