//! Pipes: bytes one way, between tasks, or to and from another process.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::{Context, Poll};

use crate::methods::{futures_read, futures_write, reading, writing};
use crate::reactor::{Direction, Ready, Registered};

/// A pipe of the system: what goes into the [`Sender`] comes out of the [`Receiver`].
///
/// Inside one program a channel is quicker; a pipe is for the ends that another process gets.
///
/// ```
/// # trioxide_runtime::run(async {
/// let (sender, receiver) = trioxide_io::pipe()?;
/// sender.write_all(b"hello").await?;
/// drop(sender);
/// let mut buf = [0; 8];
/// assert_eq!(receiver.read(&mut buf).await?, 5);
/// assert_eq!(receiver.read(&mut buf).await?, 0, "the end");
/// # Ok::<_, std::io::Error>(())
/// # }).unwrap();
/// ```
///
/// # Errors
/// The system's.
///
/// # Panics
/// Outside a run.
pub fn pipe() -> io::Result<(Sender, Receiver)> {
    let (reader, writer) = io::pipe()?;
    Ok((Sender::from_fd(writer.into())?, Receiver::from_fd(reader.into())?))
}

/// The end of a pipe that is written. One task writes at a time: a second is told [`Busy`](crate::Busy).
///
/// Dropping it closes it: when there is no other writer, the reader comes to the end. Closing it as a `futures-io`
/// `AsyncWrite` does the same; after that `as_fd` panics.
pub struct Sender {
    inner: Registered<io::PipeWriter>,
}

/// The end of a pipe that is read. One task reads at a time: a second is told [`Busy`](crate::Busy).
///
/// Dropping it closes it: when there is no other reader, whoever writes gets `BrokenPipe`.
pub struct Receiver {
    inner: Registered<io::PipeReader>,
}

macro_rules! end {
    ($type:ident, $std:ty, $ready:expr, $from_fd:literal) => {
        impl $type {
            /// Takes over a descriptor: an end of a pipe, a FIFO, a terminal. It is made non-blocking, and with it its
            /// duplicates in other processes.
            ///
            /// # Errors
            /// The system's, if it cannot be made non-blocking or registered.
            ///
            /// # Panics
            /// Outside a run.
            pub fn from_fd(fd: OwnedFd) -> io::Result<$type> {
                rustix::io::ioctl_fionbio(&fd, true)?;
                Ok($type { inner: Registered::new($from_fd, fd.into(), $ready)? })
            }

            /// Gives the descriptor out, blocking.
            ///
            /// # Errors
            /// The system's; it is then closed.
            pub fn into_fd(self) -> io::Result<OwnedFd> {
                let fd = OwnedFd::from(self.inner.into_inner()?);
                rustix::io::ioctl_fionbio(&fd, false)?;
                Ok(fd)
            }

            /// Whoever uses this end, and whoever does so later, gets [`Closed`](crate::Closed). The other end notices when
            /// this is dropped. May be called again. Not a checkpoint.
            pub fn close(&self) {
                self.inner.close();
            }

            /// Whether [`close`](Self::close) was called.
            pub fn is_closed(&self) -> bool {
                self.inner.is_closed()
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($type)).field(&self.inner).finish()
            }
        }

        impl AsFd for $type {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.inner.get().as_fd()
            }
        }
    };
}

end!(Sender, io::PipeWriter, Ready::WRITE, "pipe::Sender::from_fd");
end!(Receiver, io::PipeReader, Ready::NONE, "pipe::Receiver::from_fd");

impl Sender {
    writing!("pipe::Sender");
}

impl Receiver {
    reading!("pipe::Receiver");
}

futures_read!(Receiver, self => self.get());
futures_read!(&Receiver, self => Receiver::get(*self));
// The reader is to come to the end now, so the descriptor goes.
futures_write!(Sender, self => self.get(), { self.get_mut().inner.close_now(); Ok(()) });
// Others share it, so the reader comes to the end only when the last of them is gone.
futures_write!(&Sender, self => Sender::get(*self), { self.close(); Ok(()) });

impl Sender {
    fn get(&self) -> &Sender {
        self
    }
}

impl Receiver {
    fn get(&self) -> &Receiver {
        self
    }
}
