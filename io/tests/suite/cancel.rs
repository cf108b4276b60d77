//! What cancelled reads, writes and connects leave behind: all bytes, each once.

use std::io;
use std::net::Shutdown;
use std::time::Duration;

use futures_util::future::{join, try_join};
use futures_util::poll;
use trioxide_io::{TcpListener, TcpStream};
use trioxide_runtime::{CancelScope, NurseryError, checkpoint, move_on_after, nursery};
use trioxide_testing::{on_each, on_each_with_clock};

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (client, accepted) = try_join(TcpStream::connect(address), listener.accept()).await.unwrap();
    (client, accepted.0)
}

#[test]
fn a_read_that_timed_out_has_read_nothing() {
    on_each_with_clock(&[1, 2], async |clock| {
        let (client, server) = pair().await;
        let mut buf = [0; 16];
        let hour = Duration::from_secs(3600);
        assert!(move_on_after(hour, server.read(&mut buf)).await.is_none());
        assert!(clock.elapsed() >= hour);
        client.write_all(b"abc").await.unwrap();
        assert_eq!(server.read(&mut buf).await.unwrap(), 3);
        assert_eq!(&buf[..4], b"abc\0");
    });
}

#[test]
fn a_read_in_a_cancelled_scope_takes_nothing() {
    on_each(&[1, 2], async || {
        let (client, server) = pair().await;
        client.write_all(b"abc").await.unwrap();
        server.readable().await.unwrap();
        let mut buf = [0; 16];
        let scope = CancelScope::new();
        scope.handle().cancel("before it began");
        assert!(scope.run(server.read(&mut buf)).await.is_err());
        assert_eq!(buf, [0; 16]);
        server.read_exact(&mut buf[..3]).await.unwrap();
        assert_eq!(&buf[..3], b"abc");
    });
}

#[test]
fn reads_cancelled_while_bytes_arrive_lose_none() {
    on_each(&[1, 2, 8], async || {
        let (client, server) = pair().await;
        let out: Vec<u8> = (0..40_000_u32).flat_map(u32::to_le_bytes).collect();
        let sent = out.clone();
        let result: Result<Vec<u8>, NurseryError<io::Error>> = nursery(async |n| {
            drop(n.spawn(async move {
                for piece in sent.chunks(701) {
                    client.write_all(piece).await?;
                    checkpoint().await;
                }
                client.shutdown(Shutdown::Write)
            }));
            let (mut all, mut buf) = (Vec::new(), [0; 1000]);
            loop {
                let scope = CancelScope::new();
                let handle = scope.handle();
                drop(n.spawn(async move {
                    checkpoint().await;
                    handle.cancel("a moment later");
                }));
                match scope.run(server.read(&mut buf)).await {
                    Ok(Ok(0)) => return Ok(all),
                    Ok(Ok(count)) => all.extend_from_slice(&buf[..count]),
                    Ok(Err(error)) => return Err(error),
                    Err(_cancelled) => {}
                }
            }
        })
        .await;
        assert!(result.unwrap() == out);
    });
}

#[test]
fn writes_cancelled_while_there_is_no_room_send_each_byte_once() {
    on_each(&[1, 2, 8], async || {
        let (client, server) = pair().await;
        let out: Vec<u8> = (0..1_500_000_u32).flat_map(u32::to_le_bytes).collect();
        let sent = out.clone();
        let result: Result<(), NurseryError<io::Error>> = nursery(async |n| {
            drop(n.spawn({
                let n = n.clone();
                async move {
                    let mut left = &sent[..];
                    while !left.is_empty() {
                        let scope = CancelScope::new();
                        let handle = scope.handle();
                        drop(n.spawn(async move {
                            checkpoint().await;
                            handle.cancel("a moment later");
                        }));
                        if let Ok(written) = scope.run(client.write(left)).await {
                            left = &left[written?..];
                        }
                    }
                    Ok::<_, io::Error>(())
                }
            }));
            let mut all = vec![0; out.len()];
            server.read_exact(&mut all).await?;
            assert!(all == out);
            Ok::<_, io::Error>(())
        })
        .await;
        result.unwrap();
    });
}

#[test]
fn a_connect_that_is_dropped_closes_its_socket() {
    on_each(&[1, 2], async || {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut connect = Box::pin(TcpStream::connect(address));
        // Suspended, as a rule; another worker may have heard of the connection meanwhile.
        let connected = poll!(connect.as_mut());
        drop((connect, connected));
        // The system had connected it already; what the listener gets is at its end.
        let (stream, _) = listener.accept().await.unwrap();
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    });
}

#[test]
fn a_reader_that_is_cancelled_leaves_its_place_to_the_next() {
    on_each(&[1, 2], async || {
        let (client, server) = pair().await;
        let scope = CancelScope::new();
        let handle = scope.handle();
        let (mut one, mut two) = ([0; 4], [0; 4]);
        let first = async {
            assert!(scope.run(server.read(&mut one)).await.is_err());
            server.read(&mut two).await
        };
        let drive = async {
            checkpoint().await;
            let error = server.read(&mut [0]).await.unwrap_err();
            assert!(trioxide_io::is_busy(&error), "{error}");
            handle.cancel("one of two");
            client.write_all(b"abcd").await.unwrap();
        };
        let (second, ()) = join(first, drive).await;
        assert_eq!(second.unwrap(), 4);
        assert_eq!(&two, b"abcd");
    });
}
