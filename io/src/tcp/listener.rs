//! `TcpListener`.

use std::io;
use std::net::{self, SocketAddr};

use socket2::Domain;

use super::TcpStream;
use crate::addr::{ToSocketAddrs, explain};
use crate::methods::socket;
use crate::network::{self, Listener, Network, Readiness, Socket, StreamSocket};
use crate::reactor::{Direction, Done, Ready, Registered};
use crate::sys;
use crate::wait::checkpoint;

/// How many connections may wait for `accept`. The system may allow fewer (`net.core.somaxconn`); std's 128 is
/// soon full when many clients come at once.
const BACKLOG: i32 = 1024;

/// A TCP socket that listens for connections.
///
/// Any number of tasks may [`accept`](TcpListener::accept) on it at once. Dropping it closes it.
///
/// ```no_run
/// # use trioxide_io::TcpListener;
/// # async fn example() -> std::io::Result<()> {
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// println!("listening on {}", listener.local_addr()?);
/// let (stream, peer) = listener.accept().await?;
/// # Ok(())
/// # }
/// ```
pub struct TcpListener {
    inner: Registered<Listener>,
    /// Every connection has got `TCP_NODELAY` from this socket. (One that arrived before the option was set has not.)
    hands_down_nodelay: bool,
}

impl TcpListener {
    /// Listens on the first of the addresses that can be listened on. Port 0 lets the system choose;
    /// [`local_addr`](TcpListener::local_addr) says which it chose.
    ///
    /// On Unix a port is free again at once when its last listener is gone (`SO_REUSEADDR`). Up to 1024
    /// connections wait for `accept`.
    ///
    /// # Errors
    /// The last address's error; its text names the address and what to do, for example when another
    /// program listens there.
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint. Cancelled: nothing listens.
    pub async fn bind(addr: impl ToSocketAddrs) -> io::Result<TcpListener> {
        TcpListener::options().bind(addr).await
    }

    /// A listener with options.
    ///
    /// ```no_run
    /// # use trioxide_io::TcpListener;
    /// # async fn example() -> std::io::Result<()> {
    /// let listener = TcpListener::options().backlog(4096).reuse_port(true).bind("0.0.0.0:8080").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn options() -> ListenOptions {
        ListenOptions { backlog: BACKLOG, reuse_port: false, only_v6: None }
    }

    /// Takes over a listener of std (one that was handed down by a supervisor, say). `TCP_NODELAY` is set for
    /// its connections.
    ///
    /// # Errors
    /// The system's, if it cannot be made non-blocking or registered.
    ///
    /// # Panics
    /// Outside a run.
    pub fn from_std(listener: net::TcpListener) -> io::Result<TcpListener> {
        listener.set_nonblocking(true)?;
        TcpListener::new("TcpListener::from_std", listener, false)
    }

    fn new(operation: &'static str, listener: net::TcpListener, hands_down_nodelay: bool) -> io::Result<TcpListener> {
        // Taken for ready until the system says otherwise: a listener of std may have connections waiting.
        let inner = Registered::new(operation, Socket::System(listener), Ready::READ)?;
        Ok(TcpListener { inner, hands_down_nodelay })
    }

    /// Takes the next connection, waiting for it if there is none; gives it with the peer's address.
    /// The connection has `TCP_NODELAY` set.
    ///
    /// # Errors
    /// The system's. An error of one connection (the peer was gone before it was accepted) is not reported:
    /// the next connection is taken instead. When the process has no descriptors left (`EMFILE`) the error is
    /// returned at once and the connection goes on waiting, so a loop that retries at once spins; wait before
    /// the next call.
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint. Cancelled: no connection has been taken; those that wait are there for the next call, and for
    /// other tasks that accept.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        self.stream(self.inner.io(Direction::Read, "TcpListener::accept", accept).await?)
    }

    /// Takes a connection that has come already, as [`accept`](TcpListener::accept), but never waits. Not a checkpoint.
    ///
    /// # Errors
    /// `WouldBlock` if none has come; else as `accept`.
    pub fn try_accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let accepted = match self.inner.try_io(Direction::Read, "TcpListener::try_accept", accept) {
            // So the reactor knows it; what has come since it was last asked counts too.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => take(self.inner.get())?,
            tried => tried?,
        };
        self.stream(accepted)
    }

    fn stream(&self, (accepted, peer): (Accepted, SocketAddr)) -> io::Result<(TcpStream, SocketAddr)> {
        let stream = match accepted {
            Accepted::BySystem(stream) => stream,
            Accepted::ByNetwork(stream, readiness) => {
                let inner = Registered::without_descriptor(Socket::Network(stream), readiness.into_source());
                return Ok((TcpStream::registered(inner), peer));
            }
        };
        if !self.hands_down_nodelay {
            // It can fail when the peer is gone already; whoever reads finds that out.
            let _ = stream.set_nodelay(true);
        }
        // Its first bytes are often there already, and there is room for ours: both are tried without waiting
        // for an event.
        let inner = self.inner.beside(Socket::System(stream), Ready::BOTH);
        Ok((TcpStream::registered(inner), peer))
    }

    /// Stops listening, also for those who wait in [`accept`](TcpListener::accept): they, and all calls that come later,
    /// get [`Closed`](crate::Closed). May be called again. Not a checkpoint.
    ///
    /// Connections that nobody has accepted are reset, and the address is free, when the listener is dropped.
    pub fn close(&self) {
        self.inner.close();
    }

    /// Gives the listener to std, blocking as std's are.
    ///
    /// # Errors
    /// The system's; nothing listens any more then. `Unsupported` on a [network](crate::network) that is not the system's.
    pub fn into_std(self) -> io::Result<net::TcpListener> {
        let listener = self.inner.into_inner()?.into_system("TcpListener::into_std")?;
        listener.set_nonblocking(false)?;
        Ok(listener)
    }

    /// The address that this listens on.
    ///
    /// # Errors
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.get().local_addr()
    }
}

socket!(TcpListener, net::TcpListener);

/// What [`TcpListener::options`] gives.
#[derive(Clone, Debug)]
#[must_use = "nothing listens before `bind`"]
pub struct ListenOptions {
    backlog: i32,
    reuse_port: bool,
    only_v6: Option<bool>,
}

impl ListenOptions {
    /// So many connections may wait for `accept`: 1024 if nothing else is said. The system may allow fewer
    /// (`net.core.somaxconn`).
    pub fn backlog(mut self, connections: u32) -> ListenOptions {
        self.backlog = i32::try_from(connections).unwrap_or(i32::MAX);
        self
    }

    /// Whether other sockets may listen on the same address, if all of them say so: the system shares the connections out
    /// (`SO_REUSEPORT`). Where there is no such thing, `bind` fails.
    pub fn reuse_port(mut self, reuse: bool) -> ListenOptions {
        self.reuse_port = reuse;
        self
    }

    /// Whether an IPv6 socket leaves IPv4 alone. If nothing is said the system decides.
    pub fn only_v6(mut self, only: bool) -> ListenOptions {
        self.only_v6 = Some(only);
        self
    }

    /// As [`TcpListener::bind`].
    ///
    /// # Errors
    /// As [`TcpListener::bind`].
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint. Cancelled: nothing listens.
    pub async fn bind(&self, addr: impl ToSocketAddrs) -> io::Result<TcpListener> {
        const OPERATION: &str = "TcpListener::bind";
        checkpoint(OPERATION).await;
        let mut failed = None;
        for address in addr.to_target().resolve().await? {
            let listening = match network::current() {
                Some(network) => listen_on(&*network, address, self),
                None => listen(address, self)
                    .and_then(|listener| TcpListener::new(OPERATION, listener, sys::NODELAY_IS_HANDED_DOWN)),
            };
            match listening {
                Ok(listener) => return Ok(listener),
                Err(error) => failed = Some(explain("listen on", address, error)),
            }
        }
        Err(failed.expect("`resolve` gives at least one address"))
    }
}

fn listen_on(network: &dyn Network, address: SocketAddr, options: &ListenOptions) -> io::Result<TcpListener> {
    let readiness = Readiness::new(Ready::READ);
    let socket = Socket::Network(network.listen(address, options.backlog as u32, readiness.clone())?);
    let inner = Registered::without_descriptor(socket, readiness.into_source());
    Ok(TcpListener { inner, hands_down_nodelay: true })
}

fn listen(address: SocketAddr, options: &ListenOptions) -> io::Result<net::TcpListener> {
    let socket = sys::socket(Domain::for_address(address))?;
    if options.reuse_port {
        #[cfg(unix)]
        socket.set_reuse_port(true)?;
        #[cfg(not(unix))]
        return Err(io::ErrorKind::Unsupported.into());
    }
    if let Some(only) = options.only_v6.filter(|_| address.is_ipv6()) {
        socket.set_only_v6(only)?;
    }
    // Elsewhere the option means that two programs may listen on one port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    if sys::NODELAY_IS_HANDED_DOWN {
        socket.set_tcp_nodelay(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(options.backlog)?;
    Ok(socket.into())
}

/// A connection, and what it takes to make a stream of it.
enum Accepted {
    BySystem(net::TcpStream),
    ByNetwork(Box<dyn StreamSocket>, Readiness),
}

fn accept(listener: &Listener) -> io::Result<Done<(Accepted, SocketAddr)>> {
    take(listener).map(Done::more)
}

fn take(listener: &Listener) -> io::Result<(Accepted, SocketAddr)> {
    let listener = match listener {
        Socket::System(listener) => listener,
        Socket::Network(listener) => {
            let readiness = Readiness::new(Ready::BOTH);
            let (stream, peer) = listener.accept(readiness.clone())?;
            return Ok((Accepted::ByNetwork(stream, readiness), peer));
        }
    };
    loop {
        match sys::accept(listener) {
            Ok((stream, peer)) => return Ok((Accepted::BySystem(stream), peer)),
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Whether the error says something of the connection that was at the head of the queue (and is gone
/// with it), and nothing of the listener. accept(2) has the list.
fn is_of_one_connection(error: &io::Error) -> bool {
    #[cfg(unix)]
    if let Some(number) = rustix::io::Errno::from_io_error(error) {
        use rustix::io::Errno;
        let listed =
            [Errno::PROTO, Errno::NOPROTOOPT, Errno::NETDOWN, Errno::NETUNREACH, Errno::HOSTDOWN, Errno::HOSTUNREACH];
        if listed.contains(&number) {
            return true;
        }
    }
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}
