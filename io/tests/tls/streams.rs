//! What every stream does, and what only TLS does.

use std::io::ErrorKind;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::{join, try_join};
use futures_util::{AsyncReadExt, AsyncWriteExt, poll};
use trioxide_io::tls::{Broken, NoHandshake, TlsStream};
use trioxide_io::{TcpListener, TcpStream, UnixStream, copy_bidirectional, is_busy, is_closed};
use trioxide_runtime::{CancelScope, Runtime, checkpoint};
use trioxide_testing::on_each;
use trioxide_testing::stream::check_half_closeable_stream;

use crate::common::{ALL, Watched, is_checkpoint, over, pair, ready_pair, shake};

pub(crate) fn bytes(count: usize, seed: u32) -> Vec<u8> {
    let mut number = seed | 1;
    let next = || {
        number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (number >> 16) as u8
    };
    std::iter::repeat_with(next).take(count).collect()
}

/// Reads to the end, in pieces of changing sizes.
pub(crate) async fn read_all(
    stream: &TlsStream<impl futures_io::AsyncRead + futures_io::AsyncWrite + Unpin>,
) -> Vec<u8> {
    let (mut all, mut piece, mut size) = (Vec::new(), vec![0; 40_000], 1);
    loop {
        match stream.read(&mut piece[..size]).await.unwrap() {
            0 => return all,
            count => all.extend_from_slice(&piece[..count]),
        }
        size = size * 7 % 39_999 + 1;
    }
}

pub(crate) async fn write_all(
    stream: &TlsStream<impl futures_io::AsyncRead + futures_io::AsyncWrite + Unpin>,
    mut all: &[u8],
) {
    let mut size = 1;
    while !all.is_empty() {
        let (piece, rest) = all.split_at(size.min(all.len()));
        stream.write_all(piece).await.unwrap();
        all = rest;
        size = size * 11 % 70_001 + 1;
    }
    stream.finish().await.unwrap();
}

#[test]
fn c226_both_directions_at_once_and_the_handshake_asked_for_by_all() {
    on_each(ALL, async || {
        let (client, server) = pair();
        let (there, back) = (bytes(1 << 20, 3), bytes(1 << 20, 5));
        let shakes = join(join(client.handshake(), client.handshake()), join(server.handshake(), server.handshake()));
        let writes = join(write_all(&client, &there), write_all(&server, &back));
        let reads = join(read_all(&server), read_all(&client));
        let (((one, two), (three, four)), (_, (got_there, got_back))) = join(shakes, join(writes, reads)).await;
        one.and(two).and(three).and(four).unwrap();
        assert!(got_there == there && got_back == back);
        client.close().await.unwrap();
        server.close().await.unwrap();
    });
}

#[test]
fn c227_busy_rules() {
    on_each(ALL, async || {
        let (client, server) = ready_pair().await;
        let (mut one, mut two) = ([0; 1], [0; 1]);
        let mut reading = Box::pin(client.read(&mut one));
        assert!(poll!(reading.as_mut()).is_pending());
        assert!(is_busy(&client.read(&mut two).await.unwrap_err()));
        assert!(is_busy(&client.read_exact(&mut two).await.unwrap_err()));
        let much = vec![7; 8 << 20];
        let mut writing = Box::pin(client.write_all(&much));
        assert!(poll!(writing.as_mut()).is_pending());
        assert!(is_busy(&client.write(b"x").await.unwrap_err()));
        assert!(is_busy(&client.finish().await.unwrap_err()));
        assert!(poll!(reading.as_mut()).is_pending(), "the others have not disturbed it");
        server.write_all(b"!").await.unwrap();
        assert_eq!(reading.await.unwrap(), 1);
        drop(writing);
        // Broken by that; the direction is free.
        assert!(Broken::is(&client.write(b"x").await.unwrap_err()));
    });
}

#[test]
fn c227_every_call_is_a_checkpoint_and_an_empty_write_is_not_the_end() {
    on_each(ALL, async || {
        let (client, server) = ready_pair().await;
        server.write_all(b"here already").await.unwrap();
        let mut buf = [0; 4];
        assert_eq!(client.read(&mut buf).await.unwrap(), 4);
        assert!(is_checkpoint(client.read(&mut buf)).await, "also when data is there");
        assert!(is_checkpoint(client.read_exact(&mut buf)).await);
        assert!(is_checkpoint(client.write(b"x")).await);
        assert!(is_checkpoint(client.write_all(b"x")).await);
        assert!(is_checkpoint(client.handshake()).await);
        assert!(is_checkpoint(client.finish()).await);
        // None of them has begun, so all is well.
        client.write_all(b"").await.unwrap();
        assert_eq!(client.write(b"").await.unwrap(), 0);
        assert_eq!(client.read(&mut []).await.unwrap(), 0);
        client.write_all(b"on").await.unwrap();
        assert_eq!(server.read(&mut buf).await.unwrap(), 2);
        assert_eq!(client.read(&mut buf).await.unwrap(), 4);
        assert_eq!(&buf, b" alr");

        let (client, server) = pair();
        assert!(is_checkpoint(client.handshake()).await);
        shake(&client, &server).await.unwrap();
        assert!(is_checkpoint(client.close()).await);
        assert!(server.read(&mut buf).await.is_err(), "it was closed all the same, without a goodbye");
    });
}

#[test]
fn c228_passes_the_suite_of_streams_whose_directions_end_apart() {
    // A suite drops its streams, without a goodbye.
    let make = async || {
        let (client, server) = ready_pair().await;
        // So that the session tickets are read: a socket that is dropped before is a reset.
        server.write_all(b"!").await.unwrap();
        client.read_exact(&mut [0]).await.unwrap();
        (client.allow_truncation(), server.allow_truncation())
    };
    on_each(ALL, async || check_half_closeable_stream(make).await);
}

#[test]
fn c228_what_was_written_arrives_then_the_end_and_the_other_direction_goes_on() {
    on_each(ALL, async || {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (client, (server, _)) = try_join(TcpStream::connect(address), listener.accept()).await.unwrap();
        let (client, server) = over(client, server);
        let mut buf = [0; 16];
        // No handshake was asked for: reading and writing do it.
        join(async { client.write_all(b"the last").await.unwrap() }, async {
            let mut buf = [0; 8];
            server.read_exact(&mut buf).await.unwrap();
            assert_eq!(&buf, b"the last");
        })
        .await;
        client.finish().await.unwrap();
        client.finish().await.unwrap();
        assert!(is_closed(&client.write(b"more").await.unwrap_err()));
        assert_eq!(server.read(&mut buf).await.unwrap(), 0);
        assert_eq!(server.read(&mut buf).await.unwrap(), 0, "and stays so");
        server.write_all(b"goes on").await.unwrap();
        client.read_exact(&mut buf[..7]).await.unwrap();
        assert_eq!(&buf[..7], b"goes on");
        server.close().await.unwrap();
        assert_eq!(client.read(&mut buf).await.unwrap(), 0);
        let error = client.read_exact(&mut buf).await.unwrap_err();
        assert_eq!(error.to_string(), "the peer stopped sending after 0 of 16 bytes");
    });
}

/// The session tickets, which the server owes to a client that is gone, go nowhere.
#[test]
fn c228_what_the_peer_has_sent_before_it_went_is_read_to_the_end() {
    on_each(ALL, async || {
        let (client, server) = pair();
        let say_and_go = async move {
            client.write_all(b"hello").await.unwrap();
            client.close().await.unwrap();
        };
        let ((), got) = join(say_and_go, read_all(&server)).await;
        assert_eq!(got, b"hello");
    });
}

#[test]
fn c228_a_read_that_is_cancelled_or_dropped_has_taken_nothing() {
    on_each(ALL, async || {
        let (client, server) = ready_pair().await;
        let mut buf = [0; 4];
        let scope = CancelScope::new();
        let handle = scope.handle();
        {
            let mut read = pin!(scope.run(client.read(&mut buf)));
            assert!(poll!(read.as_mut()).is_pending());
            handle.cancel("enough");
            assert!(read.await.is_err());
        }
        assert!(poll!(Box::pin(client.read(&mut buf)).as_mut()).is_pending());
        server.write_all(b"kept").await.unwrap();
        client.read_exact(&mut buf).await.unwrap();
        assert_eq!(&buf, b"kept");
    });
}

#[test]
fn c228_the_traits_of_futures_io_go_through_a_proxy() {
    on_each(ALL, async || {
        let (client, inside) = ready_pair().await;
        let (outside, server) = UnixStream::pair().unwrap();
        let sent = bytes(300_000, 9);
        let proxy = async { copy_bidirectional(inside, outside).await.unwrap() };
        let there = async {
            let mut writer = &client;
            AsyncWriteExt::write_all(&mut writer, &sent).await.unwrap();
            AsyncWriteExt::close(&mut writer).await.unwrap();
            let mut all = Vec::new();
            AsyncReadExt::read_to_end(&mut &client, &mut all).await.unwrap();
            all
        };
        let echo = async { trioxide_io::copy(&server, &server).await.map(|_| server.finish().unwrap()).unwrap() };
        let (counts, (all, ())) = join(proxy, join(there, echo)).await;
        assert!(all == sent);
        assert_eq!(counts, (300_000, 300_000));
    });
}

#[test]
fn c229_the_transport_comes_back_with_what_came_after_the_end() {
    on_each(ALL, async || {
        let (client, server) = ready_pair().await;
        // The server says goodbye and goes on in the clear at once, so that both come in one read.
        let (server, client) = try_join(
            async {
                server.finish().await?;
                server.with_transport(|plain| plain.try_write(b"in the clear"))?;
                server.into_parts().await
            },
            async {
                let mut buf = [0; 4];
                assert_eq!(client.read(&mut buf).await?, 0);
                client.into_parts().await
            },
        )
        .await
        .unwrap();
        let ((server, none), (client, trailing)) = (server, client);
        assert!(none.is_empty());
        let mut all = trailing;
        let mut buf = [0; 12];
        let missing = 12 - all.len();
        client.read_exact(&mut buf[..missing]).await.unwrap();
        all.extend_from_slice(&buf[..missing]);
        assert_eq!(all, b"in the clear");
        client.write_all(b"back").await.unwrap();
        server.read_exact(&mut buf[..4]).await.unwrap();
        assert_eq!(&buf[..4], b"back");

        let (client, server) = ready_pair().await;
        server.write_all(b"not read").await.unwrap();
        server.finish().await.unwrap();
        assert_eq!(client.into_parts().await.unwrap_err().kind(), ErrorKind::InvalidData);
    });
}

fn watched(inner: UnixStream) -> (Watched, Arc<AtomicUsize>) {
    let closed = Arc::new(AtomicUsize::new(0));
    (Watched { inner, writes_fail: false, closed: closed.clone() }, closed)
}

#[test]
fn c230_a_nice_close_both_ways_also_before_a_handshake() {
    on_each(ALL, async || {
        let (client, server) = ready_pair().await;
        let mut buf = [0; 1];
        client.close().await.unwrap();
        assert_eq!(server.read(&mut buf).await.unwrap(), 0);
        server.close().await.unwrap();

        let (client, server) = pair();
        client.close().await.unwrap();
        let error = server.read(&mut buf).await.unwrap_err();
        assert!(Broken::is(&error) && error.to_string().ends_with("in the handshake"), "{error}");
        server.close().await.unwrap();
    });
}

#[test]
fn c230_the_transport_is_closed_once_also_if_the_goodbye_fails() {
    on_each(ALL, async || {
        for fails in [false, true] {
            let (one, other) = UnixStream::pair().unwrap();
            let ((one, closed), (other, _)) = (watched(one), watched(other));
            let (client, server) = over(one, other);
            shake(&client, &server).await.unwrap();
            let mut client = client;
            client.transport_mut().writes_fail = fails;
            client.close().await.unwrap();
            assert_eq!(closed.load(Ordering::SeqCst), 1);
        }
    });
}

#[test]
fn c231_what_fails_or_is_cancelled_in_the_midst_of_a_write_is_broken_and_can_be_closed() {
    on_each(ALL, async || {
        let (one, other) = UnixStream::pair().unwrap();
        let ((one, closed), (other, _)) = (watched(one), watched(other));
        let (mut client, server) = over(one, other);
        shake(&client, &server).await.unwrap();
        client.transport_mut().writes_fail = true;
        assert_eq!(client.write_all(b"text").await.unwrap_err().to_string(), "the wire is cut");
        client.transport_mut().writes_fail = false;
        let error = client.write_all(b"text").await.unwrap_err();
        assert_eq!(error.to_string(), "the TLS stream is broken: the wire is cut");
        assert!(Broken::is(&client.read(&mut [0]).await.unwrap_err()));
        client.close().await.unwrap();
        assert_eq!(closed.load(Ordering::SeqCst), 1);

        let (client, _server) = ready_pair().await;
        let much = vec![7; 8 << 20];
        let scope = CancelScope::new();
        let handle = scope.handle();
        {
            let mut write = pin!(scope.run(client.write_all(&much)));
            assert!(poll!(write.as_mut()).is_pending());
            handle.cancel("enough");
            assert!(write.await.is_err());
        }
        let error = client.write(b"x").await.unwrap_err();
        let text =
            "the TLS stream is broken: a write was cancelled half-way, and what the peer has got of it is unknown";
        assert_eq!((error.kind(), &*error.to_string()), (ErrorKind::BrokenPipe, text));
    });
}

#[test]
fn c231_a_handshake_that_is_cancelled_half_way_is_broken() {
    on_each(ALL, async || {
        let (client, _server) = pair();
        let cut = async |client: &TlsStream<UnixStream>| {
            let mut shake = Box::pin(client.handshake());
            assert!(poll!(shake.as_mut()).is_pending());
        };
        cut(&client).await;
        let error = client.read(&mut [0]).await.unwrap_err();
        assert!(Broken::is(&error) && error.to_string().contains("a handshake was cancelled half-way"), "{error}");
        client.close().await.unwrap();

        // While another is in it, it goes on.
        let (client, server) = pair();
        let mut buf = [0; 1];
        let mut reading = Box::pin(client.read(&mut buf));
        assert!(poll!(reading.as_mut()).is_pending());
        cut(&client).await;
        let (read, written) = join(reading, server.write_all(b"!")).await;
        written.unwrap();
        assert_eq!(read.unwrap(), 1);
    });
}

#[test]
fn c232_a_truncated_close_is_broken_or_the_end_if_that_was_asked_for() {
    on_each(ALL, async || {
        for allowed in [false, true] {
            let (client, server) = ready_pair().await;
            let client = if allowed { client.allow_truncation() } else { client };
            server.write_all(b"some").await.unwrap();
            drop(server);
            let mut buf = [0; 4];
            client.read_exact(&mut buf).await.unwrap();
            let ends = [client.read(&mut buf).await, client.read(&mut buf).await];
            for end in ends {
                match end {
                    Ok(count) => assert!(allowed && count == 0),
                    Err(error) => assert!(!allowed && Broken::is(&error) && error.kind() == ErrorKind::UnexpectedEof),
                }
            }
            client.close().await.unwrap();
        }
    });
}

#[test]
fn c233_tls_inside_tls() {
    on_each(ALL, async || {
        let (client, server) = ready_pair().await;
        let (client, server) = over(client, server);
        let (there, back) = (bytes(200_000, 13), bytes(200_000, 15));
        let writes = join(write_all(&client, &there), write_all(&server, &back));
        let reads = join(read_all(&server), read_all(&client));
        let (_, (got_there, got_back)) = join(writes, reads).await;
        assert!(got_there == there && got_back == back);
        client.close().await.unwrap();
        server.close().await.unwrap();
    });
}

#[test]
fn c233_what_only_a_handshake_knows_is_an_error_before_it() {
    on_each(ALL, async || {
        let (client, server) = pair();
        let error = client.alpn().unwrap_err();
        assert!(NoHandshake::is(&error));
        assert_eq!(error.to_string(), "trioxide: `TlsStream::alpn` before the handshake; await `handshake()` first");
        assert!(NoHandshake::is(&client.peer_certificates().unwrap_err()));
        assert!(NoHandshake::is(&server.server_name().unwrap_err()));
        assert!(NoHandshake::is(&server.version().unwrap_err()));
        shake(&client, &server).await.unwrap();
        assert_eq!(client.alpn().unwrap(), None);
        checkpoint().await;
    });
}

/// TLS is a leaf over other leaves: the one is not to take what the other needs.
#[test]
fn tls_goes_on_with_a_budget_of_one() {
    for &workers in ALL {
        Runtime::builder().workers(workers).signals(false).budget(1).build().unwrap().run(async {
            let (client, server) = ready_pair().await;
            let sent = bytes(100_000, 1);
            let send = async {
                client.write_all(&sent).await.unwrap();
                client.finish().await.unwrap();
            };
            let ((), got) = join(send, read_all(&server)).await;
            assert!(got == sent);
            let mut buf = [0; 4];
            let (one, other) = (&mut &client, &mut &server);
            let (read, written) = join(one.read_exact(&mut buf), other.write_all(b"back")).await;
            assert!(read.is_ok() && written.is_ok() && &buf == b"back");
        });
    }
}
