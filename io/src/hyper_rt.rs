//! What hyper 1 asks of a runtime beside I/O (feature `hyper`): [`NurseryExecutor`], [`Timer`]. Its I/O traits stand beside [`TcpStream`](crate::TcpStream)
//! (`tcp/hyper_io.rs`) and `tls::TlsStream`.

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use hyper::rt::{Executor, Sleep};
use trioxide_runtime::Nursery;

use crate::opaque::opaque;
use crate::run_sleep::RunSleep;

/// Runs hyper's futures in a nursery. When the nursery is closed the future is dropped, as hyper expects of a
/// runtime that shuts down; a panic of one goes to the nursery.
pub struct NurseryExecutor<E>(Nursery<E>);

impl<E> NurseryExecutor<E> {
    /// An executor that spawns in `nursery`.
    pub fn new(nursery: Nursery<E>) -> NurseryExecutor<E> {
        NurseryExecutor(nursery)
    }
}

opaque!(NurseryExecutor<E>);

impl<E> Clone for NurseryExecutor<E> {
    fn clone(&self) -> Self {
        NurseryExecutor(self.0.clone())
    }
}

impl<E, F> Executor<F> for NurseryExecutor<E>
where
    E: Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        drop(self.0.try_spawn(future));
    }
}

/// hyper's timer on the run's clock: with a mock clock hyper's time-outs follow it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timer;

impl hyper::rt::Timer for Timer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        RunSleep::lasting(duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        RunSleep::until(deadline)
    }

    fn now(&self) -> Instant {
        trioxide_runtime::now()
    }

    /// In place: hyper resets a timer for each request.
    fn reset(&self, sleep: &mut Pin<Box<dyn Sleep>>, deadline: Instant) {
        match sleep.as_mut().downcast_mut_pin::<RunSleep>() {
            Some(sleep) => sleep.restart(deadline),
            None => *sleep = self.sleep_until(deadline),
        }
    }
}

impl Sleep for RunSleep {}
