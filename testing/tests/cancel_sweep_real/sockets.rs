//! Listeners, `connect`, datagrams, servers: no connection and no message is lost, and who listens goes on.

use std::cell::{Cell, RefCell};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};
use trioxide_io::{
    Connect, Messages, Server, TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream, connect,
    copy, copy_bidirectional, serve,
};
use trioxide_runtime::{Started, checkpoint, join, move_on_when, nursery};

use crate::slot::Slot;
use crate::{Path, sweep};

const TEXT: &[u8] = b"one two three";
const CLIENTS: u8 = 3;

/// Each client that was there is accepted once, by who is cut or by the next.
macro_rules! accepts {
    ($name:ident, $bind:expr, $connect:expr) => {
        #[test]
        fn $name() {
            let runs = sweep(
                async |n| {
                    let (listener, at, file) = $bind;
                    n.spawn(async move {
                        for number in 0..CLIENTS {
                            checkpoint().await;
                            $connect(&at).await.unwrap().write_all(&[number]).await.unwrap();
                        }
                    });
                    (listener, RefCell::new(vec![]), file)
                },
                async |(listener, accepted, _)| {
                    for _ in 0..CLIENTS {
                        let (stream, _) = listener.accept().await.unwrap();
                        accepted.borrow_mut().push(stream);
                    }
                },
                async |(listener, accepted, _), cut| {
                    let mut accepted = accepted.take();
                    while accepted.len() < CLIENTS.into() {
                        accepted.push(listener.accept().await.unwrap().0);
                    }
                    let mut numbers = [0; CLIENTS as usize];
                    for (stream, number) in accepted.iter().zip(&mut numbers) {
                        stream.read_exact(std::slice::from_mut(number)).await.unwrap();
                    }
                    assert_eq!(numbers, [0, 1, 2], "{cut}");
                },
            );
            assert!(runs > 10, "{runs}");
        }
    };
}

async fn bind_tcp() -> (TcpListener, std::net::SocketAddr, ()) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    (listener, at, ())
}

fn bind_unix() -> (UnixListener, std::path::PathBuf, Path) {
    let file = Path::new();
    (UnixListener::bind(&file.0).unwrap(), file.0.clone(), file)
}

accepts!(accepting_tcp, bind_tcp().await, TcpStream::connect);
accepts!(accepting_on_a_unix_socket, bind_unix(), UnixStream::connect);

/// The queue of the listener is full, so that who connects waits. Whoever comes after the cut is accepted.
#[test]
fn connecting_to_a_unix_socket() {
    let runs = sweep(
        async |n| {
            let file = Path::new();
            let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
            socket.bind(&SockAddr::unix(&file.0).unwrap()).unwrap();
            socket.listen(0).unwrap(); // There is room for one.
            let listener = Arc::new(UnixListener::from_std(socket.into()).unwrap());
            let first = UnixStream::connect(&file.0).await.unwrap();
            let (server, accepted) = (listener.clone(), Arc::new(trioxide_sync::Event::new()));
            let done = accepted.clone();
            n.spawn(async move {
                for _ in 0..5 {
                    checkpoint().await;
                }
                drop(server.accept().await.unwrap()); // the first
                done.set();
            });
            (file, listener, first, accepted)
        },
        async |(file, ..)| UnixStream::connect(&file.0).await.unwrap(),
        async |(file, listener, _, accepted), cut| {
            accepted.wait().await;
            if cut.outcome().is_some() {
                listener.accept().await.unwrap();
            }
            let call = async { UnixStream::connect(&file.0).await.unwrap().write_all(TEXT).await.unwrap() };
            let answer = async {
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    let mut buf = [0; 64];
                    match stream.read(&mut buf).await.unwrap() {
                        0 => {} // one that was dropped when it had connected
                        count => break buf[..count].to_vec(),
                    }
                }
            };
            let ((), got) = join!(call, answer);
            assert_eq!(got, TEXT, "{cut}");
        },
    );
    assert!(runs > 5, "{runs}");
}

/// What has come is received by who is cut or by the next; what was counted as sent arrives.
macro_rules! datagrams {
    ($name:ident, $pair:expr) => {
        #[test]
        fn $name() {
            const COUNT: u8 = 4;
            let runs = sweep(
                async |n| {
                    let (send, receive) = $pair;
                    n.spawn(async move {
                        for number in 0..COUNT {
                            checkpoint().await;
                            assert_eq!(send.send(&[number]).await.unwrap(), 1);
                        }
                    });
                    (receive, RefCell::new(vec![]))
                },
                async |(receive, got)| {
                    let mut buf = [0; 2];
                    for _ in 0..COUNT / 2 {
                        let count = receive.recv(&mut buf).await.unwrap();
                        got.borrow_mut().extend_from_slice(&buf[..count]);
                        let (count, _) = receive.recv_from(&mut buf).await.unwrap();
                        got.borrow_mut().extend_from_slice(&buf[..count]);
                    }
                },
                async |(receive, got), cut| {
                    let (mut got, mut buf) = (got.take(), [0; 2]);
                    while got.len() < COUNT.into() {
                        let count = receive.recv(&mut buf).await.unwrap();
                        got.extend_from_slice(&buf[..count]);
                    }
                    assert_eq!(got, [0, 1, 2, 3], "{cut}");
                },
            );
            assert!(runs > 10, "{runs}");
        }
    };
}

async fn udp_pair() -> (UdpSocket, UdpSocket) {
    let (one, other) = (UdpSocket::bind("127.0.0.1:0").await.unwrap(), UdpSocket::bind("127.0.0.1:0").await.unwrap());
    one.connect(other.local_addr().unwrap()).await.unwrap();
    other.connect(one.local_addr().unwrap()).await.unwrap();
    (one, other)
}

datagrams!(messages_over_udp, udp_pair().await);
datagrams!(messages_over_a_unix_socket, UnixDatagram::pair().unwrap());

/// What one call has counted as sent arrives, and nothing else; what has come is received by who is cut or by the next.
#[test]
fn many_messages_over_udp() {
    let numbers: Vec<[u8; 1]> = (0..6).map(|number| [number]).collect();
    let runs = sweep(
        async |_| {
            let (one, other) = udp_pair().await;
            let (sent, got) = (Cell::new(0), RefCell::new(vec![]));
            (one, other, Slot::new(Messages::new(2, 4)), sent, got)
        },
        async |(one, other, messages, sent, got)| {
            let (to, mut messages) = (other.local_addr().unwrap(), messages.lend());
            for piece in numbers.chunks(3) {
                let to_each: Vec<_> = piece.iter().map(|number| (number, to)).collect();
                let count = match piece[0] == [0] {
                    true => one.send_many(piece).await.unwrap(),
                    false => one.send_many_to(&to_each).await.unwrap(),
                };
                sent.set(sent.get() + count);
                for _ in 0..2 {
                    other.recv_many(&mut messages).await.unwrap();
                    got.borrow_mut().extend(messages.iter().map(|(message, _)| message[0]));
                }
            }
        },
        async |(one, other, messages, sent, got), cut| {
            one.send(&[9]).await.unwrap(); // the end
            let (mut got, mut messages) = (got.take(), messages.lend());
            while got.last() != Some(&9) {
                other.recv_many(&mut messages).await.unwrap();
                got.extend(messages.iter().map(|(message, _)| message[0]));
            }
            got.pop();
            assert_eq!(got, numbers.concat()[..sent.get()], "{cut}");
        },
    );
    assert!(runs > 5, "{runs}");
}

/// A peek takes nothing; what was sent arrives, and nothing else.
#[test]
fn peeking_and_sending_over_udp() {
    let runs = sweep(
        async |_| {
            let (one, other) = udp_pair().await;
            (one, other, RefCell::new(vec![]))
        },
        async |(one, other, sent)| {
            let to = other.local_addr().unwrap();
            for number in 0..3 {
                if number == 1 {
                    one.send(&[number]).await.unwrap();
                } else {
                    one.send_to(&[number], to).await.unwrap();
                }
                sent.borrow_mut().push(number);
                other.peek_from(&mut [0]).await.unwrap();
            }
        },
        async |(one, other, sent), cut| {
            one.send(&[9]).await.unwrap(); // the end
            let (mut got, mut buf) = (vec![], [0; 2]);
            while got.last() != Some(&9) {
                let count = other.recv(&mut buf).await.unwrap();
                got.extend_from_slice(&buf[..count]);
            }
            got.pop();
            assert_eq!(got, *sent.borrow(), "{cut}");
        },
    );
    assert!(runs > 5, "{runs}");
}

/// The receiver has room for some: the sender waits. What it has counted as sent arrives, and nothing else.
#[test]
fn sending_over_a_unix_socket() {
    let runs = sweep(
        async |n| {
            let (send, receive) = UnixDatagram::pair().unwrap();
            let (receive, got) = (Arc::new(receive), Arc::new(std::sync::Mutex::new(vec![])));
            n.service(receive_all(receive.clone(), got.clone()));
            (send, receive, got, RefCell::new(vec![]))
        },
        async |(send, _, _, sent)| {
            for number in (0..END).cycle().take(3000) {
                send.send(&[number]).await.unwrap();
                sent.borrow_mut().push(number);
            }
        },
        async |(send, receive, got, sent), cut| {
            let end = async { send.send(&[END]).await.unwrap() };
            join!(receive_all(receive.clone(), got.clone()), end);
            assert_eq!(*got.lock().unwrap(), *sent.borrow(), "{cut}");
        },
    );
    assert!(runs > 10, "{runs}");

    // To an address: nothing waits there but the checkpoint.
    let runs = sweep(
        async |_| {
            let file = Path::new();
            let receive = UnixDatagram::bind(&file.0).unwrap();
            (UnixDatagram::unbound().unwrap(), receive, file)
        },
        async |(send, _, file)| send.send_to(TEXT, &file.0).await.unwrap(),
        async |(send, receive, file), cut| {
            send.send_to(b"end", &file.0).await.unwrap();
            let mut buf = [0; 64];
            let count = receive.recv(&mut buf).await.unwrap();
            assert_eq!(&buf[..count], if cut.outcome().is_some() { TEXT } else { b"end" }, "{cut}");
        },
    );
    assert!(runs > 3, "{runs}");
}

const END: u8 = 255;

async fn receive_all(socket: Arc<UnixDatagram>, got: Arc<std::sync::Mutex<Vec<u8>>>) {
    let mut buf = [0; 2];
    loop {
        let count = socket.recv(&mut buf).await.unwrap();
        if buf[..count] == [END] {
            return;
        }
        got.lock().unwrap().extend_from_slice(&buf[..count]);
    }
}

async fn echo(stream: TcpStream) -> io::Result<()> {
    copy(&stream, &stream).await.map(drop)
}

/// A client of a server, which serves the next one as well.
#[test]
fn a_client() {
    let runs = sweep(
        async |n| {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let at = listener.local_addr().unwrap();
            let serve = async move |started: Started<()>| {
                started.set(());
                serve(listener, async |stream, _| drop(echo(stream).await)).await.unwrap();
            };
            n.task("server").service().start(serve).await.unwrap();
            at
        },
        async |at| talk(at.port()).await.unwrap(),
        async |_, cut| assert!(cut.outcome().is_none_or(|echo| *echo == TEXT), "{cut}"),
    );
    assert!(runs > 10, "{runs}");
}

async fn talk(port: u16) -> io::Result<Vec<u8>> {
    let stream = connect("127.0.0.1", port).await?;
    stream.write_all(TEXT).await?;
    stream.finish()?;
    let mut all = vec![];
    copy(&stream, &mut all).await?;
    Ok(all)
}

/// A server that is cut closes its listener and its connections: its clients come to an end.
#[test]
fn a_server() {
    let runs = sweep(
        async |n| (n.clone(), RefCell::new(Some(TcpListener::bind("127.0.0.1:0").await.unwrap()))),
        async |(n, listener)| {
            let listener = listener.take().unwrap();
            let port = listener.local_addr().unwrap().port();
            let (stop, stopped) = trioxide_sync::channel::oneshot();
            n.spawn(async move {
                for _ in 0..2 {
                    // All of it, or an error, or less.
                    assert!(talk(port).await.map_or(true, |echo| TEXT.starts_with(&echo)));
                }
                stop.send(()).ok();
            });
            let serve = serve(listener, async |stream, _| drop(echo(stream).await));
            move_on_when(stopped, serve).await;
        },
        async |_, _| {},
    );
    assert!(runs > 10, "{runs}");
}

/// Cut, it closes both ends of both.
#[test]
fn a_proxy() {
    let runs = sweep(
        async |n| n.clone(),
        async |n| {
            let ((near, one), (other, far)) = (UnixStream::pair().unwrap(), UnixStream::pair().unwrap());
            for end in [near, far] {
                n.spawn(async move {
                    // It hangs up if it was cut.
                    let _ = end.write_all(TEXT).await;
                    let _ = end.finish();
                    let mut all = vec![];
                    if copy(&end, &mut all).await.is_ok() {
                        assert!(TEXT.starts_with(&all));
                    }
                });
            }
            copy_bidirectional(one, other).await.unwrap()
        },
        async |_, cut| {
            let both = TEXT.len() as u64;
            assert!(cut.outcome().is_none_or(|counts| *counts == (both, both)), "{cut}");
        },
    );
    assert!(runs > 10, "{runs}");
}

/// What names are looked up for, and what is tried for each address.
#[test]
fn binding_and_connecting_with_options() {
    let runs = sweep(
        async |_| (),
        async |()| {
            let listener = TcpListener::options().backlog(4).bind("localhost:0").await.unwrap();
            let at = listener.local_addr().unwrap();
            let options = Connect::new().delay(Duration::from_millis(10));
            let near = options.to(&at.ip().to_string(), at.port()).await.unwrap();
            let dial = async |address| TcpStream::connect(address).await;
            let also = options.to_with(&at.ip().to_string(), at.port(), dial).await.unwrap();
            let (one, _) = listener.accept().await.unwrap();
            let (other, _) = listener.accept().await.unwrap();
            drop((near, also));
            assert_eq!((one.read(&mut [0]).await.unwrap(), other.read(&mut [0]).await.unwrap()), (0, 0));
        },
        async |(), _| {},
    );
    assert!(runs > 10, "{runs}");
    let runs = sweep(
        async |_| (),
        async |()| {
            let (one, other) = udp_pair().await;
            one.send(TEXT).await.unwrap();
            other.recv(&mut [0; 64]).await.unwrap();
        },
        async |(), _| {},
    );
    assert!(runs > 5, "{runs}");
}

/// As a server of one function, with options, in a nursery.
#[test]
fn servers_with_options() {
    let runs = sweep(
        async |n| n.clone(),
        async |n| {
            let bind = async || TcpListener::bind("127.0.0.1:0").await.unwrap();
            let server = || Server::new(async |stream, _| drop(echo(stream).await)).limit(1).report(|_| {});
            let (one, other) = (bind().await, bind().await);
            let ports = [&one, &other].map(|listener| listener.local_addr().unwrap().port());
            let client = |port| {
                let (stop, stopped) = trioxide_sync::channel::oneshot();
                n.spawn(async move {
                    // It may have been cut before it accepts.
                    let _ = talk(port).await;
                    stop.send(()).ok();
                });
                stopped
            };
            move_on_when(client(ports[0]), server().run([one])).await;
            nursery(async |n| {
                let addresses =
                    n.start(async move |started| server().run_started([other], started).await).await.unwrap();
                assert_eq!(talk(addresses[0].port()).await.unwrap(), TEXT);
                n.cancel("done");
                Ok::<_, io::Error>(())
            })
            .await
            .unwrap();
        },
        async |_, _| {},
    );
    assert!(runs > 10, "{runs}");
}
