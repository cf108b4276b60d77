//! The methods that all streams share, written once. Each takes the name of the type, for errors and panics; the type has
//! a field `inner: Registered<_>`.

/// Methods that read.
macro_rules! reading {
    ($name:literal) => {
        /// Reads what is there, at most `buf.len()` bytes; waits if there is nothing. 0 is the end: the peer
        /// sends no more (or `buf` is empty).
        ///
        /// # Errors
        /// The system's, such as `ConnectionReset`; [`Busy`](crate::Busy) while another task reads here;
        /// [`Closed`](crate::Closed) after `close`.
        ///
        /// # Panics
        /// Outside a run.
        ///
        /// # Cancellation
        /// A checkpoint. Cancelled: nothing has been read.
        pub async fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
            self.inner.read(concat!($name, "::read"), buf).await
        }

        /// Reads what is there into several buffers, one after the other; else as [`read`](Self::read).
        ///
        /// # Errors
        /// As [`read`](Self::read).
        ///
        /// # Panics
        /// Outside a run.
        ///
        /// # Cancellation
        /// A checkpoint. Cancelled: nothing has been read.
        pub async fn read_vectored(&self, bufs: &mut [io::IoSliceMut<'_>]) -> io::Result<usize> {
            self.inner.read_vectored(concat!($name, "::read_vectored"), bufs).await
        }

        /// Reads until `buf` is full.
        ///
        /// # Errors
        /// `UnexpectedEof` if the peer stops sending before; else as [`read`](Self::read). The bytes that came before
        /// the error are in `buf`.
        ///
        /// # Panics
        /// Outside a run.
        ///
        /// # Cancellation
        /// A checkpoint. Cancelled: an unknown part has been read into `buf`. To go on later use
        /// [`read`](Self::read) and count, or a [`BufReader`](crate::BufReader), which keeps what came.
        pub async fn read_exact(&self, buf: &mut [u8]) -> io::Result<()> {
            self.inner.read_exact(concat!($name, "::read_exact"), buf).await
        }

        /// Waits until a read is worth trying: see [`try_read`](Self::try_read). It may be mistaken, and say
        /// so when there is nothing yet.
        ///
        /// # Errors
        /// As [`read`](Self::read).
        ///
        /// # Panics
        /// Outside a run.
        ///
        /// # Cancellation
        /// A checkpoint. Cancelled: nothing has happened.
        pub async fn readable(&self) -> io::Result<()> {
            self.inner.wait_ready(Direction::Read, concat!($name, "::readable")).await
        }

        /// Reads what is there, without waiting. Not a checkpoint.
        ///
        /// # Errors
        /// `WouldBlock` if there is nothing; else as [`read`](Self::read).
        pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
            self.inner.try_read(concat!($name, "::try_read"), buf)
        }

        pub(crate) fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
            self.inner.poll_read(cx, concat!($name, "::read"), buf)
        }

        pub(crate) fn poll_read_vectored(
            &self,
            cx: &mut Context<'_>,
            bufs: &mut [io::IoSliceMut<'_>],
        ) -> Poll<io::Result<usize>> {
            self.inner.poll_read_vectored(cx, concat!($name, "::read"), bufs)
        }
    };
}

/// Methods that write.
macro_rules! writing {
    ($name:literal) => {
        /// Writes what there is room for, at most `buf.len()` bytes; waits if there is none.
        ///
        /// # Errors
        /// The system's, such as `BrokenPipe` when the peer reads no more; [`Busy`](crate::Busy) while another task
        /// writes here; [`Closed`](crate::Closed) after `close`.
        ///
        /// # Panics
        /// Outside a run.
        ///
        /// # Cancellation
        /// A checkpoint. Cancelled: nothing has been written.
        pub async fn write(&self, buf: &[u8]) -> io::Result<usize> {
            self.inner.write(concat!($name, "::write"), buf).await
        }

        /// Writes from several buffers, one after the other; else as [`write`](Self::write).
        ///
        /// # Errors
        /// As [`write`](Self::write).
        ///
        /// # Panics
        /// Outside a run.
        ///
        /// # Cancellation
        /// A checkpoint. Cancelled: nothing has been written.
        pub async fn write_vectored(&self, bufs: &[io::IoSlice<'_>]) -> io::Result<usize> {
            self.inner.write_vectored(concat!($name, "::write_vectored"), bufs).await
        }

        /// Writes all of `buf`.
        ///
        /// # Errors
        /// As [`write`](Self::write); an unknown part has then been written.
        ///
        /// # Panics
        /// Outside a run.
        ///
        /// # Cancellation
        /// A checkpoint. Cancelled: an unknown part has been written. To go on later use
        /// [`write`](Self::write) and count.
        pub async fn write_all(&self, buf: &[u8]) -> io::Result<()> {
            self.inner.write_all(concat!($name, "::write_all"), buf).await
        }

        /// Waits until a write is worth trying: see [`try_write`](Self::try_write). It may be mistaken, and
        /// say so when there is no room yet.
        ///
        /// # Errors
        /// As [`write`](Self::write).
        ///
        /// # Panics
        /// Outside a run.
        ///
        /// # Cancellation
        /// A checkpoint. Cancelled: nothing has happened.
        pub async fn writable(&self) -> io::Result<()> {
            self.inner.wait_ready(Direction::Write, concat!($name, "::writable")).await
        }

        /// Writes what there is room for, without waiting. Not a checkpoint.
        ///
        /// # Errors
        /// `WouldBlock` if there is none; else as [`write`](Self::write).
        pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
            self.inner.try_write(concat!($name, "::try_write"), buf)
        }

        pub(crate) fn poll_write(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            self.inner.poll_write(cx, concat!($name, "::write"), buf)
        }

        pub(crate) fn poll_write_vectored(
            &self,
            cx: &mut Context<'_>,
            bufs: &[io::IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            self.inner.poll_write_vectored(cx, concat!($name, "::write"), bufs)
        }
    };
}

/// The method of sockets that sends files.
macro_rules! sending_files {
    ($name:literal) => {
        /// Sends a part of a file, `rest`, to the peer, and gives the number of bytes: all of them, or fewer if the file ends before. `rest`
        /// becomes what is not sent yet, so that it can be gone on with whatever happens.
        ///
        /// What the system has in memory goes from there to the socket without being copied (sendfile(2), on Linux). What it would have to
        /// fetch from a disk is read on a thread of the pool, 256 KiB at a time, and written, so that no worker waits for a disk: the same that
        /// nginx does with `aio threads`. So is all of it on other systems, on [networks](crate::network) that are not the system's,
        /// and from files that the system cannot send.
        ///
        /// The position of the file counts for nothing, and stays; so one file may be sent to many sockets at once. (On Windows it moves.) To a
        /// TLS stream a file goes by [`copy`](crate::copy()).
        ///
        /// ```
        /// use trioxide_io::{UnixStream, fs};
        /// # trioxide_runtime::run(async {
        /// let (sender, receiver) = UnixStream::pair()?;
        /// let file = fs::File::open("Cargo.toml").await?;
        /// let mut rest = 1..8; // of all of it `0..u64::MAX`
        /// assert_eq!(sender.sendfile(&file, &mut rest).await?, 7);
        /// assert!(rest.is_empty());
        /// let mut got = [0; 7];
        /// receiver.read_exact(&mut got).await?;
        /// assert_eq!(&got, b"package");
        /// # Ok::<_, std::io::Error>(())
        /// # }).unwrap();
        /// ```
        ///
        /// # Errors
        /// As [`write`](Self::write). Those of reading the file, which name the position; one that has no positions, such as a pipe, cannot be
        /// sent: use [`copy`](crate::copy()).
        ///
        /// # Panics
        /// Outside a run.
        ///
        /// # Cancellation
        /// A checkpoint. Cancelled: what is before `rest.start` has been sent, and nothing else; go on with the same `rest`. (So it is if
        /// something else than a scope drops it.)
        pub async fn sendfile(&self, file: &crate::fs::File, rest: &mut ::std::ops::Range<u64>) -> io::Result<u64> {
            crate::sendfile::sendfile(file, rest, &self.inner, concat!($name, "::sendfile")).await
        }
    };
}

/// Methods of streams whose directions end apart.
macro_rules! closing {
    ($name:literal) => {
        /// Ends what the peer reads: it comes to the end once it has read what was written. Writing is
        /// [`Closed`](crate::Closed) from then on, reading goes on. May be called again; a connection that is gone already
        /// counts as ended. Not a checkpoint. After Trio's `send_eof`.
        ///
        /// # Errors
        /// [`Busy`](crate::Busy) while a task is writing; the system's.
        pub fn finish(&self) -> io::Result<()> {
            let _held = self.inner.hold(Direction::Write, concat!($name, "::finish"))?;
            self.finish_now()
        }

        /// As [`finish`](Self::finish), whoever is writing: the owner of the writing half says so.
        pub(crate) fn finish_now(&self) -> io::Result<()> {
            match self.shutdown(Shutdown::Write) {
                Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
                result => result,
            }
        }

        /// Closes one direction or both, at once, whoever is using it: reading or writing is [`Closed`](crate::Closed)
        /// from then on. After `Shutdown::Write` the peer reads the end of the stream, once it has read what was
        /// written. Not a checkpoint.
        ///
        /// # Errors
        /// The system's, such as `NotConnected` when the peer has reset the connection.
        pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
            shut(&self.inner, how, |io| io.shutdown(how))
        }

        /// Closes the connection both ways, also for those who are using it: their operations, and all that come
        /// later, fail with [`Closed`](crate::Closed). What has been written is still sent. May be called again. Not
        /// a checkpoint.
        ///
        /// The descriptor is given back when the stream is dropped.
        pub fn close(&self) {
            // The connection may be gone already; there is nobody to tell.
            let _ = self.shutdown(Shutdown::Both);
        }

        /// Whether both directions were closed here.
        pub fn is_closed(&self) -> bool {
            self.inner.is_closed()
        }
    };
}

/// `futures-io`'s traits for what has the methods above, or holds something that has: `$stream` gets it from
/// `&$self`.
macro_rules! futures_read {
    ($type:ty, $self:ident => $stream:expr) => {
        impl ::futures_io::AsyncRead for $type {
            fn poll_read(
                $self: ::std::pin::Pin<&mut Self>,
                cx: &mut ::std::task::Context<'_>,
                buf: &mut [u8],
            ) -> ::std::task::Poll<::std::io::Result<usize>> {
                $stream.poll_read(cx, buf)
            }

            fn poll_read_vectored(
                $self: ::std::pin::Pin<&mut Self>,
                cx: &mut ::std::task::Context<'_>,
                bufs: &mut [::std::io::IoSliceMut<'_>],
            ) -> ::std::task::Poll<::std::io::Result<usize>> {
                $stream.poll_read_vectored(cx, bufs)
            }
        }
    };
}

/// As `futures_read`. Closing ends what the peer reads; it does not wait for anything, and nor does flushing.
macro_rules! futures_write {
    ($type:ty, $self:ident => $stream:expr) => {
        crate::methods::futures_write!($type, $self => $stream, $stream.finish_now());
    };
    ($type:ty, $self:ident => $stream:expr, $finish:expr) => {
        impl ::futures_io::AsyncWrite for $type {
            fn poll_write(
                $self: ::std::pin::Pin<&mut Self>,
                cx: &mut ::std::task::Context<'_>,
                buf: &[u8],
            ) -> ::std::task::Poll<::std::io::Result<usize>> {
                $stream.poll_write(cx, buf)
            }

            fn poll_write_vectored(
                $self: ::std::pin::Pin<&mut Self>,
                cx: &mut ::std::task::Context<'_>,
                bufs: &[::std::io::IoSlice<'_>],
            ) -> ::std::task::Poll<::std::io::Result<usize>> {
                $stream.poll_write_vectored(cx, bufs)
            }

            fn poll_flush(
                self: ::std::pin::Pin<&mut Self>,
                _: &mut ::std::task::Context<'_>,
            ) -> ::std::task::Poll<::std::io::Result<()>> {
                ::std::task::Poll::Ready(Ok(()))
            }

            fn poll_close(
                $self: ::std::pin::Pin<&mut Self>,
                _: &mut ::std::task::Context<'_>,
            ) -> ::std::task::Poll<::std::io::Result<()>> {
                ::std::task::Poll::Ready($finish)
            }
        }
    };
}

/// What every kind of socket can do.
macro_rules! socket {
    ($type:ty, $std:ty) => {
        impl ::std::fmt::Debug for $type {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                ::std::fmt::Debug::fmt(&self.inner, f)
            }
        }

        #[cfg(unix)]
        impl ::std::os::fd::AsFd for $type {
            fn as_fd(&self) -> ::std::os::fd::BorrowedFd<'_> {
                self.inner.get().as_fd()
            }
        }

        #[cfg(windows)]
        impl ::std::os::windows::io::AsSocket for $type {
            fn as_socket(&self) -> ::std::os::windows::io::BorrowedSocket<'_> {
                self.inner.get().as_socket()
            }
        }
    };
    (networked: $type:ident, $name:literal, $std:ty, $ready:expr) => {
        /// Takes over a socket of std. Its options stay as they are, but it is made non-blocking.
        ///
        /// # Errors
        /// The system's, if it cannot be made non-blocking or registered.
        ///
        /// # Panics
        /// Outside a run.
        pub fn from_std(socket: $std) -> io::Result<$type> {
            socket.set_nonblocking(true)?;
            let inner = Registered::new(concat!($name, "::from_std"), Socket::System(socket), $ready)?;
            Ok($type { inner })
        }

        /// Gives the socket to std, blocking as std's are.
        ///
        /// # Errors
        /// The system's; the socket is then closed. `Unsupported` on a [network](crate::network) that is not the system's.
        pub fn into_std(self) -> io::Result<$std> {
            let socket = self.inner.into_inner()?.into_system(concat!($name, "::into_std"))?;
            socket.set_nonblocking(false)?;
            Ok(socket)
        }
    };
    (std: $type:ident, $name:literal, $std:ty, $ready:expr) => {
        /// Takes over a socket of std. Its options stay as they are, but it is made non-blocking.
        ///
        /// # Errors
        /// The system's, if it cannot be made non-blocking or registered.
        ///
        /// # Panics
        /// Outside a run.
        pub fn from_std(socket: $std) -> io::Result<$type> {
            socket.set_nonblocking(true)?;
            Ok($type { inner: Registered::new(concat!($name, "::from_std"), socket, $ready)? })
        }

        /// Gives the socket to std, blocking as std's are.
        ///
        /// # Errors
        /// The system's; the socket is then closed.
        pub fn into_std(self) -> io::Result<$std> {
            let socket = self.inner.into_inner()?;
            socket.set_nonblocking(false)?;
            Ok(socket)
        }
    };
}

pub(crate) use {closing, futures_read, futures_write, reading, sending_files, socket, writing};
