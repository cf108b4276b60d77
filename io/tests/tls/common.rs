//! Certificates, and the two ends of a TLS connection.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};
use futures_util::future::try_join;
use rcgen::{BasicConstraints, CertificateParams, DnType, Issuer, KeyPair};
use trioxide_io::UnixStream;
use trioxide_io::tls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use trioxide_io::tls::{Acceptor, Connector, TlsStream};
use trioxide_runtime::CancelScope;

/// The numbers of workers on which everything is asserted.
pub(crate) const ALL: &[usize] = &[1, 2, 8];

/// Who issues certificates.
pub(crate) struct Authority {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(BasicConstraints::Unconstrained);
        // Of a name of its own: or else another is taken for it, whose signature is then wrong.
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("authority {}", COUNT.fetch_add(1, Ordering::Relaxed));
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Authority { certificate, issuer: Issuer::new(params, key) }
    }

    pub(crate) fn root(&self) -> [CertificateDer<'static>; 1] {
        [self.certificate.clone()]
    }

    /// A certificate for this name.
    pub(crate) fn issue(&self, name: &str) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        self.sign(CertificateParams::new([name.to_owned()]).unwrap())
    }

    /// One that has expired.
    pub(crate) fn issue_expired(&self, name: &str) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(2001, 1, 1);
        self.sign(params)
    }

    fn sign(&self, params: CertificateParams) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }

    pub(crate) fn acceptor(&self) -> Acceptor {
        let (chain, key) = self.issue("server.example");
        Acceptor::new(chain, key).unwrap()
    }

    pub(crate) fn connector(&self) -> Connector {
        Connector::with_roots(self.root()).unwrap()
    }
}

/// Of all tests that need no other. (Making keys is slow in a debug build.)
pub(crate) static AUTHORITY: LazyLock<Authority> = LazyLock::new(Authority::new);
static ENDS: LazyLock<(Connector, Acceptor)> = LazyLock::new(|| (AUTHORITY.connector(), AUTHORITY.acceptor()));

/// TLS over any two ends, before the handshake: the client and the server.
pub(crate) fn over<S: AsyncRead + AsyncWrite + Unpin>(client: S, server: S) -> (TlsStream<S>, TlsStream<S>) {
    let (connector, acceptor) = &*ENDS;
    (connector.wrap("server.example", client).unwrap(), acceptor.wrap(server).unwrap())
}

/// TLS over a socket pair, before the handshake.
pub(crate) fn pair() -> (TlsStream<UnixStream>, TlsStream<UnixStream>) {
    let (client, server) = UnixStream::pair().unwrap();
    over(client, server)
}

/// The same after it.
pub(crate) async fn ready_pair() -> (TlsStream<UnixStream>, TlsStream<UnixStream>) {
    let (client, server) = pair();
    shake(&client, &server).await.unwrap();
    (client, server)
}

pub(crate) async fn shake<S: AsyncRead + AsyncWrite + Unpin>(
    one: &TlsStream<S>,
    other: &TlsStream<S>,
) -> io::Result<()> {
    try_join(one.handshake(), other.handshake()).await.map(drop)
}

/// Whether the future is cut in a cancelled scope, at its first poll.
pub(crate) async fn is_checkpoint<F: Future>(future: F) -> bool {
    let scope = CancelScope::new();
    scope.handle().cancel("before it began");
    scope.run(future).await.is_err()
}

/// A transport that can be told to fail, and counts how often it is closed.
pub(crate) struct Watched {
    pub(crate) inner: UnixStream,
    pub(crate) writes_fail: bool,
    pub(crate) closed: Arc<AtomicUsize>,
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.writes_fail {
            return Poll::Ready(Err(io::Error::other("the wire is cut")));
        }
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.closed.fetch_add(1, Ordering::SeqCst);
        Pin::new(&mut self.inner).poll_close(cx)
    }
}
