//! Listeners: several acceptors, none of which may take a connection along when it goes.

use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures_util::future::join;
use trioxide_io::{TcpListener, TcpStream};
use trioxide_runtime::{CancelScope, NurseryError, checkpoint, move_on_after, nursery};
use trioxide_testing::{on_each, on_each_with_clock};

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A waker of its own: remembers that it was woken, and wakes the task of the test.
struct Bell {
    rung: AtomicBool,
    test: Waker,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rung.store(true, Ordering::SeqCst);
        self.test.wake_by_ref();
    }
}

impl Bell {
    async fn new() -> Arc<Bell> {
        poll_fn(|cx| Poll::Ready(Arc::new(Bell { rung: AtomicBool::new(false), test: cx.waker().clone() }))).await
    }

    fn poll<F: Future>(self: &Arc<Self>, future: Pin<&mut F>) -> Poll<F::Output> {
        let waker = Waker::from(self.clone());
        future.poll(&mut Context::from_waker(&waker))
    }

    /// Waits until it has been rung.
    async fn rung(&self) {
        poll_fn(|_| match self.rung.load(Ordering::SeqCst) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
    }
}

#[test]
fn several_acceptors_share_the_connections() {
    on_each(&[1, 2, 8], async || {
        let (listener, address) = listen().await;
        let listener = Arc::new(listener);
        let accepted = Arc::new(AtomicUsize::new(0));
        let result: Result<(), NurseryError<io::Error>> = nursery(async |n| {
            for _ in 0..4 {
                let (listener, accepted) = (listener.clone(), accepted.clone());
                drop(n.spawn(async move {
                    for _ in 0..25 {
                        let (stream, _) = listener.accept().await?;
                        accepted.fetch_add(1, Ordering::Relaxed);
                        stream.write_all(b"!").await?;
                    }
                    Ok::<_, io::Error>(())
                }));
            }
            for _ in 0..100 {
                drop(n.spawn(async move {
                    let stream = TcpStream::connect(address).await?;
                    stream.read_exact(&mut [0]).await
                }));
            }
            Ok::<_, io::Error>(())
        })
        .await;
        result.unwrap();
        assert_eq!(accepted.load(Ordering::Relaxed), 100);
    });
}

#[test]
fn dropped_when_the_wake_up_was_handed_to_it() {
    on_each(&[1, 2], async || {
        let (listener, address) = listen().await;
        let (first_bell, second_bell) = (Bell::new().await, Bell::new().await);
        let mut first = Box::pin(listener.accept());
        let mut second = pin!(listener.accept());
        // Twice: the first poll of a fresh listener only learns that nobody is there.
        for _ in 0..2 {
            assert!(first_bell.poll(first.as_mut()).is_pending());
            assert!(second_bell.poll(second.as_mut()).is_pending());
        }
        let client = TcpStream::connect(address).await.unwrap();
        first_bell.rung().await;
        drop(first);
        second_bell.rung().await;
        let Poll::Ready(Ok((_, peer))) = second_bell.poll(second.as_mut()) else {
            panic!("the connection is the second's");
        };
        assert_eq!(peer, client.local_addr().unwrap());
    });
}

#[test]
fn dropped_when_the_wake_up_was_handed_to_it_and_nobody_else_waits_yet() {
    on_each(&[1, 2], async || {
        let (listener, address) = listen().await;
        let bell = Bell::new().await;
        let mut first = Box::pin(listener.accept());
        assert!(bell.poll(first.as_mut()).is_pending());
        let client = TcpStream::connect(address).await.unwrap();
        bell.rung().await;
        drop(first);
        let (_, peer) = listener.accept().await.unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
    });
}

#[test]
fn cancelled_while_connections_arrive_loses_none() {
    on_each(&[1, 2, 8], async || {
        let (listener, address) = listen().await;
        let result: Result<(), NurseryError<io::Error>> = nursery(async |n| {
            drop(n.spawn(async move {
                for _ in 0..200 {
                    let stream = TcpStream::connect(address).await?;
                    // The next connection comes only when this one has been taken.
                    stream.read_exact(&mut [0]).await?;
                }
                Ok::<_, io::Error>(())
            }));
            let mut accepted = 0;
            while accepted < 200 {
                let scope = CancelScope::new();
                let handle = scope.handle();
                drop(n.spawn(async move {
                    checkpoint().await;
                    handle.cancel("a moment later");
                }));
                if let Ok(connection) = scope.run(listener.accept()).await {
                    accepted += 1;
                    connection?.0.write_all(b"!").await?;
                }
            }
            Ok::<_, io::Error>(())
        })
        .await;
        result.unwrap();
    });
}

#[test]
fn an_accept_in_a_cancelled_scope_takes_nothing() {
    on_each(&[1, 2], async || {
        let (listener, address) = listen().await;
        let client = TcpStream::connect(address).await.unwrap();
        let scope = CancelScope::new();
        scope.handle().cancel("before it began");
        assert!(scope.run(listener.accept()).await.is_err());
        let (_, peer) = listener.accept().await.unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
    });
}

#[test]
fn accept_with_a_time_out() {
    on_each_with_clock(&[1, 2], async |_| {
        let (listener, address) = listen().await;
        let hour = Duration::from_secs(3600);
        assert!(move_on_after(hour, listener.accept()).await.is_none());
        let (client, accepted) = join(TcpStream::connect(address), listener.accept()).await;
        let (_, peer) = accepted.unwrap();
        assert_eq!(peer, client.unwrap().local_addr().unwrap());
    });
}

#[test]
fn a_port_in_use_says_what_to_do() {
    on_each(&[1], async || {
        let (_listener, address) = listen().await;
        let error = TcpListener::bind(address).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert_eq!(
            error.to_string(),
            format!(
                "cannot listen on {address}: address in use; another program listens there, choose another port or port 0"
            )
        );
    });
}

#[test]
fn an_address_of_another_machine_says_what_to_do() {
    on_each(&[1], async || {
        let error = TcpListener::bind("192.0.2.1:0").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
        assert_eq!(
            error.to_string(),
            "cannot listen on 192.0.2.1:0: not an address of this machine; choose one of its own, such as 127.0.0.1, or 0.0.0.0 for all of them"
        );
    });
}

#[test]
fn a_port_is_free_again_at_once() {
    on_each(&[1, 2], async || {
        // Of an address that no other test uses: there nobody else takes the port meanwhile.
        let local = if cfg!(target_os = "linux") { "127.1.2.7:0" } else { "127.0.0.1:0" };
        let listener = TcpListener::bind(local).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (client, accepted) = join(TcpStream::connect(address), listener.accept()).await;
        // The server closes first, so its end of the connection lingers in TIME-WAIT.
        drop(accepted.unwrap());
        assert_eq!(client.unwrap().read(&mut [0]).await.unwrap(), 0);
        drop(listener);
        TcpListener::bind(address).await.unwrap();
    });
}

#[test]
fn a_listener_of_std_with_a_connection_waiting() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let client = std::net::TcpStream::connect(address).unwrap();
    on_each(&[1], async || {
        let listener = TcpListener::from_std(listener.try_clone().unwrap()).unwrap();
        let (stream, peer) = listener.accept().await.unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
        assert!(stream.nodelay().unwrap());
    });
}

#[test]
#[should_panic(expected = "`TcpListener::bind` was called outside a run")]
fn outside_a_run_bind_says_so() {
    let mut bind = Box::pin(TcpListener::bind("127.0.0.1:0"));
    let _ = bind.as_mut().poll(&mut Context::from_waker(Waker::noop()));
}

#[test]
#[should_panic(expected = "`TcpListener::from_std` was called outside a run")]
fn outside_a_run_from_std_says_so() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let _ = TcpListener::from_std(listener);
}
