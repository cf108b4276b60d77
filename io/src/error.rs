//! Errors that say what was done wrong here, and not what the system or the peer did: [`Closed`], [`Busy`].
//!
//! They travel inside an [`io::Error`], so that every operation has one error type.

use std::error::Error;
use std::fmt;
use std::io;

/// The operation met something that this program itself has closed with `close`. The kind of the
/// [`io::Error`] around it is `NotConnected`. After Trio's `ClosedResourceError`.
///
/// ```
/// # use std::io;
/// fn is_the_end(error: &io::Error) -> bool {
///     trioxide_io::is_closed(error)
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    operation: &'static str,
}

/// Two operations at once in one direction of something that takes one at a time. The kind of the [`io::Error`]
/// around it is `ResourceBusy`; nothing has been read or written by the operation that got it. After Trio's
/// `BusyResourceError`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Busy {
    operation: &'static str,
}

/// Whether the error is [`Closed`]: the end on which the operation was tried has been closed by `close`.
pub fn is_closed(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Closed>())
}

/// Whether the error is [`Busy`]: another task is in the same direction of the same stream.
pub fn is_busy(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Busy>())
}

pub(crate) fn closed(operation: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, Closed { operation })
}

pub(crate) fn busy(operation: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::ResourceBusy, Busy { operation })
}

impl Closed {
    /// Which operation met it, such as `"TcpStream::read"`.
    pub fn operation(&self) -> &'static str {
        self.operation
    }
}

impl Busy {
    /// Which operation came second, such as `"TcpStream::read"`.
    pub fn operation(&self) -> &'static str {
        self.operation
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "trioxide: `{}` on what this program has closed with `close`; cancel its users before closing, or take this for the end",
            self.operation
        )
    }
}

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "trioxide: `{}` while another task is in the same direction: the bytes of the two would mix; let one task do it, or hold a lock",
            self.operation
        )
    }
}

impl Error for Closed {}
impl Error for Busy {}
