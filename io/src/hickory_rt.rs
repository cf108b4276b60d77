//! DNS by hickory 0.26 in a nursery (feature `hickory`): [`HickoryProvider`].

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hickory_resolver::net::runtime::{DnsTcpStream, DnsUdpSocket, RuntimeProvider, Spawn, Time};
use trioxide_runtime::{Nursery, fail_after, sleep};

use crate::opaque::opaque;
use crate::{TcpStream, UdpSocket};

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What hickory asks of a runtime: its tasks are children of a nursery, its sockets are ours, its time-outs follow the run's clock.
///
/// hickory keeps a task for each connection to a name server, and drops a query whose future is dropped. Once the nursery is closed, its new tasks are dropped,
/// and queries fail.
///
/// ```no_run
/// use hickory_resolver::Resolver;
/// use hickory_resolver::config::ResolverConfig;
/// use trioxide_io::HickoryProvider;
/// use trioxide_runtime::Nursery;
/// fn resolver(n: &Nursery<std::io::Error>, servers: ResolverConfig) -> Resolver<HickoryProvider> {
///     Resolver::builder_with_config(servers, HickoryProvider::new(n)).build().unwrap()
/// }
/// ```
///
/// For all names that [`connect`](crate::connect) and others look up: [`set_resolver`](crate::set_resolver).
#[derive(Clone)]
pub struct HickoryProvider(Arc<dyn Fn(Boxed<'static, ()>) + Send + Sync>);

impl HickoryProvider {
    /// hickory's tasks in this nursery.
    pub fn new<E: Send + 'static>(nursery: &Nursery<E>) -> HickoryProvider {
        let nursery = nursery.clone();
        HickoryProvider(Arc::new(move |task| drop(nursery.task("hickory").try_spawn(task))))
    }
}

opaque!(HickoryProvider);

impl RuntimeProvider for HickoryProvider {
    type Handle = HickoryProvider;
    type Timer = HickoryProvider;
    type Udp = UdpSocket;
    type Tcp = TcpStream;

    fn create_handle(&self) -> HickoryProvider {
        self.clone()
    }

    fn connect_tcp(
        &self,
        server: SocketAddr,
        from: Option<SocketAddr>,
        limit: Option<Duration>,
    ) -> Boxed<'static, io::Result<TcpStream>> {
        Box::pin(async move {
            let connect = TcpStream::connect_from(from.map(|from| from.ip()), server); // the port is the system's choice
            fail_after(limit.unwrap_or(Duration::from_secs(5)), connect).await?
        })
    }

    fn bind_udp(&self, from: SocketAddr, _server: SocketAddr) -> Boxed<'static, io::Result<UdpSocket>> {
        Box::pin(UdpSocket::bind(from))
    }
}

impl Spawn for HickoryProvider {
    fn spawn_bg(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        (self.0)(Box::pin(task));
    }
}

/// Time is the run's.
#[async_trait::async_trait]
impl Time for HickoryProvider {
    async fn delay_for(duration: Duration) {
        sleep(duration).await;
    }

    async fn timeout<F: Future + Send + 'static>(duration: Duration, future: F) -> io::Result<F::Output> {
        Ok(fail_after(duration, future).await?)
    }
}

impl DnsUdpSocket for UdpSocket {
    type Time = HickoryProvider;

    fn poll_recv_from(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>> {
        UdpSocket::poll_recv_from(self, cx, buf)
    }

    fn poll_send_to(&self, cx: &mut Context<'_>, message: &[u8], to: SocketAddr) -> Poll<io::Result<usize>> {
        UdpSocket::poll_send_to(self, cx, message, to)
    }
}

impl DnsTcpStream for TcpStream {
    type Time = HickoryProvider;
}
