//! hyper's traits (feature `hyper`).
//!
//! # Invariant of the unsafe blocks
//! `poll_read_uninit` only ever writes initialised bytes into what it is given, and the first of them, as
//! many as it returns, are initialised when it returns.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};

use super::TcpStream;

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
