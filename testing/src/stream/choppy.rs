//! Partial reads and writes: [`Choppy`].

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};

/// A stream that does what a stream may do and seldom does: it reads and writes in pieces, and has to be waited for before each.
///
/// What reads or writes through it has to bring about the same in whatever pieces it goes. To sweep a codec, make the pieces end at each
/// place once:
///
/// ```
/// use futures_util::AsyncReadExt;
/// use trioxide_testing::stream::Choppy;
///
/// trioxide_runtime::run(async {
///     for place in 0..5 {
///         let mut stream = Choppy::cut_at(&b"hello"[..], [place]);
///         let mut all = Vec::new();
///         stream.read_to_end(&mut all).await.unwrap();
///         assert_eq!(all, b"hello");
///     }
/// });
/// ```
///
/// Before each piece it is pending once, and wakes its task. Neither it nor any stream of `futures-io`'s may give `Interrupted` or `WouldBlock`: those are
/// the system's, and for them there is [`Storm`](crate::network::Storm).
#[derive(Debug)]
pub struct Choppy<S> {
    inner: S,
    reading: Pieces,
    writing: Pieces,
}

/// How long the next piece may be.
#[derive(Clone, Debug)]
struct Pieces {
    plan: Plan,
    /// Bytes that have gone through.
    done: usize,
    has_waited: bool,
}

#[derive(Clone, Debug)]
enum Plan {
    OfSize(usize),
    /// Pieces end at these places, and nowhere else.
    At(VecDeque<usize>),
    ByChance(fastrand::Rng),
}

impl<S> Choppy<S> {
    /// Pieces of at most `size` bytes.
    ///
    /// # Panics
    /// If `size` is zero.
    pub fn pieces(inner: S, size: usize) -> Choppy<S> {
        assert!(size > 0, "trioxide: `Choppy::pieces` of no bytes would be the end of the stream; use 1 or more");
        Choppy::new(inner, Plan::OfSize(size))
    }

    /// Pieces that end after so many bytes from the start of the stream, in each direction; after the last place everything goes in one piece.
    pub fn cut_at(inner: S, places: impl IntoIterator<Item = usize>) -> Choppy<S> {
        Choppy::new(inner, Plan::At(places.into_iter().collect()))
    }

    /// Pieces of 1 to 64 bytes, by chance; `seed` decides.
    pub fn by_chance(inner: S, seed: u64) -> Choppy<S> {
        Choppy::new(inner, Plan::ByChance(fastrand::Rng::with_seed(seed)))
    }

    fn new(inner: S, plan: Plan) -> Choppy<S> {
        let pieces = Pieces { plan, done: 0, has_waited: false };
        Choppy { inner, reading: pieces.clone(), writing: pieces }
    }

    /// The stream.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The stream.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl Pieces {
    /// How many bytes of `asked` may go now.
    fn poll_next(&mut self, cx: &mut Context<'_>, asked: usize) -> Poll<usize> {
        if !std::mem::replace(&mut self.has_waited, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let size = match &mut self.plan {
            Plan::OfSize(size) => *size,
            Plan::At(places) => {
                while places.front().is_some_and(|place| *place <= self.done) {
                    places.pop_front();
                }
                places.front().map_or(usize::MAX, |place| place - self.done)
            }
            Plan::ByChance(random) => random.usize(1..=64),
        };
        Poll::Ready(size.min(asked))
    }

    fn went(&mut self, count: usize) {
        self.done += count;
        self.has_waited = false;
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Choppy<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let size = ready!(this.reading.poll_next(cx, buf.len()));
        let read = ready!(Pin::new(&mut this.inner).poll_read(cx, &mut buf[..size]));
        this.reading.went(*read.as_ref().unwrap_or(&0));
        Poll::Ready(read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Choppy<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let size = ready!(this.writing.poll_next(cx, buf.len()));
        let written = ready!(Pin::new(&mut this.inner).poll_write(cx, &buf[..size]));
        this.writing.went(*written.as_ref().unwrap_or(&0));
        Poll::Ready(written)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_close(cx)
    }
}
