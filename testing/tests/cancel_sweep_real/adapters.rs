//! The traits of futures-io, tokio and hyper: what has come and was not delivered is there for the next call. And tokio's context, in which nothing is lost either.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;

use futures_util::{AsyncReadExt, AsyncWriteExt};
use trioxide_io::tokio_compat::with_tokio;
use trioxide_io::{TcpListener, TcpStream};
use trioxide_runtime::checkpoint;

use crate::slot::Slot;
use crate::{Nursery, sweep};

const TEXT: &[u8] = b"one two three";

/// A connection through which `TEXT` comes, written by the trait of futures-io.
async fn comes(n: &Nursery) -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    n.spawn(async move {
        for piece in TEXT.chunks(3) {
            checkpoint().await;
            AsyncWriteExt::write_all(&mut near, piece).await.unwrap();
        }
        AsyncWriteExt::close(&mut near).await.unwrap();
    });
    listener.accept().await.unwrap().0
}

/// `read` gives the next bytes, or none at the end.
fn reads(read: impl AsyncFn(&mut TcpStream) -> Vec<u8>) {
    let runs = sweep(
        async |n| (Slot::new(comes(n).await), RefCell::new(vec![])),
        async |(stream, got)| {
            let mut stream = stream.lend();
            loop {
                let bytes = read(&mut stream).await;
                if bytes.is_empty() {
                    break;
                }
                got.borrow_mut().extend(bytes);
            }
        },
        async |(stream, got), cut| {
            let mut stream = stream.lend();
            loop {
                let bytes = read(&mut stream).await;
                if bytes.is_empty() {
                    break;
                }
                got.borrow_mut().extend(bytes);
            }
            assert_eq!(*got.borrow(), TEXT, "{cut}");
        },
    );
    assert!(runs > 10, "{runs}");
}

async fn futures_read(stream: &mut TcpStream) -> Vec<u8> {
    let mut buf = [0; 2];
    let count = AsyncReadExt::read(stream, &mut buf).await.unwrap();
    buf[..count].to_vec()
}

#[test]
fn futures_io() {
    reads(futures_read);
}

#[test]
fn the_context_of_tokio() {
    reads(async |stream| with_tokio(futures_read(stream)).await);
}

#[test]
fn tokio_io() {
    reads(async |stream| {
        let mut bytes = [0; 2];
        let mut buf = tokio::io::ReadBuf::new(&mut bytes);
        poll_fn(|cx| tokio::io::AsyncRead::poll_read(Pin::new(&mut *stream), cx, &mut buf)).await.unwrap();
        buf.filled().to_vec()
    });
}

#[test]
fn hyper_rt() {
    reads(async |stream| {
        let mut bytes = [0; 2];
        let mut buf = hyper::rt::ReadBuf::new(&mut bytes);
        poll_fn(|cx| hyper::rt::Read::poll_read(Pin::new(&mut *stream), cx, buf.unfilled())).await.unwrap();
        buf.filled().to_vec()
    });
}
