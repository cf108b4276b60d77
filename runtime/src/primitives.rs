//! The one place that chooses between the real atomics, locks and threads and the model checker's.
//!
//! Everything whose interleavings matter imports from here, so that `--cfg loom` puts it under loom's control unchanged.

#[cfg(not(loom))]
mod chosen {
    pub(crate) use std::sync::atomic;
    pub(crate) use std::{thread, thread_local as per_thread};

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

        #[inline]
        pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            self.0.try_lock()
        }
    }
}

#[cfg(loom)]
mod chosen {
    pub(crate) use loom::sync::atomic;

    /// The model checker's macro does not know `const` blocks.
    macro_rules! per_thread {
        (static $name:ident: $type:ty = const { $($init:tt)* };) => {
            loom::thread_local! { static $name: $type = { $($init)* }; }
        };
    }
    pub(crate) use per_thread;

    pub(crate) mod thread {
        pub(crate) use loom::thread::{Builder, JoinHandle};
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
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    pub(crate) type MutexGuard<'a, T> = loom::sync::MutexGuard<'a, T>;

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().expect("no model panics under a lock")
        }

        pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            self.0.try_lock().ok()
        }
    }
}

pub(crate) use chosen::{Mutex, MutexGuard, atomic, per_thread, thread};
