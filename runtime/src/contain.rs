//! Calls of users' code where a panic has nowhere to go: a worker, or another thread, must outlive it.
//!
//! The panic hook has told of such a panic; its payload is dropped.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

/// Runs `f`; `None` if it has panicked.
#[cfg(not(loom))]
pub(crate) fn call<R>(f: impl FnOnce() -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(value) => Some(value),
        Err(panic) => {
            drop_payload(Some(panic));
            None
        }
    }
}

/// What the model checker says with a panic must come out.
#[cfg(loom)]
pub(crate) fn call<R>(f: impl FnOnce() -> R) -> Option<R> {
    Some(f())
}

/// Wakes a waker that may be a foreign one.
pub(crate) fn wake(waker: Waker) {
    call(|| waker.wake());
}

/// Drops a value whose type users choose.
pub(crate) fn drop_value<T>(value: T) {
    call(|| drop(value));
}

/// Drops a panic's payload, whose own `Drop` may panic.
pub(crate) fn drop_payload(payload: Option<Box<dyn Any + Send>>) {
    if let Err(worse) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(worse);
    }
}
