//! The rows on monoio.

use std::future::Future;
use std::hint::black_box;
use std::ops::Range;

use monoio::io::{AsyncReadRent as _, AsyncReadRentExt as _, AsyncWriteRentExt as _};
use monoio::net::{TcpListener, TcpStream};
use monoio::spawn;
use monoio::time::{sleep, timeout};
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
    // io_uring where the kernel has it, epoll elsewhere.
    monoio::RuntimeBuilder::<monoio::FusionDriver>::new().enable_timer().build().expect("a poller").block_on(body)
}

fn joined<T>(value: T) -> T {
    value
}

fn detach<T>(task: monoio::task::JoinHandle<T>) {
    drop(task);
}

async fn tcp_echo(slots: Range<u64>, started: Started) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("a bound socket");
    let mut pairs = Vec::new();
    for slot in slots {
        // In turn would be a deadlock where connecting is finished by who accepts.
        let connecting = spawn(TcpStream::connect(address));
        let (server, _) = listener.accept().await.expect("a connection");
        let client = connecting.await.expect("a connection");
        client.set_nodelay(true).expect("a TCP socket");
        server.set_nodelay(true).expect("a TCP socket");
        pairs.push((slot, client, server));
    }
    started.barrier.wait();
    let mut group = Vec::new();
    for (slot, mut client, mut server) in pairs {
        group.push(spawn(async move {
            let mut buffer = vec![0; MESSAGE];
            loop {
                let (outcome, filled) = server.read(buffer).await;
                if outcome.expect("the client writes") == 0 {
                    break;
                }
                let (outcome, written) = server.write_all(filled).await;
                outcome.expect("the client reads");
                buffer = written;
            }
        }));
        group.push(spawn(async move {
            let (mut message, mut buffer) = (vec![0; MESSAGE], vec![0; MESSAGE]);
            for time in 0..started.requests {
                message.fill(time as u8);
                let (outcome, written) = client.write_all(message).await;
                outcome.expect("the server reads");
                let (outcome, filled) = client.read_exact(buffer).await;
                outcome.expect("the server answers");
                assert_eq!(written, filled, "another message came back");
                (message, buffer) = (written, filled);
            }
            marks::add(slot, 1);
        }));
    }
    for task in group {
        task.await;
    }
}
