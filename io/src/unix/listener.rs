//! `UnixListener`.

use std::io;
use std::os::unix::net::{self, SocketAddr};
use std::path::Path;

use socket2::{Domain, SockAddr, Socket, Type};

use super::{UnixStream, of_path};
use crate::methods::socket;
use crate::reactor::{Direction, Done, Ready, Registered};

/// How many connections may wait for `accept`; the system may allow fewer.
const BACKLOG: i32 = 1024;

/// A Unix socket that listens for connections at a path.
///
/// Any number of tasks may [`accept`](UnixListener::accept) on it at once. Dropping it closes it; the file at its path
/// stays until somebody removes it.
///
/// ```no_run
/// # use trioxide_io::UnixListener;
/// # async fn example() -> std::io::Result<()> {
/// let listener = UnixListener::bind("/run/example.sock")?;
/// let (stream, _) = listener.accept().await?;
/// # Ok(())
/// # }
/// ```
pub struct UnixListener {
    inner: Registered<net::UnixListener>,
}

impl UnixListener {
    /// Listens at `path`, where a socket file is made. Up to 1024 connections wait for `accept`. Not a checkpoint.
    ///
    /// # Errors
    /// The system's, with the path: `AddrInUse` if there is a file already.
    ///
    /// # Panics
    /// Outside a run.
    pub fn bind(path: impl AsRef<Path>) -> io::Result<UnixListener> {
        let path = path.as_ref();
        let listen = || {
            let socket = socket(Type::STREAM)?;
            socket.bind(&SockAddr::unix(path)?)?;
            socket.listen(BACKLOG)?;
            Ok(net::UnixListener::from(socket))
        };
        let listener = listen().map_err(|error| of_path("listen at", path, error))?;
        Ok(UnixListener { inner: Registered::new("UnixListener::bind", listener, Ready::READ)? })
    }

    socket!(std: UnixListener, "UnixListener", net::UnixListener, Ready::READ);

    /// Takes the next connection, waiting for it if there is none; gives it with the peer's address, which has no name
    /// for most clients.
    ///
    /// # Errors
    /// The system's; [`Closed`](crate::Closed) after `close`. When the process has no descriptors left (`EMFILE`)
    /// the connection goes on waiting, and a loop that retries at once spins.
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint. Cancelled: no connection has been taken.
    pub async fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        self.stream(self.inner.io(Direction::Read, "UnixListener::accept", accept).await?)
    }

    /// Takes a connection that has come already, as [`accept`](UnixListener::accept), but never waits. Not a checkpoint.
    ///
    /// # Errors
    /// `WouldBlock` if none has come; else as `accept`.
    pub fn try_accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        let accepted = match self.inner.try_io(Direction::Read, "UnixListener::try_accept", accept) {
            // So the reactor knows it; what has come since it was last asked counts too.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => take(self.inner.get())?,
            tried => tried?,
        };
        self.stream(accepted)
    }

    fn stream(&self, (stream, peer): (net::UnixStream, SocketAddr)) -> io::Result<(UnixStream, SocketAddr)> {
        let inner = self.inner.beside(stream, Ready::BOTH);
        Ok((UnixStream::registered(inner), peer))
    }

    /// Stops listening, also for those who wait in [`accept`](UnixListener::accept): they, and all calls that come later,
    /// get [`Closed`](crate::Closed). May be called again. Not a checkpoint.
    pub fn close(&self) {
        self.inner.close();
    }

    /// The address that this listens at.
    ///
    /// # Errors
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.get().local_addr()
    }
}

socket!(UnixListener, net::UnixListener);

/// A new Unix socket, non-blocking.
pub(super) fn socket(kind: Type) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, kind, None)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn accept(listener: &net::UnixListener) -> io::Result<Done<(net::UnixStream, SocketAddr)>> {
    take(listener).map(Done::more)
}

fn take(listener: &net::UnixListener) -> io::Result<(net::UnixStream, SocketAddr)> {
    loop {
        match listener.accept() {
            Ok((stream, peer)) => {
                stream.set_nonblocking(true)?;
                return Ok((stream, peer));
            }
            // It was gone before it was accepted.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => return Err(error),
        }
    }
}
