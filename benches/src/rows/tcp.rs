//! TCP over the loopback, both ends in the process. Connections are opened before the clock starts, but where opening them is what is timed.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use trioxide::nursery;

use super::{Metric, Row, Scale};
use crate::marks;
use crate::measure::{Cost, Sample, Span};
use crate::open_files;

pub(crate) const CONNECTIONS: u64 = 50;
pub(crate) const MESSAGE: usize = 64;
const ANY_PORT: &str = "127.0.0.1:0";

/// A row of [`Echo`].
macro_rules! echo {
    ($name:literal, $about:literal, $metrics:expr, $echo:expr) => {
        Row {
            name: $name,
            about: $about,
            metrics: $metrics,
            own_process: false,
            needs: None,
            trioxide: |rt, scale| $echo.on_trioxide(rt, scale),
            tokio: Some(|rt, scale| $echo.on_tokio(rt, scale)),
            smol: Some(|rt, scale| $echo.on_smol(rt, scale)),
            libraries: &[],
        }
    };
}

pub(super) const TCP_ECHO: Row = echo!(
    "tcp_echo",
    "50 connections, 64 bytes there and back, 2,000 times each, both ends in the process",
    &[Metric::main("ns/request"), Metric::also("cpu", "ns/request")],
    FIFTY
);

const FIFTY: Echo = Echo { connections: CONNECTIONS, message: MESSAGE, requests: 2_000, quick: 200, latencies: false };

const WITH_LATENCIES: &[Metric] = &[
    Metric::main("ns/request"),
    Metric::also("cpu", "ns/request"),
    Metric::also("p50", "us"),
    Metric::also("p99", "us"),
];

pub(super) const ECHO_1: Row = echo!(
    "echo_1",
    "as tcp_echo with 1 connection, 20,000 times; each request's latency is taken, too",
    WITH_LATENCIES,
    Echo { connections: 1, message: MESSAGE, requests: 20_000, quick: 1_000, latencies: true }
);
pub(super) const ECHO_64: Row = echo!(
    "echo_64",
    "the same with 64 connections, 1,500 times each",
    WITH_LATENCIES,
    Echo { connections: 64, message: MESSAGE, requests: 1_500, quick: 50, latencies: true }
);
pub(super) const ECHO_1000: Row = echo!(
    "echo_1000",
    "the same with 1,000 connections, 100 times each",
    WITH_LATENCIES,
    Echo { connections: 1_000, message: MESSAGE, requests: 100, quick: 3, latencies: true }
);
pub(super) const ECHO_1_64K: Row = echo!(
    "echo_1_64k",
    "64 KiB there and back on 1 connection, 4,000 times",
    WITH_LATENCIES,
    Echo { connections: 1, message: LARGE, requests: 4_000, quick: 100, latencies: true }
);
pub(super) const ECHO_64_64K: Row = echo!(
    "echo_64_64k",
    "the same with 64 connections, 100 times each",
    WITH_LATENCIES,
    Echo { connections: 64, message: LARGE, requests: 100, quick: 5, latencies: true }
);
pub(super) const ECHO_1000_64K: Row = echo!(
    "echo_1000_64k",
    "the same with 1,000 connections, 8 times each",
    WITH_LATENCIES,
    Echo { connections: 1_000, message: LARGE, requests: 8, quick: 1, latencies: true }
);

const LARGE: usize = 64 * 1024;

/// So many connections, each with a task that asks and one that answers.
#[derive(Clone, Copy)]
struct Echo {
    connections: u64,
    /// Bytes there, and bytes back.
    message: usize,
    /// How often each asks.
    requests: u64,
    /// The same, small.
    quick: u64,
    /// Whether the row shows how long a request takes.
    latencies: bool,
}

/// Opens the connections of an [`Echo`], and makes the buffers: the same program for all, `$listener` and `$stream` are theirs.
macro_rules! pairs {
    ($listener:path, $stream:path, $connections:expr, $asking:expr) => {{
        open_files::raise_limit();
        let listener = <$listener>::bind(ANY_PORT).await?;
        let mut pairs = Vec::new();
        for _ in 0..$connections {
            let client = <$stream>::connect(listener.local_addr()?).await?;
            let (server, _) = listener.accept().await?;
            client.set_nodelay(true)?;
            server.set_nodelay(true)?;
            pairs.push((client, Asked::new($asking), server, vec![0; $asking.message]));
        }
        pairs
    }};
}

impl Echo {
    fn on_trioxide(self, rt: &crate::contenders::Trioxide, scale: Scale) -> Sample {
        use trioxide::io::{TcpListener, TcpStream};
        let task = self.task(scale);
        let body = async move {
            let pairs = pairs!(TcpListener, TcpStream, self.connections, &task);
            let span = Span::start();
            nursery(async |n| {
                for (slot, (client, asked, server, buffer)) in (0..).zip(pairs) {
                    n.spawn(serve(server, buffer));
                    n.spawn(ask(client, asked, slot));
                }
                Ok::<_, io::Error>(())
            })
            .await
            .map_err(|failed| io::Error::other(format!("{failed:?}")))?;
            Ok(self.sample(span.stop(self.connections * task.requests), &task))
        };
        rt.run(body).unwrap_or_else(|error: io::Error| panic!("the echo failed: {error}"))
    }

    fn on_tokio(self, rt: &crate::contenders::Tokio, scale: Scale) -> Sample {
        use tokio::net::{TcpListener, TcpStream};
        let task = self.task(scale);
        let body = async move {
            let pairs = pairs!(TcpListener, TcpStream, self.connections, &task);
            let span = Span::start();
            let mut group = Vec::new();
            for (slot, (client, asked, server, buffer)) in (0..).zip(pairs) {
                group.push(tokio::spawn(serve_tokio(server, buffer)));
                group.push(tokio::spawn(ask_tokio(client, asked, slot)));
            }
            for task in group {
                task.await.expect("a task panicked")?;
            }
            Ok(self.sample(span.stop(self.connections * task.requests), &task))
        };
        rt.run(body).unwrap_or_else(|error: io::Error| panic!("the echo failed: {error}"))
    }

    fn on_smol(self, rt: &crate::contenders::Smol, scale: Scale) -> Sample {
        use smol::net::{TcpListener, TcpStream};
        let task = self.task(scale);
        let executor = rt.executor();
        let body = async move {
            let pairs = pairs!(TcpListener, TcpStream, self.connections, &task);
            let span = Span::start();
            let mut group = Vec::new();
            for (slot, (client, asked, server, buffer)) in (0..).zip(pairs) {
                group.push(executor.spawn(serve(server, buffer)));
                group.push(executor.spawn(ask(client, asked, slot)));
            }
            for task in group {
                task.await?;
            }
            Ok(self.sample(span.stop(self.connections * task.requests), &task))
        };
        rt.run(body).unwrap_or_else(|error: io::Error| panic!("the echo failed: {error}"))
    }

    fn task(self, scale: Scale) -> Asking {
        let latencies = self.latencies.then(Arc::default);
        Asking { requests: self.requests(scale), message: self.message, latencies }
    }

    const fn requests(self, scale: Scale) -> u64 {
        match scale {
            Scale::Full => self.requests,
            Scale::Quick => self.quick,
        }
    }

    fn sample(self, cost: Cost, task: &Asking) -> Sample {
        let mut sample = echoed(cost, self.connections);
        if let Some(latencies) = &task.latencies {
            let mut all = std::mem::take(&mut *latencies.lock().unwrap_or_else(PoisonError::into_inner));
            assert_eq!(all.len() as u64, cost.operations, "a latency for each request");
            all.sort_unstable();
            sample.values.extend([0.50, 0.99].map(|part| at(&all, part).as_nanos() as f64 / 1e3));
        }
        sample
    }
}

/// What is in `sorted` at that part of its length.
fn at(sorted: &[Duration], part: f64) -> Duration {
    sorted[((sorted.len() - 1) as f64 * part) as usize]
}

/// What a client does.
#[derive(Clone)]
struct Asking {
    requests: u64,
    message: usize,
    /// Of all clients, if they are wanted.
    latencies: Option<Arc<Mutex<Vec<Duration>>>>,
}

/// How often each connection of `tcp_echo` asks.
#[cfg(feature = "peers")]
pub(crate) fn requests(scale: Scale) -> u64 {
    FIFTY.requests(scale)
}

pub(crate) fn echoed(cost: Cost, connections: u64) -> Sample {
    marks::assert_all_ran(connections, 1);
    let cpu = cost.cpu.as_nanos() as f64 / cost.operations as f64;
    cost.with_values(vec![cost.nanos_per_operation(), cpu])
}

/// A client in the middle of it.
struct Asked {
    asking: Asking,
    /// How often so far.
    times: u64,
    /// When the last message was sent.
    began: Instant,
    message: Vec<u8>,
    answer: Vec<u8>,
    latencies: Vec<Duration>,
}

impl Asked {
    fn new(asking: &Asking) -> Self {
        let latencies = Vec::with_capacity(if asking.latencies.is_some() { asking.requests as usize } else { 0 });
        let (message, answer) = (vec![0; asking.message], vec![0; asking.message]);
        Self { asking: asking.clone(), times: 0, began: Instant::now(), message, answer, latencies }
    }

    /// Looks at the last answer, and gives the next message.
    fn next(&mut self) -> Option<&[u8]> {
        if self.times > 0 {
            assert_eq!(self.answer, self.message, "another message came back");
        }
        if self.asking.latencies.is_some() {
            let now = Instant::now();
            if self.times > 0 {
                self.latencies.push(now - self.began);
            }
            self.began = now;
        }
        if self.times == self.asking.requests {
            return None;
        }
        self.message.fill(self.times as u8);
        self.times += 1;
        Some(&self.message)
    }

    fn done(self, slot: u64) {
        if let Some(all) = &self.asking.latencies {
            all.lock().unwrap_or_else(PoisonError::into_inner).extend(self.latencies);
        }
        marks::add(slot, 1);
    }
}

/// Sends back what comes, until the client closes.
async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, mut buffer: Vec<u8>) -> io::Result<()> {
    loop {
        let length = stream.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..length]).await?;
    }
}

/// Sends a message and waits until it is back, as often as it is told.
async fn ask<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, mut asked: Asked, slot: u64) -> io::Result<()> {
    while let Some(message) = asked.next() {
        stream.write_all(message).await?;
        stream.read_exact(&mut asked.answer).await?;
    }
    asked.done(slot);
    Ok(())
}

/// [`serve`] with tokio's traits.
async fn serve_tokio(mut stream: tokio::net::TcpStream, mut buffer: Vec<u8>) -> io::Result<()> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    loop {
        let length = stream.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..length]).await?;
    }
}

/// [`ask`] with tokio's traits.
async fn ask_tokio(mut stream: tokio::net::TcpStream, mut asked: Asked, slot: u64) -> io::Result<()> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    while let Some(message) = asked.next() {
        stream.write_all(message).await?;
        stream.read_exact(&mut asked.answer).await?;
    }
    asked.done(slot);
    Ok(())
}
