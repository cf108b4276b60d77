//! The rows on compio.

use std::future::Future;
use std::hint::black_box;
use std::ops::Range;

use compio::buf::BufResult;
use compio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWriteExt as _};
use compio::net::{TcpListener, TcpStream};
use compio::runtime::spawn;
use compio::time::{sleep, timeout};
use tokio::sync::oneshot;

use super::*;
use crate::marks;
use crate::peers::Repeat;
use crate::rows::fork_join::{fibonacci, height, nodes};
use crate::rows::tcp::MESSAGE;
use crate::rows::timers::{LIMIT, Nap, slept};
use crate::rows::{HOPS, PAIRS, ROUNDS, Rewake, Scale};

rows!();

fn run<F: Future>(body: F) -> F::Output {
    compio::runtime::Runtime::new().expect("a poller").block_on(body)
}

fn joined<T>(outcome: Result<T, Box<dyn std::any::Any + Send>>) -> T {
    outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn detach<T>(task: compio::runtime::JoinHandle<T>) {
    task.detach();
}

async fn tcp_echo(slots: Range<u64>, started: Started) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("a bound socket");
    let mut pairs = Vec::new();
    for slot in slots {
        let connecting = spawn(TcpStream::connect(address));
        let (server, _) = listener.accept().await.expect("a connection");
        let client = joined(connecting.await).expect("a connection");
        pairs.push((slot, client, server));
    }
    started.barrier.wait();
    let mut group = Vec::new();
    for (slot, mut client, mut server) in pairs {
        group.push(spawn(async move {
            let mut buffer = Vec::with_capacity(MESSAGE);
            loop {
                let BufResult(outcome, filled) = server.read(buffer).await;
                if outcome.expect("the client writes") == 0 {
                    break;
                }
                let BufResult(outcome, mut written) = server.write_all(filled).await;
                outcome.expect("the client reads");
                written.clear();
                buffer = written;
            }
        }));
        group.push(spawn(async move {
            let (mut message, mut buffer) = (vec![0; MESSAGE], vec![0; MESSAGE]);
            for time in 0..started.requests {
                message.fill(time as u8);
                let BufResult(outcome, written) = client.write_all(message).await;
                outcome.expect("the server reads");
                let BufResult(outcome, filled) = client.read_exact(buffer).await;
                outcome.expect("the server answers");
                assert_eq!(written, filled, "another message came back");
                (message, buffer) = (written, filled);
            }
            marks::add(slot, 1);
        }));
    }
    for task in group {
        joined(task.await);
    }
}
