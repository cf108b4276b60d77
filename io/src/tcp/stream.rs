//! `TcpStream`.

use std::io;
use std::net::{self, IpAddr, Shutdown, SocketAddr};
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{Domain, SockRef, TcpKeepalive};

use super::split::{self, OwnedReadHalf, OwnedWriteHalf, ReadHalf, WriteHalf};
use crate::addr::{ToSocketAddrs, explain};
use crate::methods::{closing, reading, sending_files, socket, writing};
use crate::network::{self, Readiness, Socket, Stream};
use crate::reactor::{Direction, Done, Ready, Registered, shut};
use crate::sys;
use crate::wait::checkpoint;

/// A TCP connection.
///
/// It is read and written through `&self`, so two tasks (or two futures of one task) may use it at once, one
/// for each direction; who comes second to a direction in which another waits is told [`Busy`](crate::Busy).
/// `futures-io`'s `AsyncRead` and `AsyncWrite` are implemented for `TcpStream` and for `&TcpStream`, tokio's by
/// feature `tokio-io`, hyper's by feature `hyper`. Through those traits one task waits for each direction: the
/// last that polled.
///
/// `TCP_NODELAY` is on: a small write is sent at once. [`set_nodelay(false)`](TcpStream::set_nodelay) lets
/// the system collect small writes instead.
///
/// Dropping it closes the connection.
///
/// ```no_run
/// # use trioxide_io::TcpStream;
/// # async fn example() -> std::io::Result<()> {
/// let stream = TcpStream::connect("127.0.0.1:8080").await?;
/// stream.write_all(b"hello").await?;
/// let mut answer = [0; 5];
/// stream.read_exact(&mut answer).await?;
/// # Ok(())
/// # }
/// ```
pub struct TcpStream {
    inner: Registered<Stream>,
}

impl TcpStream {
    /// Connects to the first of the addresses that answers; they are tried one after the other.
    ///
    /// # Errors
    /// Of the kind of the last address's; its text names each address that was tried, and why it failed.
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint. Cancelled: the socket is closed, and the peer may have seen the connection come and go.
    pub async fn connect(addr: impl ToSocketAddrs) -> io::Result<TcpStream> {
        checkpoint(CONNECT).await;
        let mut failed = Vec::new();
        for address in addr.to_target().resolve().await? {
            match connect(None, address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failed.push(explain("connect to", address, error)),
            }
        }
        let last = failed.pop().expect("`resolve` gives at least one address");
        if failed.is_empty() {
            return Err(last);
        }
        let (kind, lines) = (last.kind(), failed.iter().chain([&last]).map(io::Error::to_string));
        Err(io::Error::new(kind, lines.collect::<Vec<_>>().join("\n")))
    }

    /// Connects to one address, from an address of this machine.
    pub(crate) async fn connect_from(local: Option<IpAddr>, address: SocketAddr) -> io::Result<TcpStream> {
        checkpoint(CONNECT).await;
        connect(local, address).await
    }

    socket!(networked: TcpStream, "TcpStream", net::TcpStream, Ready::BOTH);

    pub(super) fn registered(inner: Registered<Stream>) -> TcpStream {
        TcpStream { inner }
    }

    reading!("TcpStream");
    writing!("TcpStream");
    sending_files!("TcpStream");

    closing!("TcpStream");

    /// The peer's address.
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

    /// Whether small writes are sent at once (`TCP_NODELAY`).
    ///
    /// # Errors
    /// The system's.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.inner.get().option(|socket| socket.nodelay(), |options| options.nodelay)
    }

    /// Says whether small writes are sent at once (`TCP_NODELAY`, on unless this turns it off) or collected.
    ///
    /// # Errors
    /// The system's.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.inner.get().option(|socket| socket.set_nodelay(nodelay), |options| options.nodelay = nodelay)
    }

    /// Reads what is there, at most `buf.len()` bytes, and leaves it where it is; waits if there is nothing.
    ///
    /// # Errors
    /// As [`read`](TcpStream::read).
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint. Nothing is taken in any case.
    pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.inner.sole(Direction::Read, "TcpStream::peek", |stream| stream.peek(buf).map(Done::more)).await
    }

    /// Whether, and after how long a silence, the system asks the peer if it is still there (`SO_KEEPALIVE`); a peer that does
    /// not answer is an error for whoever reads. `None`, as from the start: never.
    ///
    /// # Errors
    /// The system's.
    pub fn set_keepalive(&self, silence: Option<Duration>) -> io::Result<()> {
        let system = |socket: &net::TcpStream| match silence {
            Some(silence) => SockRef::from(socket).set_tcp_keepalive(&TcpKeepalive::new().with_time(silence)),
            None => SockRef::from(socket).set_keepalive(false),
        };
        self.inner.get().option(system, |options| options.keepalive = silence.is_some())
    }

    /// Whether the system asks a silent peer if it is still there.
    ///
    /// # Errors
    /// The system's.
    pub fn keepalive(&self) -> io::Result<bool> {
        self.inner.get().option(|socket| SockRef::from(socket).keepalive(), |options| options.keepalive)
    }

    /// What becomes of bytes that the peer has not taken yet when the connection is closed. `None`, as from the start: the
    /// system goes on sending. `Some(Duration::ZERO)`: they are dropped, and the peer gets an error (a reset). Any other time
    /// makes the drop of the stream *block its worker* for so long, so it is refused.
    ///
    /// # Errors
    /// `InvalidInput` for a time that is not zero; the system's.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        if linger.is_some_and(|linger| !linger.is_zero()) {
            let text = "trioxide: `TcpStream::set_linger` with a time would block a worker when the stream is dropped; use zero for a reset, or `finish` and read until the end";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        self.inner.get().option(|socket| SockRef::from(socket).set_linger(linger), |options| options.linger = linger)
    }

    /// What [`set_linger`](TcpStream::set_linger) has set.
    ///
    /// # Errors
    /// The system's.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        self.inner.get().option(|socket| SockRef::from(socket).linger(), |options| options.linger)
    }

    /// Two halves that borrow the stream: one reads, one writes, in two futures of one task.
    pub fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        split::borrowed(self)
    }

    /// Two halves that share the stream, for two tasks. Dropping the writing half ends what the peer reads;
    /// the connection is closed with the second half.
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        split::owned(self)
    }
}

/// The poll-style operations, on which the traits of others are built.
impl TcpStream {
    /// Reads into memory that need not be initialised; the first bytes of `buf`, as many as are returned, are
    /// initialised afterwards, and none is the opposite.
    #[cfg(any(feature = "hyper", feature = "tokio-io"))]
    pub(crate) fn poll_read_uninit(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [std::mem::MaybeUninit<u8>],
    ) -> Poll<io::Result<usize>> {
        self.inner.poll_io(cx, Direction::Read, "TcpStream::read", |stream| {
            let count = stream.receive_uninit(buf)?;
            Ok(Done::bytes(count, buf.len()))
        })
    }
}

socket!(TcpStream, net::TcpStream);

const CONNECT: &str = "TcpStream::connect";

async fn connect(local: Option<IpAddr>, address: SocketAddr) -> io::Result<TcpStream> {
    let inner = match network::current() {
        Some(network) => {
            let readiness = Readiness::new(Ready::NONE);
            let socket = Socket::Network(network.connect(local, address, readiness.clone())?);
            Registered::without_descriptor(socket, readiness.into_source())
        }
        None => begin(local, address)?,
    };
    inner.io(Direction::Write, CONNECT, is_connected).await?;
    Ok(TcpStream { inner })
}

/// Begins to connect by the system.
fn begin(local: Option<IpAddr>, address: SocketAddr) -> io::Result<Registered<Stream>> {
    let socket = sys::socket(Domain::for_address(address))?;
    socket.set_tcp_nodelay(true)?;
    if let Some(local) = local {
        socket.bind(&SocketAddr::new(local, 0).into())?;
    }
    match socket.connect(&address.into()) {
        Ok(()) => {}
        Err(error) if is_under_way(&error) => {}
        Err(error) => return Err(error),
    }
    // Registered only now: epoll reports a socket that has not begun to connect as hung up.
    Registered::new(CONNECT, Socket::System(socket.into()), Ready::NONE)
}

/// Whether the connection is being made. (On Unix "would block" is a refusal: no local port is free.)
fn is_under_way(error: &io::Error) -> bool {
    #[cfg(unix)]
    let waiting = rustix::io::Errno::from_io_error(error) == Some(rustix::io::Errno::INPROGRESS);
    #[cfg(not(unix))]
    let waiting = error.kind() == io::ErrorKind::WouldBlock;
    waiting || error.kind() == io::ErrorKind::Interrupted
}

/// "Writable" means that connecting has ended, well or not.
fn is_connected(stream: &Stream) -> io::Result<Done<()>> {
    let stream = match stream {
        Socket::System(stream) => stream,
        Socket::Network(stream) => return stream.connected().map(Done::more),
    };
    if let Some(error) = stream.take_error()? {
        return Err(error);
    }
    match stream.peer_addr() {
        Ok(_) => Ok(Done::more(())),
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Err(io::ErrorKind::WouldBlock.into()),
        Err(error) => Err(error),
    }
}
