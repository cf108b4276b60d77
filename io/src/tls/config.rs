//! `Connector` and `Acceptor`: rustls's configurations, with the usual ways to make them.

use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};

use futures_io::{AsyncRead, AsyncWrite};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use trioxide_runtime::blocking;

use super::TlsStream;
use crate::TcpStream;

/// Connects to `host` as [`connect`](crate::connect()) does, and does the handshake, with the certificates that the system trusts.
///
/// # Errors
/// Those of [`connect`](crate::connect()) and of [`TlsStream::handshake`]; `InvalidInput` for a name that no certificate can have.
///
/// # Panics
/// Outside a run.
///
/// # Cancellation
/// A checkpoint. Cancelled: the connection is closed.
pub async fn connect(host: &str, port: u16) -> io::Result<TlsStream<TcpStream>> {
    static CONNECTOR: OnceLock<Connector> = OnceLock::new();
    let connector = match CONNECTOR.get() {
        Some(connector) => connector,
        None => {
            let new = blocking(Connector::new).await?;
            CONNECTOR.get_or_init(|| new)
        }
    };
    let stream = connector.wrap(host, crate::connect(host, port).await?)?;
    stream.handshake().await?;
    Ok(stream)
}

/// The client's side: whom it trusts, and what it shows. It can be made of any `Arc<ClientConfig>` of rustls.
#[derive(Clone)]
pub struct Connector {
    config: Arc<ClientConfig>,
}

impl Connector {
    /// Trusts those whom the system trusts. Reads files: make one, and clone it.
    ///
    /// # Errors
    /// `NotFound` if the system trusts nobody.
    pub fn new() -> io::Result<Connector> {
        let found = rustls_native_certs::load_native_certs();
        if found.certs.is_empty() {
            let why = found.errors.first().map_or_else(String::new, |error| format!(": {error}"));
            let text = format!(
                "no certificates that the system trusts were found{why}; install ca-certificates, or name them"
            );
            return Err(io::Error::new(io::ErrorKind::NotFound, text));
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found.certs);
        Ok(Connector::trusting(roots))
    }

    /// Trusts these only.
    ///
    /// # Errors
    /// `InvalidData` if one is no certificate.
    pub fn with_roots(roots: impl IntoIterator<Item = CertificateDer<'static>>) -> io::Result<Connector> {
        Ok(Connector::trusting(store(roots)?))
    }

    fn trusting(roots: RootCertStore) -> Connector {
        let builder = ClientConfig::builder_with_provider(provider());
        let builder = builder.with_safe_default_protocol_versions().expect("ring has ciphers for them");
        Arc::new(builder.with_root_certificates(roots).with_no_client_auth()).into()
    }

    /// Protocols to offer by ALPN, the one liked best first.
    pub fn alpn(mut self, protocols: impl IntoIterator<Item: AsRef<[u8]>>) -> Connector {
        Arc::make_mut(&mut self.config).alpn_protocols = names(protocols);
        self
    }

    /// Shows this certificate, with its chain, to servers that ask for one.
    ///
    /// # Errors
    /// `InvalidData` if the key cannot be used, or is another certificate's.
    pub fn client_certificate(
        mut self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> io::Result<Connector> {
        let certified = CertifiedKey::from_der(chain, key, self.config.crypto_provider()).map_err(invalid)?;
        let resolver = Arc::new(SingleCertAndKey::from(certified));
        Arc::make_mut(&mut self.config).client_auth_cert_resolver = resolver;
        Ok(self)
    }

    /// TLS over `transport`, to a server that shall be `name`: a domain or an IP address. The handshake is done later.
    ///
    /// # Errors
    /// `InvalidInput` for a name that no certificate can have.
    pub fn wrap<S: AsyncRead + AsyncWrite + Unpin>(&self, name: &str, transport: S) -> io::Result<TlsStream<S>> {
        let name = ServerName::try_from(name.to_owned()).map_err(|_| {
            let text = format!("TLS: no certificate can be for `{name}`: it is neither a domain nor an IP address");
            io::Error::new(io::ErrorKind::InvalidInput, text)
        })?;
        let connection = ClientConnection::new(self.config.clone(), name.clone()).map_err(invalid)?;
        Ok(TlsStream::new(transport, connection.into(), Some(&name)))
    }
}

/// The server's side: what it shows, and whom it wants to see. It can be made of any `Arc<ServerConfig>` of rustls.
#[derive(Clone)]
pub struct Acceptor {
    config: Arc<ServerConfig>,
}

impl Acceptor {
    /// Shows this certificate, with its chain, and asks for none.
    ///
    /// # Errors
    /// `InvalidData` if the key cannot be used, or is another certificate's.
    pub fn new(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> io::Result<Acceptor> {
        let builder = ServerConfig::builder_with_provider(provider());
        let builder = builder.with_safe_default_protocol_versions().expect("ring has ciphers for them");
        let config = builder.with_no_client_auth().with_single_cert(chain, key).map_err(invalid)?;
        Ok(Arc::new(config).into())
    }

    /// Protocols to choose from by ALPN, the one liked best first.
    pub fn alpn(mut self, protocols: impl IntoIterator<Item: AsRef<[u8]>>) -> Acceptor {
        Arc::make_mut(&mut self.config).alpn_protocols = names(protocols);
        self
    }

    /// Wants a certificate of each client, issued by one of these.
    ///
    /// # Errors
    /// `InvalidData` if one is no certificate; `InvalidInput` if there is none.
    pub fn require_client_certificate(
        self,
        roots: impl IntoIterator<Item = CertificateDer<'static>>,
    ) -> io::Result<Acceptor> {
        let verifier = WebPkiClientVerifier::builder_with_provider(store(roots)?.into(), provider())
            .build()
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let builder = ServerConfig::builder_with_provider(provider());
        let builder = builder.with_safe_default_protocol_versions().expect("ring has ciphers for them");
        let old = &self.config;
        let mut config = builder.with_client_cert_verifier(verifier).with_cert_resolver(old.cert_resolver.clone());
        config.alpn_protocols.clone_from(&old.alpn_protocols);
        Ok(Arc::new(config).into())
    }

    /// TLS over `transport`. The handshake is done later.
    ///
    /// # Errors
    /// `InvalidData` if the configuration is at odds with itself.
    pub fn wrap<S: AsyncRead + AsyncWrite + Unpin>(&self, transport: S) -> io::Result<TlsStream<S>> {
        let connection = ServerConnection::new(self.config.clone()).map_err(invalid)?;
        Ok(TlsStream::new(transport, connection.into(), None))
    }
}

/// The certificates of a PEM file, in its order.
///
/// # Errors
/// `InvalidData` if it is no PEM, or has no certificate.
pub fn certificates(pem: &[u8]) -> io::Result<Vec<CertificateDer<'static>>> {
    let all = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>().map_err(invalid)?;
    match all.is_empty() {
        true => Err(invalid("there is no certificate in this PEM file")),
        false => Ok(all),
    }
}

/// The first private key of a PEM file (PKCS #8, PKCS #1 or SEC 1).
///
/// # Errors
/// `InvalidData` if it is no PEM, or has no private key.
pub fn private_key(pem: &[u8]) -> io::Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        rustls::pki_types::pem::Error::NoItemsFound => invalid("there is no private key in this PEM file"),
        error => invalid(error),
    })
}

fn store(certificates: impl IntoIterator<Item = CertificateDer<'static>>) -> io::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate).map_err(invalid)?;
    }
    Ok(roots)
}

fn names(protocols: impl IntoIterator<Item: AsRef<[u8]>>) -> Vec<Vec<u8>> {
    protocols.into_iter().map(|protocol| protocol.as_ref().to_vec()).collect()
}

fn provider() -> Arc<CryptoProvider> {
    rustls::crypto::ring::default_provider().into()
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl From<Arc<ClientConfig>> for Connector {
    fn from(config: Arc<ClientConfig>) -> Connector {
        Connector { config }
    }
}

impl From<Arc<ServerConfig>> for Acceptor {
    fn from(config: Arc<ServerConfig>) -> Acceptor {
        Acceptor { config }
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor").finish_non_exhaustive()
    }
}
