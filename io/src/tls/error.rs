//! What goes wrong with TLS only. Inside an [`io::Error`], as the other errors of this crate.

use std::error::Error;
use std::fmt;
use std::io;

/// The stream can only be closed any more. The kind of the [`io::Error`] around it is `BrokenPipe`; where the peer has ended
/// without a goodbye, `UnexpectedEof`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    why: String,
    kind: io::ErrorKind,
}

impl Broken {
    pub(super) fn new(kind: io::ErrorKind, why: impl Into<String>) -> Broken {
        Broken { why: why.into(), kind }
    }

    pub(super) fn to_error(&self) -> io::Error {
        io::Error::new(self.kind, self.clone())
    }

    /// Whether the error is this one.
    pub fn is(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.is::<Broken>())
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the TLS stream is broken: {}", self.why)
    }
}

impl Error for Broken {}

/// What is known only after the handshake was asked for before it. The kind of the [`io::Error`] around it is `NotConnected`. After
/// Trio's `NeedHandshakeError`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoHandshake {
    pub(super) operation: &'static str,
}

impl NoHandshake {
    pub(super) fn error(operation: &'static str) -> io::Error {
        io::Error::new(io::ErrorKind::NotConnected, NoHandshake { operation })
    }

    /// Whether the error is this one.
    pub fn is(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.is::<NoHandshake>())
    }
}

impl fmt::Display for NoHandshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "trioxide: `{}` before the handshake; await `handshake()` first", self.operation)
    }
}

impl Error for NoHandshake {}

/// One side did not accept what the other has sent: a certificate, a version, bytes that are no TLS. The kind of the
/// [`io::Error`] around it is `InvalidData`. The stream is broken.
#[derive(Clone, Debug)]
pub struct Refused {
    pub(super) peer: Option<String>,
    pub(super) cause: rustls::Error,
}

impl Refused {
    pub(super) fn to_error(&self) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, self.clone())
    }

    /// What exactly, in rustls's words.
    pub fn cause(&self) -> &rustls::Error {
        &self.cause
    }

    /// Takes it out of an error.
    pub fn in_error(error: &io::Error) -> Option<&Refused> {
        error.get_ref().and_then(|inner| inner.downcast_ref())
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.peer {
            Some(peer) => write!(f, "TLS with {peer}: {}", self.cause),
            None => write!(f, "TLS: {}", self.cause),
        }
    }
}

impl Error for Refused {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.cause)
    }
}
