//! Halves of a stream, so that reading and writing can be handed to two places.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;

use super::TcpStream;

/// The reading half of [`TcpStream::split`].
#[derive(Debug)]
pub struct ReadHalf<'a>(&'a TcpStream);

/// The writing half of [`TcpStream::split`].
#[derive(Debug)]
pub struct WriteHalf<'a>(&'a TcpStream);

/// The reading half of [`TcpStream::into_split`].
#[derive(Debug)]
pub struct OwnedReadHalf(Arc<TcpStream>);

/// The writing half of [`TcpStream::into_split`]. Dropping it ends what the peer reads.
#[derive(Debug)]
pub struct OwnedWriteHalf {
    stream: Arc<TcpStream>,
    finish_on_drop: bool,
}

pub(super) fn borrowed(stream: &mut TcpStream) -> (ReadHalf<'_>, WriteHalf<'_>) {
    (ReadHalf(stream), WriteHalf(stream))
}

pub(super) fn owned(stream: TcpStream) -> (OwnedReadHalf, OwnedWriteHalf) {
    let stream = Arc::new(stream);
    let write = OwnedWriteHalf { stream: stream.clone(), finish_on_drop: true };
    (OwnedReadHalf(stream), write)
}

macro_rules! reading {
    ($($type:ty),+) => {$(
        impl $type {
            /// See [`TcpStream::read`], also for errors, panics and cancellation.
            pub async fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                self.stream().read(buf).await
            }

            /// See [`TcpStream::read_exact`], also for errors, panics and cancellation.
            pub async fn read_exact(&mut self, buf: &mut [u8]) -> io::Result<()> {
                self.stream().read_exact(buf).await
            }
        }
    )+};
}

macro_rules! writing {
    ($($type:ty),+) => {$(
        impl $type {
            /// See [`TcpStream::write`], also for errors, panics and cancellation.
            pub async fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                self.stream().write(buf).await
            }

            /// See [`TcpStream::write_all`], also for errors, panics and cancellation.
            pub async fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
                self.stream().write_all(buf).await
            }

            /// Ends what the peer reads. A connection that is gone already counts as ended. Not a checkpoint.
            ///
            /// # Errors
            /// The system's.
            pub fn finish(&mut self) -> io::Result<()> {
                self.stream().finish_now()
            }
        }
    )+};
}

reading!(ReadHalf<'_>, OwnedReadHalf);
writing!(WriteHalf<'_>, OwnedWriteHalf);

impl TcpStream {
    /// What the traits of others read from and write to, here and in the halves.
    pub(super) fn stream(&self) -> &TcpStream {
        self
    }
}

impl ReadHalf<'_> {
    /// The whole stream.
    pub fn stream(&self) -> &TcpStream {
        self.0
    }
}

impl WriteHalf<'_> {
    /// The whole stream.
    pub fn stream(&self) -> &TcpStream {
        self.0
    }
}

impl OwnedReadHalf {
    /// The whole stream.
    pub fn stream(&self) -> &TcpStream {
        &self.0
    }

    /// Puts the stream together again.
    ///
    /// # Errors
    /// If the halves are of two streams; they are in the error.
    pub fn reunite(self, mut write: OwnedWriteHalf) -> Result<TcpStream, ReuniteError> {
        if !Arc::ptr_eq(&self.0, &write.stream) {
            return Err(ReuniteError(self, write));
        }
        write.finish_on_drop = false;
        drop(write);
        Ok(Arc::into_inner(self.0).expect("there are two halves, and one is gone"))
    }
}

impl OwnedWriteHalf {
    /// The whole stream.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }
}

impl Drop for OwnedWriteHalf {
    fn drop(&mut self) {
        if self.finish_on_drop {
            // The connection may be gone; there is nobody to tell.
            let _ = self.stream.finish_now();
        }
    }
}

/// The halves that [`OwnedReadHalf::reunite`] was given are of two streams. They are given back.
#[derive(Debug)]
pub struct ReuniteError(pub OwnedReadHalf, pub OwnedWriteHalf);

impl fmt::Display for ReuniteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("these halves are of two streams; reunite the two that one `into_split` gave")
    }
}

impl Error for ReuniteError {}
