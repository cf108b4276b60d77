//! The handle of a host: it runs a part of the program, and can crash.

use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;

use trioxide_io::network;
use trioxide_runtime::{CancelScope, ScopeHandle};

use super::link::Storm;
use super::sockets::View;
use super::world::{HostId, Shared};

/// A host of a [`Network`](super::Network). Clones are the same host.
#[derive(Clone)]
pub struct Host {
    shared: Arc<Shared>,
    id: HostId,
}

/// The host has crashed while this ran on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crashed {
    host: String,
}

impl Crashed {
    /// The name of the host.
    pub fn host(&self) -> &str {
        &self.host
    }
}

impl fmt::Display for Crashed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the simulated host `{}` has crashed", self.host)
    }
}

impl std::error::Error for Crashed {}

impl Host {
    pub(super) fn new(shared: Arc<Shared>, id: HostId) -> Host {
        Host { shared, id }
    }

    /// Its name.
    pub fn name(&self) -> String {
        self.shared.with(|world| world.state(self.id).name.clone())
    }

    /// Its first address.
    pub fn address(&self) -> IpAddr {
        self.shared.with(|world| world.state(self.id).addresses[0])
    }

    /// Gives it one address more; its name then has several.
    ///
    /// # Panics
    /// If another host has it.
    pub fn add_address(&self, address: IpAddr) {
        self.shared.with(|world| world.add_address(self.id, address));
    }

    /// Runs `future` on this host: sockets that are made in it, and in nurseries that are opened in it, are this host's. A host that has lost power has
    /// it again. Several may run at once.
    ///
    /// ```
    /// # use trioxide_runtime::{join, sleep_forever};
    /// # use trioxide_testing::network::Network;
    /// # trioxide_runtime::run(async {
    /// let network = Network::new(1);
    /// let host = network.host("a");
    /// let (ended, ()) = network.run(async { join!(host.run(sleep_forever()), async { host.crash() }) }).await;
    /// assert_eq!(ended.unwrap_err().host(), "a"); // and now it may be run again
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`Crashed`] if the host does, by [`crash`](Host::crash) or [`power_off`](Host::power_off): everything in `future` has been cancelled and has ended.
    ///
    /// # Cancellation
    /// As `future`.
    ///
    /// # Panics
    /// Outside of [`Network::run`](super::Network::run), where nothing would carry what it sends. With `future`.
    pub async fn run<F: Future>(&self, future: F) -> Result<F::Output, Crashed> {
        let scope = CancelScope::new();
        let _run = self.begin(scope.handle());
        let view = Arc::new(View { shared: self.shared.clone(), host: self.id });
        network::within(view, scope.run(future)).await.map_err(|_| Crashed { host: self.name() })
    }

    fn begin(&self, scope: ScopeHandle) -> Run<'_> {
        let begun = self.shared.with(|world| {
            if !world.is_running {
                return None;
            }
            let state = world.state(self.id);
            state.has_power = true;
            let number = state.next_run;
            state.next_run += 1;
            state.runs.insert(number, scope);
            Some(number)
        });
        let Some(number) = begun else {
            panic!(
                "trioxide: `Host::run` outside of `Network::run`: nothing would carry what the host sends; wrap it in `network.run(…)`"
            )
        };
        Run { host: self, number }
    }

    /// The process dies, as by `kill -9`: everything that [runs](Host::run) here is cancelled, its ports are free, its peers' connections are reset. The
    /// host itself goes on: who connects is refused until something listens again.
    pub fn crash(&self) {
        self.end(false);
    }

    /// The machine dies: everything that [runs](Host::run) here is cancelled, and nobody is told. Peers have half-open connections, and notice only
    /// when they give up, or when the host [runs](Host::run) again and does not know them.
    pub fn power_off(&self) {
        self.end(true);
    }

    fn end(&self, power: bool) {
        self.shared.with(|world| {
            match power {
                true => world.statistics.power_losses += 1,
                false => world.statistics.crashes += 1,
            }
            let state = world.state(self.id);
            state.life += 1;
            state.open = 0;
            state.datagrams.clear();
            let listeners = std::mem::take(&mut state.listeners);
            let runs = std::mem::take(&mut state.runs);
            // Those who wait to be accepted are connections like any other.
            drop(listeners);
            world.abandon(self.id, power);
            world.state(self.id).has_power = !power;
            for scope in runs.into_values() {
                world.cancel(scope, "the simulated host has crashed");
            }
        });
    }

    /// So many sockets may be open at once; more are an error, `EMFILE`. `None`, as from the start: as many as are wanted.
    pub fn set_descriptors(&self, most: Option<usize>) {
        self.shared.with(|world| world.state(self.id).descriptors = most);
    }

    /// From now on the calls of this host's connections are interrupted, put off and cut short, so often.
    ///
    /// Nothing of that may be seen above: it is for tests of what makes such calls.
    ///
    /// # Panics
    ///
    /// If a part of `storm` is no probability, or one of those calls would never go through: see [`Storm`].
    #[track_caller]
    pub fn set_storm(&self, storm: Storm) {
        storm.check();
        self.shared.with(|world| world.state(self.id).storm = storm);
    }

    /// How many sockets are open: listeners, streams and sockets for datagrams, from when they are made until they are dropped. A connection that waits to be accepted has no descriptor on this side yet.
    pub fn descriptors(&self) -> usize {
        self.shared.with(|world| world.state(self.id).open)
    }

    /// Whether the name of this host can be looked up.
    pub fn set_resolvable(&self, resolvable: bool) {
        self.shared.with(|world| world.state(self.id).is_resolvable = resolvable);
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Host").field(&self.name()).finish()
    }
}

/// Something that runs on a host.
struct Run<'a> {
    host: &'a Host,
    number: u64,
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        let gone = self.host.shared.with(|world| world.state(self.host.id).runs.remove(&self.number));
        drop(gone);
    }
}
