//! The guards of a [`Mutex`]. M1 and M2 are those of the module above.

use super::{ALL, Mutex};
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::Arc;
use trioxide_runtime::TaskId;
use trioxide_runtime::lowlevel::line::{Owning, Permits};

/// The lock of a [`Mutex`] while it is held; derefs to the value. Dropping it unlocks, and hands the lock to the one who has waited longest.
#[must_use = "the lock is released when this is dropped"]
pub struct MutexGuard<'a, T: ?Sized> {
    owning: Owning<&'a Mutex<T>, ALL>,
    /// Which threads may have it.
    _value: PhantomData<&'a mut T>,
}

/// As [`MutexGuard`], of a part of the value; made by [`MutexGuard::map`].
#[must_use = "the lock is released when this is dropped"]
pub struct MappedMutexGuard<'a, U: ?Sized> {
    /// Into the mutex whose permit `owning` is.
    value: NonNull<U>,
    owning: Owning<&'a Permits, ALL>,
    _value: PhantomData<&'a mut U>,
}

/// As [`MutexGuard`], but it keeps the mutex: it may outlive the place where it was made.
#[must_use = "the lock is released when this is dropped"]
pub struct OwnedMutexGuard<T: ?Sized> {
    owning: Owning<Arc<Mutex<T>>, ALL>,
    /// Which threads may have it.
    _value: PhantomData<T>,
}

// SAFETY: as a `&mut U`; the permit may be given back on any thread.
unsafe impl<U: ?Sized + Send> Send for MappedMutexGuard<'_, U> {}
// SAFETY: as a `&mut U`.
unsafe impl<U: ?Sized + Sync> Sync for MappedMutexGuard<'_, U> {}

impl<'a, T: ?Sized> MutexGuard<'a, T> {
    /// `owning` has the permit of the mutex.
    #[inline]
    pub(super) fn new(owning: Owning<&'a Mutex<T>, ALL>) -> Self {
        Self { owning, _value: PhantomData }
    }

    /// The mutex that this is the guard of. (`MutexGuard::mutex(&guard)`: a method could hide one of the value.)
    pub fn mutex(this: &Self) -> &'a Mutex<T> {
        this.owning.keep()
    }

    /// A guard of a part of the value.
    ///
    /// ```
    /// use trioxide_sync::{Mutex, MutexGuard};
    ///
    /// let pair = Mutex::new((1, "one"));
    /// let mut number = MutexGuard::map(pair.try_lock().unwrap(), |pair| &mut pair.0);
    /// *number += 1;
    /// drop(number);
    /// assert_eq!(pair.into_inner(), (2, "one"));
    /// ```
    pub fn map<U: ?Sized>(this: Self, part: impl FnOnce(&mut T) -> &mut U) -> MappedMutexGuard<'a, U> {
        // SAFETY: the guard has the value to itself (M1, M2).
        let value = NonNull::from(part(unsafe { &mut *this.owning.keep().value.get() }));
        MappedMutexGuard { value, owning: this.owning.map_keep(|mutex| &mutex.permits), _value: PhantomData }
    }

    /// The mutex, which the caller unlocks.
    pub(crate) fn settle(this: Self) -> &'a Mutex<T> {
        this.owning.settle()
    }
}

impl<'a, U: ?Sized> MappedMutexGuard<'a, U> {
    /// A guard of a part of the part.
    pub fn map<V: ?Sized>(mut this: Self, part: impl FnOnce(&mut U) -> &mut V) -> MappedMutexGuard<'a, V> {
        let value = NonNull::from(part(&mut *this));
        MappedMutexGuard { value, owning: this.owning, _value: PhantomData }
    }
}

impl<T: ?Sized> OwnedMutexGuard<T> {
    pub(super) fn new(owning: Owning<Arc<Mutex<T>>, ALL>) -> Self {
        Self { owning, _value: PhantomData }
    }

    /// The mutex that this is the guard of.
    pub fn mutex(this: &Self) -> &Arc<Mutex<T>> {
        this.owning.keep()
    }

    /// The running task is the holder from now on; before, it was the one that took the lock. For guards that are given to another task: a lock whose holder has ended counts as broken for others until
    /// somebody adopts or drops its guard.
    pub fn adopt(&mut self) {
        self.owning.adopt();
    }

    /// The task that answers for it; `None`: a thread outside the run.
    pub fn holder(this: &Self) -> Option<TaskId> {
        this.owning.holder()
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the guard has the value to itself (M1, M2).
        unsafe { &*self.owning.keep().value.get() }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard has the value to itself (M1, M2).
        unsafe { &mut *self.owning.keep().value.get() }
    }
}

impl<U: ?Sized> Deref for MappedMutexGuard<'_, U> {
    type Target = U;

    fn deref(&self) -> &U {
        // SAFETY: a part of what the guard has to itself (M1, M2).
        unsafe { self.value.as_ref() }
    }
}

impl<U: ?Sized> DerefMut for MappedMutexGuard<'_, U> {
    fn deref_mut(&mut self) -> &mut U {
        // SAFETY: a part of what the guard has to itself (M1, M2).
        unsafe { self.value.as_mut() }
    }
}

impl<T: ?Sized> Deref for OwnedMutexGuard<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the guard has the value to itself (M1, M2).
        unsafe { &*self.owning.keep().value.get() }
    }
}

impl<T: ?Sized> DerefMut for OwnedMutexGuard<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard has the value to itself (M1, M2).
        unsafe { &mut *self.owning.keep().value.get() }
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<U: ?Sized + fmt::Debug> fmt::Debug for MappedMutexGuard<'_, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for OwnedMutexGuard<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
