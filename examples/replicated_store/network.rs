//! A network in memory. What it does to a message comes from the seed of the simulation.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use trioxide::prelude::*;
use trioxide_testing::simulate::{chance, choose, note};

use crate::store::{NODES, Replica, Request, Stamped, Wire};

/// No node is cut off.
const NOBODY: usize = usize::MAX;

/// Three nodes, and what is between them.
#[derive(Clone)]
pub(crate) struct Network {
    replicas: [Replica; NODES],
    cut_off: Arc<AtomicUsize>,
}

impl Network {
    pub(crate) fn new() -> Self {
        Self { replicas: Default::default(), cut_off: Arc::new(AtomicUsize::new(NOBODY)) }
    }

    /// Cuts one node off now and then, for a while. For ever.
    pub(crate) async fn break_and_heal(self) {
        loop {
            sleep(Duration::from_millis(choose(200) as u64)).await;
            let node = choose(NODES);
            note(format_args!("node {node} is cut off"));
            self.cut_off.store(node, Relaxed);
            sleep(Duration::from_millis(choose(500) as u64)).await;
            self.heal();
        }
    }

    pub(crate) fn heal(&self) {
        note("all are connected");
        self.cut_off.store(NOBODY, Relaxed);
    }

    /// On its way from one node to another. What is lost never arrives, and nobody is told.
    async fn travel(&self, from: usize, to: usize) {
        sleep(Duration::from_millis(1 + choose(20) as u64)).await;
        let cut_off = self.cut_off.load(Relaxed);
        if from != to && (cut_off == from || cut_off == to || chance(0.01)) {
            sleep_forever().await;
        }
    }
}

impl Wire for Network {
    async fn ask(&self, from: usize, to: usize, request: Request) -> io::Result<Stamped> {
        self.travel(from, to).await;
        if chance(0.05) {
            // It comes twice.
            self.replicas[to].answer(request.clone());
        }
        let answer = self.replicas[to].answer(request);
        self.travel(to, from).await;
        Ok(answer)
    }
}
