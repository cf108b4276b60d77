//! Memory streams: a write never waits, unless a hook does.
//!
//! Each end has a queue of its own. By themselves the two know nothing of each other: what was written waits in the sender's queue until the
//! test takes it out, and what is read is what the test has put in. The *pump* carries bytes from the one to the other; a pair is two ends whose
//! hooks pump.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use parking_lot::Mutex;
use trioxide_io::Closed;
use trioxide_io::stream::{ReceiveStream, Resource, SendStream, StapledStream};
use trioxide_runtime::lowlevel::poll_checkpoint;

use super::queue::Queue;
use super::turn::{Direction, futures_read, futures_write};

type Done = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;
type Hook = Arc<dyn Fn() -> Done + Send + Sync>;
type CloseHook = Arc<dyn Fn() + Send + Sync>;

/// Two ends, connected to each other in both directions. After Trio's `memory_stream_pair`.
///
/// ```
/// use trioxide_io::stream::{ReceiveStream, SendStream};
/// use trioxide_testing::stream::memory_stream_pair;
///
/// trioxide_runtime::run(async {
///     let (client, server) = memory_stream_pair();
///     client.write_all(b"hello").await?;
///     let mut buf = [0; 8];
///     assert_eq!(server.read(&mut buf).await?, 5);
///     Ok::<_, std::io::Error>(())
/// })
/// .unwrap();
/// ```
pub fn memory_stream_pair()
-> (StapledStream<MemorySendStream, MemoryReceiveStream>, StapledStream<MemorySendStream, MemoryReceiveStream>) {
    let (there, at_other) = memory_stream_one_way_pair();
    let (back, at_one) = memory_stream_one_way_pair();
    (StapledStream { send: there, receive: at_one }, StapledStream { send: back, receive: at_other })
}

/// What is written to the first can be read from the second. After Trio's `memory_stream_one_way_pair`.
///
/// The hooks of the sender pump all bytes over; with other hooks the test decides what goes over and when.
pub fn memory_stream_one_way_pair() -> (MemorySendStream, MemoryReceiveStream) {
    let (send, receive) = (MemorySendStream::new(), MemoryReceiveStream::new());
    // The queues, and not the streams: these are closed when they are dropped, and a hook does not keep them.
    let (from, to) = (send.outgoing.clone(), receive.incoming.clone());
    let pump_all = move || pump(&from, &to, None).map(drop);
    let on_close = pump_all.clone();
    send.set_send_all_hook(move || std::future::ready(pump_all()));
    send.set_close_hook(move || {
        // The reader may be gone; there is nobody to tell.
        let _ = on_close();
    });
    (send, receive)
}

/// Takes what was written to `send`, at most `max_bytes` of it, and gives it to `receive`, also the end. False if there was nothing. After Trio's
/// `memory_stream_pump`.
///
/// # Errors
/// `BrokenPipe` if `receive` is closed.
pub fn memory_stream_pump(
    send: &MemorySendStream,
    receive: &MemoryReceiveStream,
    max_bytes: Option<usize>,
) -> io::Result<bool> {
    pump(&send.outgoing, &receive.incoming, max_bytes)
}

fn pump(from: &Queue, to: &Queue, max_bytes: Option<usize>) -> io::Result<bool> {
    const OPERATION: &str = "memory_stream_pump";
    let (mut moved, mut left, mut piece) = (false, max_bytes.unwrap_or(usize::MAX), [0; 4096]);
    while left > 0 {
        let room = left.min(piece.len());
        let count = match from.try_take(OPERATION, &mut piece[..room]) {
            Ok(0) => {
                to.end();
                return Ok(true);
            }
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        };
        if to.put(OPERATION, &piece[..count]).is_err() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        moved = true;
        left -= count;
    }
    if to.is_closed() {
        return Err(io::ErrorKind::BrokenPipe.into());
    }
    Ok(moved)
}

/// The end of a memory stream that is written. Dropping it closes it.
///
/// What is written waits here until it is taken out ([`get_data`](MemorySendStream::get_data)). After Trio's `MemorySendStream`.
#[derive(Default)]
pub struct MemorySendStream {
    outgoing: Arc<Queue>,
    direction: Direction,
    send_all_hook: Mutex<Option<Hook>>,
    writable_hook: Mutex<Option<Hook>>,
    close_hook: Mutex<Option<CloseHook>>,
    /// The hook of a write through `futures-io`'s traits, until it is done.
    under_way: Mutex<Option<Done>>,
}

impl MemorySendStream {
    /// A stream that nobody reads yet.
    pub fn new() -> MemorySendStream {
        MemorySendStream::default()
    }

    /// Awaited at the end of each `write_all`, when the bytes are here. Its errors are the write's.
    pub fn set_send_all_hook<F>(&self, hook: impl Fn() -> F + Send + Sync + 'static)
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let before = self.send_all_hook.lock().replace(Arc::new(move || Box::pin(hook())));
        drop(before);
    }

    /// Awaited at the end of each `writable`. Its errors are those of the wait.
    pub fn set_wait_send_all_might_not_block_hook<F>(&self, hook: impl Fn() -> F + Send + Sync + 'static)
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let before = self.writable_hook.lock().replace(Arc::new(move || Box::pin(hook())));
        drop(before);
    }

    /// Called at the end of each `close`, also that of a drop.
    pub fn set_close_hook(&self, hook: impl Fn() + Send + Sync + 'static) {
        let before = self.close_hook.lock().replace(Arc::new(hook));
        drop(before);
    }

    /// Takes what was written, at most `buf.len()` bytes; waits if there is nothing. 0 is the end.
    ///
    /// # Errors
    /// None of its own.
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint. Cancelled: nothing has been taken.
    pub async fn get_data(&self, buf: &mut [u8]) -> io::Result<usize> {
        const OPERATION: &str = "MemorySendStream::get_data";
        poll_fn(|cx| {
            ready!(poll_checkpoint(cx, OPERATION));
            self.outgoing.poll_take(cx, OPERATION, buf)
        })
        .await
    }

    /// As [`get_data`](MemorySendStream::get_data), without waiting. Not a checkpoint.
    ///
    /// # Errors
    /// `WouldBlock` if there is nothing yet.
    pub fn get_data_nowait(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.outgoing.try_take("MemorySendStream::get_data_nowait", buf)
    }

    fn poll_write_shared(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_flush_shared(cx))?;
        ready!(poll_checkpoint(cx, WRITE));
        self.outgoing.put(WRITE, buf)?;
        let hook = self.send_all_hook.lock().clone();
        *self.under_way.lock() = hook.map(|hook| hook());
        // What the hook says, if it takes time, the next operation says.
        match self.poll_flush_shared(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(buf.len())),
        }
    }

    fn poll_flush_shared(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(mut hook) = self.under_way.lock().take() else { return Poll::Ready(Ok(())) };
        let polled = hook.as_mut().poll(cx);
        if polled.is_pending() {
            *self.under_way.lock() = Some(hook);
        }
        polled
    }
}

const WRITE: &str = "MemorySendStream::write_all";
const WRITABLE: &str = "MemorySendStream::writable";

impl Resource for MemorySendStream {
    fn close(&self) {
        self.outgoing.end();
        let hook = self.close_hook.lock().clone();
        if let Some(hook) = hook {
            hook();
        }
    }
}

impl SendStream for MemorySendStream {
    async fn write_all(&self, buf: &[u8]) -> io::Result<()> {
        let _taken = self.direction.take(WRITE)?;
        poll_fn(|cx| poll_checkpoint(cx, WRITE)).await;
        self.outgoing.put(WRITE, buf)?;
        let hook = self.send_all_hook.lock().clone();
        match hook {
            Some(hook) => hook().await,
            None => Ok(()),
        }
    }

    async fn writable(&self) -> io::Result<()> {
        let _taken = self.direction.take(WRITABLE)?;
        poll_fn(|cx| poll_checkpoint(cx, WRITABLE)).await;
        self.outgoing.put(WRITABLE, b"")?;
        let hook = self.writable_hook.lock().clone();
        match hook {
            Some(hook) => hook().await,
            None => Ok(()),
        }
    }
}

/// The end of a memory stream that is read. Dropping it closes it.
///
/// What is read is what was put in ([`put_data`](MemoryReceiveStream::put_data)). After Trio's `MemoryReceiveStream`.
#[derive(Default)]
pub struct MemoryReceiveStream {
    incoming: Arc<Queue>,
    direction: Direction,
    receive_some_hook: Mutex<Option<Hook>>,
    close_hook: Mutex<Option<CloseHook>>,
    /// The hook of a read through `futures-io`'s traits, until it is done.
    under_way: Mutex<Option<Done>>,
}

impl MemoryReceiveStream {
    /// A stream that nobody writes to yet.
    pub fn new() -> MemoryReceiveStream {
        MemoryReceiveStream::default()
    }

    /// Awaited at the start of each `read`, before it looks for bytes. Its errors are the read's.
    pub fn set_receive_some_hook<F>(&self, hook: impl Fn() -> F + Send + Sync + 'static)
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let before = self.receive_some_hook.lock().replace(Arc::new(move || Box::pin(hook())));
        drop(before);
    }

    /// Called at the end of each `close`, also that of a drop.
    pub fn set_close_hook(&self, hook: impl Fn() + Send + Sync + 'static) {
        let before = self.close_hook.lock().replace(Arc::new(hook));
        drop(before);
    }

    /// Adds bytes to what is read.
    ///
    /// # Errors
    /// [`Closed`] after `close` or `put_eof`.
    pub fn put_data(&self, bytes: &[u8]) -> io::Result<()> {
        self.incoming.put("MemoryReceiveStream::put_data", bytes)
    }

    /// The reader comes to the end once it has read what was put in. May be called again.
    pub fn put_eof(&self) {
        self.incoming.end();
    }

    fn poll_read_shared(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        ready!(poll_checkpoint(cx, READ));
        let under_way = self.under_way.lock().take();
        let hook = under_way.or_else(|| self.receive_some_hook.lock().clone().map(|hook| hook()));
        if let Some(mut hook) = hook {
            let polled = hook.as_mut().poll(cx);
            if polled.is_pending() {
                *self.under_way.lock() = Some(hook);
            }
            ready!(polled)?;
        }
        self.incoming.poll_take(cx, READ, buf)
    }
}

const READ: &str = "MemoryReceiveStream::read";

impl Resource for MemoryReceiveStream {
    fn close(&self) {
        self.incoming.close();
        let hook = self.close_hook.lock().clone();
        if let Some(hook) = hook {
            hook();
        }
    }
}

impl ReceiveStream for MemoryReceiveStream {
    async fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        let _taken = self.direction.take(READ)?;
        poll_fn(|cx| poll_checkpoint(cx, READ)).await;
        if self.incoming.is_closed() {
            return Err(Closed::error(READ));
        }
        let hook = self.receive_some_hook.lock().clone();
        if let Some(hook) = hook {
            hook().await?;
        }
        poll_fn(|cx| self.incoming.poll_take(cx, READ, buf)).await
    }
}

impl Drop for MemorySendStream {
    fn drop(&mut self) {
        self.close();
    }
}

impl Drop for MemoryReceiveStream {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for MemorySendStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MemorySendStream").field(&self.outgoing).finish()
    }
}

impl fmt::Debug for MemoryReceiveStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MemoryReceiveStream").field(&self.incoming).finish()
    }
}

futures_write!(MemorySendStream);
futures_read!(MemoryReceiveStream);
