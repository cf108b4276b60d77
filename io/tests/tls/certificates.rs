//! Who is trusted, and what is agreed on; and errors that say what is wrong.

use futures_util::future::join;
use trioxide_io::tls::rustls::ProtocolVersion;
use trioxide_io::tls::{Acceptor, Connector, Refused, TlsListener, TlsStream, certificates, private_key};
use trioxide_io::{Server, TcpListener, TcpStream, UnixStream};
use trioxide_runtime::{Nursery, nursery};
use trioxide_testing::on_each;

use crate::common::{ALL, AUTHORITY, Authority, over, shake};

fn ends(connector: &Connector, acceptor: &Acceptor, name: &str) -> (TlsStream<UnixStream>, TlsStream<UnixStream>) {
    let (client, server) = UnixStream::pair().unwrap();
    (connector.wrap(name, client).unwrap(), acceptor.wrap(server).unwrap())
}

/// What both sides say of a handshake that fails.
async fn refused(client: TlsStream<UnixStream>, server: TlsStream<UnixStream>) -> (String, String) {
    // With TLS 1.3 a client is through before the server has seen its certificate: the refusal comes with the next read.
    let client = async {
        client.handshake().await?;
        client.read(&mut [0]).await
    };
    let (client, server) = join(client, server.handshake()).await;
    let (client, server) = (client.unwrap_err(), server.unwrap_err());
    assert!(Refused::in_error(&client).is_some() && Refused::in_error(&server).is_some(), "{client}, {server}");
    (client.to_string(), server.to_string())
}

#[test]
fn what_both_sides_agree_on() {
    on_each(ALL, async || {
        let connector = AUTHORITY.connector().alpn(["h2", "http/1.1"]);
        let acceptor = AUTHORITY.acceptor().alpn(["http/1.1"]);
        let (client, server) = ends(&connector, &acceptor, "server.example");
        shake(&client, &server).await.unwrap();
        assert_eq!(client.alpn().unwrap().as_deref(), Some(&b"http/1.1"[..]));
        assert_eq!(server.alpn().unwrap().as_deref(), Some(&b"http/1.1"[..]));
        assert_eq!(server.server_name().unwrap().as_deref(), Some("server.example"));
        assert_eq!(client.version().unwrap(), ProtocolVersion::TLSv1_3);
        assert_eq!(client.peer_certificates().unwrap().len(), 1);
        assert!(server.peer_certificates().unwrap().is_empty());
    });
}

#[test]
fn no_protocol_in_common() {
    on_each(ALL, async || {
        let (connector, acceptor) = (AUTHORITY.connector().alpn(["h2"]), AUTHORITY.acceptor().alpn(["http/1.1"]));
        let (client, server) = ends(&connector, &acceptor, "server.example");
        let (client, server) = refused(client, server).await;
        assert_eq!(client, "TLS with server.example: received fatal alert: NoApplicationProtocol");
        assert_eq!(server, "TLS: peer doesn't support any known protocol");
    });
}

#[test]
fn a_certificate_of_an_unknown_issuer_one_for_another_name_and_one_that_has_expired() {
    on_each(ALL, async || {
        let stranger = Authority::new();
        let (client, server) = ends(&stranger.connector(), &AUTHORITY.acceptor(), "server.example");
        let (client, server) = refused(client, server).await;
        assert_eq!(client, "TLS with server.example: invalid peer certificate: UnknownIssuer");
        assert_eq!(server, "TLS: received fatal alert: UnknownCA");
        let (client, server) = ends(&AUTHORITY.connector(), &AUTHORITY.acceptor(), "other.example");
        let (client, _) = refused(client, server).await;
        assert!(
            client.starts_with("TLS with other.example: invalid peer certificate: certificate not valid"),
            "{client}"
        );
        let (chain, key) = AUTHORITY.issue_expired("server.example");
        let acceptor = Acceptor::new(chain, key).unwrap();
        let (client, server) = ends(&AUTHORITY.connector(), &acceptor, "server.example");
        let (client, server) = refused(client, server).await;
        assert!(
            client.starts_with("TLS with server.example: invalid peer certificate: certificate expired"),
            "{client}"
        );
        assert_eq!(server, "TLS: received fatal alert: CertificateExpired");
    });
}

#[test]
fn client_certificates() {
    on_each(ALL, async || {
        let acceptor = AUTHORITY.acceptor().require_client_certificate(AUTHORITY.root()).unwrap();
        let (chain, key) = AUTHORITY.issue("client.example");
        let connector = AUTHORITY.connector().client_certificate(chain.clone(), key).unwrap();
        let (client, server) = ends(&connector, &acceptor, "server.example");
        shake(&client, &server).await.unwrap();
        assert_eq!(server.peer_certificates().unwrap(), chain);

        let (client, server) = ends(&AUTHORITY.connector(), &acceptor, "server.example");
        let (client, server) = refused(client, server).await;
        assert_eq!(client, "TLS with server.example: received fatal alert: CertificateRequired");
        assert_eq!(server, "TLS: peer sent no certificates");

        let stranger = Authority::new();
        let (chain, key) = stranger.issue("client.example");
        let connector = AUTHORITY.connector().client_certificate(chain, key).unwrap();
        let (client, server) = ends(&connector, &acceptor, "server.example");
        let (_, server) = refused(client, server).await;
        assert_eq!(server, "TLS: invalid peer certificate: UnknownIssuer");
    });
}

#[test]
fn a_peer_that_speaks_no_tls() {
    on_each(ALL, async || {
        let (client, server) = UnixStream::pair().unwrap();
        let (server, plain) = (AUTHORITY.acceptor().wrap(server).unwrap(), client);
        plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let error = server.handshake().await.unwrap_err();
        assert!(Refused::in_error(&error).is_some(), "{error}");
        assert!(error.to_string().starts_with("TLS: received corrupt message"), "{error}");
        server.close().await.unwrap();
    });
}

#[test]
fn bad_files_and_names_are_named() {
    let connector = AUTHORITY.connector();
    trioxide_runtime::run(async {
        let (one, _other) = UnixStream::pair().unwrap();
        let error = connector.wrap("not a name", one).unwrap_err();
        assert_eq!(
            error.to_string(),
            "TLS: no certificate can be for `not a name`: it is neither a domain nor an IP address"
        );
    });
    assert_eq!(certificates(b"").unwrap_err().to_string(), "there is no certificate in this PEM file");
    assert_eq!(private_key(b"").unwrap_err().to_string(), "there is no private key in this PEM file");
    let (chain, _) = AUTHORITY.issue("server.example");
    let (_, key) = AUTHORITY.issue("server.example");
    assert!(Acceptor::new(chain, key).is_err(), "the key of another certificate");
}

#[test]
fn a_slow_handshake_does_not_hold_up_the_listener() {
    on_each(ALL, async || {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let listener = TlsListener::new(listener, AUTHORITY.acceptor());
        let server = Server::new(|stream: TlsStream<TcpStream>, _| async move {
            stream.write_all(b"hello").await?;
            stream.close().await
        })
        .report(|_| {});
        nursery(async |n: Nursery<std::io::Error>| {
            let addresses = n.start(async move |started| server.run_started([listener], started).await).await.unwrap();
            let _silent = TcpStream::connect(addresses[0]).await?;
            let client = TcpStream::connect(addresses[0]).await?;
            let client = AUTHORITY.connector().wrap("server.example", client)?;
            let mut buf = [0; 5];
            client.read_exact(&mut buf).await?;
            assert_eq!(&buf, b"hello");
            assert_eq!(client.read(&mut buf).await?, 0);
            n.cancel("done");
            Ok(())
        })
        .await
        .unwrap();
    });
}

#[test]
fn dropped_right_after_the_handshake_the_peer_sees_it() {
    on_each(ALL, async || {
        let (client, server) = UnixStream::pair().unwrap();
        let (client, server) = over(client, server);
        shake(&client, &server).await.unwrap();
        drop(client);
        assert!(server.read(&mut [0]).await.is_err());
    });
}
