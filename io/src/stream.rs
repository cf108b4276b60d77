//! What all streams have in common, as traits: for code that takes any stream, and for streams of your own.
//!
//! Each stream of this crate has the methods itself as well; the traits are for generic code. They take `&self`, so that one task may
//! read while another writes or closes; `futures-io`'s traits, which take `&mut self`, cannot say that. `trioxide-testing` has suites that
//! check a stream against what is written here (`check_one_way_stream` and its kin).

use std::future::Future;
use std::io;

/// What can be closed. After Trio's `AsyncResource`.
pub trait Resource: Send + Sync {
    /// Closes it at once. Whoever uses it, and whoever does so later, gets [`Closed`](crate::Closed). The peer notices now, or when this is
    /// dropped. May be called again. Not a checkpoint.
    fn close(&self);
}

/// A stream that bytes are written to. One task writes at a time: a second is told [`Busy`](crate::Busy) while the first waits. After Trio's
/// `SendStream`.
pub trait SendStream: Resource {
    /// Writes all of `buf`. An empty `buf` asks whether the stream is open.
    ///
    /// # Errors
    /// [`Closed`](crate::Closed), [`Busy`](crate::Busy), or what went wrong at the peer's end or on the way, and then always. An unknown part has
    /// been written.
    ///
    /// # Cancellation
    /// A checkpoint. Cancelled before it has begun: nothing has been written. Later: an unknown part.
    fn write_all(&self, buf: &[u8]) -> impl Future<Output = io::Result<()>> + Send;

    /// Waits until a write might go through without waiting. It may return early, never late: also when the peer is gone.
    ///
    /// # Errors
    /// As [`write_all`](SendStream::write_all).
    ///
    /// # Cancellation
    /// A checkpoint. Cancelled: nothing has happened.
    fn writable(&self) -> impl Future<Output = io::Result<()>> + Send;
}

/// A stream that bytes are read from. One task reads at a time: a second is told [`Busy`](crate::Busy) while the first waits. After Trio's
/// `ReceiveStream`.
pub trait ReceiveStream: Resource {
    /// Reads what is there, at most `buf.len()` bytes; waits if there is nothing. 0 is the end, and stays the end (or `buf` is empty).
    ///
    /// # Errors
    /// [`Closed`](crate::Closed), [`Busy`](crate::Busy), or what went wrong at the peer's end or on the way.
    ///
    /// # Cancellation
    /// A checkpoint. Cancelled: nothing has been read.
    fn read(&self, buf: &mut [u8]) -> impl Future<Output = io::Result<usize>> + Send;
}

/// A stream that goes both ways, and whose directions end apart. After Trio's `HalfCloseableStream`.
pub trait HalfCloseableStream: SendStream + ReceiveStream {
    /// Ends what the peer reads: it comes to the end once it has read what was written. Writing is [`Closed`](crate::Closed) from then
    /// on, reading goes on. May be called again. After Trio's `send_eof`.
    ///
    /// # Errors
    /// [`Busy`](crate::Busy) while a task is writing, and nothing has ended then; what went wrong on the way.
    ///
    /// # Cancellation
    /// A checkpoint only where it waits: what a stream has to say of the end it may have to send.
    fn finish(&self) -> impl Future<Output = io::Result<()>> + Send;
}

/// Two streams that go one way each, as one that goes both ways: the standard input and output of a process, say. After Trio's
/// `StapledStream`.
///
/// ```
/// use trioxide_io::stream::{ReceiveStream, SendStream, StapledStream};
/// use trioxide_io::pipe;
/// # trioxide_runtime::run(async {
/// let ((send, there), (back, receive)) = (pipe()?, pipe()?);
/// let (one, other) = (StapledStream { send, receive }, StapledStream { send: back, receive: there });
/// one.write_all(b"hello").await?;
/// assert_eq!(other.read(&mut [0; 8]).await?, 5);
/// # Ok::<_, std::io::Error>(())
/// # }).unwrap();
/// ```
///
/// It has the traits of futures-io, too, if its halves have them:
///
/// ```
/// use trioxide_io::copy_bidirectional;
/// use trioxide_io::process::{Command, Stdio};
/// use trioxide_io::stream::StapledStream;
/// # async fn example(client: trioxide_io::TcpStream) -> std::io::Result<()> {
/// let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().await?;
/// let process = StapledStream { send: child.stdin.take().unwrap(), receive: child.stdout.take().unwrap() };
/// copy_bidirectional(client, process).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct StapledStream<S, R> {
    /// The one that is written.
    pub send: S,
    /// The one that is read.
    pub receive: R,
}

impl<S: SendStream, R: ReceiveStream> Resource for StapledStream<S, R> {
    fn close(&self) {
        self.send.close();
        self.receive.close();
    }
}

impl<S: SendStream, R: ReceiveStream> SendStream for StapledStream<S, R> {
    fn write_all(&self, buf: &[u8]) -> impl Future<Output = io::Result<()>> + Send {
        self.send.write_all(buf)
    }

    fn writable(&self) -> impl Future<Output = io::Result<()>> + Send {
        self.send.writable()
    }
}

impl<S: SendStream, R: ReceiveStream> ReceiveStream for StapledStream<S, R> {
    fn read(&self, buf: &mut [u8]) -> impl Future<Output = io::Result<usize>> + Send {
        self.receive.read(buf)
    }
}

/// The end is told by closing the sender, whoever is writing. A sender that tells its peer only when it is dropped, such as that of a pipe, does
/// so here, too.
impl<S: SendStream, R: ReceiveStream> HalfCloseableStream for StapledStream<S, R> {
    async fn finish(&self) -> io::Result<()> {
        self.send.close();
        Ok(())
    }
}

macro_rules! delegate {
    ($([$($generics:tt)*] $type:ty: $($part:ident)+;)+) => {$(delegate!(@each [$($generics)*] $type: $($part)+);)+};
    (@each $generics:tt $type:ty: $($part:ident)+) => {$(delegate!(@$part $generics $type);)+};
    (@resource [$($generics:tt)*] $type:ty) => {
        impl<$($generics)*> Resource for $type {
            fn close(&self) {
                <$type>::close(self);
            }
        }
    };
    (@send [$($generics:tt)*] $type:ty) => {
        impl<$($generics)*> SendStream for $type {
            fn write_all(&self, buf: &[u8]) -> impl Future<Output = io::Result<()>> + Send {
                <$type>::write_all(self, buf)
            }

            fn writable(&self) -> impl Future<Output = io::Result<()>> + Send {
                <$type>::writable(self)
            }
        }
    };
    (@receive [$($generics:tt)*] $type:ty) => {
        impl<$($generics)*> ReceiveStream for $type {
            fn read(&self, buf: &mut [u8]) -> impl Future<Output = io::Result<usize>> + Send {
                <$type>::read(self, buf)
            }
        }
    };
    (@finish [$($generics:tt)*] $type:ty) => {
        impl<$($generics)*> HalfCloseableStream for $type {
            async fn finish(&self) -> io::Result<()> {
                <$type>::finish(self)
            }
        }
    };
}

delegate! { [] crate::TcpStream: resource send receive finish; }
#[cfg(unix)]
delegate! {
    [] crate::UnixStream: resource send receive finish;
    [] crate::pipe::Sender: resource send;
    [] crate::pipe::Receiver: resource receive;
}
#[cfg(feature = "tls")]
delegate! {
    [S: futures_io::AsyncRead + futures_io::AsyncWrite + Unpin + Send] crate::tls::TlsStream<S>: send receive;
}
