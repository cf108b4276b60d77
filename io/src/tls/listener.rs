//! `TlsListener`.

use std::fmt;
use std::io;

use futures_io::{AsyncRead, AsyncWrite};

use super::{Acceptor, TlsStream};
use crate::Listen;

/// A listener whose connections speak TLS. The handshake is not done in `accept`, where one slow peer would hold up all others, but
/// with the first read or write, or when the handler asks for it. After Trio's `SSLListener`.
///
/// ```no_run
/// use trioxide_io::tls::{Acceptor, TlsListener, TlsStream, certificates, private_key};
/// use trioxide_io::{TcpListener, TcpStream, copy, serve};
/// # async fn example() -> std::io::Result<()> {
/// let acceptor = Acceptor::new(certificates(&std::fs::read("chain.pem")?)?, private_key(&std::fs::read("key.pem")?)?)?;
/// let listener = TlsListener::new(TcpListener::bind("0.0.0.0:4433").await?, acceptor);
/// serve(listener, |stream: TlsStream<TcpStream>, _peer| async move {
///     copy(&stream, &stream).await?;
///     stream.close().await
/// })
/// .await
/// # }
/// ```
pub struct TlsListener<L> {
    inner: L,
    acceptor: Acceptor,
}

impl<L> TlsListener<L> {
    /// TLS over what comes from `listener`.
    pub fn new(listener: L, acceptor: Acceptor) -> TlsListener<L> {
        TlsListener { inner: listener, acceptor }
    }

    /// The listener inside.
    pub fn get_ref(&self) -> &L {
        &self.inner
    }
}

impl<L: Listen> Listen for TlsListener<L>
where
    L::Stream: AsyncRead + AsyncWrite + Unpin,
{
    type Stream = TlsStream<L::Stream>;
    type Addr = L::Addr;

    async fn accept(&self) -> io::Result<(Self::Stream, Self::Addr)> {
        let (stream, peer) = self.inner.accept().await?;
        Ok((self.acceptor.wrap(stream)?, peer))
    }

    fn try_accept(&self) -> io::Result<(Self::Stream, Self::Addr)> {
        let (stream, peer) = self.inner.try_accept()?;
        Ok((self.acceptor.wrap(stream)?, peer))
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.inner.local_addr()
    }
}

impl<L: fmt::Debug> fmt::Debug for TlsListener<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TlsListener").field(&self.inner).finish()
    }
}
