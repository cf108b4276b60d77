//! A network that exists only in the test: hosts, links with latency and loss, and faults.
//!
//! A [`Network`] is run round the program under test. Each part of the program that is to be a machine of its own runs as a [`Host`]: its sockets, and
//! those of the tasks it starts, are then on this network, by the same names as ever (`TcpListener`, `TcpStream`, `UdpSocket`, `connect`). Nothing in the
//! program knows of it.
//!
//! ```
//! use trioxide_io::{TcpListener, connect};
//! use trioxide_runtime::nursery;
//! use trioxide_testing::network::Network;
//! use trioxide_testing::simulate;
//!
//! simulate(7, async || {
//!     let network = Network::new(7);
//!     network
//!         .run(async {
//!             let (server, client) = (network.host("server"), network.host("client"));
//!             nursery(async |n| {
//!                 n.spawn(async move {
//!                     let serving = server.run(async {
//!                         let listener = TcpListener::bind("0.0.0.0:80").await.unwrap();
//!                         let (stream, _) = listener.accept().await.unwrap();
//!                         stream.write_all(b"hello").await.unwrap();
//!                     });
//!                     serving.await.unwrap();
//!                 });
//!                 let asking = client.run(async {
//!                     let stream = loop {
//!                         match connect("server", 80).await {
//!                             Ok(stream) => break stream,
//!                             Err(_) => trioxide_runtime::checkpoint().await, // it does not listen yet
//!                         }
//!                     };
//!                     let mut buf = [0; 5];
//!                     stream.read_exact(&mut buf).await.unwrap();
//!                     assert_eq!(&buf, b"hello");
//!                 });
//!                 asking.await.unwrap();
//!             })
//!             .await;
//!         })
//!         .await;
//! });
//! ```
//!
//! # Faults
//! Each is counted in [`Statistics`].
//!
//! | fault | how |
//! | --- | --- |
//! | latency, jitter, bandwidth | [`Link::latency`], [`Link::jitter`], [`Link::bandwidth`] |
//! | loss, duplication, reordering of datagrams; loss of segments, which are sent again | [`Link::loss`], [`Link::duplication`], [`Link::reordering`] |
//! | partitions, also one-way | [`Network::partition`], [`Network::cut`], [`Network::heal`] |
//! | connections reset | [`Link::resets`], [`Network::reset_connections`] |
//! | a peer that is gone and has said nothing (half-open) | [`Host::power_off`] |
//! | slow readers | [`Link::buffer`]: who writes has to wait |
//! | nobody listens, or the line of those who wait is full | by itself |
//! | a host that does not answer | by itself: `TimedOut` after [`Link::give_up`] |
//! | descriptors used up | [`Host::set_descriptors`] |
//! | calls that are interrupted (`EINTR`), put off (`EAGAIN`), cut short | [`Host::set_storm`] |
//! | names that do not resolve, or late | [`Host::set_resolvable`], [`Network::set_name_delay`] |
//! | a process that dies, a machine that loses power, and both again | [`Host::crash`], [`Host::power_off`], [`Host::run`] |
//!
//! # Time and chance
//! Time is the runtime's: run it with a [`MockClock`](crate::MockClock) or in a [simulation](mod@crate::simulate) and hours pass at once. Chance is the
//! simulation's, or outside of one the seed's that the network is made with. On one worker everything happens again for the same seed.
//!
//! # What it simplifies
//! A connection is reliable and in order, as TCP is, and what is lost is sent again after 200 ms, 400 ms, and so on up to 5 s. There is no congestion
//! control, and a segment is what one write gave. Room that a reader makes is known to the writer at once. A host's traffic with itself takes no time and has no faults.
//!
//! | file | duty |
//! | --- | --- |
//! | `link` | how a link behaves, and chance |
//! | `world` | the state of everything, under one lock; events, and hosts |
//! | `connection` | connections: segments, ends, resets |
//! | `datagram` | datagrams |
//! | `sockets` | what the io crate calls |
//! | `host` | the handle of a host: runs its part of the program, crashes it |
//! | `statistics` | the counts |

mod connection;
mod datagram;
mod host;
mod link;
mod sockets;
mod statistics;
mod world;

pub use host::{Crashed, Host};
pub use link::{Link, Storm};
pub use statistics::Statistics;

use std::fmt;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use trioxide_runtime::{checkpoint, now, nursery, sleep_until};

use world::Shared;

/// A simulated network. Clones are the same network.
#[derive(Clone)]
pub struct Network {
    shared: Arc<Shared>,
}

impl Network {
    /// A network without hosts. `seed` decides about chance, except in a [simulation](mod@crate::simulate), where its seed does.
    pub fn new(seed: u64) -> Network {
        Network { shared: Arc::new(Shared::new(seed)) }
    }

    /// Runs `future`, and carries what its hosts send meanwhile.
    ///
    /// # Cancellation
    /// Waits as a nursery does; else as `future`.
    ///
    /// # Panics
    /// If it is running already. With `future`.
    pub async fn run<F: Future>(&self, future: F) -> F::Output {
        let _running = Running::start(&self.shared);
        let mut output = None;
        nursery(async |n| {
            n.task("network").service().spawn(carry(self.shared.clone()));
            output = Some(future.await);
        })
        .await;
        output.expect("the body has come to its end")
    }

    /// The host of this name; made at the first call. Its first address is 10.0.0.1 for the first host, and so on.
    pub fn host(&self, name: &str) -> Host {
        let id = self.shared.with(|world| world.host(name));
        Host::new(self.shared.clone(), id)
    }

    /// How all links are that nothing else is said of.
    pub fn set_default_link(&self, link: Link) {
        self.shared.with(|world| world.default_link = link);
    }

    /// How the way from one host to the other is; the way back stays as it is.
    pub fn set_link(&self, from: &str, to: &str, link: Link) {
        self.shared.with(|world| {
            let way = (world.host(from), world.host(to));
            world.links.entry(way).or_default().link = Some(link);
        });
    }

    /// From now on nothing goes over from one host to the other; the way back stays open.
    pub fn cut(&self, from: &str, to: &str) {
        self.shared.with(|world| {
            let way = (world.host(from), world.host(to));
            world.cuts.insert(way);
        });
    }

    /// From now on nothing goes between those on one side and those on the other, in either direction.
    pub fn partition(&self, side: &[&str], other: &[&str]) {
        for one in side {
            for another in other {
                self.cut(one, another);
                self.cut(another, one);
            }
        }
    }

    /// Every way is open again. What connections have to say goes over when they next try; datagrams that were sent meanwhile are lost.
    pub fn heal(&self) {
        self.shared.with(|world| world.cuts.clear());
    }

    /// Resets all connections between two hosts: both ends get `ConnectionReset`, and what was on its way is lost. Gives their number.
    pub fn reset_connections(&self, one: &str, other: &str) -> usize {
        self.shared.with(|world| {
            let hosts = [world.host(one), world.host(other)];
            world.reset_between(hosts)
        })
    }

    /// How long looking up a name takes.
    pub fn set_name_delay(&self, delay: Duration) {
        self.shared.with(|world| world.name_delay = delay);
    }

    /// What has happened so far.
    pub fn statistics(&self) -> Statistics {
        self.shared.with(|world| world.statistics.clone())
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("statistics", &self.statistics()).finish_non_exhaustive()
    }
}

/// While it lives, the network is running.
struct Running<'a>(&'a Shared);

impl<'a> Running<'a> {
    fn start(shared: &'a Shared) -> Running<'a> {
        let was_running = shared.with(|world| std::mem::replace(&mut world.is_running, true));
        assert!(!was_running, "trioxide: `Network::run` while this network is running; run it once, round all hosts");
        Running(shared)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.with(|world| world.is_running = false);
    }
}

/// Does what is due, at its time.
async fn carry(shared: Arc<Shared>) {
    loop {
        checkpoint().await;
        let next = shared.with(|world| {
            world.do_what_is_due(now());
            world.next_time()
        });
        wait(&shared, next).await;
    }
}

/// Until that time, or until something is due before.
async fn wait(shared: &Shared, until: Option<Instant>) {
    let mut sleep = std::pin::pin!(until.map(sleep_until));
    poll_fn(|cx| {
        if shared.look_for_earlier(until, cx.waker()) {
            return Poll::Ready(());
        }
        match sleep.as_mut().as_pin_mut() {
            Some(sleep) => sleep.poll(cx),
            None => Poll::Pending,
        }
    })
    .await;
}
