//! The traits of this crate (those that are its methods, in `stream`), of futures-io and, by feature, of tokio and hyper. Through those of others one task waits for each direction: the last that polled.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};
use trioxide_runtime::lowlevel;

use super::TlsStream;
use crate::stream::{HalfCloseableStream, Resource};

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

impl<S: AsyncRead + AsyncWrite + Unpin + Send> HalfCloseableStream for TlsStream<S> {
    fn finish(&self) -> impl Future<Output = io::Result<()>> + Send {
        TlsStream::finish(self)
    }
}

/// Those of tokio and of hyper: the same methods, with a buffer of their own.
#[cfg(any(feature = "tokio-io", feature = "hyper"))]
macro_rules! traits_of_others {
    ($read:path, $buffer:ty, $write:path) => {
        impl<S: AsyncRead + AsyncWrite + Unpin> $read for TlsStream<S> {
            #[allow(unused_mut, reason = "tokio's is a reference, and hyper's is not")]
            fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, mut buf: $buffer) -> Poll<io::Result<()>> {
                let room = buf.remaining();
                lowlevel::poll_stateless(cx, "TlsStream::read", |cx| {
                    self.session.lock().poll_put(cx, room, |plain| buf.put_slice(plain)).map_ok(drop)
                })
            }
        }

        impl<S: AsyncRead + AsyncWrite + Unpin> $write for TlsStream<S> {
            fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
                AsyncWrite::poll_write(self, cx, buf)
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                AsyncWrite::poll_flush(self, cx)
            }

            /// Says goodbye and closes the transport, as they have it of a connection that they end.
            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                AsyncWrite::poll_close(self, cx)
            }
        }
    };
}

#[cfg(feature = "tokio-io")]
traits_of_others!(tokio::io::AsyncRead, &mut tokio::io::ReadBuf<'_>, tokio::io::AsyncWrite);
#[cfg(feature = "hyper")]
traits_of_others!(hyper::rt::Read, hyper::rt::ReadBufCursor<'_>, hyper::rt::Write);
