//! Everything from one stream into another: [`copy`], [`copy_bidirectional`].

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};
use trioxide_runtime::lowlevel;

/// As much as a pipe or a socket usually takes at once.
const SIZE: usize = 64 * 1024;

/// Reads from `reader` until its end, writes everything to `writer`, flushes it, and gives the number of bytes. It does not
/// close `writer`. Streams are also given by reference: `copy(&stream, &stream)` is an echo.
///
/// ```
/// use trioxide_io::{copy, pipe};
/// # trioxide_runtime::run(async {
/// let (sender, receiver) = pipe()?;
/// assert_eq!(copy(&b"hello"[..], &sender).await?, 5);
/// drop(sender);
/// let mut all = Vec::new();
/// copy(receiver, &mut all).await?;
/// assert_eq!(all, b"hello");
/// # Ok::<_, std::io::Error>(())
/// # }).unwrap();
/// ```
///
/// # Errors
/// The first of either; what has been read and not written is then lost.
///
/// # Panics
/// Outside a run.
///
/// # Cancellation
/// A checkpoint. Cancelled: an unknown part has been copied, and up to 64 KiB that were read are lost.
pub async fn copy<R, W>(mut reader: R, mut writer: W) -> io::Result<u64>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut way = Way::new();
    poll_fn(|cx| {
        lowlevel::poll_stateless(cx, "copy", |cx| {
            ready!(way.poll_copy(cx, Pin::new(&mut reader), Pin::new(&mut writer)))?;
            ready!(Pin::new(&mut writer).poll_flush(cx))?;
            Poll::Ready(Ok(way.copied))
        })
    })
    .await
}

/// Copies both ways between two streams, as a proxy does: what comes out of each goes into the other, until both have
/// ended. When one ends, the other is closed for writing (`poll_close`: its peer reads the end), and the other direction goes
/// on. Gives the bytes from `one` to `other`, and those back.
///
/// # Errors
/// The first of either direction; the other direction is then cut short.
///
/// # Panics
/// Outside a run.
///
/// # Cancellation
/// A checkpoint. Cancelled: an unknown part has been copied, and up to 64 KiB each way that were read are lost.
///
/// ```no_run
/// use trioxide_io::{TcpStream, copy_bidirectional};
/// # async fn example(client: TcpStream) -> std::io::Result<()> {
/// let upstream = TcpStream::connect("127.0.0.1:8080").await?;
/// let (up, down) = copy_bidirectional(client, upstream).await?;
/// println!("{up} bytes up, {down} bytes down");
/// # Ok(())
/// # }
/// ```
pub async fn copy_bidirectional<A, B>(mut one: A, mut other: B) -> io::Result<(u64, u64)>
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let (mut there, mut back) = (Way::new(), Way::new());
    let mut back_first = true;
    poll_fn(|cx| {
        // In turns: the one that goes first may go on until the budget is used up.
        back_first = !back_first;
        lowlevel::poll_stateless(cx, "copy_bidirectional", |cx| {
            let (mut one, mut other) = (Pin::new(&mut one), Pin::new(&mut other));
            let mut polled = [Poll::Pending; 2];
            for goes_back in [back_first, !back_first] {
                polled[usize::from(goes_back)] = match goes_back {
                    false => there.poll_all(cx, one.as_mut(), other.as_mut())?,
                    true => back.poll_all(cx, other.as_mut(), one.as_mut())?,
                };
            }
            match polled {
                [Poll::Ready(()), Poll::Ready(())] => Poll::Ready(Ok((there.copied, back.copied))),
                _ => Poll::Pending,
            }
        })
    })
    .await
}

/// One direction.
struct Way {
    buf: Box<[u8]>,
    /// What has been read and not written: `buf[start..end]`.
    start: usize,
    end: usize,
    copied: u64,
    step: Step,
}

#[derive(PartialEq)]
enum Step {
    Reading,
    /// The reader has ended, and the writer is being closed.
    Closing,
    Done,
}

impl Way {
    fn new() -> Way {
        Way { buf: vec![0; SIZE].into(), start: 0, end: 0, copied: 0, step: Step::Reading }
    }

    /// Copies until the end, then closes the writer.
    fn poll_all(
        &mut self,
        cx: &mut Context<'_>,
        reader: Pin<&mut impl AsyncRead>,
        mut writer: Pin<&mut impl AsyncWrite>,
    ) -> Poll<io::Result<()>> {
        if self.step == Step::Reading {
            ready!(self.poll_copy(cx, reader, writer.as_mut()))?;
            self.step = Step::Closing;
        }
        if self.step == Step::Closing {
            ready!(writer.poll_close(cx))?;
            self.step = Step::Done;
        }
        Poll::Ready(Ok(()))
    }

    /// Copies until the reader has ended and everything is written.
    fn poll_copy(
        &mut self,
        cx: &mut Context<'_>,
        mut reader: Pin<&mut impl AsyncRead>,
        mut writer: Pin<&mut impl AsyncWrite>,
    ) -> Poll<io::Result<()>> {
        loop {
            while self.start < self.end {
                match ready!(writer.as_mut().poll_write(cx, &self.buf[self.start..self.end]))? {
                    0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    count => {
                        self.start += count;
                        self.copied += count as u64;
                    }
                }
            }
            let count = match reader.as_mut().poll_read(cx, &mut self.buf) {
                Poll::Ready(count) => count?,
                Poll::Pending => {
                    // What a writer has collected is not to wait for a reader that is silent.
                    if self.copied > 0 {
                        ready!(writer.as_mut().poll_flush(cx))?;
                    }
                    return Poll::Pending;
                }
            };
            if count == 0 {
                return Poll::Ready(Ok(()));
            }
            (self.start, self.end) = (0, count);
            // The reader or the writer may be no checkpoint of its own.
            ready!(lowlevel::poll_checkpoint(cx, "copy"));
        }
    }
}
