//! What the io crate calls: a host as a [`Network`](trioxide_io::network::Network), and the sockets of it.

use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::sync::Arc;

use parking_lot::Mutex;
use trioxide_io::network::{self, DatagramSocket, ListenerSocket, Readiness, Resolving, StreamOptions, StreamSocket};
use trioxide_runtime::sleep;

use super::connection::{ConnectionId, End};
use super::world::{HostId, Listening, Shared, collide};

/// The network, as a host sees it.
#[derive(Debug)]
pub(super) struct View {
    pub(super) shared: Arc<Shared>,
    pub(super) host: HostId,
}

impl network::Network for View {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Resolving<'a> {
        Box::pin(async move {
            let delay = self.shared.with(|world| world.name_delay);
            if !delay.is_zero() {
                sleep(delay).await;
            }
            let found = self.shared.with(|world| world.resolve(self.host, host))?;
            Ok(found.into_iter().map(|ip| SocketAddr::new(ip, port)).collect())
        })
    }

    fn listen(&self, address: SocketAddr, backlog: u32, readiness: Readiness) -> io::Result<Box<dyn ListenerSocket>> {
        let descriptor = Descriptor::take(&self.shared, self.host)?;
        let address = self.shared.with(|world| {
            let address = world.local_address(self.host, address, |state, address| {
                state.listeners.keys().any(|taken| collide(*taken, address))
            })?;
            let listening = Listening { readiness, backlog: (backlog as usize).max(1), waiting: Default::default() };
            world.state(self.host).listeners.insert(address, listening);
            Ok::<_, io::Error>(address)
        })?;
        Ok(Box::new(Listener { descriptor, address }))
    }

    fn connect(
        &self,
        local: Option<IpAddr>,
        to: SocketAddr,
        readiness: Readiness,
    ) -> io::Result<Box<dyn StreamSocket>> {
        let descriptor = Descriptor::take(&self.shared, self.host)?;
        let (id, local) = self.shared.with(|world| world.connect(self.host, local, to, readiness))?;
        Ok(Box::new(Stream { descriptor, id, end: End::One, local, peer: to, options: Mutex::default() }))
    }

    fn bind(&self, address: SocketAddr, readiness: Readiness) -> io::Result<Box<dyn DatagramSocket>> {
        let descriptor = Descriptor::take(&self.shared, self.host)?;
        let address = self.shared.with(|world| world.bind(self.host, address, readiness))?;
        Ok(Box::new(Datagrams { descriptor, address }))
    }
}

/// A descriptor of a host; given back when it is dropped.
#[derive(Debug)]
struct Descriptor {
    shared: Arc<Shared>,
    host: HostId,
    /// In which life of the host it was taken.
    life: u64,
}

impl Descriptor {
    fn take(shared: &Arc<Shared>, host: HostId) -> io::Result<Descriptor> {
        let life = shared.with(|world| world.take_descriptor(host))?;
        Ok(Descriptor { shared: shared.clone(), host, life })
    }

    /// Whether its host has not crashed since.
    fn lives(&self) -> bool {
        self.shared.with(|world| world.state(self.host).life == self.life)
    }

    fn check(&self) -> io::Result<()> {
        match self.lives() {
            true => Ok(()),
            false => Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the host of this socket has crashed")),
        }
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        self.shared.with(|world| world.give_descriptor(self.host, self.life));
    }
}

#[derive(Debug)]
struct Listener {
    descriptor: Descriptor,
    address: SocketAddr,
}

impl ListenerSocket for Listener {
    fn accept(&self, readiness: Readiness) -> io::Result<(Box<dyn StreamSocket>, SocketAddr)> {
        let Descriptor { shared, host, .. } = &self.descriptor;
        self.descriptor.check()?;
        let is_waiting = shared.with(|world| {
            world.state(*host).listeners.get(&self.address).is_some_and(|listening| !listening.waiting.is_empty())
        });
        if !is_waiting {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        // First the descriptor: the connection goes on waiting if there is none.
        let descriptor = Descriptor::take(shared, *host)?;
        let accepted = shared.with(|world| world.accept(*host, self.address, readiness))?;
        let (local, peer) = (accepted.local, accepted.peer);
        let stream = Stream { descriptor, id: accepted.id, end: End::Other, local, peer, options: Mutex::default() };
        Ok((Box::new(stream), peer))
    }

    fn local_addr(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let Descriptor { shared, host, life } = &self.descriptor;
        shared.with(|world| {
            if world.state(*host).life == *life
                && let Some(listening) = world.state(*host).listeners.remove(&self.address)
            {
                world.turn_away(listening.waiting);
            }
        });
    }
}

#[derive(Debug)]
struct Stream {
    descriptor: Descriptor,
    id: ConnectionId,
    end: End,
    local: SocketAddr,
    peer: SocketAddr,
    options: Mutex<StreamOptions>,
}

impl StreamSocket for Stream {
    fn connected(&self) -> io::Result<()> {
        self.descriptor.shared.with(|world| world.is_connected(self.id))
    }

    fn receive(&self, buf: &mut [u8], peek: bool) -> io::Result<usize> {
        self.descriptor.shared.with(|world| {
            world.in_storm((self.id, self.end), buf.len(), |world, count| {
                world.receive(self.id, self.end, &mut buf[..count], peek)
            })
        })
    }

    fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.descriptor.shared.with(|world| {
            world.in_storm((self.id, self.end), buf.len(), |world, count| world.send(self.id, self.end, &buf[..count]))
        })
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.descriptor.shared.with(|world| world.shutdown(self.id, self.end, how))
    }

    fn local_addr(&self) -> SocketAddr {
        self.local
    }

    fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    fn options(&self) -> StreamOptions {
        *self.options.lock()
    }

    fn set_options(&self, options: StreamOptions) {
        *self.options.lock() = options;
        self.descriptor.shared.with(|world| {
            if let Ok(end) = world.end_of(self.id, self.end) {
                end.options = options;
            }
        });
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.descriptor.shared.with(|world| world.close(self.id, self.end));
    }
}

#[derive(Debug)]
struct Datagrams {
    descriptor: Descriptor,
    address: SocketAddr,
}

impl DatagramSocket for Datagrams {
    fn connect(&self, peer: SocketAddr) -> io::Result<()> {
        let Descriptor { shared, host, .. } = &self.descriptor;
        self.descriptor.check()?;
        shared.with(|world| world.datagram_socket(*host, self.address).map(|socket| socket.connect(peer)))
    }

    fn send(&self, datagram: &[u8], to: Option<SocketAddr>) -> io::Result<usize> {
        let Descriptor { shared, host, .. } = &self.descriptor;
        self.descriptor.check()?;
        shared.with(|world| world.send_datagram(*host, self.address, datagram, to))
    }

    fn receive(&self, buf: &mut [u8], peek: bool) -> io::Result<(usize, SocketAddr)> {
        let Descriptor { shared, host, .. } = &self.descriptor;
        self.descriptor.check()?;
        shared.with(|world| world.datagram_socket(*host, self.address)?.receive(buf, peek))
    }

    fn local_addr(&self) -> SocketAddr {
        self.address
    }

    fn peer_addr(&self) -> Option<SocketAddr> {
        let Descriptor { shared, host, .. } = &self.descriptor;
        shared.with(|world| world.datagram_socket(*host, self.address).ok().and_then(|socket| socket.peer()))
    }
}

impl Drop for Datagrams {
    fn drop(&mut self) {
        let Descriptor { shared, host, life } = &self.descriptor;
        shared.with(|world| {
            if world.state(*host).life == *life {
                world.state(*host).datagrams.remove(&self.address);
            }
        });
    }
}
