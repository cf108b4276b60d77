//! QUIC by quinn 0.11 in a nursery (feature `quinn`): [`QuinnRuntime`].

mod socket;

use std::future::Future;
use std::io;
use std::net;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use quinn::{AsyncTimer, AsyncUdpSocket, Runtime};
use trioxide_runtime::Nursery;

use crate::opaque::opaque;
use crate::run_sleep::RunSleep;
use socket::Socket;

/// What quinn asks of a runtime: its tasks are children of a nursery, its timers follow the run's clock.
///
/// quinn has a task for each endpoint and for each connection. An endpoint's ends when the last handle and the last connection have gone, so the nursery waits for
/// that; cancelled, it cuts them, and peers are told nothing: close the endpoint, and wait until it is idle, before. Once the nursery is closed, quinn's new tasks are dropped.
///
/// ```no_run
/// use std::sync::Arc;
/// use trioxide_io::QuinnRuntime;
/// use trioxide_runtime::Nursery;
/// fn endpoint(n: &Nursery<std::io::Error>, config: quinn::EndpointConfig) -> std::io::Result<quinn::Endpoint> {
///     let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
///     quinn::Endpoint::new(config, None, socket, Arc::new(QuinnRuntime::new(n.clone())))
/// }
/// ```
pub struct QuinnRuntime<E>(Nursery<E>);

impl<E> QuinnRuntime<E> {
    /// quinn's tasks in this nursery.
    pub fn new(nursery: Nursery<E>) -> QuinnRuntime<E> {
        QuinnRuntime(nursery)
    }
}

opaque!(QuinnRuntime<E>);

impl<E: Send + 'static> Runtime for QuinnRuntime<E> {
    fn new_timer(&self, at: Instant) -> Pin<Box<dyn AsyncTimer>> {
        RunSleep::until(at)
    }

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        drop(self.0.task("quinn").try_spawn(future));
    }

    fn wrap_udp_socket(&self, socket: net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        Ok(Socket::new(socket)?)
    }

    fn now(&self) -> Instant {
        trioxide_runtime::now()
    }
}

impl AsyncTimer for RunSleep {
    fn reset(self: Pin<&mut Self>, at: Instant) {
        self.restart(at);
    }

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Future::poll(self, cx)
    }
}
