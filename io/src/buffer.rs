//! Buffers round a stream: [`BufReader`] for lines, pieces and whole parts; [`BufWriter`] for many small writes.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncBufRead, AsyncRead, AsyncWrite};

use crate::error::too_long;
use crate::wait::checkpoint;

/// How much is asked of the stream at once.
const PIECE: usize = 8 * 1024;

/// Reads a stream in the parts that the program wants. What has come and was not asked for yet stays in it, so **every
/// method that is cancelled has taken nothing**: call it again to go on.
///
/// After tricycle's `BufferedReceiveStream`, which Trio's users have.
///
/// ```
/// use trioxide_io::BufReader;
/// # trioxide_runtime::run(async {
/// let mut reader = BufReader::new(&b"first\nsecond\nthe rest"[..]);
/// assert_eq!(reader.read_line(80).await?.as_deref(), Some("first"));
/// assert_eq!(reader.read_until(b'\n', 80).await?.as_deref(), Some(&b"second\n"[..]));
/// assert_eq!(reader.read_exact(3).await?, b"the");
/// assert_eq!(reader.read_line(80).await?.as_deref(), Some(" rest"), "the last line needs no newline");
/// assert_eq!(reader.read_line(80).await?, None);
/// # Ok::<_, std::io::Error>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct BufReader<R> {
    inner: R,
    /// What has come: `buf[start..]`.
    buf: Vec<u8>,
    start: usize,
    /// The stream has said that it ends.
    ended: bool,
    /// Still to be thrown away, before anything else is read.
    skip: Skip,
}

/// What is left of a part that was too long.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Skip {
    Nothing,
    Bytes(u64),
    /// Everything up to and with this byte.
    Until(u8),
}

impl<R> BufReader<R> {
    /// A reader with nothing in its buffer. The stream may be given by value or by reference.
    pub fn new(inner: R) -> BufReader<R> {
        BufReader { inner, buf: Vec::new(), start: 0, ended: false, skip: Skip::Nothing }
    }

    /// The stream. What is read from it past this is missing here.
    pub fn get_ref(&self) -> &R {
        &self.inner
    }

    /// The stream, to change it.
    pub fn get_mut(&mut self) -> &mut R {
        &mut self.inner
    }

    /// What has come and was not taken yet.
    pub fn buffer(&self) -> &[u8] {
        &self.buf[self.start..]
    }

    /// The stream, and what has come and was not taken yet.
    pub fn into_parts(mut self) -> (R, Vec<u8>) {
        self.buf.drain(..self.start);
        (self.inner, self.buf)
    }

    /// Takes the first `count` bytes, which are there.
    fn take(&mut self, count: usize) -> Vec<u8> {
        let part = self.buf[self.start..self.start + count].to_vec();
        self.drop_front(count);
        part
    }

    fn drop_front(&mut self, count: usize) {
        self.start += count;
        if self.start == self.buf.len() {
            self.buf.clear();
            self.start = 0;
        }
    }
}

impl<R: AsyncRead + Unpin> BufReader<R> {
    /// Reads up to and with the byte `delimiter`. At the end of the stream, what is left, if anything; then `None`.
    ///
    /// # Errors
    /// [`TooLong`](crate::TooLong) inside if there is no delimiter in the first `limit` bytes. The part is then thrown away,
    /// with its delimiter, by whatever is called next: **the stream can be used further**, at the next part. The stream's.
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint. Cancelled: nothing has been taken; what has come is there for the next call.
    pub async fn read_until(&mut self, delimiter: u8, limit: usize) -> io::Result<Option<Vec<u8>>> {
        self.part("BufReader::read_until", "part", delimiter, limit).await
    }

    /// Reads a line: text up to a newline, which is left out, with a carriage return before it. At the end of the stream,
    /// what is left, if anything; then `None`.
    ///
    /// # Errors
    /// [`TooLong`](crate::TooLong) inside if the line, with its newline, has more than `limit` bytes; `InvalidData` if it is
    /// not UTF-8. Either way **the stream can be used further**: the next call reads the next line. The stream's.
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint. Cancelled: nothing has been taken; what has come is there for the next call.
    pub async fn read_line(&mut self, limit: usize) -> io::Result<Option<String>> {
        let Some(mut line) = self.part("BufReader::read_line", "line", b'\n', limit).await? else { return Ok(None) };
        if line.last() == Some(&b'\n') {
            line.pop();
            if line.last() == Some(&b'\r') {
                line.pop();
            }
        }
        String::from_utf8(line).map(Some).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// Reads `count` bytes.
    ///
    /// # Errors
    /// `UnexpectedEof` if the stream ends before; what came stays in the buffer. The stream's.
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint. Cancelled: nothing has been taken; what has come is there for the next call.
    pub async fn read_exact(&mut self, count: usize) -> io::Result<Vec<u8>> {
        checkpoint("BufReader::read_exact").await;
        self.skipped().await?;
        while self.buffer().len() < count {
            if self.more().await? == 0 {
                let text = format!("the peer stopped sending after {} of {count} bytes", self.buffer().len());
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
            }
        }
        Ok(self.take(count))
    }

    /// As [`read_exact`](BufReader::read_exact), and leaves the bytes where they are; fewer at the end of the stream.
    pub(crate) async fn peek(&mut self, operation: &'static str, count: usize) -> io::Result<&[u8]> {
        checkpoint(operation).await;
        self.skipped().await?;
        while self.buffer().len() < count && self.more().await? > 0 {}
        let there = count.min(self.buffer().len());
        Ok(&self.buffer()[..there])
    }

    /// What is called next throws away so many bytes first.
    pub(crate) fn skip_bytes(&mut self, count: u64) {
        self.skip = Skip::Bytes(count);
    }

    async fn part(
        &mut self,
        operation: &'static str,
        what: &'static str,
        delimiter: u8,
        limit: usize,
    ) -> io::Result<Option<Vec<u8>>> {
        checkpoint(operation).await;
        self.skipped().await?;
        let mut seen = 0;
        loop {
            let there = self.buffer();
            let end = there[seen..].iter().position(|byte| *byte == delimiter).map(|at| seen + at + 1);
            match end {
                Some(end) if end <= limit => return Ok(Some(self.take(end))),
                None if there.len() <= limit && self.ended => {
                    let left = there.len();
                    return Ok((left > 0).then(|| self.take(left)));
                }
                None if there.len() <= limit => {}
                _ => {
                    self.skip = Skip::Until(delimiter);
                    return Err(too_long(what, limit, None));
                }
            }
            seen = there.len();
            self.more().await?;
        }
    }

    /// Throws away what is left of a part that was too long.
    async fn skipped(&mut self) -> io::Result<()> {
        while self.skip != Skip::Nothing {
            let there = self.buffer();
            let (count, left) = match self.skip {
                Skip::Nothing => unreachable!(),
                Skip::Bytes(wanted) => {
                    let count = there.len().min(usize::try_from(wanted).unwrap_or(usize::MAX));
                    let left = wanted - count as u64;
                    (count, if left == 0 { Skip::Nothing } else { Skip::Bytes(left) })
                }
                Skip::Until(delimiter) => match there.iter().position(|byte| *byte == delimiter) {
                    Some(at) => (at + 1, Skip::Nothing),
                    None => (there.len(), self.skip),
                },
            };
            self.drop_front(count);
            self.skip = left;
            if left != Skip::Nothing && self.more().await? == 0 {
                self.skip = Skip::Nothing;
            }
        }
        Ok(())
    }

    /// Reads another piece; 0 at the end. Cancelled: nothing has been read.
    async fn more(&mut self) -> io::Result<usize> {
        poll_fn(|cx| self.poll_more(cx)).await
    }

    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.ended {
            return Poll::Ready(Ok(0));
        }
        self.buf.drain(..self.start);
        self.start = 0;
        let old = self.buf.len();
        self.buf.resize(old + PIECE, 0);
        let polled = Pin::new(&mut self.inner).poll_read(cx, &mut self.buf[old..]);
        let count = match &polled {
            Poll::Ready(Ok(count)) => *count,
            _ => 0,
        };
        self.buf.truncate(old + count);
        self.ended = matches!(polled, Poll::Ready(Ok(0)));
        polled
    }
}

/// Through this trait nothing is thrown away: it is for code that does not know of limits.
impl<R: AsyncRead + Unpin> AsyncBufRead for BufReader<R> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        if this.buffer().is_empty() {
            ready!(this.poll_more(cx))?;
        }
        Poll::Ready(Ok(this.buffer()))
    }

    fn consume(self: Pin<&mut Self>, count: usize) {
        self.get_mut().drop_front(count);
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for BufReader<R> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let there = ready!(self.as_mut().poll_fill_buf(cx))?;
        let count = there.len().min(buf.len());
        buf[..count].copy_from_slice(&there[..count]);
        self.consume(count);
        Poll::Ready(Ok(count))
    }
}

/// Collects small writes, and writes them together when 8 KiB have come or it is flushed. What has not been flushed is lost
/// when it is dropped.
///
/// ```
/// use futures_io::AsyncWrite;
/// use trioxide_io::BufWriter;
/// # trioxide_runtime::run(async {
/// let mut writer = BufWriter::new(Vec::new());
/// writer.write_all(b"hello ").await?;
/// writer.write_all(b"world").await?;
/// assert!(writer.get_ref().is_empty());
/// writer.flush().await?;
/// assert_eq!(writer.get_ref(), b"hello world");
/// # Ok::<_, std::io::Error>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct BufWriter<W> {
    inner: W,
    /// What has not been written: `buf[start..]`.
    buf: Vec<u8>,
    start: usize,
}

impl<W> BufWriter<W> {
    /// A writer with nothing in its buffer.
    pub fn new(inner: W) -> BufWriter<W> {
        BufWriter { inner, buf: Vec::new(), start: 0 }
    }

    /// The stream.
    pub fn get_ref(&self) -> &W {
        &self.inner
    }

    /// What has not been written yet.
    pub fn buffer(&self) -> &[u8] {
        &self.buf[self.start..]
    }
}

impl<W: AsyncWrite + Unpin> BufWriter<W> {
    /// Takes all of `buf`; writes when there is enough.
    ///
    /// # Errors
    /// The stream's.
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint. Cancelled: `buf` was not taken; what was taken before is written in order by the next call.
    pub async fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
        checkpoint("BufWriter::write_all").await;
        if self.buffer().len() >= PIECE {
            poll_fn(|cx| self.poll_drain(cx)).await?;
        }
        self.buf.extend_from_slice(buf);
        Ok(())
    }

    /// Writes what was collected, and flushes the stream.
    ///
    /// # Errors
    /// The stream's.
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint. Cancelled: a part has been written; the next call goes on where this one stopped.
    pub async fn flush(&mut self) -> io::Result<()> {
        checkpoint("BufWriter::flush").await;
        poll_fn(|cx| {
            ready!(self.poll_drain(cx))?;
            Pin::new(&mut self.inner).poll_flush(cx)
        })
        .await
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.start < self.buf.len() {
            match ready!(Pin::new(&mut self.inner).poll_write(cx, &self.buf[self.start..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.start += count,
            }
        }
        self.buf.clear();
        self.start = 0;
        Poll::Ready(Ok(()))
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for BufWriter<W> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.buffer().len() >= PIECE {
            ready!(this.poll_drain(cx))?;
        }
        this.buf.extend_from_slice(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.inner).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.inner).poll_close(cx)
    }
}
