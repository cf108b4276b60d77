//! A descriptor together with its registration, and the loop that tries an operation on it. Every kind of
//! descriptor uses this one; what they add is only which operations there are.
//!
//! Every operation goes through one of two doors, and both pass the checkpoint at each poll, before they try:
//! [`Registered::poll_io`] for the poll-style traits, [`Registered::io`] and [`Registered::sole`] for the futures of
//! `&self` methods. Nothing is held between two polls but a place among the waiters, and with `sole` the direction;
//! so a future that is dropped has taken nothing.
//!
//! # One at a time, or many
//! Bytes of a stream that two tasks read at once are of use to neither: there an operation takes the direction for
//! itself as soon as it has to wait ([`Registered::sole`]), and who comes meanwhile is told `Busy`. A listener's
//! connections and a socket's datagrams are whole, so any number of tasks may wait for them ([`Registered::io`]). The
//! poll-style traits have no notion of two callers: the last that polled is woken.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use trioxide_runtime::lowlevel;

use super::Reactor;
use super::readiness::{Clear, Direction, Look, Ready, Seen};
use super::source::{Place, Source};
use crate::error::{busy, closed};
use crate::sys;
use crate::wait::checkpoint;

/// A non-blocking descriptor that the reactor watches until this is dropped.
pub(crate) struct Registered<T: sys::Handle> {
    /// `None` once `into_inner`, `close_now` or `drop` has taken it out.
    io: Option<T>,
    source: Arc<Source>,
    /// `None`: no descriptor; it says by itself when it is ready.
    reactor: Option<Arc<Reactor>>,
}

/// What an operation brought.
pub(crate) struct Done<R> {
    value: R,
    drained: bool,
    /// No bytes, though some were asked for: the end, of the peer's making or of ours.
    nothing: bool,
}

impl<R> Done<R> {
    /// The next try may succeed too.
    pub(crate) fn more(value: R) -> Done<R> {
        Done { value, drained: false, nothing: false }
    }
}

impl Done<usize> {
    /// `count` bytes of `asked` went through. Where the system reports each new edge, a short count
    /// means that the next try would block: no need to ask. (None at all is the end of the stream, which stays.)
    pub(crate) fn bytes(count: usize, asked: usize) -> Done<usize> {
        Done {
            value: count,
            drained: sys::SHORT_MEANS_DRAINED && 0 < count && count < asked,
            nothing: count == 0 && asked > 0,
        }
    }
}

impl<T: sys::Handle> Registered<T> {
    /// Registers `io` with the reactor of the current runtime. `ready`: what to take for granted until the
    /// system says "would block".
    pub(crate) fn new(operation: &'static str, io: T, ready: Ready) -> io::Result<Registered<T>> {
        let reactor = Reactor::current(operation)?;
        let source = Arc::new(Source::new(ready));
        source.set_key(reactor.enter(&io, &source)?);
        Ok(Registered { io: Some(io), source, reactor: Some(reactor) })
    }

    /// Beside `self`, with the same reactor, and registered only when somebody has to wait: a short connection never has.
    pub(crate) fn beside<U: sys::Handle>(&self, io: U, ready: Ready) -> Registered<U> {
        debug_assert!(self.reactor.is_some(), "what the system has accepted stands beside a descriptor of its own");
        Registered { io: Some(io), source: Arc::new(Source::new(ready)), reactor: self.reactor.clone() }
    }

    /// What is no descriptor, and says by `source` when it is ready.
    pub(crate) fn without_descriptor(io: T, source: Arc<Source>) -> Registered<T> {
        Registered { io: Some(io), source, reactor: None }
    }

    /// Whether it is the system's.
    pub(crate) fn has_descriptor(&self) -> bool {
        self.reactor.is_some()
    }

    /// Operations come here only while this is not closed.
    pub(crate) fn get(&self) -> &T {
        self.io.as_ref().expect("trioxide: the descriptor of what has been closed was asked for; ask before closing it")
    }

    /// Takes the descriptor out of the reactor.
    pub(crate) fn into_inner(mut self) -> io::Result<T> {
        let io = self
            .io
            .take()
            .expect("trioxide: the descriptor of what has been closed was asked for; ask before closing it");
        if let Some(reactor) = &self.reactor
            && let Some(key) = self.source.take_key()
        {
            reactor.remove(key);
            reactor.selector.delete(&io)?;
        }
        Ok(io)
    }

    /// Tries `op` at once if that may succeed; never waits.
    pub(crate) fn try_io<R>(
        &self,
        direction: Direction,
        operation: &'static str,
        mut op: impl FnMut(&T) -> io::Result<Done<R>>,
    ) -> io::Result<R> {
        let result = match self.source.look(direction, false) {
            Look::Ready(seen) => self.attempt(direction, operation, seen, &mut op),
            Look::NotYet => None,
            Look::Held => return Err(busy(operation)),
            Look::Gone => return Err(closed(operation)),
        };
        result.unwrap_or_else(|| Err(io::ErrorKind::WouldBlock.into()))
    }

    /// A checkpoint that tries nothing but whether this is still open.
    pub(crate) async fn touch(&self, direction: Direction, operation: &'static str) -> io::Result<()> {
        checkpoint(operation).await;
        match self.source.look(direction, false) {
            Look::Ready(_) | Look::NotYet => Ok(()),
            Look::Held => Err(busy(operation)),
            Look::Gone => Err(closed(operation)),
        }
    }

    /// From now on every operation, also one that waits, is told `Closed`. The descriptor itself is closed when
    /// this is dropped: until then somebody may be in a system call with it.
    pub(crate) fn close(&self) {
        self.end(Ready::GONE);
    }

    /// As [`close`](Registered::close), for the directions that `which` says are gone.
    pub(crate) fn end(&self, which: Ready) {
        let mut wakers = Vec::new();
        self.source.event(which, false, &mut wakers);
        for waker in wakers {
            waker.wake();
        }
    }

    /// As [`close`](Registered::close), and closes the descriptor: nobody else can be using it.
    pub(crate) fn close_now(&mut self) {
        self.close();
        self.let_go();
    }

    fn let_go(&mut self) {
        if let Some(io) = self.io.take()
            && let Some(reactor) = &self.reactor
            && let Some(key) = self.source.take_key()
        {
            // Out of the table first: from here on an event of this descriptor finds nothing.
            reactor.remove(key);
            reactor.selector.close(io);
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_gone(Direction::Read) && self.is_gone(Direction::Write)
    }

    /// The poll-style door: one waiter for each direction, the last to poll.
    pub(crate) fn poll_io<R>(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        operation: &'static str,
        mut op: impl FnMut(&T) -> io::Result<Done<R>>,
    ) -> Poll<io::Result<R>> {
        self.poll_at(cx, direction, operation, &mut Place::Slot, &mut Share::Any, &mut op)
    }

    /// The door of `&self` methods: any number of waiters.
    pub(crate) fn io<R, F>(&self, direction: Direction, operation: &'static str, op: F) -> Io<'_, T, F>
    where
        F: FnMut(&T) -> io::Result<Done<R>>,
    {
        Io { on: self, direction, operation, place: Place::Listed(None), share: Share::Any, op }
    }

    /// As [`io`](Registered::io), one at a time: others are told `Busy` while this one waits.
    pub(crate) fn sole<R, F>(&self, direction: Direction, operation: &'static str, op: F) -> Io<'_, T, F>
    where
        F: FnMut(&T) -> io::Result<Done<R>>,
    {
        Io { on: self, direction, operation, place: Place::Listed(None), share: Share::Sole, op }
    }

    /// Takes the direction for several operations in a row, made with [`Held::io`].
    pub(crate) fn hold(&self, direction: Direction, operation: &'static str) -> io::Result<Held<'_, T>> {
        match self.source.hold(direction) {
            true => Ok(Held { on: self, direction, operation }),
            false => Err(busy(operation)),
        }
    }

    fn poll_at<R>(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        operation: &'static str,
        place: &mut Place,
        share: &mut Share,
        op: &mut impl FnMut(&T) -> io::Result<Done<R>>,
    ) -> Poll<io::Result<R>> {
        ready!(lowlevel::poll_checkpoint(cx, operation));
        loop {
            match self.source.look(direction, *share != Share::Sole) {
                Look::Ready(seen) => {
                    if let Some(result) = self.attempt(direction, operation, seen, op) {
                        return Poll::Ready(result);
                    }
                }
                Look::NotYet => {
                    if let Some(reactor) = &self.reactor {
                        reactor.check_current(operation)?;
                    }
                    if *share == Share::Sole {
                        if !self.source.hold(direction) {
                            return Poll::Ready(Err(busy(operation)));
                        }
                        *share = Share::Holds;
                    }
                    let polled = self.source.poll_ready(cx, direction, place, |key, wanted| match &self.reactor {
                        Some(reactor) => reactor.arm(self.get(), &self.source, key, wanted),
                        None => Ok(()),
                    });
                    match polled {
                        Poll::Ready(outcome) => outcome?,
                        Poll::Pending => {
                            // Asked again at each poll: those that are polled after this one need the budget.
                            lowlevel::stays_pending();
                            return Poll::Pending;
                        }
                    }
                }
                Look::Held => return Poll::Ready(Err(busy(operation))),
                Look::Gone => return Poll::Ready(Err(closed(operation))),
            }
        }
    }

    /// Tries once; `None`: it would block, and the readiness has been cleared.
    fn attempt<R>(
        &self,
        direction: Direction,
        operation: &'static str,
        seen: Seen,
        op: &mut impl FnMut(&T) -> io::Result<Done<R>>,
    ) -> Option<io::Result<R>> {
        loop {
            return match op(self.get()) {
                // It was closed after we had looked: what the system says of that is not the peer's doing.
                Ok(Done { nothing: true, .. }) if self.is_gone(direction) => Some(Err(closed(operation))),
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
                Err(_) if self.is_gone(direction) => Some(Err(closed(operation))),
                Err(error) => Some(Err(error)),
            };
        }
    }

    fn is_gone(&self, direction: Direction) -> bool {
        matches!(self.source.look(direction, true), Look::Gone)
    }
}

impl<T: sys::Handle> Drop for Registered<T> {
    fn drop(&mut self) {
        self.let_go();
    }
}

impl<T: sys::Handle + fmt::Debug> fmt::Debug for Registered<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.io {
            Some(io) => fmt::Debug::fmt(io, f),
            None => f.write_str("closed"),
        }
    }
}

/// Whether an operation shares its direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Share {
    /// With everybody, or with the holder it belongs to.
    Any,
    /// With nobody: it takes the direction once it has to wait.
    Sole,
    /// It has taken the direction.
    Holds,
}

/// A direction that is taken, for several operations in a row.
#[must_use = "the direction is given back when this is dropped"]
pub(crate) struct Held<'a, T: sys::Handle> {
    on: &'a Registered<T>,
    direction: Direction,
    operation: &'static str,
}

impl<'a, T: sys::Handle> Held<'a, T> {
    pub(crate) fn io<R, F>(&self, op: F) -> Io<'a, T, F>
    where
        F: FnMut(&T) -> io::Result<Done<R>>,
    {
        self.on.io(self.direction, self.operation, op)
    }
}

impl<T: sys::Handle> Drop for Held<'_, T> {
    fn drop(&mut self) {
        self.on.source.let_go(self.direction);
    }
}

/// The future of [`Registered::io`] and [`Registered::sole`].
#[must_use = "futures do nothing unless awaited"]
pub(crate) struct Io<'a, T: sys::Handle, F> {
    on: &'a Registered<T>,
    direction: Direction,
    operation: &'static str,
    place: Place,
    share: Share,
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
        let polled =
            this.on.poll_at(cx, this.direction, this.operation, &mut this.place, &mut this.share, &mut this.op);
        if polled.is_ready() {
            // A future that has ended may be kept for long.
            this.leave();
        }
        polled
    }
}

impl<T: sys::Handle, F> Io<'_, T, F> {
    fn leave(&mut self) {
        self.on.source.leave(&mut self.place);
        if self.share == Share::Holds {
            self.share = Share::Sole;
            self.on.source.let_go(self.direction);
        }
    }
}

impl<T: sys::Handle, F> Drop for Io<'_, T, F> {
    fn drop(&mut self) {
        self.leave();
    }
}
