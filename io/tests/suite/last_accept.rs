//! What the system has accepted when a server is stopped is answered.

use std::convert::Infallible;
use std::io::{self, ErrorKind, Read};
use std::net;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use trioxide_io::{Closed, Listen, Server, TcpListener, TcpStream};
use trioxide_runtime::{Nursery, blocking, nursery};
use trioxide_testing::on_each;

const ALL: &[usize] = &[1, 2, 8];
const CLIENTS: usize = 50;

/// Connects without letting go of the worker: with one, nothing has been accepted when the server is stopped.
fn clients(address: net::SocketAddr) -> Vec<net::TcpStream> {
    (0..CLIENTS).map(|_| net::TcpStream::connect(address).unwrap()).collect()
}

/// What each is told, to the end of the connection; a reset is an error.
async fn answers(clients: Vec<net::TcpStream>) -> io::Result<Vec<String>> {
    let read = |mut client: net::TcpStream| {
        let mut answer = String::new();
        client.read_to_string(&mut answer).map(|_| answer)
    };
    blocking(move || clients.into_iter().map(read).collect()).await
}

async fn is_answered(server: Server<impl Fn(TcpStream, net::SocketAddr) -> Answer + Send + Sync + 'static>) {
    let address = nursery(async |n: Nursery<io::Error>| {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = n.start(async move |started| server.run_started([listener], started).await).await.unwrap()[0];
        let clients = clients(address);
        n.stop(Duration::from_secs(60));
        assert_eq!(answers(clients).await?, ["hello"; CLIENTS]);
        Ok(address)
    })
    .await
    .unwrap();
    let refused = net::TcpStream::connect(address).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused, "the listener is closed");
}

type Answer = std::pin::Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

fn hello(stream: TcpStream, _: net::SocketAddr) -> Answer {
    Box::pin(async move { stream.write_all(b"hello").await })
}

#[test]
fn what_waits_in_the_queue_when_a_server_is_stopped_is_answered() {
    on_each(ALL, || is_answered(Server::new(hello)));
}

#[test]
fn what_waits_in_the_queue_is_answered_within_the_limit() {
    on_each(ALL, async || {
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let counts = (now.clone(), most.clone());
        let handler = move |stream: TcpStream, _| -> Answer {
            let (now, most) = counts.clone();
            Box::pin(async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                let answered = stream.write_all(b"hello").await;
                now.fetch_sub(1, Ordering::SeqCst);
                answered
            })
        };
        is_answered(Server::new(handler).limit(2)).await;
        assert!(most.load(Ordering::SeqCst) <= 2);
    });
}

#[cfg(unix)]
#[test]
fn the_queue_of_a_unix_listener_is_answered_too() {
    use std::os::unix::net::UnixStream as StdStream;
    use trioxide_io::{UnixListener, UnixStream};

    on_each(ALL, async || {
        let path = std::env::temp_dir().join(format!("trioxide-last-accept-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).unwrap();
        let server = Server::new(|stream: UnixStream, _| async move { stream.write_all(b"hello").await });
        nursery(async |n: Nursery<io::Error>| {
            n.start(async move |started| server.run_started([listener], started).await).await.unwrap();
            let clients: Vec<StdStream> = (0..CLIENTS).map(|_| StdStream::connect(&path).unwrap()).collect();
            n.stop(Duration::from_secs(60));
            for mut client in clients {
                let answer = blocking(move || {
                    let mut answer = String::new();
                    client.read_to_string(&mut answer).map(|_| answer)
                });
                assert_eq!(answer.await?, "hello");
            }
            Ok(())
        })
        .await
        .unwrap();
        std::fs::remove_file(&path).unwrap();
    });
}

#[test]
fn trying_to_accept_takes_what_has_just_come_and_never_waits() {
    on_each(ALL, async || {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        assert_eq!(listener.try_accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        // The reactor has not been asked since.
        let client = net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, peer) = listener.try_accept().unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
        assert!(stream.nodelay().unwrap());
        assert_eq!(listener.try_accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        // One that is taken so does not confuse those who wait.
        let address = listener.local_addr().unwrap();
        nursery(async |n: Nursery<Infallible>| {
            n.spawn(async move { drop(TcpStream::connect(address).await.unwrap()) });
            drop(listener.accept().await.unwrap());
        })
        .await;
        listener.close();
        let error = listener.try_accept().unwrap_err();
        assert!(error.get_ref().is_some_and(|error| error.is::<Closed>()), "{error:?}");
    });
}

#[test]
fn a_listener_that_knows_no_try_gives_nothing_at_the_end() {
    struct Silent;
    impl Listen for Silent {
        type Stream = ();
        type Addr = ();

        async fn accept(&self) -> io::Result<((), ())> {
            std::future::pending().await
        }

        fn local_addr(&self) -> io::Result<()> {
            Ok(())
        }
    }
    assert_eq!(Silent.try_accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}
