//! `TlsStream`.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};
use parking_lot::Mutex;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{Connection, ProtocolVersion};
use trioxide_runtime::lowlevel;

use super::error::NoHandshake;
use super::session::Session;
use super::wakers::User;
use crate::error::busy;

/// A TLS connection over the transport `S`. It is used through `&self`, one task for each direction: see the [module](super).
///
/// Dropping it drops the transport, without a goodbye to the peer: [`close`](TlsStream::close) says it.
pub struct TlsStream<S> {
    pub(super) session: Mutex<Session<S>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream<S> {
    pub(super) fn new(transport: S, connection: Connection, name: Option<&ServerName<'_>>) -> TlsStream<S> {
        TlsStream { session: Mutex::new(Session::new(transport, connection, name)) }
    }

    /// Takes a transport that ends without the peer's goodbye for an ordinary end. For protocols that say themselves where they
    /// end, as HTTP does, and peers that are in a hurry. (Trio's `https_compatible`.)
    pub fn allow_truncation(self) -> TlsStream<S> {
        self.session.lock().allow_truncation = true;
        self
    }

    /// Does the handshake, if it is not done. Reading and writing do so by themselves. Any number of calls may wait for it together.
    ///
    /// # Errors
    /// [`Refused`](super::Refused) inside: the peer's certificate, or what it speaks, is not accepted, or it does not accept ours;
    /// the transport's; [`Broken`](super::Broken) inside.
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint. Cancelled when it has begun, and nobody else is in it: the stream is broken.
    pub async fn handshake(&self) -> io::Result<()> {
        let mut call = Call::new(&self.session, "TlsStream::handshake", None);
        poll_fn(|cx| call.poll(cx, |session, cx| session.poll_handshake(cx, User::Writer))).await
    }

    /// Reads what is there, at most `buf.len()` bytes; waits if there is nothing. 0 is the end, with which the peer has said goodbye
    /// (or `buf` is empty).
    ///
    /// # Errors
    /// [`Broken`](super::Broken) inside, of kind `UnexpectedEof`, if the transport ends without a goodbye;
    /// [`Busy`](crate::Busy) while another task reads here; those of [`handshake`](TlsStream::handshake).
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint. Cancelled: nothing has been read; in the midst of the handshake: as [`handshake`](TlsStream::handshake).
    pub async fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        let mut call = Call::new(&self.session, "TlsStream::read", Some(User::Reader));
        poll_fn(|cx| call.poll(cx, |session, cx| session.poll_read(cx, buf))).await
    }

    /// Reads until `buf` is full.
    ///
    /// # Errors
    /// `UnexpectedEof` if the peer ends before, [`Broken`](super::Broken) or not; else as [`read`](TlsStream::read).
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint. Cancelled: an unknown part has been read into `buf`; else as [`read`](TlsStream::read).
    pub async fn read_exact(&self, buf: &mut [u8]) -> io::Result<()> {
        let mut call = Call::new(&self.session, "TlsStream::read_exact", Some(User::Reader));
        let mut filled = 0;
        loop {
            let read = poll_fn(|cx| call.poll(cx, |session, cx| session.poll_read(cx, &mut buf[filled..]))).await?;
            filled += read;
            if filled == buf.len() {
                return Ok(());
            }
            if read == 0 {
                let text = format!("the peer stopped sending after {filled} of {} bytes", buf.len());
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
            }
        }
    }

    /// Writes some of `buf`, and says how much: the transport has it then.
    ///
    /// # Errors
    /// [`Closed`](crate::Closed) after `finish`; [`Busy`](crate::Busy) while another task writes here; the transport's, and
    /// [`Broken`](super::Broken) from then on; those of [`handshake`](TlsStream::handshake).
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint. Cancelled half-way: the stream is broken.
    pub async fn write(&self, buf: &[u8]) -> io::Result<usize> {
        let mut call = Call::new(&self.session, "TlsStream::write", Some(User::Writer));
        let count = call.write(buf).await?;
        call.flush().await?;
        Ok(count)
    }

    /// Writes all of `buf`.
    ///
    /// # Errors
    /// As [`write`](TlsStream::write).
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint. Cancelled half-way: the stream is broken.
    pub async fn write_all(&self, mut buf: &[u8]) -> io::Result<()> {
        let mut call = Call::new(&self.session, "TlsStream::write_all", Some(User::Writer));
        loop {
            let count = call.write(buf).await?;
            buf = &buf[count..];
            if buf.is_empty() {
                return call.flush().await;
            }
        }
    }

    /// Waits until a write may go through without waiting. It may be mistaken: the transport says only in a write how much room it has.
    ///
    /// # Errors
    /// As [`write`](TlsStream::write).
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint. Cancelled: nothing has happened; in the midst of the handshake: as [`handshake`](TlsStream::handshake).
    pub async fn writable(&self) -> io::Result<()> {
        const OPERATION: &str = "TlsStream::writable";
        let mut call = Call::new(&self.session, OPERATION, Some(User::Writer));
        poll_fn(|cx| call.poll(cx, |session, cx| session.poll_writable(cx, OPERATION))).await
    }

    /// Says goodbye: the peer reads the end. Reading goes on. May be called again.
    ///
    /// # Errors
    /// The transport's; [`Busy`](crate::Busy) while another task writes here.
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint. Cancelled: the goodbye is sent with what is polled next.
    pub async fn finish(&self) -> io::Result<()> {
        let mut call = Call::new(&self.session, "TlsStream::finish", Some(User::Writer));
        poll_fn(|cx| call.poll(cx, |session, cx| session.poll_finish(cx))).await
    }

    /// Says goodbye and closes the transport, without waiting for the peer's goodbye. A stream that is broken, or had no handshake
    /// yet, is closed without one.
    ///
    /// # Errors
    /// The transport's of its closing; that the peer could not be told is none.
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint. Cancelled: the transport is dropped, and so closed, all the same.
    pub async fn close(self) -> io::Result<()> {
        let mut call = Call::new(&self.session, "TlsStream::close", Some(User::Writer));
        poll_fn(|cx| call.poll(cx, |session, cx| session.poll_close(cx))).await
    }

    /// Ends TLS and gives the transport back, with what has come after the peer's goodbye: says goodbye, and waits for
    /// the peer's. (Trio's `unwrap`.)
    ///
    /// # Errors
    /// `InvalidData` if the peer still sends; those of [`read`](TlsStream::read). The transport is dropped then.
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint. Cancelled: the transport is dropped.
    pub async fn into_parts(self) -> io::Result<(S, Vec<u8>)> {
        let mut call = Call::new(&self.session, "TlsStream::into_parts", Some(User::Reader));
        poll_fn(|cx| {
            call.poll(cx, |session, cx| {
                ready!(session.poll_handshake(cx, User::Reader))?;
                ready!(session.poll_finish(cx))?;
                session.poll_goodbye(cx)
            })
        })
        .await?;
        drop(call);
        let mut session = self.session.into_inner();
        let rest = session.trailing();
        Ok((session.transport, rest))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream<S> {
    /// The protocol that both sides have chosen by ALPN, if any.
    ///
    /// # Errors
    /// [`NoHandshake`] inside, before the handshake.
    pub fn alpn(&self) -> io::Result<Option<Vec<u8>>> {
        self.known("TlsStream::alpn", |connection| connection.alpn_protocol().map(<[u8]>::to_vec))
    }

    /// The peer's certificates, its own first; none from a client that was not asked for one.
    ///
    /// # Errors
    /// [`NoHandshake`] inside, before the handshake.
    pub fn peer_certificates(&self) -> io::Result<Vec<CertificateDer<'static>>> {
        self.known("TlsStream::peer_certificates", |connection| {
            connection
                .peer_certificates()
                .unwrap_or_default()
                .iter()
                .map(|certificate| certificate.clone().into_owned())
                .collect()
        })
    }

    /// The name that the client has asked for (SNI); only a server knows it.
    ///
    /// # Errors
    /// [`NoHandshake`] inside, before the handshake.
    pub fn server_name(&self) -> io::Result<Option<String>> {
        self.known("TlsStream::server_name", |connection| match connection {
            Connection::Server(server) => server.server_name().map(str::to_owned),
            Connection::Client(_) => None,
        })
    }

    /// The version of TLS.
    ///
    /// # Errors
    /// [`NoHandshake`] inside, before the handshake.
    pub fn version(&self) -> io::Result<ProtocolVersion> {
        self.known("TlsStream::version", |connection| {
            connection.protocol_version().expect("a handshake that is done has agreed on it")
        })
    }

    /// The transport, to change it. Reading and writing there would garble the stream.
    pub fn transport_mut(&mut self) -> &mut S {
        &mut self.session.get_mut().transport
    }

    fn known<T>(&self, operation: &'static str, get: impl FnOnce(&Connection) -> T) -> io::Result<T> {
        let session = self.session.lock();
        match session.is_handshaking() {
            true => Err(NoHandshake::error(operation)),
            false => Ok(get(&session.connection)),
        }
    }

    /// Does something with the transport, such as asking for its address. Reading and writing here would garble the stream.
    pub fn with_transport<T>(&self, with: impl FnOnce(&S) -> T) -> T {
        with(&self.session.lock().transport)
    }
}

impl<S> fmt::Debug for TlsStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream").finish_non_exhaustive()
    }
}

/// A method that waits. It has its direction to itself, from its first poll until it is dropped; dropped half-way, it breaks the
/// stream.
struct Call<'a, S: AsyncRead + AsyncWrite + Unpin> {
    session: &'a Mutex<Session<S>>,
    operation: &'static str,
    user: Option<User>,
    holds: bool,
    /// It was polled, and was pending then.
    waits: bool,
    /// Some of a write was taken, and not all was sent.
    is_writing: bool,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Call<'a, S> {
    fn new(session: &'a Mutex<Session<S>>, operation: &'static str, user: Option<User>) -> Call<'a, S> {
        Call { session, operation, user, holds: false, waits: false, is_writing: false }
    }

    fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Session<S>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        lowlevel::poll_stateless(cx, self.operation, |cx| {
            let mut session = self.session.lock();
            if let Some(user) = self.user
                && !self.holds
            {
                if session.busy[user as usize] {
                    return Poll::Ready(Err(busy(self.operation)));
                }
                session.busy[user as usize] = true;
                self.holds = true;
            }
            let polled = poll(&mut session, cx);
            self.waits = polled.is_pending();
            polled
        })
    }

    async fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let operation = self.operation;
        let count = poll_fn(|cx| self.poll(cx, |session, cx| session.poll_write(cx, operation, buf))).await?;
        self.is_writing |= count > 0;
        Ok(count)
    }

    async fn flush(&mut self) -> io::Result<()> {
        let flushed = poll_fn(|cx| self.poll(cx, |session, cx| session.poll_flush(cx))).await;
        self.is_writing = false;
        flushed
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Drop for Call<'_, S> {
    fn drop(&mut self) {
        let mut session = self.session.lock();
        if self.holds
            && let Some(user) = self.user
        {
            session.busy[user as usize] = false;
        }
        if self.is_writing {
            session.cut("write");
        } else if self.waits && session.is_in_handshake() && session.busy == [false; 2] {
            session.cut("handshake");
        }
    }
}
