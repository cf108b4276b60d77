//! What a guard owes: permits that go back when it is dropped.

use super::{Permits, Refusal, Want, holders};
use crate::task::TaskId;
use crate::task::after;
use std::sync::Arc;
use std::thread;

/// How a guard reaches the permits: through a reference, or an `Arc` that it keeps.
pub trait Keep {
    /// The permits.
    fn permits(&self) -> &Permits;
}

/// What has permits of its own.
pub trait HasPermits {
    /// They.
    fn permits(&self) -> &Permits;
}

impl<T: HasPermits + ?Sized> Keep for Arc<T> {
    #[inline]
    fn permits(&self) -> &Permits {
        HasPermits::permits(&**self)
    }
}

impl HasPermits for Permits {
    #[inline]
    fn permits(&self) -> &Permits {
        self
    }
}

impl<T: HasPermits + ?Sized> Keep for &T {
    #[inline]
    fn permits(&self) -> &Permits {
        HasPermits::permits(*self)
    }
}

/// All the permits, `ALL`, are owned. Dropped by a panic that has begun since, it breaks the line.
pub struct Owning<K: Keep, const ALL: usize> {
    /// Until it has been taken out: then nothing is owed.
    keep: Option<K>,
    holder: u64,
    was_panicking: bool,
}

impl<K: Keep, const ALL: usize> Owning<K, ALL> {
    /// They were acquired for `holder`, as `Acquire` does it.
    #[inline]
    pub fn acquired(keep: K, holder: u64) -> Self {
        Self { keep: Some(keep), holder, was_panicking: thread::panicking() }
    }

    /// For the running task, if nobody has any permit and nobody waits.
    #[inline]
    pub fn try_acquire(keep: K) -> Result<Self, Refusal> {
        let holder = after::holder();
        keep.permits().try_take(Want { permits: ALL, holder: Some(holder) })?;
        after::hold();
        Ok(Self::acquired(keep, holder))
    }

    /// What they go back to.
    pub fn keep(&self) -> &K {
        self.keep.as_ref().expect("until they have gone back")
    }

    /// Who is responsible.
    pub fn holder(&self) -> Option<TaskId> {
        after::holder_id(self.holder)
    }

    /// The running task is responsible from now on.
    pub fn adopt(&mut self) {
        let holder = after::holder();
        if holder != self.holder
            && let Some(keep) = &self.keep
        {
            after::hold();
            keep.permits().change_owner(self.holder, holder);
            holders::release(self.holder);
            self.holder = holder;
        }
    }

    /// Gives back all but one.
    pub fn downgrade(self) -> Sharing<K> {
        let keep = self.settle();
        keep.permits().give(ALL - 1);
        Sharing::acquired(keep, 1)
    }

    /// As it is, with another way to the same permits.
    pub fn map_keep<L: Keep>(mut self, map: impl FnOnce(K) -> L) -> Owning<L, ALL> {
        let (holder, was_panicking) = (self.holder, self.was_panicking);
        Owning { keep: self.keep.take().map(map), holder, was_panicking }
    }

    /// The permits go back by other means: what they go back to.
    pub fn settle(mut self) -> K {
        holders::release(self.holder);
        self.keep.take().expect("taken by this or by drop, which ends it")
    }
}

impl<K: Keep, const ALL: usize> Drop for Owning<K, ALL> {
    #[inline]
    fn drop(&mut self) {
        let Some(keep) = &self.keep else { return };
        holders::release(self.holder);
        if thread::panicking() && !self.was_panicking {
            keep.permits().break_by_panic(ALL, self.holder);
        } else {
            keep.permits().give_owned(ALL, self.holder);
        }
    }
}

/// Some permits are held; nobody is responsible.
pub struct Sharing<K: Keep> {
    keep: Option<K>,
    permits: usize,
}

impl<K: Keep> Sharing<K> {
    /// They were acquired.
    #[inline]
    pub fn acquired(keep: K, permits: usize) -> Self {
        Self { keep: Some(keep), permits }
    }

    /// Takes so many, if they are free and nobody waits.
    #[inline]
    pub fn try_acquire(keep: K, permits: usize) -> Result<Self, Refusal> {
        keep.permits().try_take(Want { permits, holder: None })?;
        Ok(Self::acquired(keep, permits))
    }

    /// How many.
    pub fn permits(&self) -> usize {
        self.permits
    }

    /// Takes so many out, if there are.
    pub fn take(&mut self, permits: usize) -> bool {
        let rest = self.permits.checked_sub(permits);
        self.permits = rest.unwrap_or(self.permits);
        rest.is_some()
    }

    /// Those of another one of the same are this one's too.
    pub fn merge(&mut self, mut other: Self) {
        self.permits += std::mem::take(&mut other.permits);
    }

    /// What they go back to.
    pub fn keep(&self) -> &K {
        self.keep.as_ref().expect("until it is dropped")
    }

    /// They never go back; how many they were.
    pub fn forget(mut self) -> usize {
        self.keep = None;
        self.permits
    }
}

impl<K: Keep> Drop for Sharing<K> {
    #[inline]
    fn drop(&mut self) {
        if let Some(keep) = &self.keep
            && self.permits > 0
        {
            keep.permits().give(self.permits);
        }
    }
}
