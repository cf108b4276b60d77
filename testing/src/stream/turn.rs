//! One operation at a time in each direction.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use trioxide_io::Busy;

/// Taken while an operation is under way. After Trio's `ConflictDetector`.
#[derive(Debug, Default)]
pub(super) struct Direction(AtomicBool);

impl Direction {
    /// Takes the direction until the guard is dropped.
    pub(super) fn take(&self, operation: &'static str) -> io::Result<Taken<'_>> {
        // Acquire pairs with the release of the guard's drop: what the one before has done is seen.
        match self.0.swap(true, Ordering::Acquire) {
            true => Err(Busy::error(operation)),
            false => Ok(Taken(&self.0)),
        }
    }
}

#[must_use = "the direction is free again when this is dropped"]
pub(super) struct Taken<'a>(&'a AtomicBool);

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        // Release: see `take`.
        self.0.store(false, Ordering::Release);
    }
}

/// `close`, also through a reference.
pub(super) trait Shut {
    fn shut(&self);
}

/// `futures-io`'s traits, also by reference, from `poll_read` and the like on `&self`.
macro_rules! futures_read {
    ($type:ty) => {
        futures_read!(@ $type);
        futures_read!(@ &$type);
    };
    (@ $type:ty) => {
        impl futures_io::AsyncRead for $type {
            fn poll_read(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                buf: &mut [u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                self.poll_read_shared(cx, buf)
            }
        }
    };
}

macro_rules! futures_write {
    ($type:ty) => {
        impl super::turn::Shut for $type {
            fn shut(&self) {
                trioxide_io::stream::Resource::close(self);
            }
        }

        impl super::turn::Shut for &$type {
            fn shut(&self) {
                trioxide_io::stream::Resource::close(*self);
            }
        }

        futures_write!(@ $type);
        futures_write!(@ &$type);
    };
    (@ $type:ty) => {
        impl futures_io::AsyncWrite for $type {
            fn poll_write(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                buf: &[u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                self.poll_write_shared(cx, buf)
            }

            fn poll_flush(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                self.poll_flush_shared(cx)
            }

            fn poll_close(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                std::task::ready!(self.poll_flush_shared(cx))?;
                <Self as super::turn::Shut>::shut(&self);
                std::task::Poll::Ready(Ok(()))
            }
        }
    };
}

pub(super) use {futures_read, futures_write};
