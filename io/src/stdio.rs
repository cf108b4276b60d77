//! Standard input, output and error of this process, without blocking a worker.
//!
//! Nobody makes them non-blocking: that is a property of what they lead to and not of the descriptor, so it would be there for the
//! shell, too, and for whoever else shares the terminal. Instead the reactor watches a duplicate, and each read or write first asks
//! the system whether it would wait. Files, which the reactor cannot watch, are read and written on the threads of the pool.
//!
//! # Invariant
//! [`Watched`] reads or writes only right after the system has said that there is something to read, or room for [`ROOM`] bytes;
//! it writes no more than that at once.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::fs::File;
use crate::reactor::{Direction, Done, Ready, Registered};

/// What a pipe that is ready for writing takes without waiting (PIPE_BUF is at least this on all systems), and a terminal nearly.
const ROOM: usize = 512;

/// The standard input of this process. Several of them read from the same: a byte goes to one.
///
/// ```no_run
/// use trioxide_io::{BufReader, stdin};
/// # async fn example() -> std::io::Result<()> {
/// let mut lines = BufReader::new(stdin()?);
/// while let Some(line) = lines.read_line(64 * 1024).await? {
///     println!("you said {line}");
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// The system's; `NotFound` if it was closed before the program began.
///
/// # Panics
/// Outside a run.
pub fn stdin() -> io::Result<Stdin> {
    let terminal = io::stdin().is_terminal();
    Ok(Stdin(End::of("stdin", io::stdin().as_fd(), terminal)?))
}

/// The standard output of this process. There is no buffer: what [`write`](Stdout::write) has counted is on its way, and what
/// `println!` holds back until the end of its line is not before it.
///
/// # Errors
/// As [`stdin`].
///
/// # Panics
/// Outside a run.
pub fn stdout() -> io::Result<Stdout> {
    let terminal = io::stdout().is_terminal();
    Ok(Stdout(End::of("stdout", io::stdout().as_fd(), terminal)?))
}

/// The standard error of this process, as [`stdout`].
///
/// # Errors
/// As [`stdin`].
///
/// # Panics
/// Outside a run.
pub fn stderr() -> io::Result<Stdout> {
    let terminal = io::stderr().is_terminal();
    Ok(Stdout(End::of("stderr", io::stderr().as_fd(), terminal)?))
}

/// See [`stdin`].
#[derive(Debug)]
pub struct Stdin(End);

/// See [`stdout`] and [`stderr`].
#[derive(Debug)]
pub struct Stdout(End);

#[derive(Debug)]
struct End {
    kind: Kind,
    terminal: bool,
}

enum Kind {
    Watched(Registered<Watched>),
    File(File),
}

struct Watched(OwnedFd);

impl Stdin {
    /// Reads what is there, at most `buf.len()` bytes; waits if there is nothing. 0 is the end, or `buf` is empty. A terminal gives
    /// a line at a time, unless it was told otherwise.
    ///
    /// # Errors
    /// The system's.
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint. Cancelled: nothing has been read.
    pub async fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| Pin::new(&mut *self).poll_read(cx, buf)).await
    }

    /// Whether somebody may be typing there.
    pub fn is_terminal(&self) -> bool {
        self.0.terminal
    }
}

impl Stdout {
    /// Writes some of `buf`, and says how much; waits if there is no room.
    ///
    /// # Errors
    /// The system's; `BrokenPipe` when nobody reads any more.
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint. Cancelled: nothing has been written; of a file, at most `buf` has been.
    pub async fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        poll_fn(|cx| Pin::new(&mut *self).poll_write(cx, buf)).await
    }

    /// Writes all of `buf`.
    ///
    /// # Errors
    /// As [`write`](Stdout::write).
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint. Cancelled: an unknown part has been written.
    pub async fn write_all(&mut self, mut buf: &[u8]) -> io::Result<()> {
        loop {
            match self.write(buf).await? {
                0 if !buf.is_empty() => return Err(io::ErrorKind::WriteZero.into()),
                count => buf = &buf[count..],
            }
            if buf.is_empty() {
                return Ok(());
            }
        }
    }

    /// Whether somebody may be looking there.
    pub fn is_terminal(&self) -> bool {
        self.0.terminal
    }
}

impl End {
    fn of(name: &'static str, fd: BorrowedFd<'_>, terminal: bool) -> io::Result<End> {
        let duplicate = || {
            fd.try_clone_to_owned().map_err(|error| match Errno::from_io_error(&error) {
                Some(Errno::BADF) => {
                    let text = format!("there is no {name}: it was closed before this program began");
                    io::Error::new(io::ErrorKind::NotFound, text)
                }
                _ => error,
            })
        };
        let kind = match Registered::new(name, Watched(duplicate()?), Ready::BOTH) {
            Ok(watched) => Kind::Watched(watched),
            // A file: the reactor cannot watch it.
            Err(error) if Errno::from_io_error(&error) == Some(Errno::PERM) => {
                Kind::File(File::from_std(duplicate()?.into()))
            }
            Err(error) => return Err(error),
        };
        Ok(End { kind, terminal })
    }
}

impl Watched {
    /// `WouldBlock` if an operation would wait.
    fn check(&self, wanted: PollFlags) -> io::Result<()> {
        let mut polled = [PollFd::new(&self.0, wanted)];
        match poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            _ => Ok(()),
        }
    }
}

impl AsyncRead for Stdin {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().0.kind {
            Kind::Watched(watched) => watched.poll_io(cx, Direction::Read, "Stdin::read", |stdin| {
                stdin.check(PollFlags::IN)?;
                Ok(Done::more(rustix::io::read(&stdin.0, &mut *buf)?))
            }),
            Kind::File(file) => Pin::new(file).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stdout {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().0.kind {
            Kind::Watched(watched) => {
                let mut written = 0;
                // As much as goes without waiting.
                let polled = watched.poll_io(cx, Direction::Write, "Stdout::write", |stdout| {
                    while written < buf.len() || buf.is_empty() {
                        match stdout.check(PollFlags::OUT) {
                            Err(error) if written > 0 && error.kind() == io::ErrorKind::WouldBlock => break,
                            checked => checked?,
                        }
                        let piece = &buf[written..][..(buf.len() - written).min(ROOM)];
                        written += rustix::io::write(&stdout.0, piece)?;
                        if buf.is_empty() {
                            break;
                        }
                    }
                    Ok(Done::more(()))
                });
                // What was written before an error is told first; the error comes again.
                match ready!(polled) {
                    Err(error) if written == 0 => Poll::Ready(Err(error)),
                    _ => Poll::Ready(Ok(written)),
                }
            }
            Kind::File(file) => Pin::new(file).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0.kind {
            Kind::Watched(_) => Poll::Ready(Ok(())),
            Kind::File(file) => Pin::new(file).poll_flush(cx),
        }
    }

    /// As flushing: it is this process's, and stays open.
    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

impl AsFd for Watched {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Watched(_) => f.write_str("Watched"),
            Kind::File(file) => file.fmt(f),
        }
    }
}
