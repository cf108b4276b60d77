//! quinn's socket, and who waits for room to send.

use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::{self, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use quinn::udp::{RecvMeta, Transmit, UdpSocketState};
use quinn::{AsyncUdpSocket, UdpPoller};

use crate::opaque::opaque;
use crate::reactor::{Direction, Done, Ready, Registered};

/// A socket with what the system can do for it: many datagrams in one call, where it can.
pub(super) struct Socket {
    inner: Registered<net::UdpSocket>,
    state: UdpSocketState,
}

impl Socket {
    pub(super) fn new(socket: net::UdpSocket) -> io::Result<Arc<Socket>> {
        let state = UdpSocketState::new((&socket).into())?; // makes it non-blocking
        Ok(Arc::new(Socket { inner: Registered::new("quinn's socket", socket, Ready::BOTH)?, state }))
    }
}

opaque!(Socket);

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

opaque!(Writable);

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
