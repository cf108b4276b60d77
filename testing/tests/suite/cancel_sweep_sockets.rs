//! What waits for sockets, cancelled and dropped at each of its suspensions, on the simulated network: nothing that has come is lost, and no socket is left open. All in virtual time.

use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use trioxide_io::{Messages, TcpListener, TcpStream, UdpSocket, connect, copy, copy_bidirectional, serve};
use trioxide_runtime::{Nursery, Started, fail_after, move_on_after, sleep, sleep_forever};
use trioxide_testing::cancel_everywhere;
use trioxide_testing::network::{Host, Network};

use crate::slot::Slot;

const MOMENT: Duration = Duration::from_millis(1);
/// By then the one that is cut has ended.
const LATER: Duration = Duration::from_secs(10);
const TEXT: &[u8] = b"one two three";

/// A network that runs, and two hosts.
async fn hosts(n: &Nursery<Infallible>) -> (Host, Host) {
    let network = Network::new(0);
    let hosts = (network.host("client"), network.host("server"));
    let run = async move |started: Started<()>| {
        let until_the_end = async {
            started.set(());
            sleep_forever().await;
        };
        network.run(until_the_end).await;
    };
    n.task("network").service().start(run).await.unwrap();
    hosts
}

async fn listen(server: &Host) -> TcpListener {
    server.run(TcpListener::bind("0.0.0.0:80")).await.unwrap().unwrap()
}

/// A connection from the client to the server, and its other end.
async fn connected(client: &Host, server: &Host) -> (TcpStream, TcpStream) {
    let listener = listen(server).await;
    let near = client.run(connect("server", 80)).await.unwrap().unwrap();
    let (far, _) = server.run(listener.accept()).await.unwrap().unwrap();
    (near, far)
}

#[test]
fn a_client_leaves_no_socket() {
    let runs = cancel_everywhere(
        async |n| {
            let (client, server) = hosts(n).await;
            let listener = listen(&server).await;
            let echo = async |stream: TcpStream, _| {
                // The client may hang up at any time.
                let _ = copy(&stream, &stream).await;
                Ok::<_, io::Error>(())
            };
            let serving = server.clone();
            let serve = async move |started: Started<()>| {
                let serve = async {
                    started.set(());
                    serve(listener, echo).await
                };
                drop(serving.run(serve).await);
            };
            n.task("server").service().start(serve).await.unwrap();
            (client, server)
        },
        async |(client, _)| {
            let talk = async {
                let stream = connect("server", 80).await?;
                stream.write_all(TEXT).await?;
                let mut echo = vec![0; TEXT.len()];
                stream.read_exact(&mut echo).await?;
                Ok::<_, io::Error>(echo)
            };
            client.run(talk).await.unwrap().unwrap()
        },
        async |(client, server), cut| {
            assert_eq!((client.descriptors(), server.descriptors()), (0, 0), "{cut}");
            assert!(cut.outcome().is_none_or(|echo| *echo == TEXT));
        },
    );
    assert!(runs > 60, "{runs}");
}

#[test]
fn a_server_leaves_no_socket_and_no_client_hanging() {
    let runs = cancel_everywhere(
        async |n| {
            let (client, server) = hosts(n).await;
            let listener = RefCell::new(Some(listen(&server).await));
            let hang = Arc::new(AtomicUsize::new(0));
            for _ in 0..2 {
                let (client, hang) = (client.clone(), hang.clone());
                n.spawn(async move {
                    let talk = async {
                        let stream = connect("server", 80).await?;
                        stream.write_all(TEXT).await?;
                        stream.finish()?;
                        // The whole of it, or less and an error, or nothing.
                        let mut echo = vec![];
                        copy(&stream, &mut echo).await?;
                        assert_eq!(echo, TEXT);
                        Ok::<_, io::Error>(())
                    };
                    hang.fetch_add(client.run(fail_after(LATER, talk)).await.unwrap().is_err().into(), Relaxed);
                });
            }
            (client, server, listener, hang)
        },
        async |(_, server, listener, _)| {
            let listener = listener.take().unwrap();
            let echo = async |stream: TcpStream, _| {
                let _ = copy(&stream, &stream).await;
                Ok::<_, io::Error>(())
            };
            server.run(move_on_after(Duration::from_secs(1), serve(listener, echo))).await.unwrap();
        },
        async |(client, server, listener, hang), cut| {
            // There still if the server never began.
            assert!(listener.take().is_some() || hang.load(Relaxed) == 0, "{cut}");
            assert_eq!((client.descriptors(), server.descriptors()), (0, 0), "{cut}");
        },
    );
    assert!(runs > 40, "{runs}");
}

#[test]
fn no_byte_is_lost() {
    let runs = cancel_everywhere(
        async |n| {
            let (client, server) = hosts(n).await;
            let (near, far) = connected(&client, &server).await;
            let (stream, read) = (Arc::new(far), Arc::new(Mutex::new(vec![])));
            n.spawn(async move {
                for piece in TEXT.chunks(4) {
                    sleep(MOMENT).await;
                    near.write_all(piece).await.unwrap();
                }
            });
            let (rest, all) = (stream.clone(), read.clone());
            n.spawn(async move {
                sleep(LATER).await;
                let mut buf = [0; 64];
                loop {
                    let count = rest.read(&mut buf).await.unwrap();
                    if count == 0 {
                        return;
                    }
                    all.lock().unwrap().extend_from_slice(&buf[..count]);
                }
            });
            (stream, read)
        },
        async |(stream, read)| {
            let mut buf = [0; 3];
            for _ in 0..4 {
                stream.readable().await.unwrap();
                assert!(stream.peek(&mut buf).await.unwrap() > 0);
                let count = stream.read(&mut buf).await.unwrap();
                read.lock().unwrap().extend_from_slice(&buf[..count]);
            }
        },
        async |(_, read), cut| assert_eq!(*read.lock().unwrap(), TEXT, "{cut}"),
    );
    assert!(runs > 60, "{runs}");
}

#[test]
fn no_connection_is_lost() {
    let runs = cancel_everywhere(
        async |n| {
            let (client, server) = hosts(n).await;
            let (listener, accepted) = (Arc::new(listen(&server).await), Arc::new(Mutex::new(vec![])));
            for number in 0..3u8 {
                let client = client.clone();
                n.spawn(async move {
                    let call = async {
                        sleep(MOMENT * number.into()).await;
                        let stream = connect("server", 80).await.unwrap();
                        stream.write_all(&[number]).await.unwrap();
                        // Until the other end is closed, which is when the run has ended.
                        let _ = move_on_after(2 * LATER, stream.read(&mut [0])).await;
                    };
                    client.run(call).await.unwrap();
                });
            }
            let (later, rest, all) = (server.clone(), listener.clone(), accepted.clone());
            n.spawn(async move {
                sleep(LATER).await;
                let accept = async {
                    while let Some(connection) = move_on_after(MOMENT, rest.accept()).await {
                        note(&all, connection.unwrap().0).await;
                    }
                };
                later.run(accept).await.unwrap();
            });
            (server, listener, accepted)
        },
        async |(server, listener, accepted)| {
            let accept = async {
                for _ in 0..2 {
                    let (stream, _) = listener.accept().await.unwrap();
                    accepted.lock().unwrap().push(None);
                    let last = accepted.lock().unwrap().len() - 1;
                    let mut number = [0];
                    stream.read_exact(&mut number).await.unwrap();
                    accepted.lock().unwrap()[last] = Some(number[0]);
                }
            };
            server.run(accept).await.unwrap();
        },
        async |(_, _, accepted), cut| {
            // Each of them once; of one that was accepted the number may not have been read.
            let accepted = accepted.lock().unwrap();
            assert_eq!(accepted.len(), 3, "{cut}: {accepted:?}");
        },
    );
    assert!(runs > 40, "{runs}");
}

async fn note(all: &Mutex<Vec<Option<u8>>>, stream: TcpStream) {
    let mut number = [0];
    stream.read_exact(&mut number).await.unwrap();
    all.lock().unwrap().push(Some(number[0]));
}

#[test]
fn no_datagram_is_lost() {
    let runs = cancel_everywhere(
        async |n| {
            let (client, server) = hosts(n).await;
            let bound = server.run(UdpSocket::bind("0.0.0.0:53")).await.unwrap().unwrap();
            let (socket, received) = (Arc::new(bound), Arc::new(Mutex::new(vec![])));
            let address = (server.address(), 53).into();
            n.spawn(async move {
                let send = async {
                    let socket = UdpSocket::bind("0.0.0.0:0").await.unwrap();
                    for number in 0..3 {
                        sleep(5 * MOMENT).await;
                        assert_eq!(socket.send_to(&[number], address).await.unwrap(), 1);
                    }
                };
                client.run(send).await.unwrap();
            });
            let (rest, all) = (socket.clone(), received.clone());
            n.spawn(async move {
                sleep(LATER).await;
                let mut buf = [0; 8];
                while let Some(count) = move_on_after(MOMENT, rest.recv_from(&mut buf)).await {
                    all.lock().unwrap().extend_from_slice(&buf[..count.unwrap().0]);
                }
            });
            (socket, received)
        },
        async |(socket, received)| {
            let mut buf = [0; 8];
            for _ in 0..3 {
                socket.peek_from(&mut buf).await.unwrap();
                let (count, _) = socket.recv_from(&mut buf).await.unwrap();
                received.lock().unwrap().extend_from_slice(&buf[..count]);
            }
        },
        async |(_, received), cut| assert_eq!(*received.lock().unwrap(), [0, 1, 2], "{cut}"),
    );
    assert!(runs > 40, "{runs}");
}

/// The same of many at once.
#[test]
fn no_datagram_of_many_is_lost() {
    let runs = cancel_everywhere(
        async |n| {
            let (client, server) = hosts(n).await;
            let socket = server.run(UdpSocket::bind("0.0.0.0:53")).await.unwrap().unwrap();
            let address = (server.address(), 53).into();
            n.spawn(async move {
                let socket = client.run(UdpSocket::bind("0.0.0.0:0")).await.unwrap().unwrap();
                for number in [0, 2, 4] {
                    sleep(5 * MOMENT).await;
                    let pair = [([number], address), ([number + 1], address)];
                    assert_eq!(socket.send_many_to(&pair).await.unwrap(), 2);
                }
                sleep(2 * LATER).await; // The network is there for as long as a task is.
            });
            (socket, Slot::new(Messages::new(4, 8)), RefCell::new(vec![]))
        },
        async |(socket, messages, received)| {
            let mut messages = messages.lend();
            while received.borrow().len() < 6 {
                socket.recv_many(&mut messages).await.unwrap();
                received.borrow_mut().extend(messages.iter().map(|(message, _)| message[0]));
            }
        },
        async |(socket, messages, received), cut| {
            let (mut received, mut messages) = (received.take(), messages.lend());
            sleep(LATER).await;
            while move_on_after(MOMENT, socket.recv_many(&mut messages)).await.is_some() {
                received.extend(messages.iter().map(|(message, _)| message[0]));
            }
            assert_eq!(received, [0, 1, 2, 3, 4, 5], "{cut}");
        },
    );
    assert!(runs > 10, "{runs}");
}

#[test]
fn a_copy_both_ways_ends_both() {
    let runs = cancel_everywhere(
        async |n| {
            let (client, server) = hosts(n).await;
            let listener = listen(&server).await;
            let dial = async || {
                let near = client.run(connect("server", 80)).await.unwrap().unwrap();
                (near, server.run(listener.accept()).await.unwrap().unwrap().0)
            };
            let ((near, one), (far, other)) = (dial().await, dial().await);
            let hang = Arc::new(AtomicUsize::new(0));
            for end in [near, far] {
                let hang = hang.clone();
                n.spawn(async move {
                    let talk = async {
                        end.write_all(TEXT).await?;
                        end.finish()?;
                        let mut all = vec![];
                        copy(&end, &mut all).await?;
                        assert!(TEXT.starts_with(&all));
                        Ok::<_, io::Error>(())
                    };
                    // An error if the copy is cut, but no wait for ever.
                    hang.fetch_add(fail_after(LATER, talk).await.is_err().into(), Relaxed);
                });
            }
            (RefCell::new(Some((one, other))), hang)
        },
        async |(ends, _)| {
            let (one, other) = ends.take().unwrap();
            copy_bidirectional(one, other).await.unwrap()
        },
        async |(ends, hang), cut| {
            assert!(cut.outcome().is_none_or(|copied| *copied == (13, 13)), "{cut}");
            // There still if the copy never began.
            assert!(ends.take().is_some() || hang.load(Relaxed) == 0, "{cut}");
        },
    );
    assert!(runs > 40, "{runs}");
}
