//! The one place that chooses between the real atomics, cells and locks and the model checker's.
//!
//! Everything whose interleavings matter imports from here, so that `--cfg loom` puts it under
//! loom's control unchanged.

#[cfg(not(loom))]
mod chosen {
    pub(crate) use std::sync::{Arc, atomic};
    pub(crate) use trioxide_runtime::lowlevel::poll_checkpoint;

    /// A lock without poisoning: a panic inside is contained and reported by the task it happened in.
    pub(crate) struct Mutex<T>(parking_lot::Mutex<T>);

    pub(crate) type MutexGuard<'a, T> = parking_lot::MutexGuard<'a, T>;

    impl<T> Mutex<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(parking_lot::Mutex::new(value))
        }

        #[inline]
        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock()
        }
    }

    /// `std`'s cell with the interface of loom's: an access is a closure, so that loom sees its end.
    pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(std::cell::UnsafeCell::new(value))
        }

        #[inline]
        pub(crate) fn with_mut<R>(&self, access: impl FnOnce(*mut T) -> R) -> R {
            access(self.0.get())
        }
    }
}

#[cfg(loom)]
mod chosen {
    pub(crate) use loom::cell::UnsafeCell;
    pub(crate) use loom::sync::{Arc, atomic};
    use std::task::{Context, Poll};

    /// A model has no run round it: the gate of the leaf operations stands open.
    pub(crate) fn poll_checkpoint(_cx: &mut Context<'_>, _operation: &'static str) -> Poll<()> {
        Poll::Ready(())
    }

    /// The model checker's lock, with the interface of the real one.
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    pub(crate) type MutexGuard<'a, T> = loom::sync::MutexGuard<'a, T>;

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().expect("no model panics under a lock")
        }
    }
}

pub(crate) use chosen::{Arc, Mutex, MutexGuard, UnsafeCell, atomic, poll_checkpoint};
