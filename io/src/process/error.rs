//! What can go wrong with a process. Inside an [`io::Error`], as the other errors of this crate.

use std::error::Error;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Output};

/// A program could not be started. The kind of the [`io::Error`] around it is that of the cause: `NotFound`, `PermissionDenied`, ….
#[derive(Debug)]
pub struct NotStarted {
    program: OsString,
    /// Where it was to run, if that is what is missing.
    no_dir: Option<PathBuf>,
    cause: io::Error,
}

impl NotStarted {
    pub(super) fn of(command: &Command, cause: io::Error) -> io::Error {
        let no_dir = command.get_current_dir().filter(|dir| !dir.is_dir()).map(Into::into);
        io::Error::new(cause.kind(), NotStarted { program: command.get_program().to_owned(), no_dir, cause })
    }

    /// The program, as it was given.
    pub fn program(&self) -> &OsString {
        &self.program
    }

    /// Takes it out of an error.
    pub fn in_error(error: &io::Error) -> Option<&NotStarted> {
        error.get_ref().and_then(|inner| inner.downcast_ref())
    }
}

impl fmt::Display for NotStarted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let program = self.program.display();
        if let Some(dir) = &self.no_dir {
            return write!(f, "cannot start `{program}` in {}: there is no such directory", dir.display());
        }
        write!(f, "cannot start `{program}`: {}", self.cause)?;
        match self.cause.kind() {
            io::ErrorKind::NotFound if self.program.as_encoded_bytes().contains(&b'/') => Ok(()),
            io::ErrorKind::NotFound if self.program.as_encoded_bytes().contains(&b' ') => {
                f.write_str("; it is looked up in PATH as it stands: give each argument to `arg`")
            }
            io::ErrorKind::NotFound => f.write_str("; it was looked up in PATH"),
            _ => Ok(()),
        }
    }
}

impl Error for NotStarted {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.cause)
    }
}

/// A program has ended with another status than 0, or by a signal. The kind of the [`io::Error`] around it is `Other`. After
/// Python's `CalledProcessError`.
#[derive(Debug)]
pub struct Failed {
    program: String,
    output: Output,
}

impl Failed {
    pub(super) fn check(program: String, output: Output) -> io::Result<Output> {
        match output.status.success() {
            true => Ok(output),
            false => Err(io::Error::other(Failed { program, output })),
        }
    }

    /// How it has ended.
    pub fn status(&self) -> ExitStatus {
        self.output.status
    }

    /// What it has written, as far as that was captured.
    pub fn output(&self) -> &Output {
        &self.output
    }

    /// Takes it out of an error.
    pub fn in_error(error: &io::Error) -> Option<&Failed> {
        error.get_ref().and_then(|inner| inner.downcast_ref())
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` ended with {}", self.program, self.output.status)?;
        let said = String::from_utf8_lossy(&self.output.stderr);
        match said.trim_end().lines().last() {
            Some(line) => write!(f, "; the last it said: {line}"),
            None => Ok(()),
        }
    }
}

impl Error for Failed {}

/// A process has ended, and nobody knows how: somebody else in this program has taken its status, or the program ignores SIGCHLD,
/// and then the system keeps none.
#[derive(Debug)]
pub struct StatusLost {
    program: String,
}

impl StatusLost {
    pub(super) fn of(program: &str) -> io::Error {
        io::Error::other(StatusLost { program: program.to_owned() })
    }

    /// Whether the error is this one.
    pub fn is(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.is::<StatusLost>())
    }
}

impl fmt::Display for StatusLost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` has ended, and its status is lost: this program ignores SIGCHLD, or other code in it waits for any child; let only one do that",
            self.program
        )
    }
}

impl Error for StatusLost {}
