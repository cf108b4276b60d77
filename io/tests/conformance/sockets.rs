//! Sockets: TCP, UDP, Unix.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::{join, try_join};
use trioxide_io::{TcpListener, UdpSocket, UnixDatagram, UnixListener, UnixStream, is_closed};
use trioxide_testing::on_each;

use crate::common::{ALL, is_checkpoint, tcp, waits};

/// A directory of its own, removed when dropped.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Directory {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let name = format!("trioxide-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Directory(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn c213_a_listener_that_is_closed_says_so_to_those_who_wait_and_to_later_calls() {
    on_each(ALL, async || {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (mut one, mut two) = (pin!(listener.accept()), pin!(listener.accept()));
        waits(one.as_mut()).await;
        waits(two.as_mut()).await;
        listener.close();
        listener.close();
        assert!(is_closed(&one.await.unwrap_err()));
        assert!(is_closed(&two.await.unwrap_err()));
        assert!(is_closed(&listener.accept().await.unwrap_err()));
    });
}

#[test]
fn c214_unix_sockets_echo_and_bad_paths_are_named() {
    on_each(ALL, async || {
        let directory = Directory::new();
        let path = directory.0.join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        assert_eq!(listener.local_addr().unwrap().as_pathname(), Some(&*path));
        let (client, (server, _)) = try_join(UnixStream::connect(&path), listener.accept()).await.unwrap();
        client.write_all(b"hello").await.unwrap();
        let mut buf = [0; 8];
        let count = server.read(&mut buf).await.unwrap();
        server.write_all(&buf[..count]).await.unwrap();
        let mut back = [0; 5];
        client.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, b"hello");

        let error = UnixListener::bind(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert_eq!(
            error.to_string(),
            format!(
                "cannot listen at {}: there is a file already; remove it if no program listens there, or choose another path",
                path.display()
            )
        );
        drop(listener);
        let error = UnixStream::connect(&path).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let error = UnixStream::connect(directory.0.join("absent")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains("absent"), "{error}");
        let error = UnixStream::connect("x".repeat(200)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(is_checkpoint(UnixStream::connect(&path)).await);
    });
}

#[test]
fn c214_a_full_queue_of_a_unix_listener_is_waited_for() {
    trioxide_testing::on_each_with_clock(ALL, async |_| {
        let directory = Directory::new();
        let path = directory.0.join("socket");
        let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
        socket.bind(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
        socket.listen(0).unwrap();
        let listener = UnixListener::from_std(socket.into()).unwrap();
        // More than it holds: the later ones wait, on the run's clock, until there is room.
        let connects = futures_util::future::try_join_all((0..4).map(|_| UnixStream::connect(&path)));
        let accepts = async {
            for _ in 0..4 {
                listener.accept().await?;
            }
            Ok(())
        };
        let (connected, ()) = try_join(connects, accepts).await.unwrap();
        assert_eq!(connected.len(), 4);
    });
}

#[test]
fn c221_closing_a_socket_wakes_its_users() {
    on_each(ALL, async || {
        let (one, _other) = tcp().await;
        let mut buf = [0; 8];
        let mut read = pin!(one.read(&mut buf));
        waits(read.as_mut()).await;
        one.close();
        assert!(is_closed(&read.await.unwrap_err()));
        assert!(is_closed(&one.write_all(b"x").await.unwrap_err()));
        assert!(one.is_closed());

        // A datagram socket has many users.
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (mut one, mut two) = ([0; 8], [0; 8]);
        let (mut first, mut second) = (pin!(socket.recv(&mut one)), pin!(socket.recv_from(&mut two)));
        waits(first.as_mut()).await;
        waits(second.as_mut()).await;
        socket.close();
        assert!(is_closed(&first.await.unwrap_err()));
        assert!(is_closed(&second.await.unwrap_err()));
        assert!(is_closed(&socket.connect("127.0.0.1:1").await.unwrap_err()));
    });
}

#[test]
fn c219_datagrams_are_not_taken_in_a_cancelled_scope() {
    on_each(ALL, async || {
        let (one, other) = UnixDatagram::pair().unwrap();
        one.send(b"first").await.unwrap();
        let mut buf = [0; 64];
        assert!(is_checkpoint(other.recv(&mut buf)).await);
        assert!(is_checkpoint(other.send(b"x")).await);
        assert_eq!(other.recv(&mut buf).await.unwrap(), 5);
        assert_eq!(&buf[..5], b"first");
    });
}

#[test]
fn c216_many_may_receive_datagrams_at_once() {
    on_each(ALL, async || {
        let (one, other) = UnixDatagram::pair().unwrap();
        let (mut a, mut b) = ([0; 8], [0; 8]);
        let (mut first, mut second) = (pin!(other.recv(&mut a)), pin!(other.recv(&mut b)));
        waits(first.as_mut()).await;
        waits(second.as_mut()).await;
        one.send(b"x").await.unwrap();
        one.send(b"yz").await.unwrap();
        let (first, second) = join(first, second).await;
        let mut counts = [first.unwrap(), second.unwrap()];
        counts.sort_unstable();
        assert_eq!(counts, [1, 2]);
    });
}
