//! Datagrams: carried, lost, doubled, overtaken, to nobody. In virtual time.

use std::convert::Infallible;
use std::io::ErrorKind;

use trioxide_io::UdpSocket;
use trioxide_runtime::{Nursery, move_on_after, now, nursery, sleep};
use trioxide_testing::network::{Link, Network};

use crate::common::{counted, milliseconds, on_networks, seconds};

async fn socket(network: &Network, host: &str) -> UdpSocket {
    network.host(host).run(UdpSocket::bind("0.0.0.0:9")).await.unwrap().unwrap()
}

/// Sends a hundred numbers to `b` and gives what arrives, in the order in which it does.
async fn a_hundred(network: &Network) -> Vec<u8> {
    let (one, other) = (socket(network, "a").await, socket(network, "b").await);
    for number in 0..100 {
        one.send_to(&[number], (network.host("b").address(), 9).into()).await.unwrap();
        sleep(milliseconds(1)).await;
    }
    let mut arrived = Vec::new();
    let mut buf = [0; 8];
    while let Some(received) = move_on_after(seconds(10), other.recv_from(&mut buf)).await {
        assert_eq!(received.unwrap(), (1, (network.host("a").address(), 9).into()));
        arrived.push(buf[0]);
    }
    arrived
}

#[test]
fn a_datagram_arrives_after_the_latency() {
    on_networks(async |network| {
        network.set_link("a", "b", Link::new().latency(milliseconds(40)));
        let (one, other) = (socket(&network, "a").await, socket(&network, "b").await);
        let start = now();
        one.send_to(b"hello", (network.host("b").address(), 9).into()).await.unwrap();
        let mut buf = [0; 3];
        assert_eq!(other.peek_from(&mut buf).await.unwrap().0, 3);
        assert_eq!(other.recv_from(&mut buf).await.unwrap().0, 3, "what does not fit is lost");
        assert_eq!((now() - start, &buf), (milliseconds(40), b"hel"));
        let again = UdpSocket::bind("0.0.0.0:9");
        let error = network.host("a").run(again).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
    });
}

#[test]
fn some_are_lost_some_doubled_some_overtaken() {
    let all: Vec<u8> = (0..100).collect();
    let lossy = counted(async |network| {
        network.set_default_link(Link::new().loss(0.2));
        let arrived = a_hundred(&network).await;
        assert!(arrived.is_sorted() && (60..95).contains(&arrived.len()), "{arrived:?}");
    });
    assert_eq!(lossy.lost + lossy.datagrams, 100);

    let doubling = counted(async |network| {
        network.set_default_link(Link::new().duplication(0.2));
        let mut arrived = a_hundred(&network).await;
        arrived.dedup();
        assert_eq!(arrived, all);
    });
    assert_eq!(doubling.datagrams, 100 + doubling.duplicated);
    assert!((5..40).contains(&doubling.duplicated));

    let overtaking = counted(async |network| {
        network.set_default_link(Link::new().latency(milliseconds(10)).reordering(0.2));
        let mut arrived = a_hundred(&network).await;
        assert!(!arrived.is_sorted());
        arrived.sort();
        assert_eq!(arrived, all);
    });
    assert!((5..40).contains(&overtaking.reordered));
}

/// Four senders at once, as fast as they can, over links that lose, double, delay and hold back: each datagram arrives whole, at most twice, and the counts add up, whatever the number of workers.
#[test]
fn under_load_datagrams_overtake_each_other_and_the_counts_add_up() {
    const SENDERS: usize = 4;
    const EACH: u64 = 500;
    on_networks(async |network| {
        let link = Link::new().latency(milliseconds(20)).jitter(milliseconds(20)).bandwidth(1_000_000);
        network.set_default_link(link.loss(0.05).duplication(0.1).reordering(0.3));
        let receiver = socket(&network, "b").await;
        let to = (network.host("b").address(), 9).into();
        let mut arrived = vec![Vec::new(); SENDERS];
        nursery(async |n: Nursery<Infallible>| {
            for sender in 0..SENDERS {
                let socket = socket(&network, &format!("sender {sender}")).await;
                n.spawn(async move {
                    for number in 0..EACH {
                        let mut datagram = [sender as u8; 100];
                        datagram[..8].copy_from_slice(&number.to_le_bytes());
                        assert_eq!(socket.send_to(&datagram, to).await.unwrap(), 100);
                    }
                });
            }
            let mut buf = [0; 200];
            while let Some(received) = move_on_after(seconds(10), receiver.recv_from(&mut buf)).await {
                let (count, from) = received.unwrap();
                let sender = usize::from(buf[99]);
                assert_eq!((count, from.ip()), (100, network.host(&format!("sender {sender}")).address()));
                assert!(buf[8..100].iter().all(|byte| usize::from(*byte) == sender), "it is whole");
                arrived[sender].push(u64::from_le_bytes(buf[..8].try_into().unwrap()));
            }
        })
        .await;
        for arrived in &mut arrived {
            assert!(!arrived.is_sorted(), "some were overtaken");
            arrived.sort_unstable();
            assert!(arrived.windows(3).all(|three| three[0] < three[2]), "at most twice");
            assert!(arrived.iter().all(|number| *number < EACH));
        }
        let statistics = network.statistics();
        let came: usize = arrived.iter().map(Vec::len).sum();
        assert_eq!(statistics.datagrams, came as u64);
        assert_eq!(statistics.datagrams, SENDERS as u64 * EACH - statistics.lost + statistics.duplicated);
        let often =
            [statistics.lost, statistics.duplicated, statistics.reordered, statistics.delayed, statistics.throttled];
        assert!(often.iter().all(|count| *count >= 50), "{statistics:?}");
    });
}

#[test]
fn a_cut_loses_them_one_way() {
    let statistics = counted(async |network| {
        network.cut("a", "b");
        let (one, other) = (socket(&network, "a").await, socket(&network, "b").await);
        let mut buf = [0; 8];
        one.send_to(b"lost", (network.host("b").address(), 9).into()).await.unwrap();
        other.send_to(b"back", (network.host("a").address(), 9).into()).await.unwrap();
        assert_eq!(one.recv_from(&mut buf).await.unwrap().0, 4);
        assert_eq!(other.try_recv_from(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
        network.heal();
        one.send_to(b"through", (network.host("b").address(), 9).into()).await.unwrap();
        assert_eq!(other.recv_from(&mut buf).await.unwrap().0, 7);
    });
    assert_eq!((statistics.cut, statistics.datagrams), (1, 2));
}

#[test]
fn a_connected_socket_hears_that_nobody_is_there() {
    let statistics = counted(async |network| {
        let one = socket(&network, "a").await;
        assert_eq!(one.send(b"x").await.unwrap_err().kind(), ErrorKind::NotConnected);
        one.connect((network.host("b").address(), 9)).await.unwrap();
        one.send(b"x").await.unwrap();
        assert_eq!(one.recv(&mut [0; 8]).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
        let too_long = one.send(&[0; 70_000]).await.unwrap_err();
        assert_eq!(too_long.kind(), ErrorKind::InvalidInput);
        // Only the peer is heard.
        let (peer, stranger) = (socket(&network, "b").await, socket(&network, "c").await);
        let address = one.local_addr().unwrap();
        let address = std::net::SocketAddr::new(network.host("a").address(), address.port());
        stranger.send_to(b"stranger", address).await.unwrap();
        peer.send_to(b"peer", address).await.unwrap();
        assert_eq!(one.recv(&mut [0; 8]).await.unwrap(), 4);
        assert_eq!(one.into_std().unwrap_err().kind(), ErrorKind::Unsupported);
    });
    assert_eq!(statistics.undeliverable, 2);
}

#[test]
fn a_receiver_that_does_not_receive_loses_them() {
    let statistics = counted(async |network| {
        let (one, other) = (socket(&network, "a").await, socket(&network, "b").await);
        for _ in 0..3 {
            one.send_to(&[0; 30_000], (network.host("b").address(), 9).into()).await.unwrap();
        }
        sleep(seconds(1)).await;
        let mut buf = vec![0; 40_000];
        other.recv_from(&mut buf).await.unwrap();
        other.recv_from(&mut buf).await.unwrap();
        assert_eq!(other.try_recv_from(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
    });
    assert_eq!((statistics.overflowed, statistics.datagrams), (1, 2));
}
