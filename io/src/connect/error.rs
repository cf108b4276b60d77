//! Every attempt that failed.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;

use super::race::Failures;

/// No address of a host could be connected to. It stands inside an [`io::Error`]:
///
/// ```
/// use trioxide_io::ConnectError;
/// # fn example(error: std::io::Error) {
/// if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<ConnectError>()) {
///     for (address, why) in error.failures() {
///         println!("{address}: {why}");
///     }
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct ConnectError {
    host: String,
    port: u16,
    failures: Failures,
}

impl ConnectError {
    /// An error whose kind is that of the first attempt's.
    pub(super) fn of(host: &str, port: u16, failures: Failures) -> io::Error {
        let kind = failures.first().map_or(io::ErrorKind::NotFound, |(_, error)| error.kind());
        io::Error::new(kind, ConnectError { host: host.to_owned(), port, failures })
    }

    /// The host that was asked for.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port that was asked for.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Each address that was tried, in order, and why it failed.
    pub fn failures(&self) -> &[(SocketAddr, io::Error)] {
        &self.failures
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot connect to `{}:{}`", self.host, self.port)?;
        match &self.failures[..] {
            [] => f.write_str(": the host has no address"),
            failures => {
                let count = failures.len();
                write!(f, "; {count} {} failed:", if count == 1 { "address" } else { "addresses" })?;
                failures.iter().try_for_each(|(address, error)| write!(f, "\n  {address}: {error}"))
            }
        }
    }
}

impl Error for ConnectError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.failures.first().map(|(_, error)| error as _)
    }
}
