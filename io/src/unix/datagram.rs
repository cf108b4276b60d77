//! `UnixDatagram`.

use std::io;
use std::os::unix::net::{self, SocketAddr};
use std::path::Path;

use super::of_path;
use crate::methods::socket;
use crate::reactor::{Direction, Done, Ready, Registered};

/// Whole messages between processes of one machine. None is lost, doubled or overtaken.
///
/// Any number of tasks may send and receive on it at once: each message goes to one of them. Dropping it closes it; the
/// file at its path stays until somebody removes it.
///
/// ```
/// use trioxide_io::UnixDatagram;
/// # trioxide_runtime::run(async {
/// let (one, other) = UnixDatagram::pair()?;
/// one.send(b"hello").await?;
/// one.send(b"again").await?;
/// let mut buf = [0; 64];
/// assert_eq!(other.recv(&mut buf).await?, 5, "one message, and not the next with it");
/// # Ok::<_, std::io::Error>(())
/// # }).unwrap();
/// ```
pub struct UnixDatagram {
    inner: Registered<net::UnixDatagram>,
}

impl UnixDatagram {
    /// A socket at `path`, where a socket file is made.
    ///
    /// # Errors
    /// The system's, with the path: `AddrInUse` if there is a file already.
    ///
    /// # Panics
    /// Outside a run.
    pub fn bind(path: impl AsRef<Path>) -> io::Result<UnixDatagram> {
        let path = path.as_ref();
        let socket = net::UnixDatagram::bind(path).map_err(|error| of_path("listen at", path, error))?;
        UnixDatagram::from_std(socket)
    }

    /// A socket without an address: it can send, and nobody can answer.
    ///
    /// # Errors
    /// The system's.
    ///
    /// # Panics
    /// Outside a run.
    pub fn unbound() -> io::Result<UnixDatagram> {
        UnixDatagram::from_std(net::UnixDatagram::unbound()?)
    }

    /// Two ends that are connected to each other.
    ///
    /// # Errors
    /// The system's.
    ///
    /// # Panics
    /// Outside a run.
    pub fn pair() -> io::Result<(UnixDatagram, UnixDatagram)> {
        let (one, other) = net::UnixDatagram::pair()?;
        Ok((UnixDatagram::from_std(one)?, UnixDatagram::from_std(other)?))
    }

    socket!(std: UnixDatagram, "UnixDatagram", net::UnixDatagram, Ready::BOTH);

    /// From now on messages go to, and are taken from, the socket at `path`. Not a checkpoint.
    ///
    /// # Errors
    /// The system's, with the path.
    pub fn connect(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let path = path.as_ref();
        self.inner.get().connect(path).map_err(|error| of_path("connect to", path, error))
    }

    /// Sends a message to the connected peer; waits while the peer has no room.
    ///
    /// # Errors
    /// The system's: `NotConnected` without a peer, `ConnectionRefused` if it is gone.
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint. Cancelled: nothing has been sent.
    pub async fn send(&self, message: &[u8]) -> io::Result<usize> {
        self.inner.io(Direction::Write, "UnixDatagram::send", |socket| socket.send(message).map(Done::more)).await
    }

    /// Receives a message. What does not fit into `buf` is lost.
    ///
    /// # Errors
    /// The system's.
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint. Cancelled: no message has been taken.
    pub async fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.inner.io(Direction::Read, "UnixDatagram::recv", |socket| socket.recv(buf).map(Done::more)).await
    }

    /// Sends a message to the socket at `path`. Does not wait for room there: the system tells only a connected
    /// socket when there is some.
    ///
    /// # Errors
    /// `QuotaExceeded` if the receiver has no room; the system's. The text names the path.
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint. Cancelled: nothing has been sent.
    pub async fn send_to(&self, message: &[u8], path: impl AsRef<Path>) -> io::Result<usize> {
        let path = path.as_ref();
        let op = |socket: &net::UnixDatagram| match socket.send_to(message, path) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let text = "the receiver has no room; let it receive first, or connect to it to be able to wait";
                Err(io::Error::new(io::ErrorKind::QuotaExceeded, text))
            }
            result => result.map(Done::more),
        };
        let sent = self.inner.io(Direction::Write, "UnixDatagram::send_to", op).await;
        sent.map_err(|error| match crate::is_closed(&error) {
            true => error,
            false => of_path("send to", path, error),
        })
    }

    /// Receives a message, and says from whom. What does not fit into `buf` is lost.
    ///
    /// # Errors
    /// The system's.
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint. Cancelled: no message has been taken.
    pub async fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.inner.io(Direction::Read, "UnixDatagram::recv_from", |socket| socket.recv_from(buf).map(Done::more)).await
    }

    /// Whoever waits on this socket, and whoever does so later, gets [`Closed`](crate::Closed). The descriptor is given
    /// back when the socket is dropped. May be called again. Not a checkpoint.
    pub fn close(&self) {
        self.inner.close();
    }

    /// The address of this socket.
    ///
    /// # Errors
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.get().local_addr()
    }
}

socket!(UnixDatagram, net::UnixDatagram);
