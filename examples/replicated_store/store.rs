//! The store: each value on three nodes, each with a stamp. What a majority has acknowledged, every later majority knows of.
//!
//! A client may ask any node. To write, that node first asks a majority for the newest stamp, and then gives the value a newer one and sends it to all, until a majority has it. To read, it asks a
//! majority, and sends the newest value to all in turn, until a majority has it: or else a later read could find an older one. (Attiya, Bar-Noy and Dolev, *Sharing memory robustly in message-passing systems*, 1995.)

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use futures_util::stream;
use trioxide::parallel;
use trioxide::prelude::*;

pub(crate) const NODES: usize = 3;
/// So long a node waits for the others' answers.
const PATIENCE: Duration = Duration::from_millis(100);

/// Which of two values is newer. The node tells stamps apart that were given at the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stamp {
    number: u64,
    node: usize,
}

/// A value with its stamp; without a value if there was none.
pub(crate) type Stamped = (Stamp, Option<String>);

/// What a node asks another, or itself.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    Read(String),
    /// Is answered with what is there then: this, or something newer.
    Write(String, Stamped),
}

/// How a request gets to a node, and its answer back.
pub(crate) trait Wire: Clone + Send + Sync + 'static {
    /// May wait for ever, and may fail.
    fn ask(&self, from: usize, to: usize, request: Request) -> impl Future<Output = io::Result<Stamped>> + Send;
}

/// What one node has.
#[derive(Clone, Default)]
pub(crate) struct Replica {
    values: Arc<Mutex<BTreeMap<String, Stamped>>>,
}

impl Replica {
    /// The same request may come twice, and an old one late.
    pub(crate) fn answer(&self, request: Request) -> Stamped {
        let mut values = self.values.lock().expect("nothing panics in here");
        match request {
            Request::Read(key) => values.get(&key).cloned().unwrap_or_default(),
            Request::Write(key, new) => {
                let value = values.entry(key).or_default();
                if value.0 < new.0 {
                    *value = new;
                }
                value.clone()
            }
        }
    }
}

/// Fewer than a majority have answered. A write may have got through or not.
#[derive(Debug)]
pub(crate) struct NoMajority;

/// The store, seen from a node.
pub(crate) struct Store<W> {
    wire: W,
    node: usize,
    /// See `majority`.
    bug: bool,
    /// The number of the newest stamp that this node gave. A write that has failed may have left its stamp on a node of the minority: the next one needs another.
    last: AtomicU64,
}

impl<W: Wire> Store<W> {
    pub(crate) fn new(wire: W, node: usize, bug: bool) -> Self {
        Self { wire, node, bug, last: AtomicU64::new(0) }
    }

    pub(crate) fn node(&self) -> usize {
        self.node
    }

    pub(crate) async fn put(&self, key: &str, value: String) -> Result<(), NoMajority> {
        let (newest, _) = self.majority(Request::Read(key.to_owned())).await?;
        let number = 1 + newest.number.max(self.last.load(Relaxed));
        self.last.fetch_max(number, Relaxed);
        let stamp = Stamp { number, node: self.node };
        self.majority(Request::Write(key.to_owned(), (stamp, Some(value)))).await?;
        Ok(())
    }

    pub(crate) async fn get(&self, key: &str) -> Result<Option<String>, NoMajority> {
        let newest = self.majority(Request::Read(key.to_owned())).await?;
        self.majority(Request::Write(key.to_owned(), newest.clone())).await?;
        Ok(newest.1)
    }

    /// Asks all nodes, and gives the newest of what a majority answers.
    async fn majority(&self, request: Request) -> Result<Stamped, NoMajority> {
        let ask = |to| {
            let (wire, from, request) = (self.wire.clone(), self.node, request.clone());
            async move { fail_after(PATIENCE, wire.ask(from, to, request)).await.ok()?.ok() }
        };
        // Who has not answered by the time that a majority has is not waited for: the rest is cancelled.
        parallel::completed(stream::iter(0..NODES), NODES, ask, async |mut answers| {
            let (mut answered, mut nodes, mut newest) = (0, NODES, Stamped::default());
            while let Some(answer) = answers.next().await {
                match answer {
                    Some(answer) => {
                        answered += 1;
                        newest = newest.max(answer);
                    }
                    // The bug. "It is down, so there is one node less." But it is not: it is behind a cut cable, with a majority.
                    None if self.bug => nodes -= 1,
                    None => {}
                }
                if answered > nodes / 2 {
                    return Ok(newest);
                }
            }
            Err(NoMajority)
        })
        .await
    }
}
