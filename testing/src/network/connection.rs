//! Connections.
//!
//! ```text
//! end One ── way of One: segments, oldest first ──▶ received by Other
//! end Other ── way of Other ──▶ received by One
//! ```
//!
//! A way has at most one event, for its oldest segment: what comes later cannot arrive before. A segment that meets a cut, or is lost by chance, stays
//! the oldest, and is tried again later and later, until the sender gives up. When the way back is cut the segment arrives, but the sender does not
//! hear of it and goes on trying.

mod way;

use std::collections::VecDeque;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::time::{Duration, Instant};

use trioxide_io::network::{Readiness, StreamOptions};

use super::world::{Event, EventId, HostId, World};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ConnectionId(u64);

/// Who has connected, and who has accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    One,
    Other,
}

#[derive(Debug)]
pub(super) struct Connection {
    ends: [EndState; 2],
    ways: [Way; 2],
    /// When trying to connect ends, as long as it goes on.
    timeout: Option<EventId>,
}

#[derive(Debug)]
pub(super) struct EndState {
    pub(super) host: HostId,
    pub(super) address: SocketAddr,
    /// Of the socket; none while nobody has accepted it, and after it was dropped.
    pub(super) readiness: Option<Readiness>,
    step: Step,
    /// What the next operations are told, once what was received has been read.
    error: Option<io::ErrorKind>,
    received: VecDeque<u8>,
    /// The peer sends no more.
    peer_ended: bool,
    /// Nothing more is read, or sent.
    is_shut: [bool; 2],
    pub(super) options: StreamOptions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Connecting,
    Open,
    /// Its host knows nothing of it (any more).
    Gone,
}

#[derive(Debug, Default)]
struct Way {
    segments: VecDeque<Segment>,
    /// Bytes in `segments`.
    bytes: usize,
    last_arrival: Option<Instant>,
    /// Since when the oldest segment has been tried in vain, and how long the last pause was.
    trying: Option<(Instant, Duration)>,
    /// When the oldest segment is looked at.
    event: Option<EventId>,
}

#[derive(Debug)]
struct Segment {
    arrival: Instant,
    what: What,
}

#[derive(Debug)]
enum What {
    Hello,
    Welcome,
    Refusal,
    Bytes(Vec<u8>),
    /// So many bytes have arrived, and the sender does not know it yet.
    Unheard(usize),
    End,
    Reset,
}

/// A connection that was taken from a listener.
pub(super) struct Accepted {
    pub(super) id: ConnectionId,
    pub(super) local: SocketAddr,
    pub(super) peer: SocketAddr,
}

/// What became of a segment.
enum Fate {
    Arrived,
    /// It has to be tried again.
    Lost,
    /// It has arrived, and the answer has not.
    Unheard(usize),
}

impl End {
    fn peer(self) -> End {
        match self {
            End::One => End::Other,
            End::Other => End::One,
        }
    }

    fn index(self) -> usize {
        self as usize
    }
}

impl Connection {
    pub(super) fn end(&mut self, end: End) -> &mut EndState {
        &mut self.ends[end.index()]
    }

    fn way(&mut self, from: End) -> &mut Way {
        &mut self.ways[from.index()]
    }

    fn hosts(&self, from: End) -> (HostId, HostId) {
        (self.ends[from.index()].host, self.ends[from.peer().index()].host)
    }

    /// Bytes that are on their way or not read yet.
    fn used(&self, from: End) -> usize {
        self.ways[from.index()].bytes + self.ends[from.peer().index()].received.len()
    }

    fn is_over(&self) -> bool {
        let is_gone = |end: &EndState| end.step == Step::Gone && end.readiness.is_none();
        self.ends.iter().all(is_gone) && self.ways.iter().all(|way| way.segments.is_empty())
    }
}

impl EndState {
    fn new(host: HostId, address: SocketAddr, step: Step, readiness: Option<Readiness>) -> EndState {
        EndState {
            host,
            address,
            readiness,
            step,
            error: None,
            received: VecDeque::new(),
            peer_ended: false,
            is_shut: [false; 2],
            options: StreamOptions::default(),
        }
    }
}

/// What sockets ask for.
impl World {
    pub(super) fn connect(
        &mut self,
        host: HostId,
        local: Option<std::net::IpAddr>,
        to: SocketAddr,
        readiness: Readiness,
    ) -> io::Result<(ConnectionId, SocketAddr)> {
        let peer = self.owner(host, to.ip()).ok_or(io::ErrorKind::HostUnreachable)?;
        let address = self.source_address(host, local, to.ip())?;
        let id = ConnectionId(self.next_connection);
        self.next_connection += 1;
        let ends = [
            EndState::new(host, address, Step::Connecting, Some(readiness)),
            EndState::new(peer, to, Step::Gone, None),
        ];
        let give_up = self.link(host, peer).give_up;
        let timeout = Some(self.at(self.now() + give_up, Event::ConnectTimeout(id)));
        self.connections.insert(id, Connection { ends, ways: Default::default(), timeout });
        self.push(id, End::One, What::Hello);
        Ok((id, address))
    }

    pub(super) fn is_connected(&mut self, id: ConnectionId) -> io::Result<()> {
        let end = self.end_of(id, End::One)?;
        match (end.error, end.step) {
            (Some(error), _) => Err(error.into()),
            (None, Step::Connecting) => Err(io::ErrorKind::WouldBlock.into()),
            (None, _) => Ok(()),
        }
    }

    pub(super) fn receive(&mut self, id: ConnectionId, at: End, buf: &mut [u8], peek: bool) -> io::Result<usize> {
        let end = self.end_of(id, at)?;
        if end.received.is_empty() {
            return match end.error {
                Some(error) => Err(error.into()),
                None if end.peer_ended || end.is_shut[0] => Ok(0),
                None => Err(io::ErrorKind::WouldBlock.into()),
            };
        }
        let count = buf.len().min(end.received.len());
        let (first, second) = end.received.as_slices();
        let (of_first, of_second) = (count.min(first.len()), count.saturating_sub(first.len()));
        buf[..of_first].copy_from_slice(&first[..of_first]);
        buf[of_first..count].copy_from_slice(&second[..of_second]);
        if !peek {
            end.received.drain(..count);
            // A short read is taken for the last for now, so what comes after it has to be said again.
            let readiness = (end.error.is_some() || end.peer_ended).then(|| end.readiness.clone());
            self.readable(readiness.flatten().as_ref());
            self.room_was_made(id, at.peer());
        }
        Ok(count)
    }

    /// Makes a call for so many bytes, or what a storm leaves of it. Of a call that was put off, or has gone through in part, it is said again, a little later, that it is worth trying.
    pub(super) fn in_storm(
        &mut self,
        (id, at): (ConnectionId, End),
        asked: usize,
        call: impl FnOnce(&mut Self, usize) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let storm = match self.connections.get(&id) {
            Some(connection) => self.hosts[connection.ends[at.index()].host.0].storm,
            None => return call(self, asked),
        };
        if self.chance.happens(storm.interrupted) {
            self.statistics.interrupted += 1;
            return Err(io::ErrorKind::Interrupted.into());
        }
        if self.chance.happens(storm.would_block) {
            self.statistics.blocked += 1;
            self.at(self.now(), Event::Again(id, at));
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if asked <= 1 || !self.chance.happens(storm.partial) {
            return call(self, asked);
        }
        let part = self.chance.part_of(asked - 1);
        let count = call(self, part)?;
        // Not if nothing can be done: who tries then waits for what makes it worth trying, and would try for ever at this same time.
        self.statistics.partial += 1;
        self.at(self.now(), Event::Again(id, at));
        Ok(count)
    }

    pub(super) fn say_again(&mut self, id: ConnectionId, end: End) {
        let readiness = self.connections.get_mut(&id).and_then(|connection| connection.end(end).readiness.clone());
        self.readable(readiness.as_ref());
        self.writable(readiness.as_ref());
    }

    /// The writer may have waited for it.
    fn room_was_made(&mut self, id: ConnectionId, writer: End) {
        let readiness = self.connections.get_mut(&id).and_then(|connection| connection.end(writer).readiness.clone());
        self.writable(readiness.as_ref());
    }

    pub(super) fn send(&mut self, id: ConnectionId, from: End, buf: &[u8]) -> io::Result<usize> {
        let end = self.end_of(id, from)?;
        if let Some(error) = end.error {
            return Err(error.into());
        }
        if end.is_shut[1] {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let (host, peer) = self.connections[&id].hosts(from);
        let room = self.link(host, peer).buffer.saturating_sub(self.connections[&id].used(from));
        let count = buf.len().min(room);
        self.statistics.stalled += u64::from(count < buf.len());
        if room == 0 && !buf.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if count > 0 {
            self.push(id, from, What::Bytes(buf[..count].to_vec()));
        }
        Ok(count)
    }

    pub(super) fn shutdown(&mut self, id: ConnectionId, at: End, how: Shutdown) -> io::Result<()> {
        let end = self.end_of(id, at)?;
        if end.error.is_some() {
            return Err(io::ErrorKind::NotConnected.into());
        }
        let [mut reading, mut writing] = [false; 2];
        if how != Shutdown::Write {
            reading = !std::mem::replace(&mut end.is_shut[0], true);
        }
        if how != Shutdown::Read {
            writing = !std::mem::replace(&mut end.is_shut[1], true);
        }
        let readiness = end.readiness.clone();
        if reading {
            self.readable(readiness.as_ref());
        }
        if writing {
            self.push(id, at, What::End);
        }
        Ok(())
    }

    /// The socket of an end was dropped.
    pub(super) fn close(&mut self, id: ConnectionId, at: End) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let end = connection.end(at);
        end.readiness = None;
        let step = std::mem::replace(&mut end.step, Step::Gone);
        let is_rude = !end.received.is_empty() || end.options.linger == Some(Duration::ZERO);
        let has_ended = end.is_shut[1];
        end.received.clear();
        let error = end.error;
        if at == End::One {
            self.stop_timeout(id);
        }
        if error.is_none() && step != Step::Gone {
            match is_rude {
                true => self.push(id, at, What::Reset),
                false if !has_ended => self.push(id, at, What::End),
                false => {}
            }
        }
        self.forget_if_over(id);
    }

    /// An end that its host still knows; an error for one that it does not.
    pub(super) fn end_of(&mut self, id: ConnectionId, end: End) -> io::Result<&mut EndState> {
        match self.connections.get_mut(&id) {
            Some(connection) => Ok(connection.end(end)),
            None => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }

    /// A listener is gone, and with it those who wait there.
    pub(super) fn turn_away(&mut self, waiting: VecDeque<ConnectionId>) {
        for id in waiting {
            let Some(connection) = self.connections.get_mut(&id) else { continue };
            let other = connection.end(End::Other);
            if std::mem::replace(&mut other.step, Step::Gone) == Step::Open {
                self.push(id, End::Other, What::Reset);
            }
        }
    }

    /// Takes the next connection of a listener.
    pub(super) fn accept(&mut self, host: HostId, listener: SocketAddr, readiness: Readiness) -> io::Result<Accepted> {
        loop {
            let waiting = self.state(host).listeners.get_mut(&listener).ok_or(io::ErrorKind::ConnectionAborted)?;
            let id = waiting.waiting.pop_front().ok_or(io::ErrorKind::WouldBlock)?;
            // It may have gone before it was accepted.
            let Some(connection) = self.connections.get_mut(&id).filter(|it| it.ends[1].step == Step::Open) else {
                continue;
            };
            connection.end(End::Other).readiness = Some(readiness);
            return Ok(Accepted { id, local: connection.ends[1].address, peer: connection.ends[0].address });
        }
    }
}

/// How it ends.
impl World {
    pub(super) fn connect_timed_out(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if connection.end(End::One).step == Step::Connecting && connection.end(End::One).error.is_none() {
            self.statistics.timed_out += 1;
            self.fail(id, End::One, io::ErrorKind::TimedOut);
        }
    }

    /// From now on this end is of no use, and its user is told why. What it has received can still be read.
    fn fail(&mut self, id: ConnectionId, end: End, error: io::ErrorKind) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let before = std::mem::take(connection.way(end));
        let state = connection.end(end);
        state.error.get_or_insert(error);
        state.step = Step::Gone;
        let readiness = state.readiness.clone();
        self.call_off(before.event);
        if end == End::One {
            self.stop_timeout(id);
        }
        self.readable(readiness.as_ref());
        self.writable(readiness.as_ref());
        self.forget_if_over(id);
    }

    fn stop_timeout(&mut self, id: ConnectionId) {
        let timeout = self.connections.get_mut(&id).and_then(|connection| connection.timeout.take());
        self.call_off(timeout);
    }

    fn forget_if_over(&mut self, id: ConnectionId) {
        if self.connections.get(&id).is_some_and(Connection::is_over) {
            self.connections.remove(&id);
        }
    }

    /// Resets all connections between two hosts.
    pub(super) fn reset_between(&mut self, hosts: [HostId; 2]) -> usize {
        let between = |connection: &Connection| {
            let (one, other) = connection.hosts(End::One);
            [one, other] == hosts || [other, one] == hosts
        };
        let is_open = |connection: &Connection| connection.ends.iter().any(|end| end.step == Step::Open);
        let found = self.connections.iter().filter(|(_, connection)| between(connection) && is_open(connection));
        let found: Vec<_> = found.map(|(id, _)| *id).collect();
        for id in &found {
            self.fail(*id, End::One, io::ErrorKind::ConnectionReset);
            self.fail(*id, End::Other, io::ErrorKind::ConnectionReset);
        }
        self.statistics.resets += found.len() as u64;
        found.len()
    }

    /// A host has crashed: its ends are gone. `silently`: nobody is told.
    pub(super) fn abandon(&mut self, host: HostId, silently: bool) {
        let ids: Vec<_> = self.connections.keys().copied().collect();
        for (id, end) in ids.into_iter().flat_map(|id| [(id, End::One), (id, End::Other)]) {
            let Some(connection) = self.connections.get_mut(&id) else { continue };
            let peer_is_open = connection.ends[end.peer().index()].step == Step::Open;
            let state = connection.end(end);
            if state.host != host || state.step == Step::Gone {
                continue;
            }
            let was_open = state.step == Step::Open;
            self.fail(id, end, io::ErrorKind::ConnectionAborted);
            if !self.connections.contains_key(&id) || !was_open {
                continue;
            }
            match silently {
                true => self.statistics.half_open += u64::from(peer_is_open),
                false => self.push(id, end, What::Reset),
            }
        }
    }
}
