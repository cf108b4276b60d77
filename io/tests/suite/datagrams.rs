//! UDP and Unix datagrams.

use std::future::poll_fn;
use std::io::ErrorKind;
use std::sync::Arc;

use trioxide_io::{UdpSocket, UnixDatagram};
use trioxide_runtime::nursery;
use trioxide_testing::on_each;

const LOCAL: &str = "127.0.0.1:0";

#[test]
fn messages_with_an_address_each() {
    on_each(&[1, 2, 8], async || {
        let (one, other) = (UdpSocket::bind(LOCAL).await.unwrap(), UdpSocket::bind(LOCAL).await.unwrap());
        let (here, there) = (one.local_addr().unwrap(), other.local_addr().unwrap());
        let mut buf = [0; 64];
        assert_eq!(one.send_to(b"hello", there).await.unwrap(), 5);
        assert_eq!(other.peek_from(&mut buf).await.unwrap(), (5, here));
        assert_eq!(other.recv_from(&mut buf).await.unwrap(), (5, here));
        assert_eq!(&buf[..5], b"hello");
        assert_eq!(other.try_recv_from(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
        poll_fn(|cx| other.poll_send_to(cx, b"", here)).await.unwrap();
        assert_eq!(
            poll_fn(|cx| one.poll_recv_from(cx, &mut buf)).await.unwrap(),
            (0, there),
            "an empty message is one"
        );
        // What does not fit is lost, and the next message is whole.
        one.send_to(b"longer than that", there).await.unwrap();
        assert_eq!(one.try_send_to(b"next", there).unwrap(), 4);
        assert_eq!(other.recv_from(&mut buf[..6]).await.unwrap(), (6, here));
        assert_eq!(other.recv_from(&mut buf).await.unwrap(), (4, here));
    });
}

#[test]
fn connected_sockets_hear_their_peer_only() {
    on_each(&[1, 2], async || {
        let (one, other) = (UdpSocket::bind(LOCAL).await.unwrap(), UdpSocket::bind(LOCAL).await.unwrap());
        let stranger = UdpSocket::bind(LOCAL).await.unwrap();
        let there = other.local_addr().unwrap();
        one.connect(there).await.unwrap();
        other.connect(one.local_addr().unwrap()).await.unwrap();
        assert_eq!(one.peer_addr().unwrap(), there);
        stranger.send_to(b"noise", there).await.unwrap();
        one.send(b"signal").await.unwrap();
        let mut buf = [0; 64];
        let count = other.recv(&mut buf).await.unwrap();
        assert_eq!(&buf[..count], b"signal");
    });
}

#[test]
fn an_unconnected_send_says_what_is_missing() {
    on_each(&[1], async || {
        let socket = UdpSocket::bind(LOCAL).await.unwrap();
        assert!(socket.send(b"x").await.is_err());
        let error = UdpSocket::bind("192.0.2.1:0").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
    });
}

#[test]
fn to_std_and_back() {
    on_each(&[1, 2], async || {
        let socket = UdpSocket::bind(LOCAL).await.unwrap();
        let address = socket.local_addr().unwrap();
        let socket = UdpSocket::from_std(socket.into_std().unwrap()).unwrap();
        socket.send_to(b"x", address).await.unwrap();
        assert_eq!(socket.recv_from(&mut [0; 8]).await.unwrap(), (1, address));
    });
}

#[test]
fn each_unix_datagram_goes_to_one_of_many_receivers_and_none_is_lost() {
    on_each(&[1, 2, 8], async || {
        let (one, other) = UnixDatagram::pair().unwrap();
        let other = Arc::new(other);
        let sum = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        nursery(async |n| {
            for _ in 0..4 {
                let (other, sum) = (other.clone(), sum.clone());
                n.spawn(async move {
                    for _ in 0..250 {
                        let mut buf = [0; 16];
                        assert_eq!(other.recv(&mut buf).await.unwrap(), 8);
                        let number = u64::from_le_bytes(buf[..8].try_into().unwrap());
                        sum.fetch_add(number as usize, std::sync::atomic::Ordering::Relaxed);
                    }
                });
            }
            // The queue is short, so the sender has to wait time and again.
            for number in 0..1000_u64 {
                one.send(&number.to_le_bytes()).await.unwrap();
            }
        })
        .await;
        assert_eq!(sum.load(std::sync::atomic::Ordering::Relaxed), 999 * 1000 / 2);
    });
}

#[test]
fn a_full_receiver_that_is_not_connected_is_an_error() {
    on_each(&[1], async || {
        let path = std::env::temp_dir().join(format!("trioxide-datagram-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let receiver = UnixDatagram::bind(&path).unwrap();
        let sender = UnixDatagram::unbound().unwrap();
        let error = loop {
            if let Err(error) = sender.send_to(&[0; 100], &path).await {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::QuotaExceeded);
        assert!(error.to_string().contains("no room"), "{error}");
        assert_eq!(receiver.recv_from(&mut [0; 200]).await.unwrap().0, 100);
        std::fs::remove_file(&path).unwrap();
    });
}
