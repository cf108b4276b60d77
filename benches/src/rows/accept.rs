//! Connections that are opened only to be closed again: how fast a server takes them in.

use std::io;

use futures_util::io::AsyncReadExt;
use trioxide::nursery;

use super::{Metric, Row, Scale};
use crate::marks;
use crate::measure::Span;

/// So many clients at once.
const CLIENTS: u64 = 16;
const ANY_PORT: &str = "127.0.0.1:0";

/// What the server does, and what a client does: the same program for all, `$listener` and `$stream` are theirs.
macro_rules! server {
    ($listener:expr, $connections:expr) => {
        async move {
            for _ in 0..$connections {
                // Closed at once.
                drop($listener.accept().await?);
            }
            Ok::<_, io::Error>(())
        }
    };
}
macro_rules! client {
    ($stream:path, $address:expr, $times:expr, $slot:expr) => {
        async move {
            for _ in 0..$times {
                #[allow(unused_mut)] // trioxide's reads through a shared reference
                let mut stream = <$stream>::connect($address).await?;
                assert_eq!(stream.read(&mut [0; 1]).await?, 0, "the server said something");
            }
            marks::add($slot, 1);
            Ok::<_, io::Error>(())
        }
    };
}

pub(super) const TCP_ACCEPT: Row = Row {
    name: "tcp_accept",
    about: "16 clients, each connects 500 times in turn; the server accepts and closes, the client sees that and closes",
    metrics: &[Metric::main("ns/connection"), Metric::also("cpu", "ns/connection")],
    own_process: false,
    needs: None,
    trioxide: |rt, scale| {
        use trioxide::io::{TcpListener, TcpStream};
        let times = times(scale);
        let body = async move {
            let listener = TcpListener::bind(ANY_PORT).await?;
            let address = listener.local_addr()?;
            let span = Span::start();
            nursery(async |n| {
                n.spawn(server!(listener, CLIENTS * times));
                for slot in 0..CLIENTS {
                    n.spawn(client!(TcpStream, address, times, slot));
                }
                Ok::<_, io::Error>(())
            })
            .await
            .map_err(|failed| io::Error::other(format!("{failed:?}")))?;
            Ok(connected(span, times))
        };
        rt.run(body).unwrap_or_else(|error: io::Error| panic!("connecting failed: {error}"))
    },
    tokio: Some(|rt, scale| {
        use tokio::io::AsyncReadExt;
        use tokio::net::{TcpListener, TcpStream};
        let times = times(scale);
        let body = async move {
            let listener = TcpListener::bind(ANY_PORT).await?;
            let address = listener.local_addr()?;
            let span = Span::start();
            let mut group = vec![tokio::spawn(server!(listener, CLIENTS * times))];
            for slot in 0..CLIENTS {
                group.push(tokio::spawn(client!(TcpStream, address, times, slot)));
            }
            for task in group {
                task.await.expect("a task panicked")?;
            }
            Ok(connected(span, times))
        };
        rt.run(body).unwrap_or_else(|error: io::Error| panic!("connecting failed: {error}"))
    }),
    smol: Some(|rt, scale| {
        use smol::net::{TcpListener, TcpStream};
        let times = times(scale);
        let executor = rt.executor();
        let body = async move {
            let listener = TcpListener::bind(ANY_PORT).await?;
            let address = listener.local_addr()?;
            let span = Span::start();
            let mut group = vec![executor.spawn(server!(listener, CLIENTS * times))];
            for slot in 0..CLIENTS {
                group.push(executor.spawn(client!(TcpStream, address, times, slot)));
            }
            for task in group {
                task.await?;
            }
            Ok(connected(span, times))
        };
        rt.run(body).unwrap_or_else(|error: io::Error| panic!("connecting failed: {error}"))
    }),
    libraries: &[],
};

fn times(scale: Scale) -> u64 {
    scale.of(500, 20)
}

fn connected(span: Span, times: u64) -> crate::measure::Sample {
    let cost = span.stop(CLIENTS * times);
    marks::assert_all_ran(CLIENTS, 1);
    let cpu = cost.cpu.as_nanos() as f64 / cost.operations as f64;
    cost.with_values(vec![cost.nanos_per_operation(), cpu])
}
