//! [`Stapled`]: two halves make one stream.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};
use trioxide_runtime::lowlevel;

/// What is read and what is written, as one stream: the two pipes of a process, say. After Trio's `StapledStream`.
///
/// ```
/// use trioxide_io::process::{Command, Stdio};
/// use trioxide_io::{Stapled, copy_bidirectional};
/// # async fn example(client: trioxide_io::TcpStream) -> std::io::Result<()> {
/// let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().await?;
/// let process = Stapled::new(child.stdout.take().unwrap(), child.stdin.take().unwrap());
/// copy_bidirectional(client, process).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Stapled<R, W> {
    reader: R,
    writer: W,
}

impl<R, W> Stapled<R, W> {
    /// Reads from `reader`, writes to `writer`.
    pub fn new(reader: R, writer: W) -> Stapled<R, W> {
        Stapled { reader, writer }
    }

    /// The two halves.
    pub fn get_ref(&self) -> (&R, &W) {
        (&self.reader, &self.writer)
    }

    /// Takes it apart.
    pub fn into_parts(self) -> (R, W) {
        (self.reader, self.writer)
    }

    /// Closes the writer, and drops both, whether that could be closed or not.
    ///
    /// # Errors
    /// The writer's.
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint. Cancelled: both are dropped.
    pub async fn close(self) -> io::Result<()>
    where
        W: AsyncWrite + Unpin,
    {
        let Stapled { mut writer, reader: _reader } = self;
        poll_fn(|cx| {
            ready!(lowlevel::poll_checkpoint(cx, "Stapled::close"));
            Pin::new(&mut writer).poll_close(cx)
        })
        .await
    }
}

impl<R: AsyncRead + Unpin, W: Unpin> AsyncRead for Stapled<R, W> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.reader).poll_read(cx, buf)
    }
}

/// Closing ends what the peer reads, and leaves the reader as it is.
impl<R: Unpin, W: AsyncWrite + Unpin> AsyncWrite for Stapled<R, W> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.writer).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.writer).poll_write_vectored(cx, bufs)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_close(cx)
    }
}
