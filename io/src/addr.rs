//! Addresses: what `bind` and `connect` accept, how names become addresses, and errors that name the address.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use crate::resolve::resolve;

/// What can be turned into socket addresses: `"127.0.0.1:80"`, `"example.org:443"`, `("localhost", 80)`,
/// a [`SocketAddr`], an [`IpAddr`] with a port, a slice of [`SocketAddr`]s.
///
/// A numeric address is used as it is. A name is looked up by the system's resolver, on the thread pool, or by
/// the one that [`set_resolver`](crate::set_resolver) has set for the run. The
/// trait cannot be implemented outside this crate.
pub trait ToSocketAddrs: sealed::ToTarget + Send {}

impl<T: sealed::ToTarget + Send + ?Sized> ToSocketAddrs for T {}

mod sealed {
    pub trait ToTarget {
        fn to_target(&self) -> super::Target;
    }
}

use sealed::ToTarget;

/// What has been asked for.
#[derive(Debug)]
pub enum Target {
    /// Addresses, in the order in which they are tried.
    Known(Vec<SocketAddr>),
    /// `host:port`, still to be looked up.
    Text(String),
    /// A host to be looked up, and the port.
    Host(String, u16),
}

impl Target {
    /// The addresses; never an empty list.
    pub(crate) async fn resolve(self) -> io::Result<Vec<SocketAddr>> {
        match self {
            Target::Known(addresses) if addresses.is_empty() => {
                let text = "no address was given: the list is empty";
                Err(io::Error::new(io::ErrorKind::InvalidInput, text))
            }
            Target::Known(addresses) => Ok(addresses),
            Target::Host(host, port) => resolve(&host, port).await,
            Target::Text(text) => match text.rsplit_once(':').map(|(host, port)| (host, port.parse())) {
                Some((host, Ok(port))) => resolve(host, port).await,
                _ => Err(explain("resolve", format_args!("`{text}`"), io::ErrorKind::InvalidInput.into())),
            },
        }
    }
}

impl ToTarget for SocketAddr {
    fn to_target(&self) -> Target {
        Target::Known(vec![*self])
    }
}

impl ToTarget for [SocketAddr] {
    fn to_target(&self) -> Target {
        Target::Known(self.to_vec())
    }
}

impl<const N: usize> ToTarget for [SocketAddr; N] {
    fn to_target(&self) -> Target {
        Target::Known(self.to_vec())
    }
}

impl ToTarget for str {
    fn to_target(&self) -> Target {
        match self.parse() {
            Ok(address) => Target::Known(vec![address]),
            Err(_) => Target::Text(self.to_owned()),
        }
    }
}

impl ToTarget for String {
    fn to_target(&self) -> Target {
        self.as_str().to_target()
    }
}

impl ToTarget for (&str, u16) {
    fn to_target(&self) -> Target {
        match self.0.parse::<IpAddr>() {
            Ok(ip) => Target::Known(vec![(ip, self.1).into()]),
            Err(_) => Target::Host(self.0.to_owned(), self.1),
        }
    }
}

impl ToTarget for (String, u16) {
    fn to_target(&self) -> Target {
        (self.0.as_str(), self.1).to_target()
    }
}

impl<T: ToTarget + ?Sized> ToTarget for &T {
    fn to_target(&self) -> Target {
        (**self).to_target()
    }
}

macro_rules! known {
    ($($type:ty),+) => {$(
        impl ToTarget for $type {
            fn to_target(&self) -> Target {
                Target::Known(vec![(*self).into()])
            }
        }
    )+};
}

known!(SocketAddrV4, SocketAddrV6, (IpAddr, u16), (Ipv4Addr, u16), (Ipv6Addr, u16));

/// An error of the same kind whose text names the address and, where that is known, what to do.
pub(crate) fn explain(action: &'static str, address: impl fmt::Display, error: io::Error) -> io::Error {
    let advice = match (action, error.kind()) {
        ("listen on", io::ErrorKind::AddrInUse) => {
            Some("address in use; another program listens there, choose another port or port 0")
        }
        ("listen on", io::ErrorKind::PermissionDenied) => {
            Some("permission denied; ports below 1024 belong to the administrator, choose a higher one or port 0")
        }
        ("listen on", io::ErrorKind::AddrNotAvailable) => {
            Some("not an address of this machine; choose one of its own, such as 127.0.0.1, or 0.0.0.0 for all of them")
        }
        ("listen at", io::ErrorKind::AddrInUse) => {
            Some("there is a file already; remove it if no program listens there, or choose another path")
        }
        ("connect to", io::ErrorKind::ConnectionRefused) => {
            Some("connection refused; nothing listens there, or a firewall is in the way")
        }
        ("resolve", io::ErrorKind::InvalidInput) => {
            Some("not an address; write `host:port`, for example 127.0.0.1:8080")
        }
        _ => None,
    };
    io::Error::new(error.kind(), AddressError { action, address: address.to_string(), advice, source: error })
}

/// The inside of the errors of [`explain`]; the system's own error is its source.
#[derive(Debug)]
struct AddressError {
    action: &'static str,
    address: String,
    advice: Option<&'static str>,
    source: io::Error,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}: ", self.action, self.address)?;
        match self.advice {
            Some(advice) => f.write_str(advice),
            None => fmt::Display::fmt(&self.source, f),
        }
    }
}

impl std::error::Error for AddressError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}
