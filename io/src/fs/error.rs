//! Errors that name the path: the system's do not.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Something could not be done with a path. The kind of the [`io::Error`] around it is that of the cause.
#[derive(Debug)]
pub struct PathError {
    verb: &'static str,
    path: PathBuf,
    cause: io::Error,
}

impl PathError {
    pub(super) fn of(verb: &'static str, path: &Path, cause: io::Error) -> io::Error {
        io::Error::new(cause.kind(), PathError { verb, path: path.to_owned(), cause })
    }

    /// The path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the system said.
    pub fn cause(&self) -> &io::Error {
        &self.cause
    }

    /// Takes it out of an error.
    pub fn in_error(error: &io::Error) -> Option<&PathError> {
        error.get_ref().and_then(|inner| inner.downcast_ref())
    }
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}: {}", self.verb, self.path.display(), self.cause)
    }
}

impl Error for PathError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.cause)
    }
}
