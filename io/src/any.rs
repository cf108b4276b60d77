//! [`Async`]: any descriptor.

use std::fmt;
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use crate::reactor::{Direction, Done, Ready, Registered};

/// Any descriptor that the system can wait for (a socket of another library, a pipe, a terminal, an eventfd, a
/// timerfd, a pidfd, inotify, …), non-blocking and watched by the reactor.
///
/// The library knows nothing of what is read or written: you give the operation, it is tried, and tried again when
/// the descriptor is ready, as long as it says "would block". One task may wait in each direction; a second is told
/// [`Busy`](crate::Busy). After Trio's `wait_readable` and `wait_writable`.
///
/// Do not read or write beside it: the reactor learns that a descriptor is not ready any more only from an operation
/// that has gone through here and has said "would block". And do not close it beside it: a number that is closed
/// is given to the next one that is opened. (Dropping this closes it, if `T` does.) Files on a disk cannot be
/// waited for: the system calls them ready always, and blocks.
///
/// ```
/// use std::io::{Read, Write};
/// use trioxide_io::Async;
/// # trioxide_runtime::run(async {
/// let (reader, writer) = std::io::pipe()?;
/// let (reader, writer) = (Async::new(reader)?, Async::new(writer)?);
/// writer.write_with(|mut pipe| pipe.write(b"hello")).await?;
/// let mut buf = [0; 8];
/// assert_eq!(reader.read_with(|mut pipe| pipe.read(&mut buf)).await?, 5);
/// # Ok::<_, std::io::Error>(())
/// # }).unwrap();
/// ```
pub struct Async<T: AsFd> {
    inner: Registered<T>,
}

impl<T: AsFd> Async<T> {
    /// Makes the descriptor non-blocking and registers it. All duplicates of it, in this process and in others, become
    /// non-blocking with it.
    ///
    /// # Errors
    /// The system's; `Unsupported` for what cannot be waited for, such as a file on a disk.
    ///
    /// # Panics
    /// Outside a run.
    pub fn new(io: T) -> io::Result<Async<T>> {
        rustix::io::ioctl_fionbio(io.as_fd(), true)?;
        Async::new_nonblocking(io)
    }

    /// As [`new`](Async::new), for a descriptor that is non-blocking already.
    ///
    /// # Errors
    /// As [`new`](Async::new).
    ///
    /// # Panics
    /// Outside a run.
    pub fn new_nonblocking(io: T) -> io::Result<Async<T>> {
        // The system reports at once what it is ready for.
        let inner = Registered::new("Async::new", io, Ready::NONE).map_err(explain)?;
        Ok(Async { inner })
    }

    /// What is inside.
    pub fn get_ref(&self) -> &T {
        self.inner.get()
    }

    /// Takes the descriptor out of the reactor. It stays non-blocking.
    ///
    /// # Errors
    /// The system's; the descriptor is then dropped.
    pub fn into_inner(self) -> io::Result<T> {
        self.inner.into_inner()
    }

    /// Waits until a read is worth trying. It may be mistaken; then [`try_read_with`](Async::try_read_with) says
    /// "would block", and the next call waits.
    ///
    /// # Errors
    /// [`Busy`](crate::Busy) while another task waits to read; [`Closed`](crate::Closed) after `close`.
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint. Cancelled: nothing has happened.
    pub async fn readable(&self) -> io::Result<()> {
        self.inner.wait_ready(Direction::Read, "Async::readable").await
    }

    /// Waits until a write is worth trying; else as [`readable`](Async::readable).
    ///
    /// # Errors
    /// As [`readable`](Async::readable).
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint. Cancelled: nothing has happened.
    pub async fn writable(&self) -> io::Result<()> {
        self.inner.wait_ready(Direction::Write, "Async::writable").await
    }

    /// Tries `op`, which reads (or accepts, or receives), each time there may be something, until it says something
    /// else than `WouldBlock`. `Interrupted` is tried again.
    ///
    /// # Errors
    /// What `op` returns; [`Busy`](crate::Busy) while another task waits to read; [`Closed`](crate::Closed) after
    /// `close`.
    ///
    /// # Panics
    /// Outside a run; and with the panic of `op`.
    ///
    /// # Cancellation
    /// A checkpoint. Cancelled: `op` has done nothing, provided that it does nothing when it says `WouldBlock`.
    pub fn read_with<R>(&self, mut op: impl FnMut(&T) -> io::Result<R>) -> impl Future<Output = io::Result<R>> {
        self.inner.sole(Direction::Read, "Async::read_with", move |io| op(io).map(Done::more))
    }

    /// As [`read_with`](Async::read_with), for what writes.
    ///
    /// # Errors
    /// As [`read_with`](Async::read_with).
    ///
    /// # Panics
    /// As [`read_with`](Async::read_with).
    ///
    /// # Cancellation
    /// As [`read_with`](Async::read_with).
    pub fn write_with<R>(&self, mut op: impl FnMut(&T) -> io::Result<R>) -> impl Future<Output = io::Result<R>> {
        self.inner.sole(Direction::Write, "Async::write_with", move |io| op(io).map(Done::more))
    }

    /// Tries `op`, which reads, once, if that may succeed. Not a checkpoint.
    ///
    /// # Errors
    /// `WouldBlock` if it would have to wait; else as [`read_with`](Async::read_with).
    pub fn try_read_with<R>(&self, mut op: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.inner.try_io(Direction::Read, "Async::try_read_with", |io| op(io).map(Done::more))
    }

    /// Tries `op`, which writes, once, if that may succeed. Not a checkpoint.
    ///
    /// # Errors
    /// As [`try_read_with`](Async::try_read_with).
    pub fn try_write_with<R>(&self, mut op: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.inner.try_io(Direction::Write, "Async::try_write_with", |io| op(io).map(Done::more))
    }

    /// Wakes those who wait with [`Closed`](crate::Closed), which all later calls get, too. The descriptor is closed when
    /// this is dropped, if `T` does so. Not a checkpoint. After Trio's `notify_closing`.
    pub fn close(&self) {
        self.inner.close();
    }

    /// Whether [`close`](Async::close) was called.
    pub fn is_closed(&self) -> bool {
        self.inner.is_closed()
    }
}

impl<T: AsFd> AsFd for Async<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.get().as_fd()
    }
}

impl<T: AsFd + fmt::Debug> fmt::Debug for Async<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Async").field(self.inner.get()).finish()
    }
}

fn explain(error: io::Error) -> io::Error {
    match rustix::io::Errno::from_io_error(&error) {
        Some(rustix::io::Errno::PERM) => io::Error::new(
            io::ErrorKind::Unsupported,
            "trioxide: `Async::new` on a descriptor that cannot be waited for, such as a file on a disk; read and write it in `blocking`",
        ),
        _ => error,
    }
}
