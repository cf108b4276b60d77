//! Errors that say what was done wrong here, and not what the system or the peer did: [`Closed`], [`Busy`]; and what a peer
//! sends too much of: [`TooLong`].
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

/// A line or a frame is longer than the program allows. The kind of the [`io::Error`] around it is `InvalidData`. What
/// becomes of the stream is said where the error comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooLong {
    what: &'static str,
    limit: usize,
    length: Option<usize>,
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

pub(crate) fn too_long(what: &'static str, limit: usize, length: Option<usize>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, TooLong { what, limit, length })
}

impl TooLong {
    /// How many bytes are allowed.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// How many there are, if that is known.
    pub fn length(&self) -> Option<usize> {
        self.length
    }

    /// Takes it out of an error.
    pub fn of(error: &io::Error) -> Option<&TooLong> {
        error.get_ref().and_then(|inner| inner.downcast_ref())
    }
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a {} of ", self.what)?;
        match self.length {
            Some(length) => write!(f, "{length} bytes")?,
            None => write!(f, "more than {} bytes", self.limit)?,
        }
        write!(f, " is over the limit of {}", self.limit)
    }
}

impl Error for TooLong {}

impl Closed {
    /// The error, for a stream of your own: `operation` as users call it, such as `"MyStream::read"`.
    pub fn error(operation: &'static str) -> io::Error {
        closed(operation)
    }

    /// Which operation met it, such as `"TcpStream::read"`.
    pub fn operation(&self) -> &'static str {
        self.operation
    }
}

impl Busy {
    /// The error, for a stream of your own: `operation` as users call it, such as `"MyStream::read"`.
    pub fn error(operation: &'static str) -> io::Error {
        busy(operation)
    }

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
