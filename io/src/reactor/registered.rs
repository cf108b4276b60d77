//! A descriptor together with its registration, and the loop that tries an operation on it.
//!
//! Every operation goes through one of two doors, and both pass the checkpoint at each poll, before they try:
//! [`Registered::poll_io`] for the poll-style traits, [`Registered::io`] for the futures of `&self` methods.
//! Nothing is held between two polls but a place among the waiters; so a future that is dropped has taken
//! nothing.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use trioxide_runtime::lowlevel;

use super::Reactor;
use super::readiness::{Clear, Direction, Ready, Seen};
use super::source::{Place, Source};
use crate::sys;

/// A non-blocking descriptor that the reactor watches until this is dropped.
pub(crate) struct Registered<T: sys::Handle> {
    /// `None` only while `into_inner` or `drop` takes it out.
    io: Option<T>,
    key: usize,
    source: Arc<Source>,
    reactor: Arc<Reactor>,
}

/// What an operation brought.
pub(crate) struct Done<R> {
    value: R,
    drained: bool,
}

impl<R> Done<R> {
    /// The next try may succeed too.
    pub(crate) fn more(value: R) -> Done<R> {
        Done { value, drained: false }
    }
}

impl Done<usize> {
    /// `count` bytes of `asked` went through. Where the system reports each new edge, a short count
    /// means that the next try would block: no need to ask. (None at all is the end of the stream, which stays.)
    pub(crate) fn bytes(count: usize, asked: usize) -> Done<usize> {
        Done { value: count, drained: sys::SHORT_MEANS_DRAINED && 0 < count && count < asked }
    }
}

impl<T: sys::Handle> Registered<T> {
    /// Registers `io` with the reactor of the current runtime. `ready`: what to take for granted until the
    /// system says "would block".
    pub(crate) fn new(operation: &'static str, io: T, ready: Ready) -> io::Result<Registered<T>> {
        Registered::with(Reactor::current(operation)?, io, ready)
    }

    /// Registers `io` beside `self`, with the same reactor.
    pub(crate) fn beside<U: sys::Handle>(&self, io: U, ready: Ready) -> io::Result<Registered<U>> {
        Registered::with(self.reactor.clone(), io, ready)
    }

    fn with(reactor: Arc<Reactor>, io: T, ready: Ready) -> io::Result<Registered<T>> {
        let (key, source) = reactor.enter(&io, ready)?;
        Ok(Registered { io: Some(io), key, source, reactor })
    }

    pub(crate) fn get(&self) -> &T {
        self.io.as_ref().expect("taken out only at the end")
    }

    /// Takes the descriptor out of the reactor.
    pub(crate) fn into_inner(mut self) -> io::Result<T> {
        let io = self.io.take().expect("taken out only at the end");
        self.reactor.remove(self.key);
        self.reactor.selector.delete(&io)?;
        Ok(io)
    }

    /// Tries `op` at once if that may succeed; never waits.
    pub(crate) fn try_io<R>(
        &self,
        direction: Direction,
        mut op: impl FnMut(&T) -> io::Result<Done<R>>,
    ) -> io::Result<R> {
        match self.source.ready(direction) {
            Some(seen) => match self.attempt(direction, seen, &mut op) {
                Some(result) => result,
                None => Err(io::ErrorKind::WouldBlock.into()),
            },
            None => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// The poll-style door: one waiter for each direction, the last to poll.
    pub(crate) fn poll_io<R>(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        operation: &'static str,
        mut op: impl FnMut(&T) -> io::Result<Done<R>>,
    ) -> Poll<io::Result<R>> {
        self.poll_at(cx, direction, operation, &mut Place::Slot, &mut op)
    }

    /// The door of `&self` methods: any number of waiters.
    pub(crate) fn io<R, F>(&self, direction: Direction, operation: &'static str, op: F) -> Io<'_, T, F>
    where
        F: FnMut(&T) -> io::Result<Done<R>>,
    {
        Io { on: self, direction, operation, place: Place::Listed(None), op }
    }

    fn poll_at<R>(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        operation: &'static str,
        place: &mut Place,
        op: &mut impl FnMut(&T) -> io::Result<Done<R>>,
    ) -> Poll<io::Result<R>> {
        ready!(lowlevel::poll_checkpoint(cx, operation));
        loop {
            let seen = match self.source.ready(direction) {
                Some(seen) => seen,
                None => {
                    self.reactor.check_current(operation)?;
                    ready!(self.source.poll_ready(cx, direction, place, |wanted| {
                        self.reactor.selector.arm(self.get(), self.key, wanted)
                    }))?
                }
            };
            if let Some(result) = self.attempt(direction, seen, op) {
                return Poll::Ready(result);
            }
        }
    }

    /// Tries once; `None`: it would block, and the readiness has been cleared.
    fn attempt<R>(
        &self,
        direction: Direction,
        seen: Seen,
        op: &mut impl FnMut(&T) -> io::Result<Done<R>>,
    ) -> Option<io::Result<R>> {
        loop {
            return match op(self.get()) {
                Ok(done) => {
                    if done.drained {
                        self.source.clear(direction, seen, Clear::Drained);
                    }
                    Some(Ok(done.value))
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.source.clear(direction, seen, Clear::WouldBlock);
                    None
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Some(Err(error)),
            };
        }
    }
}

impl<T: sys::Handle> Drop for Registered<T> {
    fn drop(&mut self) {
        if let Some(io) = self.io.take() {
            // Out of the table first: from here on an event of this descriptor finds nothing.
            self.reactor.remove(self.key);
            self.reactor.selector.close(io);
        }
    }
}

impl<T: sys::Handle + fmt::Debug> fmt::Debug for Registered<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.io, f)
    }
}

/// The future of [`Registered::io`].
#[must_use = "futures do nothing unless awaited"]
pub(crate) struct Io<'a, T: sys::Handle, F> {
    on: &'a Registered<T>,
    direction: Direction,
    operation: &'static str,
    place: Place,
    op: F,
}

/// `op` is called through `&mut` and never pinned.
impl<T: sys::Handle, F> Unpin for Io<'_, T, F> {}

impl<T, F, R> Future for Io<'_, T, F>
where
    T: sys::Handle,
    F: FnMut(&T) -> io::Result<Done<R>>,
{
    type Output = io::Result<R>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<R>> {
        let this = &mut *self;
        this.on.poll_at(cx, this.direction, this.operation, &mut this.place, &mut this.op)
    }
}

impl<T: sys::Handle, F> Drop for Io<'_, T, F> {
    fn drop(&mut self) {
        self.on.source.leave(&mut self.place);
    }
}
