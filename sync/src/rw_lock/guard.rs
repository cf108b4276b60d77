//! The guards of a [`RwLock`]. R1 and R2 are those of the module above.

use super::{ALL, RwLock};
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::Arc;
use trioxide_runtime::lowlevel::line::{Owning, Permits, Sharing};

/// A [`RwLock`] while it is held to read; derefs to the value, or to a part of it.
#[must_use = "the lock is released when this is dropped"]
pub struct RwLockReadGuard<'a, T: ?Sized> {
    value: NonNull<T>,
    sharing: Sharing<&'a Permits>,
    _value: PhantomData<&'a T>,
}

/// A [`RwLock`] while it is held to write; derefs to the value, or to a part of it.
#[must_use = "the lock is released when this is dropped"]
pub struct RwLockWriteGuard<'a, T: ?Sized> {
    value: NonNull<T>,
    owning: Owning<&'a Permits, ALL>,
    _value: PhantomData<&'a mut T>,
}

/// As [`RwLockReadGuard`], but it keeps the lock. `U` is the part of the value that it derefs to.
#[must_use = "the lock is released when this is dropped"]
pub struct OwnedRwLockReadGuard<T: ?Sized, U: ?Sized = T> {
    value: NonNull<U>,
    sharing: Sharing<Arc<RwLock<T>>>,
    _value: PhantomData<(Arc<RwLock<T>>, *const U)>,
}

/// As [`RwLockWriteGuard`], but it keeps the lock. `U` is the part of the value that it derefs to.
#[must_use = "the lock is released when this is dropped"]
pub struct OwnedRwLockWriteGuard<T: ?Sized, U: ?Sized = T> {
    value: NonNull<U>,
    owning: Owning<Arc<RwLock<T>>, ALL>,
    _value: PhantomData<(Arc<RwLock<T>>, *mut U)>,
}

// SAFETY: as a `&T`; the permit may be given back on any thread.
unsafe impl<T: ?Sized + Sync> Send for RwLockReadGuard<'_, T> {}
// SAFETY: as a `&T`.
unsafe impl<T: ?Sized + Sync> Sync for RwLockReadGuard<'_, T> {}
// SAFETY: as a `&mut T`, and as a `&T` once it is downgraded.
unsafe impl<T: ?Sized + Send + Sync> Send for RwLockWriteGuard<'_, T> {}
// SAFETY: as a `&mut T`.
unsafe impl<T: ?Sized + Sync> Sync for RwLockWriteGuard<'_, T> {}
// SAFETY: as a `&U`, and an `Arc` of the lock, which may be the last.
unsafe impl<T: ?Sized + Send + Sync, U: ?Sized + Sync> Send for OwnedRwLockReadGuard<T, U> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send + Sync, U: ?Sized + Sync> Sync for OwnedRwLockReadGuard<T, U> {}
// SAFETY: as a `&mut U`, as a `&U` once it is downgraded, and an `Arc` of the lock, which may be the last.
unsafe impl<T: ?Sized + Send + Sync, U: ?Sized + Send + Sync> Send for OwnedRwLockWriteGuard<T, U> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send + Sync, U: ?Sized + Sync> Sync for OwnedRwLockWriteGuard<T, U> {}

fn pointer<T: ?Sized>(lock: &RwLock<T>) -> NonNull<T> {
    NonNull::new(lock.value.get()).expect("the address of a field")
}

impl<'a, T: ?Sized> RwLockReadGuard<'a, T> {
    /// `sharing` has a permit of `lock`.
    pub(super) fn new(lock: &'a RwLock<T>, sharing: Sharing<&'a Permits>) -> Self {
        Self { value: pointer(lock), sharing, _value: PhantomData }
    }

    /// A guard of a part of the value. (An associated function: a method could hide one of the value.)
    ///
    /// ```
    /// use trioxide_sync::{RwLock, RwLockReadGuard};
    ///
    /// let pair = RwLock::new((1, "one"));
    /// let name = RwLockReadGuard::map(pair.try_read().unwrap(), |pair| &pair.1);
    /// assert_eq!(*name, "one");
    /// ```
    pub fn map<U: ?Sized>(this: Self, part: impl FnOnce(&T) -> &U) -> RwLockReadGuard<'a, U> {
        let value = NonNull::from(part(&this));
        RwLockReadGuard { value, sharing: this.sharing, _value: PhantomData }
    }
}

impl<'a, T: ?Sized> RwLockWriteGuard<'a, T> {
    /// `owning` has all permits of `lock`.
    pub(super) fn new(lock: &'a RwLock<T>, owning: Owning<&'a Permits, ALL>) -> Self {
        Self { value: pointer(lock), owning, _value: PhantomData }
    }

    /// A guard of a part of the value.
    ///
    /// ```
    /// use trioxide_sync::{RwLock, RwLockWriteGuard};
    ///
    /// let pair = RwLock::new((1, "one"));
    /// let mut number = RwLockWriteGuard::map(pair.try_write().unwrap(), |pair| &mut pair.0);
    /// *number = 7;
    /// drop(number);
    /// assert_eq!(pair.into_inner(), (7, "one"));
    /// ```
    pub fn map<U: ?Sized>(mut this: Self, part: impl FnOnce(&mut T) -> &mut U) -> RwLockWriteGuard<'a, U> {
        let value = NonNull::from(part(&mut this));
        RwLockWriteGuard { value, owning: this.owning, _value: PhantomData }
    }

    /// Goes on as a reader: no other writer comes between. Readers that wait first in line are let in.
    ///
    /// ```
    /// use trioxide_sync::{RwLock, RwLockWriteGuard};
    ///
    /// let lock = RwLock::new(1);
    /// let mut writer = lock.try_write().unwrap();
    /// *writer = 2;
    /// let reader = RwLockWriteGuard::downgrade(writer);
    /// assert_eq!(*reader + *lock.try_read().unwrap(), 4);
    /// assert!(lock.try_write().is_err());
    /// ```
    pub fn downgrade(this: Self) -> RwLockReadGuard<'a, T> {
        RwLockReadGuard { value: this.value, sharing: this.owning.downgrade(), _value: PhantomData }
    }
}

impl<T: ?Sized> OwnedRwLockReadGuard<T> {
    pub(super) fn new(sharing: Sharing<Arc<RwLock<T>>>) -> Self {
        Self { value: pointer(sharing.keep()), sharing, _value: PhantomData }
    }
}

impl<T: ?Sized, U: ?Sized> OwnedRwLockReadGuard<T, U> {
    /// A guard of a part of the value.
    pub fn map<V: ?Sized>(this: Self, part: impl FnOnce(&U) -> &V) -> OwnedRwLockReadGuard<T, V> {
        let value = NonNull::from(part(&this));
        OwnedRwLockReadGuard { value, sharing: this.sharing, _value: PhantomData }
    }
}

impl<T: ?Sized> OwnedRwLockWriteGuard<T> {
    pub(super) fn new(owning: Owning<Arc<RwLock<T>>, ALL>) -> Self {
        Self { value: pointer(owning.keep()), owning, _value: PhantomData }
    }
}

impl<T: ?Sized, U: ?Sized> OwnedRwLockWriteGuard<T, U> {
    /// A guard of a part of the value.
    pub fn map<V: ?Sized>(mut this: Self, part: impl FnOnce(&mut U) -> &mut V) -> OwnedRwLockWriteGuard<T, V> {
        let value = NonNull::from(part(&mut this));
        OwnedRwLockWriteGuard { value, owning: this.owning, _value: PhantomData }
    }

    /// As [`RwLockWriteGuard::downgrade`].
    pub fn downgrade(this: Self) -> OwnedRwLockReadGuard<T, U> {
        OwnedRwLockReadGuard { value: this.value, sharing: this.owning.downgrade(), _value: PhantomData }
    }

    /// As [`OwnedMutexGuard::adopt`](crate::OwnedMutexGuard::adopt).
    pub fn adopt(this: &mut Self) {
        this.owning.adopt();
    }
}

macro_rules! reads {
    ($([$($generics:tt)*] $guard:ty => $target:ident;)*) => {
        $(
            impl<$($generics)*> Deref for $guard {
                type Target = $target;

                fn deref(&self) -> &$target {
                    // SAFETY: into the value of the lock of its permits, which nobody else may write (R1, R2).
                    unsafe { self.value.as_ref() }
                }
            }

            impl<$($generics)*> fmt::Debug for $guard
            where
                $target: fmt::Debug,
            {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    (**self).fmt(f)
                }
            }
        )*
    };
}

macro_rules! writes {
    ($([$($generics:tt)*] $guard:ty => $target:ident;)*) => {
        reads! { $([$($generics)*] $guard => $target;)* }

        $(
            impl<$($generics)*> DerefMut for $guard {
                fn deref_mut(&mut self) -> &mut $target {
                    // SAFETY: as for `deref`, and all permits are its own (R1).
                    unsafe { self.value.as_mut() }
                }
            }
        )*
    };
}

reads! {
    [T: ?Sized] RwLockReadGuard<'_, T> => T;
    [T: ?Sized, U: ?Sized] OwnedRwLockReadGuard<T, U> => U;
}

writes! {
    [T: ?Sized] RwLockWriteGuard<'_, T> => T;
    [T: ?Sized, U: ?Sized] OwnedRwLockWriteGuard<T, U> => U;
}
