//! What can be served.

use std::fmt;
use std::future::Future;
use std::io;

use crate::TcpListener;

/// Something that connections come from. Implement it for a listener that wraps another one; do work on a new connection that
/// the peer can delay, such as a TLS handshake, in the handler and not in `accept`.
pub trait Listen: Send + Sync + 'static {
    /// A connection.
    type Stream: Send + 'static;
    /// Who is at the other end, or at this one.
    type Addr: fmt::Debug + Clone + Send + Sync + 'static;

    /// Takes the next connection, waiting for it.
    ///
    /// # Errors
    /// An error ends the server, except for those that say that descriptors or memory are used up. What is wrong with one
    /// connection is no error of the listener's: take the next one.
    ///
    /// # Cancellation
    /// A checkpoint; when it is cancelled no connection has been taken.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, Self::Addr)>> + Send;

    /// Takes a connection that has come already, and never waits. A server that stops asks for them until there are none, and then
    /// closes the listener. By default there are none: what waits in the system's queue is lost then.
    ///
    /// # Errors
    /// `WouldBlock` if none has come; else as [`accept`](Listen::accept).
    fn try_accept(&self) -> io::Result<(Self::Stream, Self::Addr)> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The system's.
    fn local_addr(&self) -> io::Result<Self::Addr>;
}

impl Listen for TcpListener {
    type Stream = crate::TcpStream;
    type Addr = std::net::SocketAddr;

    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, Self::Addr)>> + Send {
        TcpListener::accept(self)
    }

    fn try_accept(&self) -> io::Result<(Self::Stream, Self::Addr)> {
        TcpListener::try_accept(self)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        TcpListener::local_addr(self)
    }
}

#[cfg(unix)]
impl Listen for crate::UnixListener {
    type Stream = crate::UnixStream;
    type Addr = std::os::unix::net::SocketAddr;

    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, Self::Addr)>> + Send {
        crate::UnixListener::accept(self)
    }

    fn try_accept(&self) -> io::Result<(Self::Stream, Self::Addr)> {
        crate::UnixListener::try_accept(self)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        crate::UnixListener::local_addr(self)
    }
}

/// Whether descriptors or memory are used up: that passes, and until then the connection waits in the system's queue.
pub(super) fn is_exhausted(error: &io::Error) -> bool {
    #[cfg(unix)]
    if let Some(number) = rustix::io::Errno::from_io_error(error) {
        use rustix::io::Errno;
        return [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM].contains(&number);
    }
    error.kind() == io::ErrorKind::OutOfMemory
}
