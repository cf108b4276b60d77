//! A bounded channel as a whole: the ring, and the lock with what it guards and who waits.

use super::ring::Ring;
use super::state::{self, State};
use super::{Parcel, RECEIVERS, SENDERS};
use std::ops::{Deref, DerefMut};
use trioxide_runtime::lowlevel::{Locked, Lot};

/// See the module.
pub(super) struct Channel<T> {
    /// Asked first, and nearly always enough.
    pub(super) ring: Ring<T>,
    pub(super) lot: ChannelLot<T>,
}

/// The lock of a channel, with the two queues of who waits.
pub(super) type ChannelLot<T> = Lot<State<T>, Parcel<T>, 2>;

impl<T> Channel<T> {
    pub(super) fn new(capacity: usize) -> Self {
        Self { ring: Ring::new(capacity), lot: Lot::new(State::new(capacity)) }
    }

    /// Makes `change` under the lock, which stands for the ring meanwhile.
    #[inline]
    pub(super) fn change<R>(&self, change: impl FnOnce(&mut LockedChannel<'_, T>) -> R) -> R {
        let mut channel = LockedChannel { locked: self.lot.lock(), ring: &self.ring };
        self.ring.make_busy();
        let result = change(&mut channel);
        let waiting = channel.waiting(SENDERS) + channel.waiting(RECEIVERS);
        channel.settle_ring(&self.ring, waiting);
        result
    }

    /// Sends, if nobody who waits is concerned; otherwise the value comes back.
    #[inline]
    pub(super) fn send(&self, value: T) -> Result<(), T> {
        match self.ring.send(value) {
            Err(value) if self.ring.is_filled_up() => self.send_beyond(value),
            sent => sent,
        }
    }

    #[inline(never)]
    fn send_beyond(&self, value: T) -> Result<(), T> {
        state::send_beyond(&mut self.lot.lock_quietly(), &self.ring, value)
    }
}

/// A bounded channel's lock while it is held, and the ring is busy.
pub(super) struct LockedChannel<'a, T> {
    locked: Locked<'a, State<T>, Parcel<T>, 2>,
    pub(super) ring: &'a Ring<T>,
}

impl<'a, T> Deref for LockedChannel<'a, T> {
    type Target = Locked<'a, State<T>, Parcel<T>, 2>;

    #[inline]
    fn deref(&self) -> &Self::Target {
        &self.locked
    }
}

impl<T> DerefMut for LockedChannel<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.locked
    }
}
