//! What these tests share.

use std::io;
use std::time::Duration;

use futures_util::poll;
use trioxide_io::{TcpListener, TcpStream, connect};
use trioxide_runtime::{checkpoint, join};
use trioxide_testing::network::{Network, Statistics};
use trioxide_testing::on_each_with_clock;

pub(crate) const ALL: &[usize] = &[1, 2, 8];

pub(crate) fn milliseconds(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Runs `test` on a network of its own, with virtual time, on each number of workers.
pub(crate) fn on_networks(test: impl AsyncFn(Network)) {
    on_each_with_clock(ALL, async |_| {
        let network = Network::new(1);
        network.run(test(network.clone())).await;
    });
}

/// What `test` counts on a network of its own.
pub(crate) fn counted(test: impl AsyncFn(Network)) -> Statistics {
    let counted = std::sync::Mutex::new(Statistics::default());
    on_each_with_clock(&[1], async |_| {
        let network = Network::new(1);
        network.run(test(network.clone())).await;
        *counted.lock().unwrap() = network.statistics();
    });
    counted.into_inner().unwrap()
}

/// Listens on a host, on a port that is free.
pub(crate) async fn listen(network: &Network, host: &str) -> TcpListener {
    network.host(host).run(TcpListener::bind("0.0.0.0:0")).await.unwrap().unwrap()
}

/// A connection from a host to a listener on host `b`.
pub(crate) async fn connect_to(network: &Network, listener: &TcpListener) -> io::Result<TcpStream> {
    let port = listener.local_addr().unwrap().port();
    network.host("a").run(connect("b", port)).await.unwrap()
}

/// The ends of a connection from host `a` to host `b`.
pub(crate) async fn pair(network: &Network) -> (TcpStream, TcpStream) {
    let listener = listen(network, "b").await;
    let (client, accepted) = join!(connect_to(network, &listener), listener.accept());
    (client.unwrap(), accepted.unwrap().0)
}

/// Reads until the end.
pub(crate) async fn drain(stream: &TcpStream) -> io::Result<Vec<u8>> {
    let (mut all, mut buf) = (Vec::new(), vec![0; 50_000]);
    loop {
        match stream.read(&mut buf).await? {
            0 => return Ok(all),
            count => all.extend_from_slice(&buf[..count]),
        }
    }
}

/// Polls until the future waits, not only for its turn.
pub(crate) async fn waits<F: Future>(mut future: std::pin::Pin<&mut F>) {
    for _ in 0..3 {
        assert!(poll!(future.as_mut()).is_pending());
        checkpoint().await;
    }
}
