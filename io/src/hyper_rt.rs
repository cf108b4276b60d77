//! What hyper 1 asks of a runtime (feature `hyper`): I/O on [`TcpStream`] (and, beside it, on `tls::TlsStream`), [`NurseryExecutor`], [`Timer`].
//!
//! # Invariant of the unsafe blocks
//! `poll_read_uninit` only ever writes initialised bytes into what it is given, and the first of them, as
//! many as it returns, are initialised when it returns.

use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hyper::rt::{Executor, Read, ReadBufCursor, Sleep, Write};
use pin_project_lite::pin_project;
use trioxide_runtime::Nursery;

use crate::TcpStream;

impl Read for TcpStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, mut buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        // SAFETY: nothing is de-initialised (invariant at the top).
        let unfilled = unsafe { buf.as_mut() };
        let count = ready!(self.poll_read_uninit(cx, unfilled))?;
        // SAFETY: `count` bytes have been initialised (invariant at the top).
        unsafe { buf.advance(count) };
        Poll::Ready(Ok(()))
    }
}

impl Write for TcpStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        TcpStream::poll_write(&self, cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        TcpStream::poll_write_vectored(&self, cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.finish_now())
    }
}

/// Runs hyper's futures in a nursery. When the nursery is closed the future is dropped, as hyper expects of a
/// runtime that shuts down; a panic of one goes to the nursery.
pub struct NurseryExecutor<E>(Nursery<E>);

impl<E> NurseryExecutor<E> {
    /// An executor that spawns in `nursery`.
    pub fn new(nursery: Nursery<E>) -> NurseryExecutor<E> {
        NurseryExecutor(nursery)
    }
}

impl<E> fmt::Debug for NurseryExecutor<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NurseryExecutor")
    }
}

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
        Box::pin(TimerSleep { inner: trioxide_runtime::sleep(duration) })
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(TimerSleep { inner: trioxide_runtime::sleep_until(deadline) })
    }

    fn now(&self) -> Instant {
        trioxide_runtime::now()
    }

    /// In place: hyper resets a timer for each request.
    fn reset(&self, sleep: &mut Pin<Box<dyn Sleep>>, deadline: Instant) {
        match sleep.as_mut().downcast_mut_pin::<TimerSleep>() {
            Some(sleep) => sleep.project().inner.reset(deadline),
            None => *sleep = self.sleep_until(deadline),
        }
    }
}

pin_project! {
    struct TimerSleep {
        #[pin]
        inner: trioxide_runtime::Sleep,
    }
}

impl Future for TimerSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.project().inner.poll(cx)
    }
}

impl Sleep for TimerSleep {}
