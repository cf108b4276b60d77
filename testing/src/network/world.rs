//! The state of everything, under one lock.
//!
//! # Invariants
//! 1. Nothing is woken, and no socket is told that it is ready, under the lock: that is collected in `signals`, and done by [`Shared::with`] when the
//!    lock is free. Whom it wakes may call back at once.
//! 2. All tables are ordered, so that the same calls bring about the same events in the same order.
//! 3. Whatever takes time is an event with its time; only the task in [`Network::run`](super::Network::run) takes events out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::Waker;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use trioxide_io::network::Readiness;
use trioxide_runtime::lowlevel::in_run;
use trioxide_runtime::{ScopeHandle, now};

use super::connection::{Connection, ConnectionId, End};
use super::datagram::{Datagram, DatagramState};
use super::link::{Chance, Link, LinkState, Storm};
use super::statistics::Statistics;

/// Which host, by the order in which they were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct HostId(pub(super) usize);

#[derive(Debug)]
pub(super) struct Shared {
    world: Mutex<World>,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) is_running: bool,
    pub(super) chance: Chance,
    pub(super) statistics: Statistics,
    pub(super) hosts: Vec<HostState>,
    names: BTreeMap<String, HostId>,
    addresses: BTreeMap<IpAddr, HostId>,
    pub(super) default_link: Link,
    pub(super) links: BTreeMap<(HostId, HostId), LinkState>,
    pub(super) cuts: BTreeSet<(HostId, HostId)>,
    pub(super) name_delay: Duration,
    pub(super) connections: BTreeMap<ConnectionId, Connection>,
    pub(super) next_connection: u64,
    events: BTreeMap<EventId, Event>,
    next_event: u64,
    /// The task that waits for the next event, and until when it does by itself.
    carrier: Option<(Option<Instant>, Waker)>,
    signals: Vec<Signal>,
}

#[derive(Debug)]
pub(super) struct HostState {
    pub(super) name: String,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) has_power: bool,
    pub(super) is_resolvable: bool,
    /// What runs on it: cancelled when it crashes.
    pub(super) runs: BTreeMap<u64, ScopeHandle>,
    pub(super) next_run: u64,
    pub(super) open: usize,
    pub(super) descriptors: Option<usize>,
    pub(super) storm: Storm,
    /// Counts the crashes: a socket of an earlier life is none any more.
    pub(super) life: u64,
    pub(super) listeners: BTreeMap<SocketAddr, Listening>,
    pub(super) datagrams: BTreeMap<SocketAddr, DatagramState>,
    next_port: u16,
}

#[derive(Debug)]
pub(super) struct Listening {
    pub(super) readiness: Readiness,
    pub(super) backlog: usize,
    pub(super) waiting: VecDeque<ConnectionId>,
}

/// When it is due; and which, of those that are due together.
pub(super) type EventId = (Instant, u64);

#[derive(Debug)]
pub(super) enum Event {
    /// Something of this connection, sent by this end, may be there by now.
    Segment(ConnectionId, End),
    /// It is time to stop trying to connect.
    ConnectTimeout(ConnectionId),
    Datagram(Datagram),
    /// A call on this end of a connection is worth trying again.
    Again(ConnectionId, End),
}

#[derive(Debug)]
enum Signal {
    Readable(Readiness),
    Writable(Readiness),
    Wake(Waker),
    Cancel(ScopeHandle, &'static str),
}

impl Shared {
    pub(super) fn new(seed: u64) -> Shared {
        let world = World {
            is_running: false,
            chance: Chance::new(seed),
            statistics: Statistics::default(),
            hosts: Vec::new(),
            names: BTreeMap::new(),
            addresses: BTreeMap::new(),
            default_link: Link::new(),
            links: BTreeMap::new(),
            cuts: BTreeSet::new(),
            name_delay: Duration::ZERO,
            connections: BTreeMap::new(),
            next_connection: 0,
            events: BTreeMap::new(),
            next_event: 0,
            carrier: None,
            signals: Vec::new(),
        };
        Shared { world: Mutex::new(world) }
    }

    /// Changes the world, and then tells everybody who has to know.
    pub(super) fn with<R>(&self, change: impl FnOnce(&mut World) -> R) -> R {
        let mut world = self.world.lock();
        let result = change(&mut world);
        let signals = std::mem::take(&mut world.signals);
        drop(world);
        for signal in signals {
            match signal {
                Signal::Readable(readiness) => readiness.readable(),
                Signal::Writable(readiness) => readiness.writable(),
                Signal::Wake(waker) => waker.wake(),
                Signal::Cancel(scope, reason) => scope.cancel(reason),
            }
        }
        result
    }

    /// Whether something is due before `until`; otherwise the waker is woken when something is.
    pub(super) fn look_for_earlier(&self, until: Option<Instant>, waker: &Waker) -> bool {
        self.with(|world| {
            if world.is_earlier(world.next_time(), until) {
                return true;
            }
            world.carrier = Some((until, waker.clone()));
            false
        })
    }
}

impl World {
    // Hosts and addresses.

    pub(super) fn host(&mut self, name: &str) -> HostId {
        if let Some(id) = self.names.get(name) {
            return *id;
        }
        let id = HostId(self.hosts.len());
        let number = u16::try_from(id.0 + 1).expect("trioxide: a simulated network of more than 65535 hosts");
        let [high, low] = number.to_be_bytes();
        self.hosts.push(HostState {
            name: name.to_owned(),
            addresses: Vec::new(),
            has_power: true,
            is_resolvable: true,
            runs: BTreeMap::new(),
            next_run: 0,
            open: 0,
            descriptors: None,
            storm: Storm::default(),
            life: 0,
            listeners: BTreeMap::new(),
            datagrams: BTreeMap::new(),
            next_port: 49152,
        });
        self.names.insert(name.to_owned(), id);
        self.add_address(id, IpAddr::V4(Ipv4Addr::new(10, 0, high, low)));
        id
    }

    pub(super) fn add_address(&mut self, host: HostId, address: IpAddr) {
        let taken = self.addresses.insert(address, host).filter(|other| *other != host);
        assert!(taken.is_none(), "trioxide: two hosts of a simulated network cannot have the address {address}");
        self.state(host).addresses.push(address);
    }

    pub(super) fn state(&mut self, host: HostId) -> &mut HostState {
        &mut self.hosts[host.0]
    }

    /// Who has this address, seen from `from`.
    pub(super) fn owner(&self, from: HostId, address: IpAddr) -> Option<HostId> {
        match address.is_loopback() || address.is_unspecified() {
            true => Some(from),
            false => self.addresses.get(&address).copied(),
        }
    }

    /// The addresses of a name, seen from `from`.
    pub(super) fn resolve(&mut self, from: HostId, name: &str) -> io::Result<Vec<IpAddr>> {
        if name == "localhost" {
            return Ok(vec![Ipv4Addr::LOCALHOST.into()]);
        }
        let host = self.names.get(name).copied();
        if let Some(host) = host.filter(|host| self.hosts[host.0].is_resolvable) {
            return Ok(self.hosts[host.0].addresses.clone());
        }
        self.statistics.unresolved += 1;
        let asker = &self.hosts[from.0].name;
        Err(match host {
            Some(_) => io::Error::new(io::ErrorKind::NotFound, format!("the look-up of `{name}` by `{asker}` fails")),
            None => io::Error::new(io::ErrorKind::NotFound, format!("there is no host `{name}` on this network")),
        })
    }

    /// Checks an address to listen at, and chooses a port if none is given.
    pub(super) fn local_address(
        &mut self,
        host: HostId,
        asked: SocketAddr,
        is_taken: impl Fn(&HostState, SocketAddr) -> bool,
    ) -> io::Result<SocketAddr> {
        let state = self.state(host);
        let ip = asked.ip();
        if !(ip.is_unspecified() || ip.is_loopback() || state.addresses.contains(&ip)) {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        if asked.port() != 0 {
            return match is_taken(state, asked) {
                true => Err(io::ErrorKind::AddrInUse.into()),
                false => Ok(asked),
            };
        }
        loop {
            let address = SocketAddr::new(ip, state.take_port());
            if !is_taken(state, address) {
                return Ok(address);
            }
        }
    }

    /// The address from which a host speaks to another one.
    pub(super) fn source_address(&mut self, host: HostId, local: Option<IpAddr>, to: IpAddr) -> io::Result<SocketAddr> {
        let state = self.state(host);
        let ip = match local.filter(|ip| !ip.is_unspecified()) {
            Some(ip) if state.addresses.contains(&ip) || ip.is_loopback() => ip,
            Some(_) => return Err(io::ErrorKind::AddrNotAvailable.into()),
            None if to.is_loopback() || to.is_unspecified() => match to {
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            },
            None => {
                let own = state.addresses.iter().find(|own| own.is_ipv4() == to.is_ipv4());
                own.copied().ok_or(io::ErrorKind::NetworkUnreachable)?
            }
        };
        Ok(SocketAddr::new(ip, state.take_port()))
    }

    /// Takes a descriptor; `EMFILE` if there is none left.
    pub(super) fn take_descriptor(&mut self, host: HostId) -> io::Result<u64> {
        let state = self.state(host);
        if !state.has_power {
            return Err(io::Error::new(io::ErrorKind::NetworkDown, "this host has lost its power"));
        }
        if state.descriptors.is_some_and(|most| state.open >= most) {
            self.statistics.out_of_descriptors += 1;
            return Err(out_of_descriptors());
        }
        state.open += 1;
        Ok(state.life)
    }

    /// Gives back the descriptor of a socket that was made in this life of its host.
    pub(super) fn give_descriptor(&mut self, host: HostId, life: u64) {
        let state = self.state(host);
        if state.life == life {
            state.open -= 1;
        }
    }

    // Ways.

    pub(super) fn link(&self, from: HostId, to: HostId) -> &Link {
        self.links.get(&(from, to)).and_then(|state| state.link.as_ref()).unwrap_or(&self.default_link)
    }

    pub(super) fn is_cut(&self, from: HostId, to: HostId) -> bool {
        self.cuts.contains(&(from, to))
    }

    /// When something that is sent now arrives.
    pub(super) fn arrival(&mut self, from: HostId, to: HostId, bytes: usize) -> Instant {
        let now = self.now();
        if from == to {
            return now;
        }
        let link = self.link(from, to).clone();
        let state = self.links.entry((from, to)).or_default();
        let mut leaves = now;
        if let Some(bandwidth) = link.bandwidth {
            let begins = state.busy_until.map_or(now, |busy| busy.max(now));
            leaves = begins + Duration::from_secs_f64(bytes as f64 / bandwidth as f64);
            state.busy_until = Some(leaves);
            self.statistics.throttled += u64::from(begins > now);
        }
        let jitter = self.chance.up_to(link.jitter);
        self.statistics.delayed += u64::from(!jitter.is_zero());
        leaves + link.latency + jitter
    }

    // Events.

    /// The time of the run. (What is dropped after a run has no time, and nothing comes of it.)
    pub(super) fn now(&self) -> Instant {
        match in_run() {
            true => now(),
            false => self.events.keys().next().map_or_else(Instant::now, |(time, _)| *time),
        }
    }

    pub(super) fn at(&mut self, time: Instant, event: Event) -> EventId {
        let id = (time, self.next_event);
        self.events.insert(id, event);
        self.next_event += 1;
        if let Some((until, waker)) = self.carrier.take() {
            match self.is_earlier(Some(time), until) {
                true => self.signals.push(Signal::Wake(waker)),
                false => self.carrier = Some((until, waker)),
            }
        }
        id
    }

    pub(super) fn call_off(&mut self, event: Option<EventId>) {
        if let Some(event) = event {
            self.events.remove(&event);
        }
    }

    pub(super) fn next_time(&self) -> Option<Instant> {
        self.events.keys().next().map(|(time, _)| *time)
    }

    fn is_earlier(&self, time: Option<Instant>, until: Option<Instant>) -> bool {
        time.is_some_and(|time| until.is_none_or(|until| time < until))
    }

    pub(super) fn do_what_is_due(&mut self, now: Instant) {
        while let Some(entry) = self.events.first_entry().filter(|entry| entry.key().0 <= now) {
            match entry.remove() {
                Event::Segment(connection, from) => self.deliver_segments(connection, from, now),
                Event::ConnectTimeout(connection) => self.connect_timed_out(connection),
                Event::Datagram(datagram) => self.deliver_datagram(datagram),
                Event::Again(connection, end) => self.say_again(connection, end),
            }
        }
    }

    pub(super) fn readable(&mut self, readiness: Option<&Readiness>) {
        self.signals.extend(readiness.cloned().map(Signal::Readable));
    }

    pub(super) fn writable(&mut self, readiness: Option<&Readiness>) {
        self.signals.extend(readiness.cloned().map(Signal::Writable));
    }

    pub(super) fn cancel(&mut self, scope: ScopeHandle, reason: &'static str) {
        self.signals.push(Signal::Cancel(scope, reason));
    }
}

impl HostState {
    fn take_port(&mut self) -> u16 {
        let port = self.next_port;
        self.next_port = self.next_port.checked_add(1).unwrap_or(49152);
        port
    }
}

/// Whether two addresses cannot be listened at by two sockets.
pub(super) fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() == other.port() && (one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified())
}

/// What listens at this address, or at all addresses of its port.
pub(super) fn listening_at<T>(sockets: &BTreeMap<SocketAddr, T>, address: SocketAddr) -> Option<SocketAddr> {
    let any = |ip: IpAddr| SocketAddr::new(ip, address.port());
    let places = [address, any(Ipv4Addr::UNSPECIFIED.into()), any(Ipv6Addr::UNSPECIFIED.into())];
    places.into_iter().find(|place| sockets.contains_key(place))
}

#[cfg(unix)]
fn out_of_descriptors() -> io::Error {
    rustix::io::Errno::MFILE.into()
}

#[cfg(not(unix))]
fn out_of_descriptors() -> io::Error {
    io::ErrorKind::OutOfMemory.into()
}
