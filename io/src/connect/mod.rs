//! `connect(host, port)`: to whichever address of a host answers first.
//!
//! | file | duty |
//! | --- | --- |
//! | `race` | Happy Eyeballs, as a nursery |
//! | `error` | every attempt that failed |
//! | `mod` (here) | names to addresses to a connection |

mod error;
mod race;

pub use error::ConnectError;

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::TcpStream;
use crate::resolve::resolve;
use crate::wait::checkpoint;

/// Connects to `host`, a name or a numeric address, by Happy Eyeballs (RFC 8305): see [`Connect`].
///
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// let stream = trioxide_io::connect("example.org", 443).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`ConnectError`] inside, with every address that was tried, and why it failed; the resolver's.
///
/// # Panics
/// Outside a run.
///
/// # Cancellation
/// A checkpoint. Cancelled: every socket is closed; peers may have seen connections come and go.
pub async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    Connect::new().to(host, port).await
}

/// How to connect to a host that may have many addresses, some of which may not answer (RFC 8305, Happy Eyeballs).
///
/// The families take turns. Each address has a head start, 250 ms if nothing else is said, before the next is tried
/// beside it; one that fails ends its head start at once. The first connection wins, and all others are closed before
/// this returns. Time-outs are the caller's: wrap it in [`fail_after`](trioxide_runtime::fail_after). After Trio's
/// `open_tcp_stream`.
///
/// ```no_run
/// use std::time::Duration;
/// use trioxide_io::Connect;
/// # async fn example() -> std::io::Result<()> {
/// let stream = Connect::new().delay(Duration::from_millis(100)).to("example.org", 443).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Connect {
    delay: Duration,
    local: Option<IpAddr>,
}

impl Connect {
    /// 250 ms for each address, and any local address.
    pub fn new() -> Connect {
        Connect { delay: Duration::from_millis(250), local: None }
    }

    /// The head start of each address, on the run's clock.
    pub fn delay(mut self, delay: Duration) -> Connect {
        self.delay = delay;
        self
    }

    /// Connects from this address of the machine, and so only to addresses of its family.
    pub fn local_address(mut self, local: IpAddr) -> Connect {
        self.local = Some(local);
        self
    }

    /// Connects by TCP. The connection has `TCP_NODELAY` set.
    ///
    /// # Errors
    /// [`ConnectError`] inside, with every address that was tried, and why it failed; the resolver's; `InvalidInput`
    /// if the host has no address of the local address's family.
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint. Cancelled: every socket is closed; peers may have seen connections come and go.
    pub async fn to(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        let local = self.local;
        self.to_with(host, port, move |address| TcpStream::connect_from(local, address)).await
    }

    /// As [`to`](Connect::to), with another way to connect to one address: through TLS until the handshake is done, say,
    /// or a fake one in a test. The attempts run in tasks of their own.
    ///
    /// # Errors
    /// As [`to`](Connect::to).
    ///
    /// # Panics
    /// Outside a run; with a panic of `connect`.
    ///
    /// # Cancellation
    /// A checkpoint. Cancelled: every attempt is cancelled, and has ended when the scope has.
    pub async fn to_with<S, F, Fut>(&self, host: &str, port: u16, connect: F) -> io::Result<S>
    where
        S: Send + 'static,
        F: Fn(SocketAddr) -> Fut,
        Fut: Future<Output = io::Result<S>> + Send + 'static,
    {
        checkpoint("connect").await;
        let mut addresses = resolve(host, port).await?;
        if let Some(local) = self.local {
            addresses.retain(|address| address.is_ipv4() == local.is_ipv4());
            if addresses.is_empty() {
                let text = format!(
                    "cannot connect to `{host}:{port}` from {local}: the host has no address of that family; leave out `local_address`, or use one of the other"
                );
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
        }
        let outcome = race::first(race::alternate(addresses), self.delay, connect).await;
        outcome.map_err(|failures| ConnectError::of(host, port, failures))
    }
}

impl Default for Connect {
    fn default() -> Connect {
        Connect::new()
    }
}
