//! The traits of this crate, of futures-io and, by feature, of tokio and hyper. Through those of others one task waits for each direction: the last that polled.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};
use trioxide_runtime::lowlevel;

use super::TlsStream;
use crate::stream::{HalfCloseableStream, ReceiveStream, Resource, SendStream};

macro_rules! traits {
    ($type:ty) => {
        impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for $type {
            fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
                lowlevel::poll_stateless(cx, "TlsStream::read", |cx| self.session.lock().poll_read(cx, buf))
            }
        }

        impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for $type {
            fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
                lowlevel::poll_stateless(cx, "TlsStream::write", |cx| {
                    self.session.lock().poll_write(cx, "TlsStream::write", buf)
                })
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                lowlevel::poll_stateless(cx, "TlsStream::flush", |cx| self.session.lock().poll_flush(cx))
            }

            fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                lowlevel::poll_stateless(cx, "TlsStream::close", |cx| self.session.lock().poll_close(cx))
            }
        }
    };
}

traits!(TlsStream<S>);
traits!(&TlsStream<S>);

/// At once, and so without a goodbye: [`TlsStream::close`] says it.
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Resource for TlsStream<S> {
    fn close(&self) {
        let wake = self.session.lock().close_now();
        wake();
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> SendStream for TlsStream<S> {
    fn write_all(&self, buf: &[u8]) -> impl Future<Output = io::Result<()>> + Send {
        TlsStream::write_all(self, buf)
    }

    fn writable(&self) -> impl Future<Output = io::Result<()>> + Send {
        TlsStream::writable(self)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> ReceiveStream for TlsStream<S> {
    fn read(&self, buf: &mut [u8]) -> impl Future<Output = io::Result<usize>> + Send {
        TlsStream::read(self, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> HalfCloseableStream for TlsStream<S> {
    fn finish(&self) -> impl Future<Output = io::Result<()>> + Send {
        TlsStream::finish(self)
    }
}

#[cfg(feature = "tokio-io")]
impl<S: AsyncRead + AsyncWrite + Unpin> tokio::io::AsyncRead for TlsStream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut tokio::io::ReadBuf<'_>) -> Poll<io::Result<()>> {
        let room = buf.remaining();
        lowlevel::poll_stateless(cx, "TlsStream::read", |cx| {
            self.session.lock().poll_put(cx, room, |plain| buf.put_slice(plain)).map_ok(drop)
        })
    }
}

#[cfg(feature = "tokio-io")]
impl<S: AsyncRead + AsyncWrite + Unpin> tokio::io::AsyncWrite for TlsStream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write(self, cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_flush(self, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_close(self, cx)
    }
}

#[cfg(feature = "hyper")]
impl<S: AsyncRead + AsyncWrite + Unpin> hyper::rt::Read for TlsStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let room = buf.remaining();
        lowlevel::poll_stateless(cx, "TlsStream::read", |cx| {
            self.session.lock().poll_put(cx, room, |plain| buf.put_slice(plain)).map_ok(drop)
        })
    }
}

#[cfg(feature = "hyper")]
impl<S: AsyncRead + AsyncWrite + Unpin> hyper::rt::Write for TlsStream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write(self, cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_flush(self, cx)
    }

    /// Says goodbye and closes the transport, as hyper has it of a connection that it ends.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_close(self, cx)
    }
}
