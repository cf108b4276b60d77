//! `UdpSocket`; many messages by one call: `many`.

mod many;

pub use many::Messages;

use std::io;
use std::net::{self, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::{Context, Poll};

use crate::addr::{ToSocketAddrs, explain};
use crate::methods::socket;
use crate::network::{self, Datagrams, Readiness, Socket};
use crate::reactor::{Direction, Done, Ready, Registered};
use crate::wait::checkpoint;

/// A UDP socket: whole messages, which may be lost, doubled or overtaken on their way.
///
/// Any number of tasks may send and receive on it at once: each message goes to one of them. It is either used with an
/// address for each message ([`send_to`](UdpSocket::send_to), [`recv_from`](UdpSocket::recv_from)) or
/// [connected](UdpSocket::connect) to one peer ([`send`](UdpSocket::send), [`recv`](UdpSocket::recv)). Many messages go and come by
/// one call: [`send_many`](UdpSocket::send_many), [`send_many_to`](UdpSocket::send_many_to), [`recv_many`](UdpSocket::recv_many).
///
/// ```
/// use trioxide_io::UdpSocket;
/// # trioxide_runtime::run(async {
/// let (one, other) = (UdpSocket::bind("127.0.0.1:0").await?, UdpSocket::bind("127.0.0.1:0").await?);
/// one.send_to(b"hello", other.local_addr()?).await?;
/// let mut buf = [0; 1500];
/// let (count, from) = other.recv_from(&mut buf).await?;
/// assert_eq!((&buf[..count], from), (&b"hello"[..], one.local_addr()?));
/// # Ok::<_, std::io::Error>(())
/// # }).unwrap();
/// ```
pub struct UdpSocket {
    inner: Registered<Datagrams>,
}

impl UdpSocket {
    /// A socket on the first of the addresses that can be had. Port 0 lets the system choose.
    ///
    /// # Errors
    /// The last address's error; its text names the address.
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint. Cancelled: no socket is open.
    pub async fn bind(addr: impl ToSocketAddrs) -> io::Result<UdpSocket> {
        checkpoint("UdpSocket::bind").await;
        let mut failed = None;
        for address in addr.to_target().resolve().await? {
            match bind(address) {
                Ok(inner) => return Ok(UdpSocket { inner }),
                Err(error) => failed = Some(explain("listen on", address, error)),
            }
        }
        Err(failed.expect("`resolve` gives at least one address"))
    }

    socket!(networked: UdpSocket, "UdpSocket", net::UdpSocket, Ready::BOTH);

    /// From now on messages go to, and are taken from, this one peer: the first of the addresses that the system accepts.
    /// Nothing is sent.
    ///
    /// # Errors
    /// The last address's error; its text names the address.
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint. Cancelled: the socket is as it was.
    pub async fn connect(&self, addr: impl ToSocketAddrs) -> io::Result<()> {
        self.inner.touch(Direction::Write, "UdpSocket::connect").await?;
        let mut failed = None;
        for address in addr.to_target().resolve().await? {
            match self.inner.get().connect(address) {
                Ok(()) => return Ok(()),
                Err(error) => failed = Some(explain("connect to", address, error)),
            }
        }
        Err(failed.expect("`resolve` gives at least one address"))
    }

    /// Sends a message to the connected peer; waits while there is no room. The count is that of the whole message.
    ///
    /// # Errors
    /// The system's: `NotConnected` without a peer, `ConnectionRefused` if an earlier message found nobody, an error if the
    /// message is too long.
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint. Cancelled: nothing has been sent.
    pub async fn send(&self, message: &[u8]) -> io::Result<usize> {
        self.inner.io(Direction::Write, "UdpSocket::send", |socket| socket.send(message).map(Done::more)).await
    }

    /// Receives a message of the connected peer. What does not fit into `buf` is lost.
    ///
    /// # Errors
    /// The system's: `ConnectionRefused` if an earlier message found nobody.
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint. Cancelled: no message has been taken.
    pub async fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.inner.io(Direction::Read, "UdpSocket::recv", |socket| socket.recv(buf).map(Done::more)).await
    }

    /// Sends a message; waits while there is no room.
    ///
    /// # Errors
    /// The system's; an error if the message is too long.
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint. Cancelled: nothing has been sent.
    pub async fn send_to(&self, message: &[u8], to: SocketAddr) -> io::Result<usize> {
        self.inner
            .io(Direction::Write, "UdpSocket::send_to", |socket| socket.send_to(message, to).map(Done::more))
            .await
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
        self.inner.io(Direction::Read, "UdpSocket::recv_from", |socket| socket.recv_from(buf).map(Done::more)).await
    }

    /// As [`recv_from`](UdpSocket::recv_from), and leaves the message where it is.
    ///
    /// # Errors
    /// The system's.
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint.
    pub async fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.inner.io(Direction::Read, "UdpSocket::peek_from", |socket| socket.peek_from(buf).map(Done::more)).await
    }

    /// Sends a message without waiting. Not a checkpoint.
    ///
    /// # Errors
    /// `WouldBlock` if there is no room; the system's.
    pub fn try_send_to(&self, message: &[u8], to: SocketAddr) -> io::Result<usize> {
        let op = |socket: &Datagrams| socket.send_to(message, to).map(Done::more);
        self.inner.try_io(Direction::Write, "UdpSocket::try_send_to", op)
    }

    /// Receives a message without waiting. Not a checkpoint.
    ///
    /// # Errors
    /// `WouldBlock` if there is none; the system's.
    pub fn try_recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let op = |socket: &Datagrams| socket.recv_from(buf).map(Done::more);
        self.inner.try_io(Direction::Read, "UdpSocket::try_recv_from", op)
    }

    /// As [`send_to`](UdpSocket::send_to), for a poll function of your own. One task waits: the last that polled.
    ///
    /// # Errors
    /// As [`send_to`](UdpSocket::send_to).
    pub fn poll_send_to(&self, cx: &mut Context<'_>, message: &[u8], to: SocketAddr) -> Poll<io::Result<usize>> {
        let op = |socket: &Datagrams| socket.send_to(message, to).map(Done::more);
        self.inner.poll_io(cx, Direction::Write, "UdpSocket::poll_send_to", op)
    }

    /// As [`recv_from`](UdpSocket::recv_from), for a poll function of your own. One task waits: the last that polled.
    ///
    /// # Errors
    /// As [`recv_from`](UdpSocket::recv_from).
    pub fn poll_recv_from(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>> {
        let op = |socket: &Datagrams| socket.recv_from(buf).map(Done::more);
        self.inner.poll_io(cx, Direction::Read, "UdpSocket::poll_recv_from", op)
    }

    /// Whoever waits on this socket, and whoever does so later, gets [`Closed`](crate::Closed). The descriptor is given
    /// back when the socket is dropped. May be called again. Not a checkpoint.
    pub fn close(&self) {
        self.inner.close();
    }

    /// Whether [`close`](UdpSocket::close) was called.
    pub fn is_closed(&self) -> bool {
        self.inner.is_closed()
    }

    /// The address of this socket.
    ///
    /// # Errors
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.get().local_addr()
    }

    /// The peer, of a connected socket.
    ///
    /// # Errors
    /// `NotConnected` for another; the system's.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.inner.get().peer_addr()
    }

    /// Allows messages to everybody on the local network, or forbids them.
    ///
    /// # Errors
    /// The system's.
    pub fn set_broadcast(&self, allowed: bool) -> io::Result<()> {
        self.inner.get().system("UdpSocket::set_broadcast")?.set_broadcast(allowed)
    }

    /// Receives what is sent to a group, on the interface with this address (`UNSPECIFIED`: the system chooses).
    ///
    /// # Errors
    /// The system's.
    pub fn join_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.inner.get().system("UdpSocket::join_multicast_v4")?.join_multicast_v4(&group, &interface)
    }

    /// Receives what is sent to a group, on the interface with this index (0: the system chooses).
    ///
    /// # Errors
    /// The system's.
    pub fn join_multicast_v6(&self, group: Ipv6Addr, interface: u32) -> io::Result<()> {
        self.inner.get().system("UdpSocket::join_multicast_v6")?.join_multicast_v6(&group, interface)
    }
}

socket!(UdpSocket, net::UdpSocket);

fn bind(address: SocketAddr) -> io::Result<Registered<Datagrams>> {
    if let Some(network) = network::current() {
        let readiness = Readiness::new(Ready::BOTH);
        let socket = Socket::Network(network.bind(address, readiness.clone())?);
        return Ok(Registered::without_descriptor(socket, readiness.into_source()));
    }
    let socket = net::UdpSocket::bind(address)?;
    socket.set_nonblocking(true)?;
    Registered::new("UdpSocket::bind", Socket::System(socket), Ready::BOTH)
}
