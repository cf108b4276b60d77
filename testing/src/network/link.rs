//! How a link behaves, and chance.

use std::time::{Duration, Instant};

use crate::simulate;

/// How the way from one host to another is.
///
/// ```
/// use std::time::Duration;
/// use trioxide_testing::network::Link;
///
/// let across_the_sea = Link::new().latency(Duration::from_millis(80)).jitter(Duration::from_millis(20)).loss(0.01);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    pub(super) latency: Duration,
    pub(super) jitter: Duration,
    pub(super) bandwidth: Option<u64>,
    pub(super) loss: f64,
    pub(super) duplication: f64,
    pub(super) reordering: f64,
    pub(super) resets: f64,
    pub(super) buffer: usize,
    pub(super) give_up: Duration,
}

impl Link {
    /// One millisecond, no faults, 64 KiB of room for each connection, and a minute until a peer that does not answer is given up.
    pub fn new() -> Link {
        Link {
            latency: Duration::from_millis(1),
            jitter: Duration::ZERO,
            bandwidth: None,
            loss: 0.0,
            duplication: 0.0,
            reordering: 0.0,
            resets: 0.0,
            buffer: 64 * 1024,
            give_up: Duration::from_secs(60),
        }
    }

    /// How long everything takes at least.
    pub fn latency(mut self, latency: Duration) -> Link {
        self.latency = latency;
        self
    }

    /// How much longer it may take, by chance. Datagrams overtake each other by it; what goes over one connection does not.
    pub fn jitter(mut self, jitter: Duration) -> Link {
        self.jitter = jitter;
        self
    }

    /// Bytes per second: what is sent while the link is busy waits for its turn. As many as are wanted if nothing is said.
    ///
    /// # Panics
    /// If it is zero; [`Network::cut`](super::Network::cut) lets nothing through.
    pub fn bandwidth(mut self, bytes_per_second: u64) -> Link {
        assert!(bytes_per_second > 0, "trioxide: `Link::bandwidth` of zero; use `Network::cut` to let nothing through");
        self.bandwidth = Some(bytes_per_second);
        self
    }

    /// How many of the datagrams are lost, from 0 to 1, and of the segments of connections, which are sent again.
    pub fn loss(mut self, probability: f64) -> Link {
        self.loss = probability;
        self
    }

    /// How many of the datagrams arrive twice.
    pub fn duplication(mut self, probability: f64) -> Link {
        self.duplication = probability;
        self
    }

    /// How many of the datagrams take up to three times as long, and so are overtaken.
    pub fn reordering(mut self, probability: f64) -> Link {
        self.reordering = probability;
        self
    }

    /// How many of the segments of connections reset theirs instead of arriving.
    pub fn resets(mut self, probability: f64) -> Link {
        self.resets = probability;
        self
    }

    /// So many bytes of a connection may be on their way or wait for the reader; who writes more waits.
    ///
    /// # Panics
    /// If it is zero.
    pub fn buffer(mut self, bytes: usize) -> Link {
        assert!(bytes > 0, "trioxide: `Link::buffer` of zero would let nothing through; use `Network::cut` for that");
        self.buffer = bytes;
        self
    }

    /// A peer that has not answered for so long is given up: `TimedOut`.
    pub fn give_up(mut self, after: Duration) -> Link {
        self.give_up = after;
        self
    }

    /// How long it takes to send something again that has not arrived, for the first time.
    pub(super) fn first_retry(&self) -> Duration {
        Duration::from_millis(200).max((self.latency + self.jitter) * 2)
    }
}

impl Default for Link {
    fn default() -> Link {
        Link::new()
    }
}

/// What the calls of a host's connections suffer: see [`Host::set_storm`](super::Host::set_storm). Probabilities, from 0; `partial` up to 1, the others below it: a call that is always interrupted, or always put
/// off, is tried again for ever, and no time passes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Storm {
    /// How many calls are interrupted by a signal (`EINTR`), and have done nothing.
    pub interrupted: f64,
    /// How many say that nothing can be done now (`EAGAIN`), though it could; it is said soon after that it can.
    pub would_block: f64,
    /// How many of the others go through in part: of several bytes at least one, and not all.
    pub partial: f64,
}

impl Storm {
    #[track_caller]
    pub(super) fn check(self) {
        for (name, probability) in [("interrupted", self.interrupted), ("would_block", self.would_block)] {
            assert!(
                (0.0..1.0).contains(&probability),
                "trioxide: `Storm::{name}` of {probability}: it is the part of the calls that do nothing and are tried again, so it is from 0 to below 1 (at 1 none would ever go through); for calls that never do, \
                use `Network::cut`"
            );
        }
        assert!(
            (0.0..=1.0).contains(&self.partial),
            "trioxide: `Storm::partial` of {}: it is from 0 to 1",
            self.partial
        );
    }
}

/// A link in use.
#[derive(Debug, Default)]
pub(super) struct LinkState {
    /// What was said of this one.
    pub(super) link: Option<Link>,
    /// Until then it is busy with what was sent before.
    pub(super) busy_until: Option<Instant>,
}

/// Draws from the simulation, or from a seed.
#[derive(Debug)]
pub(super) struct Chance(fastrand::Rng);

impl Chance {
    pub(super) fn new(seed: u64) -> Chance {
        Chance(fastrand::Rng::with_seed(seed))
    }

    /// Nothing is drawn where the answer is known.
    pub(super) fn happens(&mut self, probability: f64) -> bool {
        match probability {
            none if none <= 0.0 => false,
            all if all >= 1.0 => true,
            some if simulate::is_simulated() => simulate::chance(some),
            some => self.0.f64() < some,
        }
    }

    /// From 1 to this number.
    pub(super) fn part_of(&mut self, most: usize) -> usize {
        match simulate::is_simulated() {
            true => 1 + simulate::choose(most),
            false => self.0.usize(1..=most),
        }
    }

    /// A duration up to this one.
    pub(super) fn up_to(&mut self, most: Duration) -> Duration {
        if most.is_zero() {
            return most;
        }
        let part = match simulate::is_simulated() {
            true => (simulate::random() >> 11) as f64 / (1u64 << 53) as f64,
            false => self.0.f64(),
        };
        most.mul_f64(part)
    }
}
