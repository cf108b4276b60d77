//! Options of TCP sockets, and what is read without being taken.

use std::io::{ErrorKind, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::time::Duration;

use futures_util::future::try_join;
use trioxide_io::{TcpListener, TcpStream, is_closed};
use trioxide_testing::on_each;

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (client, (server, _)) = try_join(TcpStream::connect(address), listener.accept()).await.unwrap();
    (client, server)
}

#[test]
fn keepalive_and_linger() {
    on_each(&[1], async || {
        let (stream, _other) = pair().await;
        assert!(!stream.keepalive().unwrap());
        stream.set_keepalive(Some(Duration::from_secs(60))).unwrap();
        assert!(stream.keepalive().unwrap());
        stream.set_keepalive(None).unwrap();
        assert!(!stream.keepalive().unwrap());
        assert_eq!(stream.linger().unwrap(), None);
        let error = stream.set_linger(Some(Duration::from_secs(1))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("would block a worker"), "{error}");
        stream.set_linger(Some(Duration::ZERO)).unwrap();
        assert_eq!(stream.linger().unwrap(), Some(Duration::ZERO));
    });
}

#[test]
fn no_linger_resets_the_peer() {
    on_each(&[1, 2], async || {
        let (stream, other) = pair().await;
        stream.set_linger(Some(Duration::ZERO)).unwrap();
        drop(stream);
        assert_eq!(other.read(&mut [0]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn peek_leaves_the_bytes_where_they_are() {
    on_each(&[1, 2], async || {
        let (one, other) = pair().await;
        one.write_all(b"abc").await.unwrap();
        let mut buf = [0; 8];
        assert_eq!(other.peek(&mut buf).await.unwrap(), 3);
        assert_eq!(other.peek(&mut buf).await.unwrap(), 3);
        assert_eq!(other.read(&mut buf).await.unwrap(), 3);
        one.finish().unwrap();
        assert_eq!(other.peek(&mut buf).await.unwrap(), 0, "the end can be seen, too");
        assert_eq!(other.read(&mut buf).await.unwrap(), 0);
    });
}

#[test]
fn vectored_reads_and_writes() {
    on_each(&[1, 2], async || {
        let (one, other) = pair().await;
        let count = one.write_vectored(&[IoSlice::new(b"ab"), IoSlice::new(b"cde")]).await.unwrap();
        assert_eq!(count, 5);
        let (mut first, mut second) = ([0; 3], [0; 8]);
        let count =
            other.read_vectored(&mut [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)]).await.unwrap();
        assert_eq!(count, 5);
        assert_eq!((&first, &second[..2]), (b"abc", &b"de"[..]));
    });
}

#[test]
fn ends_apart() {
    on_each(&[1, 2], async || {
        let (one, other) = pair().await;
        one.shutdown(Shutdown::Read).unwrap();
        assert!(is_closed(&one.read(&mut [0]).await.unwrap_err()));
        one.write_all(b"x").await.unwrap();
        assert!(!one.is_closed());
        one.shutdown(Shutdown::Write).unwrap();
        assert!(one.is_closed());
        let mut buf = [0; 8];
        assert_eq!(other.read(&mut buf).await.unwrap(), 1);
        assert_eq!(other.read(&mut buf).await.unwrap(), 0);
    });
}

#[cfg(unix)]
#[test]
fn two_listeners_share_a_port_if_both_say_so() {
    on_each(&[1], async || {
        let sharing = || TcpListener::options().reuse_port(true).backlog(2000);
        let one = sharing().bind("127.0.0.1:0").await.unwrap();
        let address = one.local_addr().unwrap();
        let two = sharing().bind(address).await.unwrap();
        assert_eq!(two.local_addr().unwrap(), address);
        let error = TcpListener::bind(address).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        // Each connection goes to one of the two.
        let stream = TcpStream::connect(address).await.unwrap();
        let (one, two) = (one.accept(), two.accept());
        let (mut one, mut two) = (std::pin::pin!(one), std::pin::pin!(two));
        let (_, peer) = futures_util::future::select(one.as_mut(), two.as_mut()).await.factor_first().0.unwrap();
        assert_eq!(peer, stream.local_addr().unwrap());
    });
}

#[test]
fn to_std_and_back() {
    on_each(&[1], async || {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let listener = TcpListener::from_std(listener.into_std().unwrap()).unwrap();
        let (client, accepted) = try_join(TcpStream::connect(address), listener.accept()).await.unwrap();
        assert_eq!(accepted.1, client.local_addr().unwrap());
    });
}
