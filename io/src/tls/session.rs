//! The state behind a `TlsStream`: rustls's connection and the transport, under one lock that no `.await` is in.
//!
//! # Invariants
//! 1. rustls holds what was encrypted and not yet sent. Whoever polls tries to send it first, so that what one user
//!    has left is sent by the next, and nobody waits for a peer that waits for it.
//! 2. Once `broken` is set nothing is read or written any more.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};
use rustls::Connection;
use rustls::pki_types::ServerName;

use super::error::{Broken, Refused};
use super::incoming::Incoming;
use super::wakers::{Side, User};
use crate::error::closed;

pub(super) struct Session<S> {
    pub(super) transport: S,
    pub(super) connection: Connection,
    incoming: Incoming,
    reads: Side,
    writes: Side,
    /// Whom the peer says to be, for errors.
    name: Option<String>,
    pub(super) broken: Option<Broken>,
    pub(super) allow_truncation: bool,
    /// Bytes of the handshake have gone to the transport, or come.
    began: bool,
    /// The transport has got something, and was not flushed to its end since.
    is_unflushed: bool,
    /// The transport has ended.
    ended: bool,
    /// The peer has said goodbye.
    said_goodbye: bool,
    /// This end has: nothing is written any more.
    pub(super) finished: bool,
    /// `Resource::close` was called.
    is_closed: bool,
    /// A user's own method waits in this direction, by `User`.
    pub(super) busy: [bool; 2],
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    pub(super) fn new(transport: S, connection: Connection, name: Option<&ServerName<'_>>) -> Session<S> {
        Session {
            transport,
            connection,
            incoming: Incoming::new(),
            reads: Side::new(),
            writes: Side::new(),
            name: name.map(|name| name.to_str().into_owned()),
            broken: None,
            allow_truncation: false,
            began: false,
            is_unflushed: false,
            ended: false,
            said_goodbye: false,
            finished: false,
            is_closed: false,
            busy: [false; 2],
        }
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Whether something of the handshake has happened, and not all.
    pub(super) fn is_in_handshake(&self) -> bool {
        self.began && self.is_handshaking()
    }

    pub(super) fn poll_handshake(&mut self, cx: &mut Context<'_>, user: User) -> Poll<io::Result<()>> {
        self.check()?;
        ready!(self.poll_ready(cx, user))?;
        match &self.connection {
            Connection::Client(_) => self.poll_send(cx, user),
            // What is left are session tickets. They go with what is polled next, and no handshake waits for them: the peer may write
            // before it reads (as Trio), and may have written all and be gone.
            Connection::Server(_) => {
                let _ = self.poll_out(cx, user);
                Poll::Ready(Ok(()))
            }
        }
    }

    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.poll_plain(cx, buf.len(), |plain| io::Read::read(plain, buf))
    }

    /// As [`poll_read`](Self::poll_read), into memory that need not be initialised: `put` is given what is there, up to `room` bytes.
    #[cfg(any(feature = "hyper", feature = "tokio-io"))]
    pub(super) fn poll_put(
        &mut self,
        cx: &mut Context<'_>,
        room: usize,
        mut put: impl FnMut(&[u8]),
    ) -> Poll<io::Result<usize>> {
        self.poll_plain(cx, room, |plain| {
            let there = io::BufRead::fill_buf(plain)?;
            let count = there.len().min(room);
            put(&there[..count]);
            io::BufRead::consume(plain, count);
            Ok(count)
        })
    }

    /// Until `take` finds something, or the end.
    fn poll_plain(
        &mut self,
        cx: &mut Context<'_>,
        room: usize,
        mut take: impl FnMut(&mut rustls::Reader<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        ready!(self.poll_ready(cx, User::Reader))?;
        if room == 0 {
            return Poll::Ready(Ok(0));
        }
        loop {
            match take(&mut self.connection.reader()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Poll::Ready(self.truncated()),
                read => return Poll::Ready(read),
            }
            // That it cannot be sent is told to who writes: what the peer has sent before it went is still to be read.
            let _ = self.poll_out(cx, User::Reader);
            ready!(self.poll_receive(cx, User::Reader))?;
        }
    }

    /// Takes some of `buf`, once all that was written before is sent. What it has taken is on its way, or goes with the next poll.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        operation: &'static str,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        if self.finished {
            return Poll::Ready(Err(closed(operation)));
        }
        ready!(self.poll_ready(cx, User::Writer))?;
        ready!(self.poll_send(cx, User::Writer))?;
        let count = io::Write::write(&mut self.connection.writer(), buf)?;
        let _ = self.poll_send(cx, User::Writer)?;
        Poll::Ready(Ok(count))
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        self.poll_send(cx, User::Writer)
    }

    /// Says goodbye. Does not wait for the peer's.
    pub(super) fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_closed {
            return Poll::Ready(Ok(()));
        }
        if !self.finished {
            self.finished = true;
            if self.broken.is_none() && self.began {
                self.connection.send_close_notify();
            }
        }
        // Without a handshake there is nobody yet to say goodbye to.
        if self.broken.is_some() || !self.began {
            return Poll::Ready(Ok(()));
        }
        self.poll_send(cx, User::Writer)
    }

    /// Says goodbye, and closes the transport whether that could be said or not.
    pub(super) fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _ = ready!(self.poll_finish(cx));
        Pin::new(&mut self.transport).poll_close(&mut self.writes.context(User::Writer, cx))
    }

    /// Ready when a write may go through.
    pub(super) fn poll_writable(&mut self, cx: &mut Context<'_>, operation: &'static str) -> Poll<io::Result<()>> {
        self.check()?;
        if self.finished {
            return Poll::Ready(Err(closed(operation)));
        }
        ready!(self.poll_ready(cx, User::Writer))?;
        self.poll_send(cx, User::Writer)
    }

    /// From now on all is closed; who waits is to be woken, by what this gives, outside of the lock.
    pub(super) fn close_now(&mut self) -> impl FnOnce() + use<S> {
        self.is_closed = true;
        let (reads, writes) = (self.reads.waker(), self.writes.waker());
        move || {
            reads.wake();
            writes.wake();
        }
    }

    /// A method of a user's was cut half-way.
    pub(super) fn cut(&mut self, what: &str) {
        let why = format!("a {what} was cancelled half-way, and what the peer has got of it is unknown");
        self.broken.get_or_insert_with(|| Broken::new(io::ErrorKind::BrokenPipe, why));
    }

    /// Reads until the peer's goodbye; what comes before it is an error.
    pub(super) fn poll_goodbye(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        while !self.said_goodbye {
            if self.ended {
                return Poll::Ready(self.truncated().map(drop));
            }
            ready!(self.poll_receive(cx, User::Reader))?;
            if matches!(io::Read::read(&mut self.connection.reader(), &mut [0]), Ok(1..)) {
                let text = "trioxide: `TlsStream::into_parts` while the peer still sends; read to the end first";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, text)));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// What has come after the peer's goodbye.
    pub(super) fn trailing(&mut self) -> Vec<u8> {
        self.incoming.take()
    }

    /// The handshake, if it is not done.
    fn poll_ready(&mut self, cx: &mut Context<'_>, user: User) -> Poll<io::Result<()>> {
        while self.connection.is_handshaking() {
            self.began = true;
            if self.ended {
                let why = "the peer closed the connection in the handshake";
                return Poll::Ready(Err(self.breaks(io::ErrorKind::UnexpectedEof, why)));
            }
            // Not waited for: a peer that waits for us to read, before it reads, would wait for ever where the transport has no room.
            let _ = self.poll_send(cx, user)?;
            ready!(self.poll_receive(cx, user))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Sends what is encrypted: invariant 1.
    fn poll_send(&mut self, cx: &mut Context<'_>, user: User) -> Poll<io::Result<()>> {
        self.poll_out(cx, user).map_err(|error| self.failed(error))
    }

    fn poll_out(&mut self, cx: &mut Context<'_>, user: User) -> Poll<io::Result<()>> {
        let Session { transport, connection, writes, is_unflushed, .. } = self;
        while connection.wants_write() {
            let mut out = Out { transport: &mut *transport, cx: &mut writes.context(user, cx) };
            match connection.write_tls(&mut out) {
                Ok(_) => *is_unflushed = true,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        // A transport that buffers (TLS in TLS, say) is not to keep it.
        if *is_unflushed {
            ready!(Pin::new(transport).poll_flush(&mut writes.context(user, cx)))?;
            *is_unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Takes in one record, or the end, or waits.
    fn poll_receive(&mut self, cx: &mut Context<'_>, user: User) -> Poll<io::Result<()>> {
        if self.said_goodbye {
            return Poll::Ready(Ok(()));
        }
        if self.incoming.is_empty() {
            let mut cx = self.reads.context(user, cx);
            let space = self.incoming.space();
            match ready!(Pin::new(&mut self.transport).poll_read(&mut cx, space)) {
                Ok(0) => {
                    self.ended = true;
                    self.connection.read_tls(&mut io::empty())?;
                }
                Ok(count) => self.incoming.filled(count),
                Err(error) => return Poll::Ready(Err(self.failed(error))),
            }
        }
        self.incoming.feed(&mut self.connection)?;
        match self.connection.process_new_packets() {
            Ok(state) => {
                self.said_goodbye = state.peer_has_closed();
                Poll::Ready(Ok(()))
            }
            Err(cause) => {
                // The peer is told why, if that goes without waiting.
                let _ = self.poll_send(&mut Context::from_waker(std::task::Waker::noop()), user);
                let refused = Refused { peer: self.name.clone(), cause };
                self.broken.get_or_insert_with(|| Broken::new(io::ErrorKind::BrokenPipe, refused.to_string()));
                Poll::Ready(Err(refused.to_error()))
            }
        }
    }

    fn check(&self) -> io::Result<()> {
        if self.is_closed {
            return Err(closed("TlsStream"));
        }
        self.broken.as_ref().map_or(Ok(()), |broken| Err(broken.to_error()))
    }

    fn truncated(&mut self) -> io::Result<usize> {
        if self.allow_truncation {
            return Ok(0);
        }
        let why = "the connection ended without the peer's goodbye: what was still to come may have been cut off";
        Err(self.breaks(io::ErrorKind::UnexpectedEof, why))
    }

    /// The transport's own error once, and from then on that it is broken.
    fn failed(&mut self, error: io::Error) -> io::Error {
        self.broken.get_or_insert_with(|| Broken::new(io::ErrorKind::BrokenPipe, error.to_string()));
        error
    }

    fn breaks(&mut self, kind: io::ErrorKind, why: &str) -> io::Error {
        self.broken.get_or_insert_with(|| Broken::new(kind, why)).to_error()
    }
}

/// The transport as rustls writes to it.
struct Out<'a, 'b, S> {
    transport: &'a mut S,
    cx: &'a mut Context<'b>,
}

impl<S: AsyncWrite + Unpin> io::Write for Out<'_, '_, S> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match Pin::new(&mut *self.transport).poll_write(self.cx, buf) {
            Poll::Ready(Ok(0)) if !buf.is_empty() => Err(io::ErrorKind::WriteZero.into()),
            Poll::Ready(written) => written,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn write_vectored(&mut self, bufs: &[io::IoSlice<'_>]) -> io::Result<usize> {
        match Pin::new(&mut *self.transport).poll_write_vectored(self.cx, bufs) {
            Poll::Ready(Ok(0)) if bufs.iter().any(|buf| !buf.is_empty()) => Err(io::ErrorKind::WriteZero.into()),
            Poll::Ready(written) => written,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
