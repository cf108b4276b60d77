//! `TcpStream`.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{self, Shutdown, SocketAddr};
use std::task::{Context, Poll};

use socket2::Domain;

use super::checkpoint;
use super::split::{self, OwnedReadHalf, OwnedWriteHalf, ReadHalf, WriteHalf};
use crate::addr::{ToSocketAddrs, explain};
use crate::reactor::{Direction, Done, Ready, Registered};
use crate::sys;

const READ: &str = "TcpStream::read";
const WRITE: &str = "TcpStream::write";

/// A TCP connection.
///
/// It is read and written through `&self`, so two tasks (or two futures of one task) may use it at once, one
/// for each direction; for more of them at one direction the bytes go to whoever comes first. `futures-io`'s
/// `AsyncRead` and `AsyncWrite` are implemented for `TcpStream` and for `&TcpStream`, tokio's by feature
/// `tokio-io`, hyper's by feature `hyper`. Through those traits one task waits for each direction: the last
/// that polled.
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
    inner: Registered<net::TcpStream>,
}

impl TcpStream {
    /// Connects to the first of the addresses that answers; they are tried one after the other.
    ///
    /// # Errors
    /// The last address's error; its text names the address.
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint. Cancelled: the socket is closed, and the peer may have seen the connection come and go.
    pub async fn connect(addr: impl ToSocketAddrs) -> io::Result<TcpStream> {
        checkpoint(CONNECT).await;
        let mut failed = None;
        for address in addr.to_target().resolve().await? {
            match connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failed = Some(explain("connect to", address, error)),
            }
        }
        Err(failed.expect("`resolve` gives at least one address"))
    }

    /// Takes over a connection of std. Its options stay as they are, but it is made non-blocking.
    ///
    /// # Errors
    /// The system's, if it cannot be made non-blocking or registered.
    ///
    /// # Panics
    /// Outside a run.
    pub fn from_std(stream: net::TcpStream) -> io::Result<TcpStream> {
        stream.set_nonblocking(true)?;
        let inner = Registered::new("TcpStream::from_std", stream, Ready::BOTH)?;
        Ok(TcpStream { inner })
    }

    /// Gives the connection to std, blocking as std's are.
    ///
    /// # Errors
    /// The system's; the connection is then closed.
    pub fn into_std(self) -> io::Result<net::TcpStream> {
        let stream = self.inner.into_inner()?;
        stream.set_nonblocking(false)?;
        Ok(stream)
    }

    pub(super) fn registered(inner: Registered<net::TcpStream>) -> TcpStream {
        TcpStream { inner }
    }

    /// Reads what is there, at most `buf.len()` bytes; waits if there is nothing. 0 is the end: the peer
    /// sends no more (or `buf` is empty).
    ///
    /// # Errors
    /// The system's, such as `ConnectionReset`.
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint. Cancelled: nothing has been read.
    pub async fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.inner.io(Direction::Read, READ, |stream| recv(stream, buf)).await
    }

    /// Reads until `buf` is full.
    ///
    /// # Errors
    /// `UnexpectedEof` if the peer stops sending before; the system's. The bytes that came before the error
    /// are in `buf`.
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint. Cancelled: an unknown part has been read into `buf`. To go on later use
    /// [`read`](TcpStream::read) and count.
    pub async fn read_exact(&self, buf: &mut [u8]) -> io::Result<()> {
        let mut filled = 0;
        while filled < buf.len() {
            match self.read(&mut buf[filled..]).await? {
                0 => {
                    let text = format!("the peer stopped sending after {filled} of {} bytes", buf.len());
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
                }
                count => filled += count,
            }
        }
        Ok(())
    }

    /// Writes what there is room for, at most `buf.len()` bytes; waits if there is none.
    ///
    /// # Errors
    /// The system's, such as `BrokenPipe` when the peer has closed the connection.
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint. Cancelled: nothing has been written.
    pub async fn write(&self, buf: &[u8]) -> io::Result<usize> {
        self.inner.io(Direction::Write, WRITE, |stream| send(stream, buf)).await
    }

    /// Writes all of `buf`.
    ///
    /// # Errors
    /// The system's; an unknown part has then been written.
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint. Cancelled: an unknown part has been written. To go on later use
    /// [`write`](TcpStream::write) and count.
    pub async fn write_all(&self, mut buf: &[u8]) -> io::Result<()> {
        while !buf.is_empty() {
            match self.write(buf).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => buf = &buf[count..],
            }
        }
        Ok(())
    }

    /// Waits until a read is worth trying: see [`try_read`](TcpStream::try_read). It may be mistaken, and say
    /// so when there is nothing yet.
    ///
    /// # Errors
    /// The system's, if it cannot be asked to report.
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint. Cancelled: nothing has happened.
    pub async fn readable(&self) -> io::Result<()> {
        self.inner.io(Direction::Read, "TcpStream::readable", |_| Ok(Done::more(()))).await
    }

    /// Waits until a write is worth trying: see [`try_write`](TcpStream::try_write). It may be mistaken, and
    /// say so when there is no room yet.
    ///
    /// # Errors
    /// The system's, if it cannot be asked to report.
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint. Cancelled: nothing has happened.
    pub async fn writable(&self) -> io::Result<()> {
        self.inner.io(Direction::Write, "TcpStream::writable", |_| Ok(Done::more(()))).await
    }

    /// Reads what is there, without waiting. Not a checkpoint.
    ///
    /// # Errors
    /// `WouldBlock` if there is nothing; the system's.
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.inner.try_io(Direction::Read, |stream| recv(stream, buf))
    }

    /// Writes what there is room for, without waiting. Not a checkpoint.
    ///
    /// # Errors
    /// `WouldBlock` if there is none; the system's.
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        self.inner.try_io(Direction::Write, |stream| send(stream, buf))
    }

    /// Closes one direction or both, at once. After `Shutdown::Write` the peer reads the end of the stream,
    /// once it has read what was written. Not a checkpoint.
    ///
    /// # Errors
    /// The system's, such as `NotConnected` when the peer has reset the connection.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.inner.get().shutdown(how)
    }

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
        self.inner.get().nodelay()
    }

    /// Says whether small writes are sent at once (`TCP_NODELAY`, on unless this turns it off) or collected.
    ///
    /// # Errors
    /// The system's.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.inner.get().set_nodelay(nodelay)
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
    pub(crate) fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.inner.poll_io(cx, Direction::Read, READ, |stream| recv(stream, buf))
    }

    /// Reads into memory that need not be initialised; the first bytes of `buf`, as many as are returned, are
    /// initialised afterwards, and none is the opposite.
    #[cfg(any(feature = "hyper", feature = "tokio-io"))]
    pub(crate) fn poll_read_uninit(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [std::mem::MaybeUninit<u8>],
    ) -> Poll<io::Result<usize>> {
        self.inner.poll_io(cx, Direction::Read, READ, |stream| {
            let count = socket2::SockRef::from(stream).recv(buf)?;
            Ok(Done::bytes(count, buf.len()))
        })
    }

    pub(crate) fn poll_read_vectored(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        let asked = bufs.iter().map(|buf| buf.len()).sum();
        self.inner.poll_io(cx, Direction::Read, READ, |mut stream| Ok(Done::bytes(stream.read_vectored(bufs)?, asked)))
    }

    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.inner.poll_io(cx, Direction::Write, WRITE, |stream| send(stream, buf))
    }

    pub(crate) fn poll_write_vectored(&self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let asked = bufs.iter().map(|buf| buf.len()).sum();
        self.inner
            .poll_io(cx, Direction::Write, WRITE, |mut stream| Ok(Done::bytes(stream.write_vectored(bufs)?, asked)))
    }

    /// Ends what the peer reads. A connection that is gone already counts as ended.
    pub(crate) fn finish(&self) -> io::Result<()> {
        match self.shutdown(Shutdown::Write) {
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            result => result,
        }
    }
}

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.inner, f)
    }
}

#[cfg(unix)]
impl std::os::fd::AsFd for TcpStream {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.inner.get().as_fd()
    }
}

fn recv(mut stream: &net::TcpStream, buf: &mut [u8]) -> io::Result<Done<usize>> {
    Ok(Done::bytes(stream.read(buf)?, buf.len()))
}

fn send(mut stream: &net::TcpStream, buf: &[u8]) -> io::Result<Done<usize>> {
    Ok(Done::bytes(stream.write(buf)?, buf.len()))
}

const CONNECT: &str = "TcpStream::connect";

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = sys::socket(Domain::for_address(address))?;
    socket.set_tcp_nodelay(true)?;
    match socket.connect(&address.into()) {
        Ok(()) => {}
        Err(error) if is_under_way(&error) => {}
        Err(error) => return Err(error),
    }
    // Registered only now: epoll reports a socket that has not begun to connect as hung up.
    let inner = Registered::new(CONNECT, net::TcpStream::from(socket), Ready::NONE)?;
    inner.io(Direction::Write, CONNECT, is_connected).await?;
    Ok(TcpStream { inner })
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
fn is_connected(stream: &net::TcpStream) -> io::Result<Done<()>> {
    if let Some(error) = stream.take_error()? {
        return Err(error);
    }
    match stream.peer_addr() {
        Ok(_) => Ok(Done::more(())),
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Err(io::ErrorKind::WouldBlock.into()),
        Err(error) => Err(error),
    }
}
