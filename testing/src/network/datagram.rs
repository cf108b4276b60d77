//! Datagrams.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;

use trioxide_io::network::Readiness;

use super::world::{Event, HostId, World, collide, listening_at};

/// How many bytes wait for a receiver at most.
const ROOM: usize = 64 * 1024;
/// How long a datagram may be: what IPv4 allows.
const LONGEST: usize = 65_507;

#[derive(Clone, Debug)]
pub(super) struct Datagram {
    from: (HostId, SocketAddr),
    to: (HostId, SocketAddr),
    bytes: Vec<u8>,
}

/// A socket.
#[derive(Debug)]
pub(super) struct DatagramState {
    readiness: Readiness,
    peer: Option<SocketAddr>,
    received: VecDeque<(Vec<u8>, SocketAddr)>,
    waiting_bytes: usize,
    /// An earlier datagram found nobody.
    was_refused: bool,
}

impl World {
    pub(super) fn bind(&mut self, host: HostId, asked: SocketAddr, readiness: Readiness) -> io::Result<SocketAddr> {
        let address = self.local_address(host, asked, |state, address| {
            state.datagrams.keys().any(|taken| collide(*taken, address))
        })?;
        let socket =
            DatagramState { readiness, peer: None, received: VecDeque::new(), waiting_bytes: 0, was_refused: false };
        self.state(host).datagrams.insert(address, socket);
        Ok(address)
    }

    pub(super) fn datagram_socket(&mut self, host: HostId, address: SocketAddr) -> io::Result<&mut DatagramState> {
        self.state(host).datagrams.get_mut(&address).ok_or(io::ErrorKind::ConnectionAborted.into())
    }

    pub(super) fn send_datagram(
        &mut self,
        host: HostId,
        socket: SocketAddr,
        bytes: &[u8],
        to: Option<SocketAddr>,
    ) -> io::Result<usize> {
        let state = self.datagram_socket(host, socket)?;
        if std::mem::take(&mut state.was_refused) {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let to = to.or(state.peer).ok_or(io::ErrorKind::NotConnected)?;
        if bytes.len() > LONGEST {
            let text = format!("a datagram of {} bytes; {LONGEST} are the most", bytes.len());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let peer = self.owner(host, to.ip()).ok_or(io::ErrorKind::HostUnreachable)?;
        let from = match socket.ip().is_unspecified() {
            true => SocketAddr::new(self.own_address(host, to)?, socket.port()),
            false => socket,
        };
        let datagram = Datagram { from: (host, from), to: (peer, to), bytes: bytes.to_vec() };
        self.dispatch(datagram);
        Ok(bytes.len())
    }

    fn own_address(&mut self, host: HostId, to: SocketAddr) -> io::Result<std::net::IpAddr> {
        if to.ip().is_loopback() {
            return Ok(to.ip());
        }
        let own = self.state(host).addresses.iter().find(|own| own.is_ipv4() == to.is_ipv4());
        own.copied().ok_or(io::ErrorKind::NetworkUnreachable.into())
    }

    /// On its way, once or twice or not at all.
    fn dispatch(&mut self, datagram: Datagram) {
        let (from, to) = (datagram.from.0, datagram.to.0);
        let link = self.link(from, to).clone();
        let is_local = from == to;
        if !is_local && self.chance.happens(link.loss) {
            self.statistics.lost += 1;
            return;
        }
        if !is_local && self.chance.happens(link.duplication) {
            self.statistics.duplicated += 1;
            let arrival = self.arrival(from, to, datagram.bytes.len());
            self.at(arrival, Event::Datagram(datagram.clone()));
        }
        // 28 bytes of headers.
        let mut arrival = self.arrival(from, to, datagram.bytes.len() + 28);
        if !is_local && self.chance.happens(link.reordering) {
            self.statistics.reordered += 1;
            arrival += self.chance.up_to((link.latency + link.jitter) * 2);
        }
        self.at(arrival, Event::Datagram(datagram));
    }

    pub(super) fn deliver_datagram(&mut self, datagram: Datagram) {
        let Datagram { from: (sender, from), to: (host, to), bytes } = datagram;
        if sender != host && self.is_cut(sender, host) {
            self.statistics.cut += 1;
            return;
        }
        let state = self.state(host);
        if !state.has_power {
            self.statistics.undeliverable += 1;
            return;
        }
        let place = listening_at(&state.datagrams, to);
        let socket = place.and_then(|place| state.datagrams.get_mut(&place));
        let Some(socket) = socket.filter(|socket| socket.peer.is_none_or(|peer| peer == from)) else {
            return self.refuse(sender, from, to);
        };
        if socket.waiting_bytes + bytes.len() > ROOM {
            self.statistics.overflowed += 1;
            return;
        }
        socket.waiting_bytes += bytes.len();
        socket.received.push_back((bytes, from));
        let readiness = socket.readiness.clone();
        self.statistics.datagrams += 1;
        self.readable(Some(&readiness));
    }

    /// A socket that is connected hears that its peer is not there.
    fn refuse(&mut self, sender: HostId, from: SocketAddr, to: SocketAddr) {
        self.statistics.undeliverable += 1;
        let state = self.state(sender);
        let place = listening_at(&state.datagrams, from);
        let socket = place.and_then(|place| state.datagrams.get_mut(&place));
        if let Some(socket) = socket.filter(|socket| socket.peer == Some(to)) {
            socket.was_refused = true;
            let readiness = socket.readiness.clone();
            self.readable(Some(&readiness));
        }
    }
}

impl DatagramState {
    pub(super) fn connect(&mut self, peer: SocketAddr) {
        self.peer = Some(peer);
        self.received.retain(|(_, from)| *from == peer);
        self.waiting_bytes = self.received.iter().map(|(bytes, _)| bytes.len()).sum();
    }

    pub(super) fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    pub(super) fn receive(&mut self, buf: &mut [u8], peek: bool) -> io::Result<(usize, SocketAddr)> {
        if std::mem::take(&mut self.was_refused) {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let (bytes, from) = self.received.front().ok_or(io::ErrorKind::WouldBlock)?;
        let (count, from) = (bytes.len().min(buf.len()), *from);
        buf[..count].copy_from_slice(&bytes[..count]);
        if !peek {
            self.waiting_bytes -= bytes.len();
            self.received.pop_front();
        }
        Ok((count, from))
    }
}
