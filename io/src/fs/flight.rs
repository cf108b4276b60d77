//! The traits of futures-io for `File`: an operation that outlives the poll that began it.
//!
//! A poll may be the last: its task is cut, and the file is used later, by another. So the operation is the file's, and not the
//! caller's, and belongs to no scope. Whoever comes next waits for it:
//! - What was read, and not fetched, stays *ahead*, for the next read; anything else goes back before it first.
//! - What was being written is written. The next caller writes the same bytes, if it is the same one, and is told how much of them
//!   went; one with other bytes writes those after it.

use std::fmt;
use std::future::Future;
use std::io::{self, Seek, SeekFrom, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncSeek, AsyncWrite};
use parking_lot::Mutex;
use trioxide_runtime::{Blocking, lowlevel};

use super::File;
use super::file::read_piece;

/// What is under way, and what it has left.
#[derive(Default)]
pub(super) struct Flight {
    /// Polled only through `&mut`; the lock is there so that a file is `Sync`.
    operation: Option<Mutex<Operation>>,
    ahead: Vec<u8>,
    taken: usize,
    /// A read has landed, maybe at the end of the file, and nobody has asked for it yet.
    has_read: bool,
    /// What was written, and how much of it: until the writer asks.
    written: Option<(Vec<u8>, io::Result<usize>)>,
    sought: Option<(SeekFrom, io::Result<u64>)>,
    failed: Option<io::Error>,
}

type Operation = Pin<Box<dyn Future<Output = Landed> + Send>>;

enum Landed {
    Read(io::Result<Vec<u8>>),
    Written(Vec<u8>, io::Result<usize>),
    Sought(SeekFrom, io::Result<u64>),
}

impl Flight {
    /// Ready when nothing is under way; what a writer or seeker has not asked for is of no use to others. Their errors come out
    /// here.
    pub(super) fn poll_settled(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_landed(cx))?;
        let written = self.written.take().map(|(_, outcome)| outcome.map(drop));
        let sought = self.sought.take().map(|(_, outcome)| outcome.map(drop));
        Poll::Ready(written.or(sought).unwrap_or(Ok(())))
    }

    /// Ready when nothing is under way. An error of a read that nobody has fetched comes out here.
    fn poll_landed(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let operation = &mut self.operation;
        let landed = lowlevel::poll_stateless(cx, "File", |cx| match operation {
            Some(operation) => operation.get_mut().as_mut().poll(cx).map(Some),
            None => Poll::Ready(None),
        });
        if let Some(landed) = ready!(landed) {
            self.operation = None;
            match landed {
                Landed::Read(Ok(piece)) => (self.ahead, self.taken, self.has_read) = (piece, 0, true),
                Landed::Read(Err(error)) => self.failed = Some(error),
                Landed::Written(bytes, outcome) => self.written = Some((bytes, outcome)),
                Landed::Sought(to, outcome) => self.sought = Some((to, outcome)),
            }
        }
        Poll::Ready(self.failed.take().map_or(Ok(()), Err))
    }

    /// Moves what is ahead into `buf`; how much.
    pub(super) fn take_ahead(&mut self, buf: &mut [u8]) -> usize {
        let count = buf.len().min(self.ahead.len() - self.taken);
        buf[..count].copy_from_slice(&self.ahead[self.taken..][..count]);
        self.taken += count;
        self.has_read = false;
        count
    }

    /// Drops what is ahead; how much that was.
    pub(super) fn forget_ahead(&mut self) -> usize {
        let count = self.ahead.len() - self.taken;
        (self.ahead, self.taken, self.has_read) = (Vec::new(), 0, false);
        count
    }

    fn begin(&mut self, op: impl FnOnce() -> Landed + Send + 'static) {
        // Abandoned by the scope in which it begins, and not by the file.
        self.operation = Some(Mutex::new(Box::pin(Blocking::new().abandon_on_cancel().run(op))));
    }
}

impl AsyncRead for File {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let File { std, flight } = self.get_mut();
        loop {
            ready!(flight.poll_settled(cx))?;
            let has_read = flight.has_read;
            let count = flight.take_ahead(buf);
            if count > 0 || buf.is_empty() || has_read {
                return Poll::Ready(Ok(count));
            }
            let (file, wanted) = (std.clone(), buf.len());
            flight.begin(move || Landed::Read(read_piece(&mut &*file, wanted)));
        }
    }
}

impl AsyncWrite for File {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let File { std, flight } = self.get_mut();
        loop {
            ready!(flight.poll_landed(cx))?;
            match flight.written.take() {
                Some((bytes, outcome)) if buf.starts_with(&bytes) && (!bytes.is_empty() || buf.is_empty()) => {
                    return Poll::Ready(outcome);
                }
                Some((_, Err(error))) => return Poll::Ready(Err(error)),
                _ => {}
            }
            let (file, back) = (std.clone(), flight.forget_ahead());
            let bytes = buf[..buf.len().min(64 << 10)].to_vec();
            flight.begin(move || {
                let outcome = go_back(&file, back).and_then(|()| (&*file).write(&bytes));
                Landed::Written(bytes, outcome)
            });
        }
    }

    /// Waits until nothing is being written: there is no buffer.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flight = &mut self.get_mut().flight;
        ready!(flight.poll_landed(cx))?;
        match flight.written.take() {
            Some((_, Err(error))) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// As flushing: the drop closes.
    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

impl AsyncSeek for File {
    fn poll_seek(self: Pin<&mut Self>, cx: &mut Context<'_>, to: SeekFrom) -> Poll<io::Result<u64>> {
        let File { std, flight } = self.get_mut();
        loop {
            ready!(flight.poll_landed(cx))?;
            if let Some((_, outcome)) = flight.sought.take_if(|(asked, _)| *asked == to) {
                return Poll::Ready(outcome);
            }
            let (file, back) = (std.clone(), flight.forget_ahead());
            flight.begin(move || Landed::Sought(to, go_back(&file, back).and_then(|()| (&*file).seek(to))));
        }
    }
}

fn go_back(mut file: &std::fs::File, count: usize) -> io::Result<()> {
    match count {
        0 => Ok(()),
        count => file.seek(SeekFrom::Current(-(count as i64))).map(drop),
    }
}

impl fmt::Debug for Flight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flight").field("under_way", &self.operation.is_some()).finish_non_exhaustive()
    }
}
