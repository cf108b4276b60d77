//! Frames: a length, then so many bytes. [`Frames`] reads them, [`write_frame`] writes one.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;

use futures_io::{AsyncRead, AsyncWrite};

use crate::BufReader;
use crate::error::too_long;
use crate::wait::checkpoint;

/// The length that stands before each frame: four bytes, the most significant first.
const HEAD: usize = 4;

/// Reads frames: four bytes of length, the most significant first, and so many bytes.
///
/// ```
/// use trioxide_io::{Frames, pipe, write_frame};
/// # trioxide_runtime::run(async {
/// let (sender, receiver) = pipe()?;
/// write_frame(&sender, b"hello", 1024).await?;
/// write_frame(&sender, b"", 1024).await?;
/// drop(sender);
/// let mut frames = Frames::new(receiver, 1024);
/// assert_eq!(frames.next().await?.as_deref(), Some(&b"hello"[..]));
/// assert_eq!(frames.next().await?.as_deref(), Some(&b""[..]));
/// assert_eq!(frames.next().await?, None);
/// # Ok::<_, std::io::Error>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct Frames<R> {
    reader: BufReader<R>,
    limit: usize,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    /// Frames of at most `limit` bytes each, their lengths not counted.
    pub fn new(stream: R, limit: usize) -> Frames<R> {
        Frames { reader: BufReader::new(stream), limit }
    }

    /// The stream, with what has come of it and was not taken yet.
    pub fn into_reader(self) -> BufReader<R> {
        self.reader
    }

    /// The next frame; `None` when the stream ends between two.
    ///
    /// # Errors
    /// [`TooLong`](crate::TooLong) inside if its length is above the limit. The frame is thrown away by the next call, piece by
    /// piece: **the stream can be used further**, or closed if the peer is not worth it. `UnexpectedEof` if the stream ends
    /// inside a frame. The stream's.
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint. Cancelled: nothing has been taken; what has come is there for the next call.
    pub async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let head = self.reader.peek("Frames::next", HEAD).await?;
        let length = match head.len() {
            0 => return Ok(None),
            HEAD => u32::from_be_bytes(head.try_into().expect("four bytes")),
            there => return Err(cut(there, HEAD)),
        };
        // Above what memory could hold is above every limit.
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > self.limit {
            self.reader.skip_bytes(HEAD as u64 + length as u64);
            return Err(too_long("frame", self.limit, Some(length)));
        }
        let whole = HEAD + length;
        let there = self.reader.peek("Frames::next", whole).await?.len();
        if there < whole {
            return Err(cut(there, whole));
        }
        let mut frame = self.reader.read_exact(whole).await?;
        frame.drain(..HEAD);
        Ok(Some(frame))
    }
}

fn cut(there: usize, whole: usize) -> io::Error {
    let text = format!("the peer stopped sending inside a frame, after {there} of {whole} bytes");
    io::Error::new(io::ErrorKind::UnexpectedEof, text)
}

/// Writes one frame: its length in four bytes, the most significant first, and `frame`; and flushes.
///
/// # Errors
/// [`TooLong`](crate::TooLong) inside if `frame` has more than `limit` bytes, or more than four bytes can count; nothing has
/// been written then. The stream's; an unknown part has then been written.
///
/// # Panics
/// Outside a run.
///
/// # Cancellation
/// A checkpoint. Cancelled: an unknown part has been written, so the stream is of no more use for frames.
pub async fn write_frame<W: AsyncWrite + Unpin>(mut stream: W, frame: &[u8], limit: usize) -> io::Result<()> {
    checkpoint("write_frame").await;
    let limit = limit.min(u32::MAX as usize);
    if frame.len() > limit {
        return Err(too_long("frame", limit, Some(frame.len())));
    }
    let mut bytes = Vec::with_capacity(HEAD + frame.len());
    bytes.extend_from_slice(&(frame.len() as u32).to_be_bytes());
    bytes.extend_from_slice(frame);
    let mut left = &bytes[..];
    while !left.is_empty() {
        match poll_fn(|cx| Pin::new(&mut stream).poll_write(cx, left)).await? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            count => left = &left[count..],
        }
    }
    poll_fn(|cx| Pin::new(&mut stream).poll_flush(cx)).await
}
