//! QUIC by quinn 0.11 in a nursery (feature `quinn`): [`QuinnRuntime`].

use std::fmt;
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::{self, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use pin_project_lite::pin_project;
use quinn::udp::{RecvMeta, Transmit, UdpSocketState};
use quinn::{AsyncTimer, AsyncUdpSocket, Runtime, UdpPoller};
use trioxide_runtime::{Nursery, Sleep, sleep_until};

use crate::reactor::{Direction, Done, Ready, Registered};

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

impl<E> fmt::Debug for QuinnRuntime<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("QuinnRuntime")
    }
}

impl<E: Send + 'static> Runtime for QuinnRuntime<E> {
    fn new_timer(&self, at: Instant) -> Pin<Box<dyn AsyncTimer>> {
        Box::pin(Timer { sleep: sleep_until(at) })
    }

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        drop(self.0.task("quinn").try_spawn(future));
    }

    fn wrap_udp_socket(&self, socket: net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let state = UdpSocketState::new((&socket).into())?; // makes it non-blocking
        let inner = Registered::new("quinn's socket", socket, Ready::BOTH)?;
        Ok(Arc::new(Socket { inner, state }))
    }

    fn now(&self) -> Instant {
        trioxide_runtime::now()
    }
}

pin_project! {
    #[derive(Debug)]
    struct Timer {
        #[pin]
        sleep: Sleep,
    }
}

impl AsyncTimer for Timer {
    fn reset(self: Pin<&mut Self>, at: Instant) {
        self.project().sleep.reset(at);
    }

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.project().sleep.poll(cx)
    }
}

struct Socket {
    inner: Registered<net::UdpSocket>,
    state: UdpSocketState,
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.get().fmt(f)
    }
}

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Writable { socket: self, waits: None })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let send = |socket: &net::UdpSocket| self.state.send(socket.into(), transmit).map(Done::more);
        self.inner.try_io(Direction::Write, "quinn's send", send)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let receive = |socket: &net::UdpSocket| self.state.recv(socket.into(), bufs, meta).map(Done::more);
        self.inner.poll_io(cx, Direction::Read, "quinn's receive", receive)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.get().local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.state.gro_segments()
    }

    fn may_fragment(&self) -> bool {
        self.state.may_fragment()
    }
}

/// One of any number that wait for room to send, each with a place of its own in the reactor.
struct Writable {
    socket: Arc<Socket>,
    waits: Option<Pin<Box<dyn Future<Output = io::Result<()>> + Send + Sync>>>,
}

impl fmt::Debug for Writable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writable").field("socket", &self.socket).finish_non_exhaustive()
    }
}

impl UdpPoller for Writable {
    fn poll_writable(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Writable { socket, waits } = &mut *self;
        let waits = waits.get_or_insert_with(|| {
            let socket = socket.clone();
            Box::pin(async move { socket.inner.io(Direction::Write, "quinn's send", |_| Ok(Done::more(()))).await })
        });
        let polled = waits.as_mut().poll(cx);
        if polled.is_ready() {
            self.waits = None; // it is over, and may be asked again
        }
        polled
    }
}
