//! P7: the same unchanged program on the parallel runtime, with a mock clock, and in a seeded simulation on a simulated network.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use trioxide::io::{TcpListener, TcpStream, connect, serve};
use trioxide::prelude::*;
use trioxide_testing::network::Network;
use trioxide_testing::{on_each, on_each_with_clock, simulate};

const CLIENTS: u32 = 5;
const QUESTIONS: u32 = 4;
const HOUR: Duration = Duration::from_secs(3600);

/// Sums what the clients send, and says the sum each time.
async fn server(listener: TcpListener) -> io::Result<()> {
    let sum = Arc::new(AtomicU32::new(0));
    let handle = move |stream: TcpStream, _| {
        let sum = Arc::clone(&sum);
        async move {
            let mut number = [0; 4];
            while stream.read_exact(&mut number).await.is_ok() {
                let number = u32::from_be_bytes(number);
                let sum = sum.fetch_add(number, Ordering::Relaxed) + number;
                stream.write_all(&sum.to_be_bytes()).await?;
            }
            Ok::<_, io::Error>(())
        }
    };
    serve(listener, handle).await
}

/// Gives the greatest sum that it was told.
async fn client(host: &str, port: u16) -> io::Result<u32> {
    let stream = connect(host, port).await?;
    let mut most = 0;
    for number in 1..=QUESTIONS {
        fail_after(HOUR, stream.write_all(&number.to_be_bytes())).await??;
        let mut sum = [0; 4];
        fail_after(HOUR, stream.read_exact(&mut sum)).await??;
        most = most.max(u32::from_be_bytes(sum));
    }
    Ok(most)
}

/// The program: what the clients were told in the end, the most of it.
async fn clients(host: &'static str, port: u16) -> u32 {
    let most = Arc::new(AtomicU32::new(0));
    nursery(async |n| {
        for _ in 0..CLIENTS {
            let most = Arc::clone(&most);
            n.spawn(async move {
                most.fetch_max(client(host, port).await.expect("it is answered"), Ordering::Relaxed);
                Ok::<_, Infallible>(())
            });
        }
    })
    .await;
    most.load(Ordering::Relaxed)
}

async fn both_here() -> u32 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("some port is free");
    let port = listener.local_addr().expect("it is bound").port();
    let mut most = 0;
    nursery(async |n| {
        n.service(async move { server(listener).await.expect("it is cancelled, and does not end") });
        most = clients("127.0.0.1", port).await;
    })
    .await;
    most
}

const ALL: u32 = CLIENTS * QUESTIONS * (QUESTIONS + 1) / 2;

#[test]
fn p7_on_the_parallel_runtime() {
    on_each(&[1, 2, 8], async || assert_eq!(both_here().await, ALL));
}

#[test]
fn p7_with_a_mock_clock() {
    on_each_with_clock(&[1, 2, 8], async |clock| {
        // Sockets of the system take no virtual time: what has come is looked at before the clock jumps to the time-outs.
        assert_eq!(both_here().await, ALL);
        assert!(clock.elapsed() < HOUR);
    });
}

#[test]
fn p7_in_a_simulation() {
    let run = |seed| {
        simulate(seed, async || {
            let network = Network::new(seed);
            let (host, client) = (network.host("server"), network.host("client"));
            let mut most = 0;
            let world = nursery(async |n| {
                let (ready, is_ready) = trioxide::sync::channel::oneshot();
                n.service(async move {
                    let listen = async {
                        let listener = TcpListener::bind("0.0.0.0:80").await.expect("the port is free");
                        ready.send(()).expect("the clients wait for it");
                        server(listener).await.expect("it is cancelled, and does not end");
                    };
                    drop(host.run(listen).await);
                });
                is_ready.await.expect("it listens");
                most = client.run(clients("server", 80)).await.expect("no crash");
            });
            network.run(world).await;
            most
        })
    };
    for seed in 0..20 {
        assert_eq!(run(seed), ALL);
    }
}
