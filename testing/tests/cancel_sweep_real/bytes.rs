//! Streams of bytes: what a read that was cut has not delivered is there for the next, and a write that was cut has not written.

use std::cell::{Cell, LazyCell, RefCell};
use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::sync::{Arc, Mutex};

use rustix::fs::{Advice, fadvise};
use trioxide_io::fs::File;
use trioxide_io::{Async, TcpListener, TcpStream, UnixStream, pipe};
use trioxide_runtime::checkpoint;

use crate::slot::Slot;
use crate::{Nursery, Path, sweep};

const TEXT: &[u8] = b"one\ntwo\nthree\nfour\n";
/// More than a pipe and the buffers of a socket take: it is written in many parts.
const MUCH: usize = 6 << 20;

async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (near, listener.accept().await.unwrap().0)
}

/// A stream to which `TEXT` comes, in pieces.
macro_rules! comes {
    ($n:expr, $pair:expr) => {{
        let (send, receive) = $pair;
        $n.spawn(async move {
            for piece in TEXT.chunks(3) {
                checkpoint().await;
                send.write_all(piece).await.unwrap();
            }
        });
        receive
    }};
}

/// Each way to read of which a cancel takes nothing.
macro_rules! reads {
    ($name:ident, $pair:expr) => {
        #[test]
        fn $name() {
            let runs = sweep(
                async |n| (comes!(n, $pair), RefCell::new(vec![])),
                async |(stream, read)| {
                    for round in 0.. {
                        let (mut one, mut other) = ([0; 2], [0; 2]);
                        let count = match round % 3 {
                            0 => stream.read(&mut one).await.unwrap(),
                            1 => {
                                let mut both = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut other)];
                                stream.read_vectored(&mut both).await.unwrap()
                            }
                            _ => {
                                stream.readable().await.unwrap();
                                match stream.try_read(&mut one) {
                                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
                                    read => read.unwrap(),
                                }
                            }
                        };
                        if count == 0 {
                            break;
                        }
                        read.borrow_mut().extend_from_slice(&[one, other].concat()[..count]);
                    }
                },
                async |(stream, read), cut| {
                    let (mut all, mut buf) = (read.take(), [0; 64]);
                    loop {
                        let count = stream.read(&mut buf).await.unwrap();
                        if count == 0 {
                            break;
                        }
                        all.extend_from_slice(&buf[..count]);
                    }
                    assert_eq!(all, TEXT, "{cut}");
                },
            );
            assert!(runs > 10, "{runs}");
        }
    };
}

reads!(reads_of_tcp, tcp_pair().await);
reads!(reads_of_a_unix_socket, UnixStream::pair().unwrap());
reads!(reads_of_a_pipe, pipe().unwrap());

/// A part that was cut is lost, in part or wholly, and nothing else.
macro_rules! exact_reads {
    ($name:ident, $pair:expr) => {
        #[test]
        fn $name() {
            const PART: usize = 6;
            let runs = sweep(
                async |n| (comes!(n, $pair), RefCell::new(vec![])),
                async |(stream, read)| {
                    let mut buf = [0; PART];
                    for _ in 0..TEXT.len() / PART {
                        stream.read_exact(&mut buf).await.unwrap();
                        read.borrow_mut().extend_from_slice(&buf);
                    }
                },
                async |(stream, read), cut| {
                    let (read, mut rest) = (read.take(), vec![0; TEXT.len()]);
                    let mut count = 0;
                    loop {
                        match stream.read(&mut rest[count..]).await.unwrap() {
                            0 => break,
                            more => count += more,
                        }
                    }
                    let lost = TEXT.len() - read.len() - count;
                    assert!(lost == 0 || (cut.outcome().is_none() && lost < PART), "{cut}: {lost}");
                    assert_eq!((&read[..], &rest[..count]), (&TEXT[..read.len()], &TEXT[read.len() + lost..]), "{cut}");
                },
            );
            assert!(runs > 10, "{runs}");
        }
    };
}

exact_reads!(exact_reads_of_tcp, tcp_pair().await);
exact_reads!(exact_reads_of_a_unix_socket, UnixStream::pair().unwrap());
exact_reads!(exact_reads_of_a_pipe, pipe().unwrap());

/// Byte number `i` of what is written.
fn byte(i: usize) -> u8 {
    (i % 251) as u8
}

/// What somebody else reads from a stream, all in all.
type Got = Arc<Mutex<Vec<u8>>>;

macro_rules! read_to_end {
    ($stream:expr, $got:expr) => {{
        let (stream, got): (_, Got) = ($stream.clone(), $got.clone());
        async move {
            let mut buf = vec![0; 1 << 20];
            loop {
                match stream.read(&mut buf).await.unwrap() {
                    0 => break,
                    count => got.lock().unwrap().extend_from_slice(&buf[..count]),
                }
            }
        }
    }};
}

/// Writes of which a cancel writes nothing: what they have counted arrives. And `write_all`, of which an unknown part does.
macro_rules! writes {
    ($name:ident, $pair:expr) => {
        #[test]
        fn $name() {
            let data: Vec<u8> = (0..MUCH).map(byte).collect();
            let runs = sweep(
                async |n| {
                    let (send, receive) = $pair;
                    let (receive, got) = (Arc::new(receive), Got::default());
                    n.service(read_to_end!(receive, got)); // If nothing is written, there is no end.
                    (Slot::new(Some(send)), receive, got, Cell::new(0))
                },
                async |(stream, _, _, sent)| {
                    let stream = stream.lend();
                    let stream = stream.as_ref().unwrap();
                    for round in 0.. {
                        let rest = &data[sent.get()..];
                        if rest.is_empty() {
                            break;
                        }
                        let count = match round % 3 {
                            0 => stream.write(rest).await.unwrap(),
                            1 => {
                                let (one, other) = rest.split_at(rest.len() / 2);
                                stream.write_vectored(&[IoSlice::new(one), IoSlice::new(other)]).await.unwrap()
                            }
                            _ => {
                                stream.writable().await.unwrap();
                                match stream.try_write(rest) {
                                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => 0,
                                    written => written.unwrap(),
                                }
                            }
                        };
                        sent.set(sent.get() + count);
                    }
                },
                async |(stream, receive, got, sent), cut| {
                    drop(stream.lend().take());
                    read_to_end!(receive, got).await;
                    assert!(got.lock().unwrap()[..] == data[..sent.get()], "{cut}: {}", sent.get());
                },
            );
            assert!(runs > 10, "{runs}");

            let runs = sweep(
                async |n| {
                    let (send, receive) = $pair;
                    let (receive, got) = (Arc::new(receive), Got::default());
                    n.service(read_to_end!(receive, got));
                    (Slot::new(Some(send)), receive, got)
                },
                async |(stream, ..)| stream.lend().as_ref().unwrap().write_all(&data).await.unwrap(),
                async |(stream, receive, got), cut| {
                    drop(stream.lend().take());
                    read_to_end!(receive, got).await;
                    let got = got.lock().unwrap();
                    assert!(data.starts_with(&got), "{cut}");
                    assert!(cut.outcome().is_none() || got.len() == data.len(), "{cut}: {}", got.len());
                },
            );
            assert!(runs > 10, "{runs}");
        }
    };
}

writes!(writes_to_tcp, tcp_pair().await);
writes!(writes_to_a_unix_socket, UnixStream::pair().unwrap());
writes!(writes_to_a_pipe, pipe().unwrap());

/// From memory and from the disk: what is not left to be sent has been, and nothing else.
macro_rules! sends_a_file {
    ($name:ident, $pair:expr) => {
        #[test]
        fn $name() {
            let data: Vec<u8> = (0..MUCH).map(byte).collect();
            // Made in the first run: another test may be counting descriptors before.
            let path = LazyCell::new(|| {
                let path = Path::new();
                std::fs::write(&path.0, &data).unwrap();
                std::fs::File::open(&path.0).unwrap().sync_all().unwrap();
                path
            });
            let runs = sweep(
                async |n| {
                    let (send, receive) = $pair;
                    let (receive, got) = (Arc::new(receive), Got::default());
                    n.service(read_to_end!(receive, got));
                    let file = std::fs::File::open(&path.0).unwrap();
                    fadvise(&file, MUCH as u64 / 2, None, Advice::DontNeed).unwrap();
                    (Slot::new(Some(send)), receive, got, Slot::new((File::from_std(file), 0..MUCH as u64)))
                },
                async |(stream, _, _, file)| {
                    let (stream, mut file) = (stream.lend(), file.lend());
                    let (file, rest) = &mut *file;
                    assert_eq!(stream.as_ref().unwrap().sendfile(file, rest).await.unwrap(), MUCH as u64);
                },
                async |(stream, receive, got, file), cut| {
                    drop(stream.lend().take());
                    read_to_end!(receive, got).await;
                    let sent = file.lend().1.start as usize;
                    assert!(got.lock().unwrap()[..] == data[..sent], "{cut}: {sent}");
                    assert!(cut.outcome().is_none() || sent == MUCH, "{cut}: {sent}");
                },
            );
            assert!(runs > 10, "{runs}");
        }
    };
}

sends_a_file!(files_to_tcp, tcp_pair().await);
sends_a_file!(files_to_a_unix_socket, UnixStream::pair().unwrap());

/// Both directions of any descriptor: one operation waits for room, and one for bytes.
#[test]
fn any_descriptor() {
    let ends = |n: &Nursery| {
        let (reader, writer) = std::io::pipe().unwrap();
        let writer = Async::new(writer).unwrap();
        n.spawn(async move {
            for piece in TEXT.chunks(3) {
                checkpoint().await;
                assert_eq!(writer.write_with(|mut pipe| pipe.write(piece)).await.unwrap(), piece.len());
            }
        });
        Async::new(reader).unwrap()
    };
    let runs = sweep(
        async |n| (ends(n), RefCell::new(vec![])),
        async |(pipe, read)| {
            let mut buf = [0; 2];
            loop {
                pipe.readable().await.unwrap();
                let count = pipe.read_with(|mut pipe| pipe.read(&mut buf)).await.unwrap();
                if count == 0 {
                    break;
                }
                read.borrow_mut().extend_from_slice(&buf[..count]);
            }
        },
        async |(pipe, read), cut| {
            let (mut all, mut buf) = (read.take(), [0; 64]);
            loop {
                match pipe.read_with(|mut pipe| pipe.read(&mut buf)).await.unwrap() {
                    0 => break,
                    count => all.extend_from_slice(&buf[..count]),
                }
            }
            assert_eq!(all, TEXT, "{cut}");
        },
    );
    assert!(runs > 10, "{runs}");

    let data: Vec<u8> = (0..MUCH).map(byte).collect();
    let runs = sweep(
        async |n| {
            let (reader, writer) = std::io::pipe().unwrap();
            let (receive, got) =
                (Arc::new(trioxide_io::pipe::Receiver::from_fd(reader.into()).unwrap()), Got::default());
            n.service(read_to_end!(receive, got));
            (Slot::new(Some(Async::new(writer).unwrap())), receive, got, Cell::new(0))
        },
        async |(pipe, _, _, sent)| {
            let pipe = pipe.lend();
            let pipe = pipe.as_ref().unwrap();
            while sent.get() < data.len() {
                pipe.writable().await.unwrap();
                let count = pipe.write_with(|mut pipe| pipe.write(&data[sent.get()..])).await.unwrap();
                sent.set(sent.get() + count);
            }
        },
        async |(pipe, receive, got, sent), cut| {
            drop(pipe.lend().take());
            read_to_end!(receive, got).await;
            assert!(got.lock().unwrap()[..] == data[..sent.get()], "{cut}: {}", sent.get());
        },
    );
    assert!(runs > 10, "{runs}");
}

/// The halves of a TCP stream, borrowed and owned: they are the stream.
#[test]
fn halves() {
    let runs = sweep(
        async |n| {
            let (near, far) = tcp_pair().await;
            let echo = async move {
                let _ = trioxide_io::copy(&far, &far).await; // It may be told that the other is gone.
            };
            n.service(echo);
            Slot::new(Some(near))
        },
        async |stream| {
            let (mut stream, mut buf) = (stream.lend().take().unwrap(), [0; TEXT.len()]);
            let (mut read, mut write) = stream.split();
            write.write_all(TEXT).await.unwrap();
            read.read_exact(&mut buf).await.unwrap();
            assert_eq!(buf, TEXT);
            let (mut read, mut write) = stream.into_split();
            let written = write.write(TEXT).await.unwrap();
            let count = read.read(&mut buf[..written]).await.unwrap();
            assert_eq!(buf[..count], TEXT[..count]);
        },
        async |_, _| {},
    );
    assert!(runs > 10, "{runs}");
}
