//! Bytes between two ends, with all the room that is wanted.

use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use trioxide_io::Closed;

#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    bytes: VecDeque<u8>,
    /// No more bytes are put in.
    ended: bool,
    /// Nobody takes bytes out any more.
    closed: bool,
    reader: Option<Waker>,
}

impl Queue {
    /// Puts bytes in; none ask whether that is still possible.
    pub(super) fn put(&self, operation: &'static str, bytes: &[u8]) -> io::Result<()> {
        self.change(|state| match state.ended || state.closed {
            true => Err(Closed::error(operation)),
            false => {
                state.bytes.extend(bytes);
                Ok(())
            }
        })
    }

    /// No more bytes come. May be said again.
    pub(super) fn end(&self) {
        self.change(|state| state.ended = true);
    }

    /// Nobody takes bytes out any more; those that are there are lost.
    pub(super) fn close(&self) {
        self.change(|state| {
            state.closed = true;
            state.bytes.clear();
        });
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    /// At most `buf.len()` bytes; none if there are none and none will come.
    pub(super) fn poll_take(
        &self,
        cx: &mut Context<'_>,
        operation: &'static str,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.state.lock();
        match state.take(operation, buf) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let before = state.reader.replace(cx.waker().clone());
                drop(state);
                drop(before);
                Poll::Pending
            }
            taken => Poll::Ready(taken),
        }
    }

    /// As `poll_take`; `WouldBlock` if there is nothing yet.
    pub(super) fn try_take(&self, operation: &'static str, buf: &mut [u8]) -> io::Result<usize> {
        self.state.lock().take(operation, buf)
    }

    /// Changes the state, and wakes who waits for that, outside the lock.
    fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.state.lock();
        let result = change(&mut state);
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
        result
    }
}

impl State {
    fn take(&mut self, operation: &'static str, buf: &mut [u8]) -> io::Result<usize> {
        if self.closed {
            return Err(Closed::error(operation));
        }
        let count = buf.len().min(self.bytes.len());
        if count == 0 && !buf.is_empty() && !self.ended {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        for (to, byte) in buf.iter_mut().zip(self.bytes.drain(..count)) {
            *to = byte;
        }
        Ok(count)
    }
}
