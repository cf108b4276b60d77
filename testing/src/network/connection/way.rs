//! The ways of a connection: what is under way from one end to the other, when it arrives, and what becomes of it then.

use std::io;
use std::time::{Duration, Instant};

use super::{ConnectionId, End, Fate, Segment, Step, What};
use crate::network::world::{Event, World, listening_at};

/// What happens on the way.
impl World {
    pub(super) fn push(&mut self, id: ConnectionId, from: End, what: What) {
        let (host, peer) = self.connections[&id].hosts(from);
        let bytes = what.bytes();
        // 40 bytes of headers.
        let mut arrival = self.arrival(host, peer, bytes + 40);
        let way = self.connections.get_mut(&id).expect("it was there above").way(from);
        if let Some(last) = way.last_arrival {
            arrival = arrival.max(last);
        }
        way.last_arrival = Some(arrival);
        way.bytes += bytes;
        let is_oldest = way.segments.is_empty();
        way.segments.push_back(Segment { arrival, what });
        if is_oldest {
            self.look_at(arrival, id, from);
        }
    }

    /// Looks at the oldest segment of a way at this time, and at no other.
    fn look_at(&mut self, time: Instant, id: ConnectionId, from: End) {
        let event = self.at(time, Event::Segment(id, from));
        let way = self.connections.get_mut(&id).expect("it has segments").way(from);
        let before = way.event.replace(event);
        self.call_off(before);
    }

    pub(in crate::network) fn deliver_segments(&mut self, id: ConnectionId, from: End, now: Instant) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.way(from).event = None;
        }
        loop {
            let Some(connection) = self.connections.get_mut(&id) else { return };
            let way = connection.way(from);
            let Some(oldest) = way.segments.front() else { return self.forget_if_over(id) };
            if oldest.arrival > now {
                let time = oldest.arrival;
                return self.look_at(time, id, from);
            }
            let segment = way.segments.pop_front().expect("it is there");
            way.bytes -= segment.what.bytes();
            let what = segment.what;
            match self.deliver(id, from, &what) {
                Fate::Arrived => {
                    if let Some(connection) = self.connections.get_mut(&id) {
                        connection.way(from).trying = None;
                    }
                }
                Fate::Lost => return self.try_again(id, from, what, now),
                Fate::Unheard(bytes) => return self.try_again(id, from, What::Unheard(bytes), now),
            }
        }
    }

    fn try_again(&mut self, id: ConnectionId, from: End, what: What, now: Instant) {
        let Some(connection) = self.connections.get(&id) else { return };
        let (host, peer) = connection.hosts(from);
        let (first, give_up) = (self.link(host, peer).first_retry(), self.link(host, peer).give_up);
        let way = self.connections.get_mut(&id).expect("it was there above").way(from);
        let (since, pause) = way.trying.map_or((now, first), |(since, pause)| (since, (pause * 2).min(LONGEST_RETRY)));
        if now - since >= give_up {
            self.statistics.timed_out += 1;
            self.fail(id, from, io::ErrorKind::TimedOut);
            return;
        }
        way.trying = Some((since, pause));
        way.bytes += what.bytes();
        let arrival = now + pause.min(since + give_up - now).max(Duration::from_nanos(1));
        way.segments.push_front(Segment { arrival, what });
        self.look_at(arrival, id, from);
    }

    fn deliver(&mut self, id: ConnectionId, from: End, what: &What) -> Fate {
        let (host, peer) = self.connections[&id].hosts(from);
        if host != peer {
            let unheard = matches!(what, What::Unheard(_));
            if !unheard && self.is_cut(host, peer) {
                self.statistics.cut += 1;
                return Fate::Lost;
            }
            let (loss, resets) = (self.link(host, peer).loss, self.link(host, peer).resets);
            if self.chance.happens(loss) {
                self.statistics.retransmitted += 1;
                return Fate::Lost;
            }
            if self.chance.happens(resets) {
                self.statistics.resets += 1;
                self.fail(id, End::One, io::ErrorKind::ConnectionReset);
                self.fail(id, End::Other, io::ErrorKind::ConnectionReset);
                return Fate::Arrived;
            }
        }
        if !self.hosts[peer.0].has_power {
            return Fate::Lost;
        }
        if let What::Hello = what {
            return self.greet(id);
        }
        self.arrive(id, from, what);
        let bytes = match what {
            What::Bytes(bytes) => bytes.len(),
            What::Unheard(bytes) => *bytes,
            _ => 0,
        };
        // Greetings have answers of their own, and an end is not waited for.
        if bytes > 0 && host != peer && self.is_cut(peer, host) && self.connections.contains_key(&id) {
            self.statistics.cut += 1;
            return Fate::Unheard(bytes);
        }
        if bytes > 0 && matches!(what, What::Unheard(_)) {
            self.room_was_made(id, from);
        }
        Fate::Arrived
    }

    fn arrive(&mut self, id: ConnectionId, from: End, what: &What) {
        let to = from.peer();
        let end = self.connections.get_mut(&id).expect("a segment of it arrives").end(to);
        if end.step == Step::Gone {
            match what {
                // It has closed, or its host was started anew: whoever sends is told so.
                What::Bytes(_) => {
                    self.statistics.unknown += 1;
                    self.push(id, to, What::Reset);
                }
                What::Welcome => self.push(id, to, What::Reset),
                _ => {}
            }
            if matches!(what, What::End | What::Reset | What::Refusal) {
                self.forget_if_over(id);
            }
            return;
        }
        let readiness = end.readiness.clone();
        match what {
            What::Welcome => {
                end.step = Step::Open;
                self.statistics.connections += 1;
                self.stop_timeout(id);
                self.writable(readiness.as_ref());
            }
            What::Refusal => self.fail(id, to, io::ErrorKind::ConnectionRefused),
            What::Bytes(bytes) => {
                // Who reads no more takes it, and throws it away.
                if !end.is_shut[0] {
                    end.received.extend(bytes);
                }
                self.statistics.bytes += bytes.len() as u64;
                self.readable(readiness.as_ref());
            }
            What::End => {
                end.peer_ended = true;
                self.readable(readiness.as_ref());
            }
            What::Reset => self.fail(id, to, io::ErrorKind::ConnectionReset),
            What::Hello | What::Unheard(_) => {}
        }
    }

    /// Somebody wants to connect.
    fn greet(&mut self, id: ConnectionId) -> Fate {
        let other = &self.connections[&id].ends[1];
        let (host, address) = (other.host, other.address);
        let state = &self.hosts[host.0];
        let Some(place) = listening_at(&state.listeners, address) else {
            self.statistics.refused += 1;
            self.push(id, End::Other, What::Refusal);
            return Fate::Arrived;
        };
        let listening = self.state(host).listeners.get_mut(&place).expect("it was found above");
        if listening.waiting.len() >= listening.backlog {
            // Nothing is answered, and so it is sent again.
            self.statistics.backlogged += 1;
            return Fate::Lost;
        }
        listening.waiting.push_back(id);
        let readiness = listening.readiness.clone();
        self.connections.get_mut(&id).expect("it greets").end(End::Other).step = Step::Open;
        self.readable(Some(&readiness));
        self.push(id, End::Other, What::Welcome);
        Fate::Arrived
    }
}

const LONGEST_RETRY: Duration = Duration::from_secs(5);

impl What {
    fn bytes(&self) -> usize {
        match self {
            What::Bytes(bytes) => bytes.len(),
            What::Unheard(bytes) => *bytes,
            _ => 0,
        }
    }
}
