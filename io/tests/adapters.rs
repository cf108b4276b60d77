//! Adapters for other libraries: the context of tokio, tower's layers.
#![cfg(all(feature = "tokio-compat", feature = "tower"))]

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tower_layer::Layer;
use tower_service::Service;
use trioxide_io::tokio_compat::{enter, spawned, with_tokio};
use trioxide_io::{TcpListener, TimeoutLayer};
use trioxide_runtime::{TooSlow, TreeKind, join, nursery, race, sleep, task_tree};
use trioxide_testing::{on_each, on_each_with_clock};

const ALL: &[usize] = &[1, 2, 8];

#[test]
fn tokio_serves_timers_sockets_and_tasks_of_futures_on_our_workers() {
    on_each(ALL, async || {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let theirs = with_tokio(async move {
            tokio::time::sleep(Duration::ZERO).await; // real time: none
            let stream = tokio::net::TcpStream::connect(address).await.unwrap();
            stream.writable().await.unwrap();
            stream.try_write(b"hello").unwrap()
        });
        let ours = async {
            let (stream, _) = listener.accept().await.unwrap();
            let mut buf = [0; 5];
            stream.read_exact(&mut buf).await.unwrap();
            buf
        };
        let (sent, got) = join!(theirs, ours);
        assert_eq!((sent, &got), (5, b"hello"));
        // On whatever worker a child runs.
        nursery(async |n| {
            for number in 0..64 {
                n.spawn(with_tokio(async move {
                    assert_eq!(tokio::spawn(async move { number }).await.unwrap(), number);
                }));
            }
        })
        .await;
    });
}

#[test]
fn what_is_spawned_on_tokio_escapes_and_is_counted() {
    on_each(ALL, async || {
        let (say, hear) = tokio::sync::oneshot::channel::<()>();
        enter();
        let escaped = tokio::spawn(hear);
        let one = with_tokio(escaped);
        // Dropped, and so abandoned; it is there all the same.
        race!(async { drop(one.await) }, async {});
        assert!(spawned() >= 1);
        // In the tree they stand beside the main task, and not below it.
        let tree = task_tree();
        let entry = tree.iter().find(|entry| matches!(entry.kind(), TreeKind::Elsewhere(1..))).unwrap();
        assert_eq!((entry.operation(), entry.depth()), ("tokio", 1));
        assert!(tree.to_string().contains("of tokio: in no nursery"), "{tree}");
        drop(say);
    });
}

struct Slow(Duration);

impl Service<u32> for Slow {
    type Response = u32;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<u32, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: u32) -> Self::Future {
        let takes = self.0;
        Box::pin(async move {
            sleep(takes).await; // virtual time: in tests with a mock clock only
            Ok(request + 1)
        })
    }
}

struct Failing;

impl Service<u32> for Failing {
    type Response = u32;
    type Error = std::fmt::Error;
    type Future = Ready<Result<u32, std::fmt::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), std::fmt::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: u32) -> Self::Future {
        ready(Err(std::fmt::Error))
    }
}

#[test]
fn a_layer_limits_the_time_of_each_call() {
    on_each_with_clock(ALL, async |clock| {
        let layer = TimeoutLayer::new(Duration::from_secs(5));
        assert_eq!(layer.layer(Slow(Duration::from_secs(4))).call(1).await.unwrap(), 2);
        let error = layer.layer(Slow(Duration::from_secs(6))).call(1).await.unwrap_err();
        assert!(error.is::<TooSlow>(), "{error}");
        assert_eq!(clock.elapsed(), Duration::from_secs(9));
        assert!(layer.layer(Failing).call(1).await.unwrap_err().is::<std::fmt::Error>());
    });
}
