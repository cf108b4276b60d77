//! TCP over the loopback, both ends in the process. Connections are opened before the clock starts.

use std::io;

use futures_util::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use trioxide::nursery;

use super::{Metric, Row, Scale};
use crate::marks;
use crate::measure::{Cost, Sample, Span};

pub(crate) const CONNECTIONS: u64 = 50;
pub(crate) const MESSAGE: usize = 64;
const ANY_PORT: &str = "127.0.0.1:0";

pub(super) const TCP_ECHO: Row = Row {
    name: "tcp_echo",
    about: "50 connections, 64 bytes there and back, 2,000 times each, both ends in the process",
    metrics: &[Metric::main("ns/request"), Metric::also("cpu", "ns/request")],
    own_process: false,
    needs: None,
    trioxide: |rt, scale| {
        use trioxide::io::{TcpListener, TcpStream};
        let requests = requests(scale);
        let body = async move {
            let listener = TcpListener::bind(ANY_PORT).await?;
            let mut pairs = Vec::new();
            for _ in 0..CONNECTIONS {
                let client = TcpStream::connect(listener.local_addr()?).await?;
                let (server, _) = listener.accept().await?;
                client.set_nodelay(true)?;
                server.set_nodelay(true)?;
                pairs.push((client, server));
            }
            let span = Span::start();
            nursery(async |n| {
                for (slot, (client, server)) in (0..).zip(pairs) {
                    n.spawn(serve(server));
                    n.spawn(ask(client, requests, slot));
                }
                Ok::<_, io::Error>(())
            })
            .await
            .map_err(|failed| io::Error::other(format!("{failed:?}")))?;
            Ok(echoed(span.stop(CONNECTIONS * requests)))
        };
        rt.run(body).unwrap_or_else(|error: io::Error| panic!("the echo failed: {error}"))
    },
    tokio: Some(|rt, scale| {
        use tokio::net::{TcpListener, TcpStream};
        let requests = requests(scale);
        let body = async move {
            let listener = TcpListener::bind(ANY_PORT).await?;
            let mut pairs = Vec::new();
            for _ in 0..CONNECTIONS {
                let client = TcpStream::connect(listener.local_addr()?).await?;
                let (server, _) = listener.accept().await?;
                client.set_nodelay(true)?;
                server.set_nodelay(true)?;
                pairs.push((client, server));
            }
            let span = Span::start();
            let mut group = Vec::new();
            for (slot, (client, server)) in (0..).zip(pairs) {
                group.push(tokio::spawn(serve_tokio(server)));
                group.push(tokio::spawn(ask_tokio(client, requests, slot)));
            }
            for task in group {
                task.await.expect("a task panicked")?;
            }
            Ok(echoed(span.stop(CONNECTIONS * requests)))
        };
        rt.run(body).unwrap_or_else(|error: io::Error| panic!("the echo failed: {error}"))
    }),
    smol: Some(|rt, scale| {
        use smol::net::{TcpListener, TcpStream};
        let requests = requests(scale);
        let executor = rt.executor();
        let body = async move {
            let listener = TcpListener::bind(ANY_PORT).await?;
            let mut pairs = Vec::new();
            for _ in 0..CONNECTIONS {
                let client = TcpStream::connect(listener.local_addr()?).await?;
                let (server, _) = listener.accept().await?;
                client.set_nodelay(true)?;
                server.set_nodelay(true)?;
                pairs.push((client, server));
            }
            let span = Span::start();
            let mut group = Vec::new();
            for (slot, (client, server)) in (0..).zip(pairs) {
                group.push(executor.spawn(serve(server)));
                group.push(executor.spawn(ask(client, requests, slot)));
            }
            for task in group {
                task.await?;
            }
            Ok(echoed(span.stop(CONNECTIONS * requests)))
        };
        rt.run(body).unwrap_or_else(|error: io::Error| panic!("the echo failed: {error}"))
    }),
    libraries: &[],
};

pub(crate) fn requests(scale: Scale) -> u64 {
    scale.of(2_000, 200)
}

pub(crate) fn echoed(cost: Cost) -> Sample {
    marks::assert_all_ran(CONNECTIONS, 1);
    let cpu = cost.cpu.as_nanos() as f64 / cost.operations as f64;
    cost.with_values(vec![cost.nanos_per_operation(), cpu])
}

/// Sends back what comes, until the client closes.
async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) -> io::Result<()> {
    let mut buffer = [0; MESSAGE];
    loop {
        let length = stream.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..length]).await?;
    }
}

/// Sends a message and waits until it is back, `times` times.
async fn ask<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, times: u64, slot: u64) -> io::Result<()> {
    let mut buffer = [0; MESSAGE];
    for time in 0..times {
        let message = [time as u8; MESSAGE];
        stream.write_all(&message).await?;
        stream.read_exact(&mut buffer).await?;
        assert_eq!(buffer, message, "another message came back");
    }
    marks::add(slot, 1);
    Ok(())
}

/// [`serve`] with tokio's traits.
async fn serve_tokio(mut stream: tokio::net::TcpStream) -> io::Result<()> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut buffer = [0; MESSAGE];
    loop {
        let length = stream.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..length]).await?;
    }
}

/// [`ask`] with tokio's traits.
async fn ask_tokio(mut stream: tokio::net::TcpStream, times: u64, slot: u64) -> io::Result<()> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut buffer = [0; MESSAGE];
    for time in 0..times {
        let message = [time as u8; MESSAGE];
        stream.write_all(&message).await?;
        stream.read_exact(&mut buffer).await?;
        assert_eq!(buffer, message, "another message came back");
    }
    marks::add(slot, 1);
    Ok(())
}
