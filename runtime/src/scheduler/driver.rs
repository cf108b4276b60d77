//! The seam to the outside: the runtime knows nothing of sockets, and the io crate installs its reactor here at the first one.

use std::any::Any;
use std::io;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use super::Worker;
use crate::context;

/// What a worker without work waits in, if it is installed: the reactor.
///
/// The runtime never calls `wait` or `dispatch` from two threads at once.
pub trait Driver: Any + Send + Sync {
    /// Waits for events, at most for `timeout` (zero: only looks), and keeps them for `dispatch`.
    fn wait(&self, timeout: Option<Duration>);

    /// Wakes the wakers that the kept events are for.
    fn dispatch(&self);

    /// Makes the present `wait` return, or the next one. Called from any thread.
    fn wake(&self);

    /// Whether an event may still come that wakes a task: anything is registered. If not, a run in which every task waits hangs, as one without a driver does.
    fn may_wake(&self) -> bool {
        true
    }
}

/// The driver of the current runtime, made by `make` at the first call.
///
/// # Errors
///
/// What `make` returns; the next call tries again.
///
/// # Panics
///
/// Outside a run, naming `operation`; and if a driver of another type is installed.
pub fn driver<D: Driver>(operation: &'static str, make: impl FnOnce() -> io::Result<D>) -> io::Result<Arc<D>> {
    context::worker(|worker| {
        let shared = match worker {
            Some(worker) if context::in_task() => worker.shared(),
            _ => context::outside(operation),
        };
        let driver = shared.driver_or_install(|| Ok(Arc::new(make()?) as Arc<dyn Driver>))?;
        let any: Arc<dyn Any + Send + Sync> = driver;
        Ok(any.downcast().expect("trioxide: this runtime has a driver of another type; install one kind only"))
    })
}

/// Whether this thread polls a task of the runtime whose driver that is.
#[must_use]
pub fn is_driven_here<D: Driver>(driver: &D) -> bool {
    let is_its = |worker: &Worker| {
        worker.shared().driver.get().is_some_and(|installed| ptr::addr_eq(Arc::as_ptr(installed), driver))
    };
    context::worker(|worker| worker.is_some_and(|worker| context::in_task() && is_its(worker)))
}
