//! What the system may do to every call, and seldom does: interrupt it, put it off, do a part of it. What is sent must arrive all the same, through everything that
//! reads and writes.

use std::cell::Cell;
use std::io::{self, IoSlice, IoSliceMut};

use trioxide_io::{Async, BufReader, BufWriter, TcpListener, TcpStream, connect, copy, copy_bidirectional};
use trioxide_runtime::join;
use trioxide_testing::network::{Link, Network, Storm};
use trioxide_testing::{on_each, on_each_with_clock};

const INTERRUPTED: Storm = Storm { interrupted: 0.7, would_block: 0.0, partial: 0.0 };
const PUT_OFF: Storm = Storm { interrupted: 0.0, would_block: 0.7, partial: 0.0 };
const IN_PARTS: Storm = Storm { interrupted: 0.0, would_block: 0.0, partial: 0.8 };
const ALL: Storm = Storm { interrupted: 0.4, would_block: 0.4, partial: 0.8 };

/// Calls `test` on a network in each kind of storm, with several seeds.
fn in_storms(test: impl AsyncFn(&Network)) {
    for storm in [INTERRUPTED, PUT_OFF, IN_PARTS, ALL] {
        for seed in 0..5 {
            on_each_with_clock(&[1, 2], async |_| {
                let network = Network::new(seed);
                for host in ["client", "proxy", "server"] {
                    network.host(host).set_storm(storm);
                }
                // Less room than is sent at once.
                network.set_default_link(Link::new().buffer(3000));
                network.run(test(&network)).await;
                let seen = network.statistics();
                assert_eq!(seen.interrupted > 0, storm.interrupted > 0.0, "{storm:?}: {seen:?}");
                assert_eq!(seen.blocked > 0, storm.would_block > 0.0, "{storm:?}: {seen:?}");
                assert_eq!(seen.partial > 0, storm.partial > 0.0, "{storm:?}: {seen:?}");
            });
        }
    }
}

async fn listen(network: &Network, host: &str) -> (TcpListener, u16) {
    let listener = network.host(host).run(TcpListener::bind("0.0.0.0:0")).await.unwrap().unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

async fn accept(listener: TcpListener) -> TcpStream {
    listener.accept().await.unwrap().0
}

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|number| (number * 31 % 251) as u8).collect()
}

#[test]
fn a_proxy_and_an_echo_hand_on_what_was_sent() {
    in_storms(async |network| {
        let (outside, proxy_port) = listen(network, "proxy").await;
        let (inside, server_port) = listen(network, "server").await;
        let sent = bytes(20_000);
        let echo = async {
            let stream = accept(inside).await;
            assert_eq!(copy(&stream, &stream).await.unwrap(), 20_000);
            stream.finish().unwrap();
        };
        let (proxy, client) = (network.host("proxy"), network.host("client"));
        let proxy = proxy.run(async {
            let client = accept(outside).await;
            let upstream = connect("server", server_port).await.unwrap();
            assert_eq!(copy_bidirectional(client, upstream).await.unwrap(), (20_000, 20_000));
        });
        let client = client.run(async {
            let stream = connect("proxy", proxy_port).await.unwrap();
            let write = async {
                stream.write_all(&sent).await.unwrap();
                stream.finish().unwrap();
            };
            let read = async {
                let mut all = vec![0; sent.len()];
                stream.read_exact(&mut all).await.unwrap();
                assert!(all == sent, "other bytes came back");
                assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
            };
            join!(write, read);
        });
        let (_, proxied, asked) = join!(echo, proxy, client);
        proxied.and(asked).unwrap();
    });
}

#[test]
fn buffers_and_several_pieces_at_once_give_what_was_sent() {
    in_storms(async |network| {
        let (listener, port) = listen(network, "server").await;
        let sent = bytes(9_000);
        let server = async {
            let stream = accept(listener).await;
            // Lines, collected into large writes.
            let mut writer = BufWriter::new(&stream);
            for number in 0..1_500 {
                writer.write_all(format!("line {number}\n").as_bytes()).await.unwrap();
            }
            writer.flush().await.unwrap();
            // Then three pieces at once, again and again.
            let mut left = &sent[..];
            while !left.is_empty() {
                let (one, rest) = left.split_at(left.len() / 3);
                let (two, three) = rest.split_at(rest.len() / 2);
                let count = stream.write_vectored(&[one, two, three].map(IoSlice::new)).await.unwrap();
                left = &left[count..];
            }
            stream.finish().unwrap();
        };
        let client = network.host("client");
        let client = client.run(async {
            let stream = connect("server", port).await.unwrap();
            let mut reader = BufReader::new(&stream);
            for number in 0..1_500 {
                assert_eq!(reader.read_line(80).await.unwrap(), Some(format!("line {number}")));
            }
            let (_, mut all) = reader.into_parts();
            loop {
                let (mut one, mut two) = ([0; 100], [0; 1000]);
                let mut pieces = [&mut one[..], &mut two[..]].map(IoSliceMut::new);
                let count = stream.read_vectored(&mut pieces).await.unwrap();
                if count == 0 {
                    break;
                }
                all.extend(one.iter().chain(&two).take(count));
            }
            assert!(all == sent, "other bytes came");
        });
        join!(server, client).1.unwrap();
    });
}

/// Real descriptors: a closure that is interrupted and does a part, and a system that has room for little.
#[cfg(unix)]
#[test]
fn descriptors_whose_calls_are_interrupted_and_done_in_part_give_what_was_sent() {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    /// Whether something bad happens now, and how many bytes may go.
    fn fate(chance: &Cell<u32>, asked: usize) -> io::Result<usize> {
        chance.set(chance.get().wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
        let drawn = (chance.get() >> 16) as usize;
        match drawn % 3 {
            0 => Err(io::ErrorKind::Interrupted.into()),
            _ => Ok(asked.min(1 + drawn / 3 % 700)),
        }
    }

    on_each(&[1, 2, 8], async || {
        let (one, other) = UnixStream::pair().unwrap();
        rustix::net::sockopt::set_socket_send_buffer_size(&one, 1).unwrap(); // as little as there is
        let (one, other) = (Async::new(one).unwrap(), Async::new(other).unwrap());
        let sent = bytes(200_000);
        let write = async {
            let chance = Cell::new(1);
            let mut left = &sent[..];
            while !left.is_empty() {
                let count = one.write_with(|mut io| io.write(&left[..fate(&chance, left.len())?])).await.unwrap();
                left = &left[count..];
            }
            drop(one);
        };
        let read = async {
            let chance = Cell::new(2);
            let (mut all, mut piece) = (Vec::new(), [0; 1000]);
            loop {
                let size = piece.len();
                let count = other.read_with(|mut io| io.read(&mut piece[..fate(&chance, size)?])).await.unwrap();
                if count == 0 {
                    break;
                }
                all.extend_from_slice(&piece[..count]);
            }
            assert!(all == sent, "other bytes came");
        };
        join!(write, read);
    });
}
