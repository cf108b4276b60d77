//! The store: each value on three nodes, each with a stamp. What a majority has acknowledged, every later majority knows of.
//!
//! A client may ask any node. To write, that node first asks a majority for the newest stamp, and then gives the value a newer one and sends it to all, until a majority has it. To read, it asks a
//! majority, and sends the newest value to all in turn, until a majority has it: or else a later read could find an older one. (Attiya, Bar-Noy and Dolev, *Sharing memory robustly in message-passing systems*, 1995.)
//!
//! One node asks another by a line of text over TCP, and gets one back: `read KEY`, or `write KEY STAMP VALUE`; the answer is `STAMP VALUE`.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use futures_util::stream;
use trioxide::io::{BufReader, TcpListener, TcpStream, connect, serve};
use trioxide::parallel;
use trioxide::prelude::*;

/// The names of the nodes.
pub(crate) const NODES: [&str; 3] = ["north", "east", "south"];
const PORT: u16 = 7000;
/// So long a node waits for the others' answers.
const PATIENCE: Duration = Duration::from_millis(300);
/// No line is longer.
const LIMIT: usize = 1024;

/// Which of two values is newer. The node tells stamps apart that were given at the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Stamp {
    number: u64,
    node: usize,
}

/// A value, and when it was given; stamp 0 and empty if it never was.
type Stamped = (Stamp, String);

/// Fewer than a majority have answered. A write may have got through or not.
#[derive(Debug)]
pub(crate) struct NoMajority;

/// One node, with what it has.
pub(crate) struct Node {
    number: usize,
    values: Mutex<BTreeMap<String, Stamped>>,
    /// The number of the newest stamp that this node gave: two writes at the same time need different ones.
    last: AtomicU64,
    /// See `majority`.
    bug: bool,
}

impl Node {
    pub(crate) fn new(number: usize, bug: bool) -> Arc<Self> {
        Arc::new(Self { number, values: Mutex::default(), last: AtomicU64::new(0), bug })
    }

    pub(crate) fn name(&self) -> &'static str {
        NODES[self.number]
    }

    /// Answers the others, until it is cancelled.
    pub(crate) async fn serve(self: Arc<Self>) -> io::Result<()> {
        let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
        let answer = move |stream: TcpStream, _peer| {
            let node = Arc::clone(&self);
            async move {
                // Who hangs up in the middle is no trouble of ours.
                let _ = node.answer_all(&stream).await;
                Ok::<_, io::Error>(())
            }
        };
        serve(listener, answer).await
    }

    async fn answer_all(&self, stream: &TcpStream) -> io::Result<()> {
        let mut requests = BufReader::new(stream);
        while let Some(request) = requests.read_line(LIMIT).await? {
            let answer = self.answer(&request).ok_or_else(invalid)?;
            stream.write_all(format!("{answer}\n").as_bytes()).await?;
        }
        Ok(())
    }

    pub(crate) async fn put(&self, key: &str, value: &str) -> Result<(), NoMajority> {
        let (newest, _) = self.majority(format!("read {key}")).await?;
        let newer = |last: u64| Some(1 + last.max(newest.number));
        let before = self.last.fetch_update(Relaxed, Relaxed, newer).expect("there is always a newer one");
        let stamp = Stamp { number: 1 + before.max(newest.number), node: self.number };
        let stamped = (stamp, value.to_owned());
        self.majority(format!("write {key} {}", to_text(&stamped))).await?;
        Ok(())
    }

    /// Empty if there is none.
    pub(crate) async fn get(&self, key: &str) -> Result<String, NoMajority> {
        let newest = self.majority(format!("read {key}")).await?;
        self.majority(format!("write {key} {}", to_text(&newest))).await?;
        Ok(newest.1)
    }

    /// Asks all nodes, and gives the newest of what a majority answers.
    async fn majority(&self, request: String) -> Result<Stamped, NoMajority> {
        let own = self.answer(&request).as_deref().and_then(from_text).expect("we write no nonsense");
        let ask = |name| {
            let request = request.clone();
            async move { fail_after(PATIENCE, ask(name, request)).await.ok()?.ok() }
        };
        let mut others = NODES.to_vec();
        others.remove(self.number);
        // Who has not answered by the time that a majority has is not waited for: the rest is cancelled.
        parallel::completed(stream::iter(others), NODES.len(), ask, async |mut answers| {
            let (mut answered, mut nodes, mut newest) = (1, NODES.len(), own);
            while answered <= nodes / 2 {
                match answers.next().await {
                    Some(Some(answer)) => {
                        answered += 1;
                        newest = newest.max(answer);
                    }
                    // The bug. "It is down, so there is one node less." But it is not: it is behind a cut cable, with a majority.
                    Some(None) if self.bug => nodes -= 1,
                    Some(None) => {}
                    None => return Err(NoMajority),
                }
            }
            Ok(newest)
        })
        .await
    }

    /// To a line of text, without its end. The same request may come twice, and an old one late.
    fn answer(&self, request: &str) -> Option<String> {
        let (verb, rest) = request.split_once(' ')?;
        let (key, new) = rest.split_once(' ').map_or((rest, None), |(key, new)| (key, Some(new)));
        let mut values = self.values.lock().expect("nothing panics in here");
        match (verb, new) {
            ("read", None) => Some(to_text(values.get(key).unwrap_or(&Stamped::default()))),
            ("write", Some(new)) => {
                let new = from_text(new)?;
                let value = values.entry(key.to_owned()).or_default();
                if value.0 < new.0 {
                    *value = new;
                }
                Some(to_text(value))
            }
            _ => None,
        }
    }
}

async fn ask(node: &str, request: String) -> io::Result<Stamped> {
    let stream = connect(node, PORT).await?;
    stream.write_all(format!("{request}\n").as_bytes()).await?;
    let answer = BufReader::new(&stream).read_line(LIMIT).await?;
    answer.as_deref().and_then(from_text).ok_or_else(invalid)
}

fn invalid() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

fn to_text((stamp, value): &Stamped) -> String {
    format!("{}.{} {value}", stamp.number, stamp.node)
}

fn from_text(text: &str) -> Option<Stamped> {
    let (stamp, value) = text.split_once(' ')?;
    let (number, node) = stamp.split_once('.')?;
    Some((Stamp { number: number.parse().ok()?, node: node.parse().ok()? }, value.to_owned()))
}
