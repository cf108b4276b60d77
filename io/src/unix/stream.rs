//! `UnixStream`.

use std::io;
use std::net::Shutdown;
use std::os::unix::net::{self, SocketAddr};
use std::path::Path;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::io::Errno;
use socket2::{Domain, SockAddr, Socket, Type};

use super::of_path;
use crate::methods::{closing, futures_read, futures_write, reading, sending_files, socket, writing};
use crate::reactor::{Direction, Ready, Registered, shut};
use crate::wait::checkpoint;

/// A connection between two processes of one machine, or inside one.
///
/// It is used as a [`TcpStream`](crate::TcpStream) is: through `&self`, one task for each direction (a second is told
/// [`Busy`](crate::Busy)), and as `futures-io`'s `AsyncRead` and `AsyncWrite`, also by reference. Dropping it closes it.
///
/// ```
/// use trioxide_io::UnixStream;
/// # trioxide_runtime::run(async {
/// let (one, other) = UnixStream::pair()?;
/// one.write_all(b"hello").await?;
/// let mut buf = [0; 5];
/// other.read_exact(&mut buf).await?;
/// assert_eq!(&buf, b"hello");
/// # Ok::<_, std::io::Error>(())
/// # }).unwrap();
/// ```
pub struct UnixStream {
    inner: Registered<net::UnixStream>,
}

impl UnixStream {
    /// Connects to the listener at `path`. While more connections wait there than it has room for, this waits, too.
    ///
    /// # Errors
    /// The system's, with the path: `NotFound` where there is no socket, `ConnectionRefused` where nobody listens
    /// (any more).
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint. Cancelled: the socket is closed.
    pub async fn connect(path: impl AsRef<Path>) -> io::Result<UnixStream> {
        const OPERATION: &str = "UnixStream::connect";
        let path = path.as_ref();
        checkpoint(OPERATION).await;
        let explained = |error| of_path("connect to", path, error);
        let address = SockAddr::unix(path).map_err(explained)?;
        let socket = super::listener::socket(Type::STREAM).map_err(explained)?;
        // The system has no event for "the queue has room again", so it is asked, less and less often.
        let mut pause = Duration::from_millis(1);
        loop {
            match socket.connect(&address) {
                Ok(()) => break,
                Err(error) if Errno::from_io_error(&error) == Some(Errno::AGAIN) => {
                    trioxide_runtime::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_millis(100));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(explained(error)),
            }
        }
        Ok(UnixStream { inner: Registered::new(OPERATION, net::UnixStream::from(socket), Ready::BOTH)? })
    }

    /// Two ends that are connected to each other.
    ///
    /// # Errors
    /// The system's.
    ///
    /// # Panics
    /// Outside a run.
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        let (one, other) = Socket::pair(Domain::UNIX, Type::STREAM, None)?;
        let end = |socket: Socket| {
            socket.set_nonblocking(true)?;
            let inner = Registered::new("UnixStream::pair", net::UnixStream::from(socket), Ready::BOTH)?;
            Ok::<_, io::Error>(UnixStream { inner })
        };
        Ok((end(one)?, end(other)?))
    }

    socket!(std: UnixStream, "UnixStream", net::UnixStream, Ready::BOTH);

    pub(super) fn registered(inner: Registered<net::UnixStream>) -> UnixStream {
        UnixStream { inner }
    }

    reading!("UnixStream");
    writing!("UnixStream");
    sending_files!("UnixStream");

    closing!("UnixStream");

    /// The peer's address; without a name for most clients.
    ///
    /// # Errors
    /// The system's.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.inner.get().peer_addr()
    }

    /// The address of this end.
    ///
    /// # Errors
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.get().local_addr()
    }

    fn stream(&self) -> &UnixStream {
        self
    }
}

socket!(UnixStream, net::UnixStream);
futures_read!(UnixStream, self => self.stream());
futures_write!(UnixStream, self => self.stream());
futures_read!(&UnixStream, self => UnixStream::stream(*self));
futures_write!(&UnixStream, self => UnixStream::stream(*self));
