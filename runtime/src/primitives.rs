//! The one place that chooses between the real atomics, locks and threads and the model checker's.
//!
//! Everything whose interleavings matter imports from here, so that `--cfg loom` puts it under loom's control unchanged. The sync crate does, too,
//! through `lowlevel::primitives`; what is `pub` here is for it.

#[cfg(not(loom))]
mod chosen {
    pub use std::sync::{Arc, atomic};
    pub(crate) use std::{thread, thread_local as per_thread};

    macro_rules! per_process {
        (static $name:ident: $type:ty = $init:expr;) => {
            static $name: $type = $init;
        };
    }
    pub(crate) use per_process;

    /// A lock without poisoning: a panic inside is contained and reported by the task it happened in.
    pub struct Mutex<T>(parking_lot::Mutex<T>);

    /// What holds the lock.
    pub type MutexGuard<'a, T> = parking_lot::MutexGuard<'a, T>;

    impl<T> Mutex<T> {
        /// A lock, free.
        pub const fn new(value: T) -> Self {
            Self(parking_lot::Mutex::new(value))
        }

        /// Waits for the lock.
        #[inline]
        pub fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock()
        }

        /// The lock, if it is free.
        #[inline]
        pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            self.0.try_lock()
        }
    }

    /// `std`'s cell with the interface of loom's: an access is a closure, so that loom sees its end.
    pub struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        /// A cell with `value` in it.
        pub const fn new(value: T) -> Self {
            Self(std::cell::UnsafeCell::new(value))
        }

        /// Lets `access` have the value; what it may do with it is the caller's to know.
        #[inline]
        pub fn with_mut<R>(&self, access: impl FnOnce(*mut T) -> R) -> R {
            access(self.0.get())
        }
    }
}

#[cfg(loom)]
mod chosen {
    pub use loom::cell::UnsafeCell;
    pub use loom::sync::{Arc, atomic};

    /// The model checker's macro does not know `const` blocks.
    macro_rules! per_thread {
        (static $name:ident: $type:ty = const { $($init:tt)* };) => {
            loom::thread_local! { static $name: $type = { $($init)* }; }
        };
    }
    pub(crate) use per_thread;

    macro_rules! per_process {
        (static $name:ident: $type:ty = $init:expr;) => {
            loom::lazy_static! { static ref $name: $type = $init; }
        };
    }
    pub(crate) use per_process;

    pub(crate) mod thread {
        pub(crate) use loom::thread::{Builder, JoinHandle, yield_now};
        use std::sync::Arc;

        /// What a thread parks on. Not the model checker's own `park`, whose wake sets free a thread that waits for a lock, too.
        #[derive(Clone)]
        pub(crate) struct Thread(Arc<loom::sync::Notify>);

        loom::thread_local! { static CURRENT: Thread = Thread(Arc::new(loom::sync::Notify::new())); }

        pub(crate) fn current() -> Thread {
            CURRENT.with(Thread::clone)
        }

        impl Thread {
            pub(crate) fn unpark(&self) {
                self.0.notify();
            }
        }

        pub(crate) fn park() {
            current().0.wait();
        }

        /// A time-out may strike at any moment.
        pub(crate) fn park_timeout(_timeout: std::time::Duration) {
            loom::thread::yield_now();
        }
    }

    /// The model checker's lock, with the interface of the real one.
    pub struct Mutex<T>(loom::sync::Mutex<T>);

    /// What holds the lock.
    pub type MutexGuard<'a, T> = loom::sync::MutexGuard<'a, T>;

    impl<T> Mutex<T> {
        /// A lock, free.
        pub fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        /// Waits for the lock.
        pub fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().expect("no model panics under a lock")
        }

        /// The lock, if it is free.
        pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            self.0.try_lock().ok()
        }
    }
}

pub use chosen::{Arc, Mutex, MutexGuard, UnsafeCell, atomic};
pub(crate) use chosen::{per_process, per_thread, thread};
