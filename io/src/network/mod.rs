//! Which network the sockets are on: the system's, or one that a test has put in its place.
//!
//! `TcpListener`, `TcpStream`, `UdpSocket` and the look-up of names ask, when they are made, for the [`Network`] of their place in the task tree.
//! Where there is none, and that is everywhere but [`within`] one, they are the system's. So a program is tested on a simulated network without a
//! change: `trioxide-testing` has such a network.
//!
//! A network of your own implements non-blocking calls with the meaning that they have for the system (`WouldBlock`: nothing yet), and says by
//! [`Readiness`] when they are worth trying again. All the rest, waiting, cancelling, closing, who is busy, is the same code for both.
//!
//! What needs a descriptor has none there: `as_fd` panics, `into_std` is an error of kind `Unsupported`.

mod socket;

pub(crate) use socket::{Datagrams, Listener, Socket, Stream};

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;
use std::time::Duration;

use trioxide_runtime::TreeVar;

use crate::reactor::{Ready, Source};

/// The future of [`Network::resolve`].
pub type Resolving<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'a>>;

/// A network in place of the system's, as one host sees it.
pub trait Network: Send + Sync + 'static {
    /// The addresses of a name. Numeric addresses do not come here.
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Resolving<'a>;

    /// Listens for connections; `backlog` of them may wait.
    ///
    /// # Errors
    /// Those of the system's: `AddrInUse`, say.
    fn listen(&self, address: SocketAddr, backlog: u32, readiness: Readiness) -> io::Result<Box<dyn ListenerSocket>>;

    /// Begins to connect. [`StreamSocket::connected`] says how that goes on, and the readiness when to ask.
    ///
    /// # Errors
    /// What is known at once.
    fn connect(&self, local: Option<IpAddr>, to: SocketAddr, readiness: Readiness)
    -> io::Result<Box<dyn StreamSocket>>;

    /// A socket for datagrams.
    ///
    /// # Errors
    /// Those of the system's.
    fn bind(&self, address: SocketAddr, readiness: Readiness) -> io::Result<Box<dyn DatagramSocket>>;
}

/// A listener on a [`Network`]. Dropping it closes it.
pub trait ListenerSocket: fmt::Debug + Send + Sync {
    /// The next connection, and the peer's address. `readiness` is the connection's.
    ///
    /// # Errors
    /// `WouldBlock` if there is none.
    fn accept(&self, readiness: Readiness) -> io::Result<(Box<dyn StreamSocket>, SocketAddr)>;

    /// Where it listens.
    fn local_addr(&self) -> SocketAddr;
}

/// A connection on a [`Network`]. Dropping it closes it.
pub trait StreamSocket: fmt::Debug + Send + Sync {
    /// Whether it is connected.
    ///
    /// # Errors
    /// `WouldBlock` while that is not known; why it cannot be.
    fn connected(&self) -> io::Result<()>;

    /// Takes bytes that have come; leaves them, too, if this is to `peek`. 0 is the end.
    ///
    /// # Errors
    /// `WouldBlock` if there are none. If fewer bytes are taken than there are and were asked for, it has to be said again that there are some.
    fn receive(&self, buf: &mut [u8], peek: bool) -> io::Result<usize>;

    /// Sends as many bytes as there is room for.
    ///
    /// # Errors
    /// `WouldBlock` if there is none.
    fn send(&self, buf: &[u8]) -> io::Result<usize>;

    /// Ends a direction, or both.
    ///
    /// # Errors
    /// `NotConnected` if the connection is gone.
    fn shutdown(&self, how: Shutdown) -> io::Result<()>;

    /// The address of this end.
    fn local_addr(&self) -> SocketAddr;

    /// The address of the other end.
    fn peer_addr(&self) -> SocketAddr;

    /// The options as they are.
    fn options(&self) -> StreamOptions;

    /// Sets the options.
    fn set_options(&self, options: StreamOptions);
}

/// What can be set on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamOptions {
    /// See [`TcpStream::set_nodelay`](crate::TcpStream::set_nodelay).
    pub nodelay: bool,
    /// Whether [`TcpStream::set_keepalive`](crate::TcpStream::set_keepalive) has set a time.
    pub keepalive: bool,
    /// See [`TcpStream::set_linger`](crate::TcpStream::set_linger): zero makes the drop of the stream a reset.
    pub linger: Option<Duration>,
}

impl Default for StreamOptions {
    fn default() -> StreamOptions {
        StreamOptions { nodelay: true, keepalive: false, linger: None }
    }
}

/// A socket for datagrams on a [`Network`]. Dropping it closes it.
pub trait DatagramSocket: fmt::Debug + Send + Sync {
    /// From now on datagrams go to, and come from, this peer.
    ///
    /// # Errors
    /// Those of the system's.
    fn connect(&self, peer: SocketAddr) -> io::Result<()>;

    /// Sends a datagram, to the peer if no address is given.
    ///
    /// # Errors
    /// `NotConnected` without either.
    fn send(&self, datagram: &[u8], to: Option<SocketAddr>) -> io::Result<usize>;

    /// Takes a datagram and says from whom; leaves it, too, if this is to `peek`.
    ///
    /// # Errors
    /// `WouldBlock` if there is none.
    fn receive(&self, buf: &mut [u8], peek: bool) -> io::Result<(usize, SocketAddr)>;

    /// The address of this socket.
    fn local_addr(&self) -> SocketAddr;

    /// The peer, if there is one.
    fn peer_addr(&self) -> Option<SocketAddr>;
}

/// By which a network tells a socket that something is worth trying. Never call it with a lock held that the calls of the network take: whom it
/// wakes may run at once.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<Source>);

impl Readiness {
    pub(crate) fn new(ready: Ready) -> Readiness {
        Readiness(Arc::new(Source::new(ready)))
    }

    pub(crate) fn into_source(self) -> Arc<Source> {
        self.0
    }

    /// There is something to receive or to accept, or an error to be told.
    pub fn readable(&self) {
        self.event(Ready::READ);
    }

    /// There is room to send, the connection is made, or there is an error to be told.
    pub fn writable(&self) {
        self.event(Ready::WRITE);
    }

    fn event(&self, ready: Ready) {
        let mut wakers = Vec::new();
        self.0.event(ready, false, &mut wakers);
        wakers.into_iter().for_each(Waker::wake);
    }
}

static NETWORK: TreeVar<Arc<dyn Network>> = TreeVar::new("NETWORK");

/// Whether there ever was a network: a program that has none does not look for one in the tree.
static ANY: AtomicBool = AtomicBool::new(false);

/// Runs `future` on `network`: its sockets, and those of the nurseries that are opened in it, are made there. Sockets that are there already stay
/// where they are.
///
/// # Panics
/// When polled outside a run.
///
/// # Cancellation
/// A checkpoint only where `future` is.
pub fn within<F: Future>(network: Arc<dyn Network>, future: F) -> impl Future<Output = F::Output> {
    // Relaxed: who asks is inside the future, or comes later anyhow.
    ANY.store(true, Ordering::Relaxed);
    NETWORK.scope(network, future)
}

/// The network of this place; `None` is the system's.
pub(crate) fn current() -> Option<Arc<dyn Network>> {
    match ANY.load(Ordering::Relaxed) {
        true => NETWORK.try_get(),
        false => None,
    }
}
