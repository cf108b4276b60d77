//! What a guard owes: permits that go back when it is dropped.

use super::{Permits, Refusal, Want, holders};
use std::thread;
use trioxide_runtime::TaskId;
use trioxide_runtime::lowlevel;

/// How a guard reaches the permits: through a reference, or an `Arc` that it keeps.
pub(crate) trait Keep {
    fn permits(&self) -> &Permits;
}

impl Keep for &Permits {
    fn permits(&self) -> &Permits {
        self
    }
}

/// All the permits, so many, are owned. Dropped by a panic that has begun since, it breaks the line.
pub(crate) struct Owning<K: Keep> {
    /// Until it has been taken out: then nothing is owed.
    keep: Option<K>,
    all: usize,
    holder: u64,
    was_panicking: bool,
}

impl<K: Keep> Owning<K> {
    /// They were acquired for `holder`, as `Acquire` does it.
    #[inline]
    pub(crate) fn acquired(keep: K, all: usize, holder: u64) -> Self {
        Self { keep: Some(keep), all, holder, was_panicking: thread::panicking() }
    }

    /// For the running task, if nobody has any permit and nobody waits.
    #[inline]
    pub(crate) fn try_acquire(keep: K, all: usize) -> Result<Self, Refusal> {
        let holder = lowlevel::holder();
        keep.permits().try_take(Want { permits: all, holder: Some(holder) })?;
        holders::hold();
        Ok(Self::acquired(keep, all, holder))
    }

    /// What they go back to.
    pub(crate) fn keep(&self) -> &K {
        self.keep.as_ref().expect("until they have gone back")
    }

    /// Who is responsible.
    pub(crate) fn holder(&self) -> Option<TaskId> {
        lowlevel::holder_id(self.holder)
    }

    /// The running task is responsible from now on.
    pub(crate) fn adopt(&mut self) {
        let holder = lowlevel::holder();
        if holder != self.holder
            && let Some(keep) = &self.keep
        {
            holders::hold();
            keep.permits().change_owner(self.holder, holder);
            holders::release(self.holder);
            self.holder = holder;
        }
    }

    /// Gives back all but one.
    pub(crate) fn downgrade(self) -> Sharing<K> {
        let all = self.all;
        let keep = self.settle();
        keep.permits().give(all - 1);
        Sharing::acquired(keep, 1)
    }

    /// The permits go back by other means: what they go back to.
    pub(crate) fn settle(mut self) -> K {
        holders::release(self.holder);
        self.keep.take().expect("taken by this or by drop, which ends it")
    }
}

impl<K: Keep> Drop for Owning<K> {
    #[inline]
    fn drop(&mut self) {
        let Some(keep) = &self.keep else { return };
        holders::release(self.holder);
        if thread::panicking() && !self.was_panicking {
            keep.permits().break_by_panic(self.all, self.holder);
        } else {
            keep.permits().give(self.all);
        }
    }
}

/// Some permits are held; nobody is responsible.
pub(crate) struct Sharing<K: Keep> {
    keep: Option<K>,
    permits: usize,
}

impl<K: Keep> Sharing<K> {
    #[inline]
    pub(crate) fn acquired(keep: K, permits: usize) -> Self {
        Self { keep: Some(keep), permits }
    }

    #[inline]
    pub(crate) fn try_acquire(keep: K, permits: usize) -> Result<Self, Refusal> {
        keep.permits().try_take(Want { permits, holder: None })?;
        Ok(Self::acquired(keep, permits))
    }

    /// How many.
    pub(crate) fn permits(&self) -> usize {
        self.permits
    }

    /// Takes so many out, if there are.
    pub(crate) fn take(&mut self, permits: usize) -> bool {
        let rest = self.permits.checked_sub(permits);
        self.permits = rest.unwrap_or(self.permits);
        rest.is_some()
    }

    /// Those of another one of the same are this one's too.
    pub(crate) fn merge(&mut self, mut other: Self) {
        self.permits += std::mem::take(&mut other.permits);
    }

    /// What they go back to.
    pub(crate) fn keep(&self) -> &K {
        self.keep.as_ref().expect("until it is dropped")
    }

    /// They never go back; how many they were.
    pub(crate) fn forget(mut self) -> usize {
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
