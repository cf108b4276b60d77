//! Streams: bytes both ways, ends, errors.

use std::io::{self, ErrorKind};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use futures_util::future::{join, try_join};
use futures_util::{AsyncReadExt, AsyncWriteExt};
use socket2::{Domain, SockRef, Socket, Type};
use trioxide_io::{Resolver, TcpListener, TcpStream, set_resolver};
use trioxide_runtime::{NurseryError, Runtime, nursery};
use trioxide_testing::on_each;

const LOCAL: &str = "127.0.0.1:0";

/// The two ends of a connection.
async fn pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind(LOCAL).await?;
    let address = listener.local_addr()?;
    let (client, (server, peer)) = try_join(TcpStream::connect(address), listener.accept()).await?;
    assert_eq!(peer, client.local_addr()?);
    Ok((client, server))
}

/// An address on which nobody listens, and nobody else can: it is taken.
pub(crate) fn refusing() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&LOCAL.parse::<SocketAddr>().unwrap().into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

/// Bytes without a short period, so that a lost or doubled piece shows.
fn bytes(count: usize, seed: u32) -> Vec<u8> {
    let mut state = seed | 1;
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect()
}

/// Sends back what comes, until the peer ends.
async fn echo(stream: TcpStream) -> io::Result<()> {
    let mut buf = [0; 4096];
    loop {
        match stream.read(&mut buf).await? {
            0 => return stream.shutdown(Shutdown::Write),
            count => stream.write_all(&buf[..count]).await?,
        }
    }
}

#[test]
fn a_mebibyte_both_ways_at_once_through_borrowed_halves() {
    on_each(&[1, 2, 8], async || {
        let (mut client, mut server) = pair().await.unwrap();
        let (up, down) = (bytes(1 << 20, 1), bytes(1 << 20, 2));
        let end = async |stream: &mut TcpStream, out: &[u8], into: &mut [u8]| {
            let (mut read, mut write) = stream.split();
            let sent = async {
                write.write_all(out).await?;
                write.finish()
            };
            try_join(sent, read.read_exact(into)).await?;
            read.read(&mut [0]).await
        };
        let (mut at_server, mut at_client) = (vec![0; up.len()], vec![0; down.len()]);
        let ends = try_join(end(&mut client, &up, &mut at_client), end(&mut server, &down, &mut at_server));
        assert_eq!(ends.await.unwrap(), (0, 0), "and then the end of the stream");
        assert!(at_server == up && at_client == down);
    });
}

#[test]
fn five_hundred_connections_at_once_echo() {
    on_each(&[1, 2, 8], async || {
        let listener = TcpListener::bind(LOCAL).await.unwrap();
        let address = listener.local_addr().unwrap();
        let result: Result<(), NurseryError<io::Error>> = nursery(async |n| {
            for seed in 0..500 {
                drop(n.spawn(async move {
                    let stream = TcpStream::connect(address).await?;
                    let (out, mut back) = (bytes(9000, seed), vec![0; 9000]);
                    try_join(stream.write_all(&out), stream.read_exact(&mut back)).await?;
                    assert!(out == back);
                    stream.shutdown(Shutdown::Write)?;
                    assert_eq!(stream.read(&mut back).await?, 0);
                    Ok::<_, io::Error>(())
                }));
            }
            for _ in 0..500 {
                let (stream, _) = listener.accept().await?;
                drop(n.spawn(echo(stream)));
            }
            Ok::<_, io::Error>(())
        })
        .await;
        result.unwrap();
    });
}

#[test]
fn the_last_bytes_and_the_end_in_one_event() {
    // Both are there before the reader looks, so one edge reports them. The short read must not make it wait
    // for a second.
    on_each(&[1, 2], async || {
        for _ in 0..100 {
            let (client, server) = pair().await.unwrap();
            let mut buf = [0; 64];
            let first = async {
                let count = server.read(&mut buf).await.unwrap();
                assert_eq!(&buf[..count], b"last");
                server.read(&mut buf).await.unwrap()
            };
            let send = async {
                client.write_all(b"last").await.unwrap();
                client.shutdown(Shutdown::Write).unwrap();
            };
            assert_eq!(join(first, send).await.0, 0);
        }
    });
}

#[test]
fn owned_halves_in_two_tasks() {
    on_each(&[1, 2, 8], async || {
        let (client, server) = pair().await.unwrap();
        let data = bytes(300_000, 3);
        let result: Result<Vec<u8>, NurseryError<io::Error>> = nursery(async |n| {
            drop(n.spawn(echo(server)));
            let (mut read, mut write) = client.into_split();
            let out = data.clone();
            // Its end drops the writing half, which tells the peer.
            drop(n.spawn(async move { write.write_all(&out).await }));
            let mut back = Vec::new();
            read.read_to_end(&mut back).await?;
            Ok::<_, io::Error>(back)
        })
        .await;
        assert!(result.unwrap() == data);
    });
}

#[test]
fn halves_of_one_stream_reunite_and_others_do_not() {
    on_each(&[1], async || {
        let (client, server) = pair().await.unwrap();
        let (client_read, client_write) = client.into_split();
        let (server_read, server_write) = server.into_split();
        let error = client_read.reunite(server_write).unwrap_err();
        assert_eq!(error.to_string(), "these halves are of two streams; reunite the two that one `into_split` gave");
        let client = error.0.reunite(client_write).unwrap();
        let server = server_read.reunite(error.1).unwrap();
        client.write_all(b"x").await.unwrap();
        assert_eq!(server.read(&mut [0; 8]).await.unwrap(), 1, "and the end was not sent");
    });
}

#[test]
fn futures_io_traits_with_vectored_writes() {
    on_each(&[1, 2], async || {
        let (mut client, server) = pair().await.unwrap();
        let pieces = [io::IoSlice::new(b"ab"), io::IoSlice::new(b"cde")];
        assert_eq!(client.write_vectored(&pieces).await.unwrap(), 5);
        AsyncWriteExt::close(&mut client).await.unwrap();
        let mut all = String::new();
        (&server).read_to_string(&mut all).await.unwrap();
        assert_eq!(all, "abcde");
    });
}

#[test]
fn nodelay_is_on_at_both_ends() {
    on_each(&[1], async || {
        let (client, server) = pair().await.unwrap();
        assert!(client.nodelay().unwrap() && server.nodelay().unwrap());
        client.set_nodelay(false).unwrap();
        assert!(!client.nodelay().unwrap());
    });
}

#[test]
fn try_read_and_readable() {
    on_each(&[1, 2], async || {
        let (client, server) = pair().await.unwrap();
        let mut buf = [0; 8];
        assert_eq!(server.try_read(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
        client.writable().await.unwrap();
        assert_eq!(client.try_write(b"abc").unwrap(), 3);
        let count = loop {
            server.readable().await.unwrap();
            match server.try_read(&mut buf) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                result => break result.unwrap(),
            }
        };
        assert_eq!(&buf[..count], b"abc");
    });
}

#[test]
fn to_std_and_back() {
    on_each(&[1, 2], async || {
        let (client, server) = pair().await.unwrap();
        let twin = client.into_std().unwrap();
        let client = TcpStream::from_std(twin.try_clone().unwrap()).unwrap();
        drop(client); // The duplicate lives on in the reactor's kernel, under a key that nobody knows any more.
        let client = TcpStream::from_std(twin.try_clone().unwrap()).unwrap();
        drop(twin);
        let mut buf = [0; 3];
        let (read, written) = join(server.read_exact(&mut buf), client.write_all(b"abc")).await;
        read.unwrap();
        written.unwrap();
        let (read, written) = join(client.read_exact(&mut buf), server.write_all(b"def")).await;
        read.unwrap();
        written.unwrap();
        assert_eq!(&buf, b"def");
    });
}

#[test]
fn a_peer_that_resets() {
    on_each(&[1, 2], async || {
        let (client, server) = pair().await.unwrap();
        SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
        let mut buf = [0; 8];
        let (read, ()) = join(server.read(&mut buf), async { drop(client) }).await;
        assert_eq!(read.unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(server.write_all(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn a_peer_that_ends_too_early() {
    on_each(&[1], async || {
        let (client, server) = pair().await.unwrap();
        client.write_all(b"abc").await.unwrap();
        drop(client);
        let error = server.read_exact(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        assert_eq!(error.to_string(), "the peer stopped sending after 3 of 8 bytes");
    });
}

#[test]
fn a_stream_of_another_runtime_says_so() {
    let runtime = || Runtime::builder().workers(1).build().unwrap();
    let (client, _server) = runtime().run(pair()).unwrap();
    runtime().run(async {
        let error = client.read(&mut [0]).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "`TcpStream::read` in another runtime than the one in which this was opened; open it in the run that uses it"
        );
    });
}

#[test]
fn a_refused_connection_names_the_address() {
    let (_taken, address) = refusing();
    on_each(&[1, 2], async || {
        let error = TcpStream::connect(address).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert_eq!(
            error.to_string(),
            format!(
                "cannot connect to {address}: connection refused; nothing listens there, or a firewall is in the way"
            )
        );
    });
}

#[test]
fn the_next_address_is_tried() {
    let (_taken, refused) = refusing();
    on_each(&[1], async || {
        let listener = TcpListener::bind(LOCAL).await.unwrap();
        let address = listener.local_addr().unwrap();
        let stream = TcpStream::connect([refused, address]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), address);
    });
}

#[test]
fn names_are_looked_up_and_nonsense_is_explained() {
    on_each(&[1, 2], async || {
        set_resolver(Some(Resolver::new(async |host: String, port| {
            assert_eq!(host, "here");
            Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))])
        })));
        let listener = TcpListener::bind("here:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        TcpStream::connect(("here", port)).await.unwrap();
        for nonsense in ["here", "127.0.0.1:http", ""] {
            let error = TcpStream::connect(nonsense).await.unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("cannot resolve `{nonsense}`: not an address; write `host:port`, for example 127.0.0.1:8080")
            );
        }
        let error = TcpStream::connect(&[][..]).await.unwrap_err();
        assert_eq!(error.to_string(), "no address was given: the list is empty");
    });
}

#[test]
#[should_panic(expected = "`TcpStream::connect` was called outside a run")]
fn outside_a_run_connect_says_so() {
    let mut connect = Box::pin(TcpStream::connect("127.0.0.1:1"));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let _ = connect.as_mut().poll(&mut cx);
}

#[test]
fn streams_and_their_futures_go_to_any_worker() {
    fn shared<T: Send + Sync + Unpin>(_: Option<T>) {}
    fn sent<T: Send>(_: impl FnOnce(TcpStream) -> T) {}
    shared(None::<TcpStream>);
    shared(None::<TcpListener>);
    sent(|stream| async move { stream.read(&mut [0]).await });
    sent(|stream| async move { stream.write_all(b"").await });
    sent(|_| TcpStream::connect("127.0.0.1:1"));
    sent(|_| TcpListener::bind(("localhost", 0)));
}
