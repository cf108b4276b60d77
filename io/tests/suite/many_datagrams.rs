//! Many messages by one call: each goes and comes whole, once and in its place, and the number says how far it got.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::poll;
use trioxide_io::{Messages, UdpSocket, is_closed};
use trioxide_runtime::lowlevel::wait_all_tasks_blocked;
use trioxide_runtime::{CancelScope, Runtime, join};
use trioxide_testing::network::{Network, Storm};
use trioxide_testing::{on_each, on_each_with_clock};

const ALL: &[usize] = &[1, 2, 8];

async fn bind(host: &str) -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind((host, 0)).await.unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

async fn connected() -> (UdpSocket, UdpSocket) {
    let ((one, here), (other, there)) = join!(bind("127.0.0.1"), bind("127.0.0.1"));
    one.connect(there).await.unwrap();
    other.connect(here).await.unwrap();
    (one, other)
}

fn texts(messages: &Messages) -> Vec<&str> {
    messages.iter().map(|(message, _)| std::str::from_utf8(message).unwrap()).collect()
}

#[test]
fn they_go_to_several_and_come_with_their_senders() {
    for host in ["127.0.0.1", "::1"] {
        if host == "::1" && std::net::UdpSocket::bind("[::1]:0").is_err() {
            continue; // a machine without that family
        }
        on_each(ALL, async || {
            let ((one, here), (other, there)) = join!(bind(host), bind(host));
            let sent = [("a", there), ("", here), ("bc", there), ("def", here), ("longer than the room", there)];
            assert_eq!(one.send_many_to(&sent).await.unwrap(), 5);
            let mut messages = Messages::new(8, 6);
            assert!(messages.is_empty());
            assert_eq!(other.recv_many(&mut messages).await.unwrap(), 3);
            assert_eq!(texts(&messages), ["a", "bc", "longer"]);
            assert!(messages.iter().all(|(_, from)| from == here));
            assert_eq!(one.recv_many(&mut messages).await.unwrap(), 2);
            assert_eq!(texts(&messages), ["", "def"]);
            assert_eq!(format!("{:?}", messages.clone()), format!("[([], {here}), ([100, 101, 102], {here})]"));
        });
    }
}

#[test]
fn connected_sockets_need_no_addresses_and_nothing_is_nothing() {
    on_each(ALL, async || {
        let (one, other) = connected().await;
        assert_eq!(one.send_many(&[b"x".to_vec(), b"yz".to_vec()]).await.unwrap(), 2);
        // More room than there are messages, then less.
        let mut messages = Messages::new(1, 10);
        for expected in ["x", "yz"] {
            assert_eq!(other.recv_many(&mut messages).await.unwrap(), 1);
            assert_eq!(texts(&messages), [expected]);
        }
        assert_eq!(one.send_many(&[b""; 0]).await.unwrap(), 0);
        assert_eq!(one.send_many_to(&[] as &[(&[u8], SocketAddr)]).await.unwrap(), 0);
    });
}

/// 64 at once, in their order, whatever the room; with a budget of one they still go by one call.
#[test]
fn a_call_takes_64_at_most_and_one_of_the_budget() {
    for budget in [1, 128] {
        let runtime = Runtime::builder().workers(2).signals(false).budget(budget).build().unwrap();
        runtime.run(async {
            let (one, other) = connected().await;
            let sent: Vec<String> = (0..100).map(|number| number.to_string()).collect();
            assert_eq!(one.send_many(&sent).await.unwrap(), 64);
            assert_eq!(one.send_many(&sent[64..]).await.unwrap(), 36);
            let mut messages = Messages::new(100, 10);
            assert_eq!(other.recv_many(&mut messages).await.unwrap(), 64);
            assert_eq!(texts(&messages), sent[..64]);
            assert_eq!(other.recv_many(&mut messages).await.unwrap(), 36);
            assert_eq!(texts(&messages), sent[64..]);
        });
    }
}

/// The number stops before the message that cannot be sent, and the next call says what is wrong with it.
#[test]
fn what_cannot_be_sent_is_told_in_its_turn() {
    on_each(&[1, 2], async || {
        let (one, other) = connected().await;
        let sent = [vec![1], vec![2], vec![0; 70_000], vec![3]];
        assert_eq!(one.send_many(&sent).await.unwrap(), 2);
        let error = one.send_many(&sent[2..]).await.unwrap_err();
        assert_eq!(rustix::io::Errno::from_io_error(&error), Some(rustix::io::Errno::MSGSIZE), "{error}");
        assert_eq!(one.send_many(&sent[3..]).await.unwrap(), 1);
        let mut messages = Messages::new(8, 10);
        let mut got = Vec::new();
        while got.len() < 3 {
            other.recv_many(&mut messages).await.unwrap();
            got.extend(messages.iter().map(|(message, _)| message.to_vec()));
        }
        assert_eq!(got, [[1], [2], [3]]);
        let (alone, _) = bind("127.0.0.1").await;
        assert!(alone.send_many(&[b"to whom"]).await.is_err());
    });
}

#[test]
fn cancelled_or_dropped_it_has_taken_nothing() {
    on_each_with_clock(&[1, 2], async |_| {
        let (one, other) = connected().await;
        let mut messages = Messages::new(4, 10);
        let scope = CancelScope::new();
        let handle = scope.handle();
        let cancel = async {
            wait_all_tasks_blocked(Duration::ZERO).await;
            handle.cancel("nothing has come");
        };
        assert!(join!(scope.run(other.recv_many(&mut messages)), cancel).0.is_err());
        assert!(messages.is_empty());
        // Dropped right after the messages have come, and it was woken.
        let mut dropped = Box::pin(other.recv_many(&mut messages));
        assert!(poll!(&mut dropped).is_pending());
        assert_eq!(one.send_many(&[b"1", b"2"]).await.unwrap(), 2);
        wait_all_tasks_blocked(Duration::ZERO).await;
        drop(dropped);
        let cancelled = CancelScope::new();
        cancelled.handle().cancel("before it began");
        assert!(cancelled.run(other.recv_many(&mut messages)).await.is_err());
        assert_eq!(other.recv_many(&mut messages).await.unwrap(), 2);
        assert_eq!(texts(&messages), ["1", "2"]);
        // The same of sending.
        let cancelled = CancelScope::new();
        cancelled.handle().cancel("before it began");
        assert!(cancelled.run(one.send_many(&[b"3"])).await.is_err());
        drop(one.send_many(&[b"4"]));
        assert_eq!(one.send_many(&[b"5"]).await.unwrap(), 1);
        assert_eq!(other.recv_many(&mut messages).await.unwrap(), 1);
        assert_eq!(texts(&messages), ["5"]);
    });
}

#[test]
fn what_is_closed_says_so() {
    on_each_with_clock(&[1, 2], async |_| {
        let (one, _other) = connected().await;
        let mut messages = Messages::new(4, 10);
        let close = async {
            wait_all_tasks_blocked(Duration::ZERO).await;
            one.close();
        };
        let error = join!(one.recv_many(&mut messages), close).0.unwrap_err();
        assert!(is_closed(&error) && error.to_string().contains("UdpSocket::recv_many"), "{error}");
        assert!(is_closed(&one.send_many(&[b"x"]).await.unwrap_err()));
        assert!(is_closed(&one.send_many(&[b""; 0]).await.unwrap_err()));
    });
}

#[test]
#[should_panic(expected = "trioxide: `Messages::new(0, 10)` has no room for a message")]
fn no_room_is_a_mistake() {
    Messages::new(0, 10);
}

/// A network that knows single messages only, and interrupts.
#[test]
fn on_a_simulated_network_they_go_one_by_one() {
    on_each_with_clock(&[1, 2], async |_| {
        let network = Network::new(3);
        let (client, server) = (network.host("client"), network.host("server"));
        for host in [&client, &server] {
            host.set_storm(Storm { interrupted: 0.3, would_block: 0.3, partial: 0.0 });
        }
        let talk = async {
            let one = client.run(UdpSocket::bind("0.0.0.0:9")).await.unwrap().unwrap();
            let other = server.run(UdpSocket::bind("0.0.0.0:9")).await.unwrap().unwrap();
            let to = SocketAddr::new(server.address(), 9);
            let all: Vec<_> = (0..20_u8).map(|number| ([number], to)).collect();
            let (mut left, mut got, mut messages) = (&all[..], Vec::new(), Messages::new(8, 10));
            while !left.is_empty() {
                left = &left[one.send_many_to(left).await.unwrap()..];
            }
            while got.len() < all.len() {
                assert!((1..=8).contains(&other.recv_many(&mut messages).await.unwrap()));
                got.extend(messages.iter().map(|(message, from)| (message[0], from.port())));
            }
            assert_eq!(got, (0..20).map(|number| (number, 9)).collect::<Vec<_>>());
        };
        network.run(talk).await;
    });
}
