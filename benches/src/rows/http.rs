//! HTTP: hyper says hello to `wrk`, which asks from a process of its own, with one thread and 64 connections.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::process::Command;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::io::{AsyncRead, AsyncWrite};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::rt::ReadBufCursor;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use trioxide::{blocking, nursery};

use super::{Group, Metric, Row, Scale};
use crate::measure::{Sample, Span};

pub(super) const HTTP: Row = Row {
    name: "http",
    about: "hyper says hello to wrk -t1 -c64, a process of its own, for 2 seconds",
    metrics: &[
        Metric::main("ns/request"),
        Metric::also("cpu", "ns/request"),
        Metric::also("p50", "us"),
        Metric::also("p99", "us"),
    ],
    own_process: false,
    needs: Some(WRK),
    trioxide: |rt, scale| {
        rt.run(async move {
            let listener = trioxide::io::TcpListener::bind(ANY_PORT).await.expect("a port");
            let address = listener.local_addr().expect("a bound socket");
            let mut asked = None;
            nursery(async |n: Group| {
                let group = n.clone();
                n.spawn(async move {
                    loop {
                        let (stream, _) = listener.accept().await.expect("a connection");
                        stream.set_nodelay(true).expect("a TCP socket");
                        group.spawn(async move {
                            served(http1::Builder::new().serve_connection(stream, service_fn(hello)).await)
                        });
                    }
                });
                asked = Some(blocking(move || ask(address, scale)).await);
                n.cancel("the row's end");
            })
            .await;
            asked.expect("wrk has run")
        })
    },
    tokio: Some(|rt, scale| {
        rt.run(async move {
            let listener = tokio::net::TcpListener::bind(ANY_PORT).await.expect("a port");
            let address = listener.local_addr().expect("a bound socket");
            let server = tokio::spawn(async move {
                let mut group = tokio::task::JoinSet::new();
                loop {
                    let (stream, _) = listener.accept().await.expect("a connection");
                    stream.set_nodelay(true).expect("a TCP socket");
                    let stream = TokioIo::new(stream);
                    group.spawn(async move {
                        served(http1::Builder::new().serve_connection(stream, service_fn(hello)).await)
                    });
                }
            });
            let asked = tokio::task::spawn_blocking(move || ask(address, scale)).await.expect("wrk has run");
            server.abort();
            asked
        })
    }),
    smol: Some(|rt, scale| {
        let executor = rt.executor();
        rt.run(async move {
            let listener = smol::net::TcpListener::bind(ANY_PORT).await.expect("a port");
            let address = listener.local_addr().expect("a bound socket");
            let server = executor.spawn(async move {
                let mut group = Vec::new();
                loop {
                    let (stream, _) = listener.accept().await.expect("a connection");
                    stream.set_nodelay(true).expect("a TCP socket");
                    let stream = ForHyper(stream);
                    group.push(executor.spawn(async move {
                        served(http1::Builder::new().serve_connection(stream, service_fn(hello)).await);
                    }));
                }
            });
            let asked = smol::unblock(move || ask(address, scale)).await;
            server.cancel().await;
            asked
        })
    }),
    libraries: &[],
};

const WRK: &str = "wrk";
const ANY_PORT: &str = "127.0.0.1:0";

async fn hello(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::new(Bytes::from_static(b"Hello, world!\n"))))
}

/// A connection that has ended. `wrk` closes its own when its time is up, in the middle of what they do.
fn served(outcome: hyper::Result<()>) {
    let _ = outcome;
}

/// Runs `wrk` against the server: what a request has cost.
fn ask(address: SocketAddr, scale: Scale) -> Sample {
    let span = Span::start();
    let mut command = Command::new(WRK);
    command.args(["-t1", "-c64", "--latency", &format!("-d{}s", scale.of(2, 1)), &format!("http://{address}/")]);
    let output = command.output().expect("wrk starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let told = Told::read(&text).unwrap_or_else(|| panic!("wrk has told something else: {text}"));
    assert!(!text.contains("Non-2xx") && !text.contains("Socket errors"), "{text}");
    // Of this process alone: what `wrk` spends is not in it.
    let cost = span.stop(told.requests);
    let cpu = cost.cpu.as_nanos() as f64 / cost.operations as f64;
    cost.with_values(vec![1e9 / told.per_second, cpu, told.p50_micros, told.p99_micros])
}

/// What `wrk --latency` prints.
#[derive(Debug, PartialEq)]
struct Told {
    requests: u64,
    per_second: f64,
    p50_micros: f64,
    p99_micros: f64,
}

impl Told {
    fn read(text: &str) -> Option<Self> {
        let after = |word: &str| text.lines().find_map(|line| line.trim().strip_prefix(word)).map(str::trim);
        let requests = text.lines().find_map(|line| line.trim().split_once(" requests in "))?.0.parse().ok()?;
        let per_second = after("Requests/sec:")?.parse().ok()?;
        Some(Self { requests, per_second, p50_micros: micros(after("50%")?)?, p99_micros: micros(after("99%")?)? })
    }
}

fn micros(time: &str) -> Option<f64> {
    // "us" and "ms" end with the "s" of seconds, too.
    let units = [("us", 1.0), ("ms", 1e3), ("s", 1e6)];
    units.into_iter().find_map(|(unit, factor)| Some(time.strip_suffix(unit)?.parse::<f64>().ok()? * factor))
}

/// A socket of smol's as hyper wants it. In safe code, so what is read takes a way round by a small buffer.
struct ForHyper(smol::net::TcpStream);

impl hyper::rt::Read for ForHyper {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, mut buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let mut bytes = [0; 512];
        let room = bytes.len().min(buf.remaining());
        let count = ready!(Pin::new(&mut self.0).poll_read(cx, &mut bytes[..room]))?;
        buf.put_slice(&bytes[..count]);
        Poll::Ready(Ok(()))
    }
}

impl hyper::rt::Write for ForHyper {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wrk_prints_is_read() {
        let text = "\
Running 2s test @ http://127.0.0.1:8080/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   310.10us  100.00us   5.17ms   90.10%
    Req/Sec   200.10k     3.00k  205.00k    70.00%
  Latency Distribution
     50%  301.00us
     75%  350.00us
     90%  400.00us
     99%    1.20ms
  400000 requests in 2.10s, 50.00MB read
Requests/sec: 190476.19
Transfer/sec:     23.80MB
";
        assert_eq!(
            Told::read(text),
            Some(Told { requests: 400_000, per_second: 190_476.19, p50_micros: 301.0, p99_micros: 1_200.0 })
        );
        assert_eq!(Told::read("unable to connect"), None);
        assert_eq!((micros("7.00us"), micros("1.50s")), (Some(7.0), Some(1_500_000.0)));
    }
}
