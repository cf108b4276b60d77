//! Lockstep streams: no room at all. A write is done when its bytes have been read, and that forces an order over the two ends.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use parking_lot::Mutex;
use trioxide_io::Closed;
use trioxide_io::stream::{ReceiveStream, Resource, SendStream, StapledStream};
use trioxide_runtime::lowlevel::poll_checkpoint;

use super::turn::{Direction, futures_read, futures_write};

/// Two ends without room between them, connected in both directions. After Trio's `lockstep_stream_pair`.
pub fn lockstep_stream_pair()
-> (StapledStream<LockstepSendStream, LockstepReceiveStream>, StapledStream<LockstepSendStream, LockstepReceiveStream>)
{
    let (there, at_other) = lockstep_stream_one_way_pair();
    let (back, at_one) = lockstep_stream_one_way_pair();
    (StapledStream { send: there, receive: at_one }, StapledStream { send: back, receive: at_other })
}

/// What is written to the first has to be read from the second before the write is done. After Trio's `lockstep_stream_one_way_pair`.
///
/// ```
/// use trioxide_io::stream::{ReceiveStream, SendStream};
/// use trioxide_runtime::join;
/// use trioxide_testing::stream::lockstep_stream_one_way_pair;
///
/// trioxide_runtime::run(async {
///     let (send, receive) = lockstep_stream_one_way_pair();
///     let mut buf = [0; 8];
///     let (written, read) = join!(send.write_all(b"hello"), receive.read(&mut buf));
///     assert_eq!((written.is_ok(), read.unwrap()), (true, 5));
/// });
/// ```
pub fn lockstep_stream_one_way_pair() -> (LockstepSendStream, LockstepReceiveStream) {
    let shared = Arc::new(Shared::default());
    (
        LockstepSendStream { shared: shared.clone(), direction: Direction::default() },
        LockstepReceiveStream { shared, direction: Direction::default() },
    )
}

/// The end of a lockstep stream that is written. Dropping it closes it.
///
/// Through `futures-io`'s traits a write is done when the reader could have its bytes, and a flush when it has them.
#[derive(Debug)]
pub struct LockstepSendStream {
    shared: Arc<Shared>,
    direction: Direction,
}

/// The end of a lockstep stream that is read. Dropping it closes it.
#[derive(Debug)]
pub struct LockstepReceiveStream {
    shared: Arc<Shared>,
    direction: Direction,
}

#[derive(Debug, Default)]
struct Shared(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// What is being written and was not read yet.
    bytes: VecDeque<u8>,
    sender_closed: bool,
    receiver_closed: bool,
    receiver_waits: bool,
    writer: Option<Waker>,
    reader: Option<Waker>,
}

const WRITE: &str = "LockstepSendStream::write_all";
const WRITABLE: &str = "LockstepSendStream::writable";
const READ: &str = "LockstepReceiveStream::read";

impl Shared {
    /// Changes the state, and wakes both ends, outside the lock.
    fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.0.lock();
        let result = change(&mut state);
        let woken = [state.writer.take(), state.reader.take()];
        drop(state);
        woken.into_iter().flatten().for_each(Waker::wake);
        result
    }

    /// Waits until `look` has an answer.
    fn poll_writer<R>(&self, cx: &mut Context<'_>, look: impl FnOnce(&State) -> Option<R>) -> Poll<R> {
        let mut state = self.0.lock();
        if let Some(answer) = look(&state) {
            return Poll::Ready(answer);
        }
        let before = state.writer.replace(cx.waker().clone());
        drop(state);
        drop(before);
        Poll::Pending
    }
}

impl State {
    fn check_writer(&self, operation: &'static str) -> io::Result<()> {
        if self.sender_closed {
            return Err(Closed::error(operation));
        }
        if self.receiver_closed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(())
    }

    /// Whether everything that was written has been read, or never will be.
    fn is_read(&self, operation: &'static str) -> Option<io::Result<()>> {
        match self.check_writer(operation) {
            Ok(()) if !self.bytes.is_empty() => None,
            Err(_) if self.bytes.is_empty() && !self.sender_closed => Some(Ok(())),
            checked => Some(checked),
        }
    }
}

/// Takes back what was not read, when a write is dropped half-way.
struct TakeBack<'a>(&'a Shared);

impl Drop for TakeBack<'_> {
    fn drop(&mut self) {
        self.0.change(|state| state.bytes.clear());
    }
}

impl LockstepSendStream {
    fn poll_write_shared(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(poll_checkpoint(cx, WRITE));
        ready!(self.poll_flush_shared(cx))?;
        self.shared.change(|state| {
            state.check_writer(WRITE)?;
            state.bytes.extend(buf);
            Poll::Ready(Ok(buf.len()))
        })
    }

    fn poll_flush_shared(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared.poll_writer(cx, |state| state.is_read(WRITE))
    }
}

impl Resource for LockstepSendStream {
    fn close(&self) {
        self.shared.change(|state| {
            state.sender_closed = true;
            state.bytes.clear();
        });
    }
}

impl SendStream for LockstepSendStream {
    /// Done when everything has been read. Cancelled while it waits: an unknown part has been read, and no more will be.
    async fn write_all(&self, buf: &[u8]) -> io::Result<()> {
        let _taken = self.direction.take(WRITE)?;
        poll_fn(|cx| poll_checkpoint(cx, WRITE)).await;
        self.shared.change(|state| {
            state.check_writer(WRITE)?;
            state.bytes.extend(buf);
            Ok::<_, io::Error>(())
        })?;
        let _take_back = TakeBack(&self.shared);
        poll_fn(|cx| self.shared.poll_writer(cx, |state| state.is_read(WRITE))).await
    }

    /// Done when the reader waits.
    async fn writable(&self) -> io::Result<()> {
        let _taken = self.direction.take(WRITABLE)?;
        poll_fn(|cx| poll_checkpoint(cx, WRITABLE)).await;
        let look = |state: &State| match state.check_writer(WRITABLE) {
            Ok(()) if !state.receiver_waits => None,
            Err(_) if !state.sender_closed => Some(Ok(())),
            checked => Some(checked),
        };
        poll_fn(|cx| self.shared.poll_writer(cx, look)).await
    }
}

impl LockstepReceiveStream {
    fn poll_read_shared(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        ready!(poll_checkpoint(cx, READ));
        self.poll_take(cx, buf)
    }

    fn poll_take(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut state = self.shared.0.lock();
        if state.receiver_closed {
            return Poll::Ready(Err(Closed::error(READ)));
        }
        let count = buf.len().min(state.bytes.len());
        if count == 0 && !buf.is_empty() && !state.sender_closed {
            let before = state.reader.replace(cx.waker().clone());
            let writer = (!std::mem::replace(&mut state.receiver_waits, true)).then(|| state.writer.take());
            drop(state);
            drop(before);
            writer.flatten().into_iter().for_each(Waker::wake);
            return Poll::Pending;
        }
        for (to, byte) in buf.iter_mut().zip(state.bytes.drain(..count)) {
            *to = byte;
        }
        state.receiver_waits = false;
        drop(state);
        self.shared.change(|_| Poll::Ready(Ok(count)))
    }
}

impl Resource for LockstepReceiveStream {
    fn close(&self) {
        self.shared.change(|state| state.receiver_closed = true);
    }
}

/// The reader waits no more when its read is dropped.
struct Leave<'a>(&'a Shared);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.0.lock().receiver_waits = false;
    }
}

impl ReceiveStream for LockstepReceiveStream {
    async fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        let _taken = self.direction.take(READ)?;
        poll_fn(|cx| poll_checkpoint(cx, READ)).await;
        let _leave = Leave(&self.shared);
        poll_fn(|cx| self.poll_take(cx, buf)).await
    }
}

impl Drop for LockstepSendStream {
    fn drop(&mut self) {
        self.close();
    }
}

impl Drop for LockstepReceiveStream {
    fn drop(&mut self) {
        self.close();
    }
}

futures_write!(LockstepSendStream);
futures_read!(LockstepReceiveStream);
