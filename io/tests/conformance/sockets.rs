//! Sockets: TCP, UDP, Unix.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::{join, try_join};
use trioxide_io::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream, is_closed};
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

/// An address whose ports no other test takes, so that one that was given back can be had again. (On Linux all of 127.0.0.0/8
/// is this machine.)
fn of_our_own(last: u8) -> std::net::SocketAddr {
    if cfg!(target_os = "linux") { ([127, 1, 2, last], 0).into() } else { ([127, 0, 0, 1], 0).into() }
}

#[test]
fn c208_a_listener_listens_where_it_was_told_and_its_address_is_free_after_it() {
    on_each(ALL, async || {
        let listener = TcpListener::bind(of_our_own(208)).await.unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(address.ip(), of_our_own(208).ip());
        let (client, accepted) = try_join(TcpStream::connect(address), listener.accept()).await.unwrap();
        // The server's end goes first, and lingers in TIME-WAIT.
        drop(accepted);
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
        drop(client);
        drop(listener);
        TcpListener::bind(address).await.unwrap();
        let error = TcpListener::bind("127.0.0.1:http").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn c209_of_several_addresses_the_first_that_can_be_had_and_the_error_names_the_last() {
    on_each(ALL, async || {
        let taken = TcpListener::bind(of_our_own(209)).await.unwrap();
        let address = taken.local_addr().unwrap();
        let free = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = TcpListener::bind([address, free]).await.unwrap();
        assert_ne!(listener.local_addr().unwrap(), address);
        let error = TcpListener::bind([address, address]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert!(error.to_string().starts_with(&format!("cannot listen on {address}: address in use")), "{error}");
        // What failed has left nothing open behind.
        drop(taken);
        TcpListener::bind(address).await.unwrap();
    });
}

#[test]
fn c210_a_family_that_cannot_be_had_is_borne_if_another_address_can() {
    on_each(ALL, async || {
        // An address of a network for documentation: no machine has it.
        let absent = std::net::SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 0));
        let here = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = TcpListener::bind([absent, here]).await.unwrap();
        assert!(listener.local_addr().unwrap().is_ipv4());
        let error = TcpListener::bind(absent).await.unwrap_err();
        assert!(error.to_string().starts_with("cannot listen on [2001:db8::1]:0: "), "{error}");
    });
}

#[test]
fn c211_as_many_connections_wait_as_the_backlog_says() {
    on_each(ALL, async || {
        // More than std's 128 wait, and none of them has been accepted.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let allowed = std::fs::read_to_string("/proc/sys/net/core/somaxconn");
        let allowed = allowed.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(128);
        let clients: Vec<_> = (0..200.min(allowed)).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
        for client in &clients {
            let (_, peer) = listener.accept().await.unwrap();
            assert_eq!(peer, client.local_addr().unwrap());
        }
        let listener = TcpListener::options().backlog(u32::MAX).bind("127.0.0.1:0").await.unwrap();
        TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    });
}

#[test]
fn c212_ten_megabytes_without_delay_and_a_peer_that_has_gone_already() {
    on_each(ALL, async || {
        let (one, other) = tcp().await;
        assert!(one.nodelay().unwrap() && other.nodelay().unwrap());
        let out = crate::common::bytes(10 << 20, 212);
        let receive = async {
            let (mut count, mut buf, mut same) = (0, vec![0; 100_000], true);
            loop {
                match other.read(&mut buf).await? {
                    0 => return Ok((count, same)),
                    read => {
                        same &= out[count..count + read] == buf[..read];
                        count += read;
                    }
                }
            }
        };
        let send = async {
            one.write_all(&out).await?;
            one.finish()
        };
        let ((), (count, same)) = try_join(send, receive).await.unwrap();
        assert!(count == out.len() && same);

        let (one, other) = tcp().await;
        drop(other);
        // It may be noticed with the first write or with the next.
        while one.write_all(b"x").await.is_ok() {}
        one.finish().unwrap();
    });
}
