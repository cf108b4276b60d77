//! The guards of a [`RwLock`]. R1 and R2 are those of the module above.

use super::{ALL, RwLock};
use crate::guards::{answers, reads, writes};
use std::marker::PhantomData;
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

/// A [`RwLock`] while it is held to write; derefs to the value.
#[must_use = "the lock is released when this is dropped"]
pub struct RwLockWriteGuard<'a, T: ?Sized> {
    value: NonNull<T>,
    owning: Owning<&'a Permits, ALL>,
    _value: PhantomData<&'a mut T>,
}

/// As [`RwLockWriteGuard`], of a part of the value; made by [`RwLockWriteGuard::map`].
///
/// It cannot be downgraded: through a `&mut` of the value one gets at parts that may also change behind a `&`, as by `Cell::get_mut`. As a `&` beside other readers such a part would be one that changes.
///
/// ```compile_fail,E0599
/// use std::cell::Cell;
/// use trioxide_sync::{MappedRwLockWriteGuard, RwLock, RwLockWriteGuard};
///
/// let lock = RwLock::new(Cell::new(1));
/// let part = RwLockWriteGuard::map(lock.try_write().unwrap(), Cell::get_mut);
/// let number = MappedRwLockWriteGuard::downgrade(part);
/// lock.try_read().unwrap().set(2); // while `number` is a `&i32`
/// ```
#[must_use = "the lock is released when this is dropped"]
pub struct MappedRwLockWriteGuard<'a, U: ?Sized> {
    value: NonNull<U>,
    owning: Owning<&'a Permits, ALL>,
    _value: PhantomData<&'a mut U>,
}

/// As [`RwLockReadGuard`], but it keeps the lock. `U` is the part of the value that it derefs to.
#[must_use = "the lock is released when this is dropped"]
pub struct OwnedRwLockReadGuard<T: ?Sized, U: ?Sized = T> {
    value: NonNull<U>,
    sharing: Sharing<Arc<RwLock<T>>>,
    _value: PhantomData<(Arc<RwLock<T>>, *const U)>,
}

/// As [`RwLockWriteGuard`], but it keeps the lock.
#[must_use = "the lock is released when this is dropped"]
pub struct OwnedRwLockWriteGuard<T: ?Sized> {
    value: NonNull<T>,
    owning: Owning<Arc<RwLock<T>>, ALL>,
    _value: PhantomData<(Arc<RwLock<T>>, *mut T)>,
}

/// As [`MappedRwLockWriteGuard`], but it keeps the lock; made by [`OwnedRwLockWriteGuard::map`]. `U` is the part of the value that it derefs to.
#[must_use = "the lock is released when this is dropped"]
pub struct OwnedMappedRwLockWriteGuard<T: ?Sized, U: ?Sized> {
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
// SAFETY: as a `&mut U`.
unsafe impl<U: ?Sized + Send> Send for MappedRwLockWriteGuard<'_, U> {}
// SAFETY: as a `&mut U`.
unsafe impl<U: ?Sized + Sync> Sync for MappedRwLockWriteGuard<'_, U> {}
// SAFETY: as a `&U`, and an `Arc` of the lock, which may be the last.
unsafe impl<T: ?Sized + Send + Sync, U: ?Sized + Sync> Send for OwnedRwLockReadGuard<T, U> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send + Sync, U: ?Sized + Sync> Sync for OwnedRwLockReadGuard<T, U> {}
// SAFETY: as a `&mut T`, as a `&T` once it is downgraded, and an `Arc` of the lock, which may be the last.
unsafe impl<T: ?Sized + Send + Sync> Send for OwnedRwLockWriteGuard<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send + Sync> Sync for OwnedRwLockWriteGuard<T> {}
// SAFETY: as a `&mut U`, and an `Arc` of the lock, which may be the last.
unsafe impl<T: ?Sized + Send + Sync, U: ?Sized + Send> Send for OwnedMappedRwLockWriteGuard<T, U> {}
// SAFETY: as a `&mut U`, and an `Arc` of the lock.
unsafe impl<T: ?Sized + Send + Sync, U: ?Sized + Sync> Sync for OwnedMappedRwLockWriteGuard<T, U> {}

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

    /// A guard of a part of the value that may not be there; then the guard comes back.
    ///
    /// # Errors
    ///
    /// The guard, if `part` gives `None`.
    pub fn try_map<U: ?Sized>(this: Self, part: impl FnOnce(&T) -> Option<&U>) -> Result<RwLockReadGuard<'a, U>, Self> {
        match part(&this).map(NonNull::from) {
            Some(value) => Ok(RwLockReadGuard { value, sharing: this.sharing, _value: PhantomData }),
            None => Err(this),
        }
    }
}

impl<'a, T: ?Sized> RwLockWriteGuard<'a, T> {
    /// `owning` has all permits of `lock`.
    pub(super) fn new(lock: &'a RwLock<T>, owning: Owning<&'a Permits, ALL>) -> Self {
        Self { value: pointer(lock), owning, _value: PhantomData }
    }

    /// A guard of a part of the value.
    ///
    /// # Panics
    ///
    /// If `part` does; the lock is broken then, as by any panic while it is held to write.
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
    pub fn map<U: ?Sized>(mut this: Self, part: impl FnOnce(&mut T) -> &mut U) -> MappedRwLockWriteGuard<'a, U> {
        let value = NonNull::from(part(&mut *this));
        MappedRwLockWriteGuard { value, owning: this.owning, _value: PhantomData }
    }

    /// A guard of a part of the value that may not be there; then the guard comes back.
    ///
    /// # Errors
    ///
    /// The guard, if `part` gives `None`.
    pub fn try_map<U: ?Sized>(
        mut this: Self,
        part: impl FnOnce(&mut T) -> Option<&mut U>,
    ) -> Result<MappedRwLockWriteGuard<'a, U>, Self> {
        match part(&mut *this).map(NonNull::from) {
            Some(value) => Ok(MappedRwLockWriteGuard { value, owning: this.owning, _value: PhantomData }),
            None => Err(this),
        }
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

impl<'a, U: ?Sized> MappedRwLockWriteGuard<'a, U> {
    /// A guard of a part of the part. As [`RwLockWriteGuard::map`].
    pub fn map<V: ?Sized>(mut this: Self, part: impl FnOnce(&mut U) -> &mut V) -> MappedRwLockWriteGuard<'a, V> {
        let value = NonNull::from(part(&mut *this));
        MappedRwLockWriteGuard { value, owning: this.owning, _value: PhantomData }
    }

    /// A guard of a part of the part that may not be there. As [`RwLockWriteGuard::try_map`].
    ///
    /// # Errors
    ///
    /// The guard, if `part` gives `None`.
    pub fn try_map<V: ?Sized>(
        mut this: Self,
        part: impl FnOnce(&mut U) -> Option<&mut V>,
    ) -> Result<MappedRwLockWriteGuard<'a, V>, Self> {
        match part(&mut *this).map(NonNull::from) {
            Some(value) => Ok(MappedRwLockWriteGuard { value, owning: this.owning, _value: PhantomData }),
            None => Err(this),
        }
    }
}

impl<T: ?Sized> OwnedRwLockReadGuard<T> {
    pub(super) fn new(sharing: Sharing<Arc<RwLock<T>>>) -> Self {
        Self { value: pointer(sharing.keep()), sharing, _value: PhantomData }
    }
}

impl<T: ?Sized, U: ?Sized> OwnedRwLockReadGuard<T, U> {
    /// The lock that this is a guard of. (An associated function: a method could hide one of the value.)
    pub fn rw_lock(this: &Self) -> &Arc<RwLock<T>> {
        this.sharing.keep()
    }

    /// A guard of a part of the value.
    pub fn map<V: ?Sized>(this: Self, part: impl FnOnce(&U) -> &V) -> OwnedRwLockReadGuard<T, V> {
        let value = NonNull::from(part(&this));
        OwnedRwLockReadGuard { value, sharing: this.sharing, _value: PhantomData }
    }

    /// A guard of a part of the value that may not be there; then the guard comes back.
    ///
    /// # Errors
    ///
    /// The guard, if `part` gives `None`.
    pub fn try_map<V: ?Sized>(
        this: Self,
        part: impl FnOnce(&U) -> Option<&V>,
    ) -> Result<OwnedRwLockReadGuard<T, V>, Self> {
        match part(&this).map(NonNull::from) {
            Some(value) => Ok(OwnedRwLockReadGuard { value, sharing: this.sharing, _value: PhantomData }),
            None => Err(this),
        }
    }
}

impl<T: ?Sized> OwnedRwLockWriteGuard<T> {
    pub(super) fn new(owning: Owning<Arc<RwLock<T>>, ALL>) -> Self {
        Self { value: pointer(owning.keep()), owning, _value: PhantomData }
    }

    /// The lock that this is the guard of.
    pub fn rw_lock(this: &Self) -> &Arc<RwLock<T>> {
        this.owning.keep()
    }

    /// A guard of a part of the value, which keeps the lock, too. As [`RwLockWriteGuard::map`].
    ///
    /// ```
    /// use std::sync::Arc;
    /// use trioxide_sync::{OwnedRwLockWriteGuard, RwLock};
    ///
    /// let pair = Arc::new(RwLock::new((1, "one")));
    /// let mut number = OwnedRwLockWriteGuard::map(pair.clone().try_write_owned().unwrap(), |pair| &mut pair.0);
    /// *number = 7;
    /// drop(number);
    /// assert_eq!(*pair.try_read().unwrap(), (7, "one"));
    /// ```
    pub fn map<U: ?Sized>(mut this: Self, part: impl FnOnce(&mut T) -> &mut U) -> OwnedMappedRwLockWriteGuard<T, U> {
        let value = NonNull::from(part(&mut *this));
        OwnedMappedRwLockWriteGuard { value, owning: this.owning, _value: PhantomData }
    }

    /// A guard of a part of the value that may not be there. As [`RwLockWriteGuard::try_map`].
    ///
    /// # Errors
    ///
    /// The guard, if `part` gives `None`.
    pub fn try_map<U: ?Sized>(
        mut this: Self,
        part: impl FnOnce(&mut T) -> Option<&mut U>,
    ) -> Result<OwnedMappedRwLockWriteGuard<T, U>, Self> {
        match part(&mut *this).map(NonNull::from) {
            Some(value) => Ok(OwnedMappedRwLockWriteGuard { value, owning: this.owning, _value: PhantomData }),
            None => Err(this),
        }
    }

    /// As [`RwLockWriteGuard::downgrade`].
    pub fn downgrade(this: Self) -> OwnedRwLockReadGuard<T> {
        OwnedRwLockReadGuard { value: this.value, sharing: this.owning.downgrade(), _value: PhantomData }
    }
}

impl<T: ?Sized, U: ?Sized> OwnedMappedRwLockWriteGuard<T, U> {
    /// The lock that this is the guard of.
    pub fn rw_lock(this: &Self) -> &Arc<RwLock<T>> {
        this.owning.keep()
    }

    /// A guard of a part of the part. As [`RwLockWriteGuard::map`].
    pub fn map<V: ?Sized>(mut this: Self, part: impl FnOnce(&mut U) -> &mut V) -> OwnedMappedRwLockWriteGuard<T, V> {
        let value = NonNull::from(part(&mut *this));
        OwnedMappedRwLockWriteGuard { value, owning: this.owning, _value: PhantomData }
    }

    /// A guard of a part of the part that may not be there. As [`RwLockWriteGuard::try_map`].
    ///
    /// # Errors
    ///
    /// The guard, if `part` gives `None`.
    pub fn try_map<V: ?Sized>(
        mut this: Self,
        part: impl FnOnce(&mut U) -> Option<&mut V>,
    ) -> Result<OwnedMappedRwLockWriteGuard<T, V>, Self> {
        match part(&mut *this).map(NonNull::from) {
            Some(value) => Ok(OwnedMappedRwLockWriteGuard { value, owning: this.owning, _value: PhantomData }),
            None => Err(this),
        }
    }
}

answers! {
    [T: ?Sized] RwLockWriteGuard<'_, T>;
    [U: ?Sized] MappedRwLockWriteGuard<'_, U>;
    [T: ?Sized] OwnedRwLockWriteGuard<T>;
    [T: ?Sized, U: ?Sized] OwnedMappedRwLockWriteGuard<T, U>;
}

reads! {
    [T: ?Sized] RwLockReadGuard<'_, T> => T;
    [T: ?Sized, U: ?Sized] OwnedRwLockReadGuard<T, U> => U;
}

writes! {
    [T: ?Sized] RwLockWriteGuard<'_, T> => T;
    [U: ?Sized] MappedRwLockWriteGuard<'_, U> => U;
    [T: ?Sized] OwnedRwLockWriteGuard<T> => T;
    [T: ?Sized, U: ?Sized] OwnedMappedRwLockWriteGuard<T, U> => U;
}
