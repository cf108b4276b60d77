//! The guards of a [`Mutex`]. M1 and M2 are those of the module above.

use super::{ALL, Mutex};
use crate::guards::{answers, writes};
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::Arc;
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

/// As [`OwnedMutexGuard`], of a part `U` of the value; made by [`OwnedMutexGuard::map`].
#[must_use = "the lock is released when this is dropped"]
pub struct OwnedMappedMutexGuard<T: ?Sized, U: ?Sized> {
    /// Into the mutex whose permit `owning` is.
    value: NonNull<U>,
    owning: Owning<Arc<Mutex<T>>, ALL>,
    _value: PhantomData<*mut U>,
}

// SAFETY: as a `&mut U`; the permit may be given back on any thread.
unsafe impl<U: ?Sized + Send> Send for MappedMutexGuard<'_, U> {}
// SAFETY: as a `&mut U`.
unsafe impl<U: ?Sized + Sync> Sync for MappedMutexGuard<'_, U> {}
// SAFETY: as a `&mut U`, and an `Arc` of the mutex, which may be the last.
unsafe impl<T: ?Sized + Send, U: ?Sized + Send> Send for OwnedMappedMutexGuard<T, U> {}
// SAFETY: as a `&mut U`, and an `Arc` of the mutex.
unsafe impl<T: ?Sized + Send, U: ?Sized + Sync> Sync for OwnedMappedMutexGuard<T, U> {}

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
    /// # Panics
    ///
    /// If `part` does; the lock is broken then, as by any panic while it is held.
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
    pub fn map<U: ?Sized>(mut this: Self, part: impl FnOnce(&mut T) -> &mut U) -> MappedMutexGuard<'a, U> {
        let value = NonNull::from(part(&mut *this));
        Self::mapped(this, value)
    }

    /// A guard of a part of the value that may not be there; then the guard comes back.
    ///
    /// # Errors
    ///
    /// The guard, if `part` gives `None`.
    ///
    /// # Panics
    ///
    /// As [`map`](Self::map).
    ///
    /// ```
    /// use trioxide_sync::{Mutex, MutexGuard};
    ///
    /// let list = Mutex::new(vec![1, 2]);
    /// let list = MutexGuard::try_map(list.try_lock().unwrap(), |list| list.get_mut(7)).unwrap_err();
    /// let second = MutexGuard::try_map(list, |list| list.get_mut(1)).unwrap();
    /// assert_eq!(*second, 2);
    /// ```
    pub fn try_map<U: ?Sized>(
        mut this: Self,
        part: impl FnOnce(&mut T) -> Option<&mut U>,
    ) -> Result<MappedMutexGuard<'a, U>, Self> {
        match part(&mut *this).map(NonNull::from) {
            Some(value) => Ok(Self::mapped(this, value)),
            None => Err(this),
        }
    }

    fn mapped<U: ?Sized>(this: Self, value: NonNull<U>) -> MappedMutexGuard<'a, U> {
        MappedMutexGuard { value, owning: this.owning.map_keep(|mutex| &mutex.permits), _value: PhantomData }
    }

    /// The mutex, which the caller unlocks.
    pub(crate) fn settle(this: Self) -> &'a Mutex<T> {
        this.owning.settle()
    }
}

impl<'a, U: ?Sized> MappedMutexGuard<'a, U> {
    /// A guard of a part of the part. As [`MutexGuard::map`].
    pub fn map<V: ?Sized>(mut this: Self, part: impl FnOnce(&mut U) -> &mut V) -> MappedMutexGuard<'a, V> {
        let value = NonNull::from(part(&mut *this));
        MappedMutexGuard { value, owning: this.owning, _value: PhantomData }
    }

    /// A guard of a part of the part that may not be there. As [`MutexGuard::try_map`].
    ///
    /// # Errors
    ///
    /// The guard, if `part` gives `None`.
    pub fn try_map<V: ?Sized>(
        mut this: Self,
        part: impl FnOnce(&mut U) -> Option<&mut V>,
    ) -> Result<MappedMutexGuard<'a, V>, Self> {
        match part(&mut *this).map(NonNull::from) {
            Some(value) => Ok(MappedMutexGuard { value, owning: this.owning, _value: PhantomData }),
            None => Err(this),
        }
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

    /// A guard of a part of the value, which keeps the mutex, too. As [`MutexGuard::map`].
    ///
    /// ```
    /// use std::sync::Arc;
    /// use trioxide_runtime::{nursery, run};
    /// use trioxide_sync::{Mutex, OwnedMappedMutexGuard, OwnedMutexGuard};
    ///
    /// let pair = Arc::new(Mutex::new((1, "one")));
    /// run(nursery(async |n| {
    ///     let guard = Arc::clone(&pair).lock_owned().await.unwrap();
    ///     let mut number = OwnedMutexGuard::map(guard, |pair| &mut pair.0);
    ///     n.spawn(async move {
    ///         OwnedMappedMutexGuard::adopt(&mut number); // this task answers for it now
    ///         *number += 1;
    ///     });
    /// }));
    /// assert_eq!(*pair.try_lock().unwrap(), (2, "one"));
    /// ```
    pub fn map<U: ?Sized>(mut this: Self, part: impl FnOnce(&mut T) -> &mut U) -> OwnedMappedMutexGuard<T, U> {
        let value = NonNull::from(part(&mut *this));
        OwnedMappedMutexGuard { value, owning: this.owning, _value: PhantomData }
    }

    /// A guard of a part of the value that may not be there. As [`MutexGuard::try_map`].
    ///
    /// # Errors
    ///
    /// The guard, if `part` gives `None`.
    pub fn try_map<U: ?Sized>(
        mut this: Self,
        part: impl FnOnce(&mut T) -> Option<&mut U>,
    ) -> Result<OwnedMappedMutexGuard<T, U>, Self> {
        match part(&mut *this).map(NonNull::from) {
            Some(value) => Ok(OwnedMappedMutexGuard { value, owning: this.owning, _value: PhantomData }),
            None => Err(this),
        }
    }
}

impl<T: ?Sized, U: ?Sized> OwnedMappedMutexGuard<T, U> {
    /// The mutex that this is the guard of.
    pub fn mutex(this: &Self) -> &Arc<Mutex<T>> {
        this.owning.keep()
    }

    /// A guard of a part of the part. As [`MutexGuard::map`].
    pub fn map<V: ?Sized>(mut this: Self, part: impl FnOnce(&mut U) -> &mut V) -> OwnedMappedMutexGuard<T, V> {
        let value = NonNull::from(part(&mut *this));
        OwnedMappedMutexGuard { value, owning: this.owning, _value: PhantomData }
    }

    /// A guard of a part of the part that may not be there. As [`MutexGuard::try_map`].
    ///
    /// # Errors
    ///
    /// The guard, if `part` gives `None`.
    pub fn try_map<V: ?Sized>(
        mut this: Self,
        part: impl FnOnce(&mut U) -> Option<&mut V>,
    ) -> Result<OwnedMappedMutexGuard<T, V>, Self> {
        match part(&mut *this).map(NonNull::from) {
            Some(value) => Ok(OwnedMappedMutexGuard { value, owning: this.owning, _value: PhantomData }),
            None => Err(this),
        }
    }
}

answers! {
    [T: ?Sized] MutexGuard<'_, T>;
    [U: ?Sized] MappedMutexGuard<'_, U>;
    [T: ?Sized] OwnedMutexGuard<T>;
    [T: ?Sized, U: ?Sized] OwnedMappedMutexGuard<T, U>;
}

writes! {
    [U: ?Sized] MappedMutexGuard<'_, U> => U;
    [T: ?Sized, U: ?Sized] OwnedMappedMutexGuard<T, U> => U;
}

/// For guards of the whole value, which need no pointer of their own.
macro_rules! writes_all {
    ($($guard:ty)*) => {
        $(
            impl<T: ?Sized> Deref for $guard {
                type Target = T;

                #[inline]
                fn deref(&self) -> &T {
                    // SAFETY: the guard has the value to itself (M1, M2).
                    unsafe { &*self.owning.keep().value.get() }
                }
            }

            impl<T: ?Sized> DerefMut for $guard {
                #[inline]
                fn deref_mut(&mut self) -> &mut T {
                    // SAFETY: the guard has the value to itself (M1, M2).
                    unsafe { &mut *self.owning.keep().value.get() }
                }
            }

            impl<T: ?Sized + fmt::Debug> fmt::Debug for $guard {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    (**self).fmt(f)
                }
            }
        )*
    };
}

writes_all! { MutexGuard<'_, T> OwnedMutexGuard<T> }
