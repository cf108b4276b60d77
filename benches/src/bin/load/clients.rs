//! The clients of each load, and what they find.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use trioxide::io::{BufReader, TcpStream};
use trioxide::{fail_after, move_on_after, nursery, parallel};

use crate::server::LONGEST;

/// So many clients at once, where each has one connection after the other.
const CLIENTS: usize = 64;
/// An answer that takes so long does not come.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a slow client waits before its next byte.
const SLOWNESS: Duration = Duration::from_millis(50);
/// So many answers are asked for while slow clients are at it, each by a connection of its own.
const BESIDE: u64 = 10;
/// So many losses are told in words.
const TOLD: usize = 5;

/// What the clients of a load find.
pub(super) struct Tally {
    bar: Arc<ProgressBar>,
    latencies: Mutex<Vec<Duration>>,
    losses: Mutex<(u64, Vec<String>)>,
}

impl Tally {
    pub(super) fn new(bar: Arc<ProgressBar>) -> Tally {
        Tally { bar, latencies: Mutex::default(), losses: Mutex::default() }
    }

    /// How many questions were answered.
    pub(super) fn answered(&self) -> u64 {
        self.latencies.lock().unwrap_or_else(PoisonError::into_inner).len() as u64
    }

    /// How long the answers took, sorted.
    pub(super) fn latencies(&self) -> Vec<Duration> {
        let mut all = self.latencies.lock().unwrap_or_else(PoisonError::into_inner).clone();
        all.sort_unstable();
        all
    }

    /// Each in words, but no more than some.
    pub(super) fn losses(&self) -> Vec<String> {
        let (count, mut told) = self.losses.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if count > told.len() as u64 {
            told.push(format!("and {} more connections", count - told.len() as u64));
        }
        told
    }

    fn answer(&self, took: Duration) {
        self.latencies.lock().unwrap_or_else(PoisonError::into_inner).push(took);
    }

    fn loss(&self, number: u64, error: &io::Error) {
        let mut losses = self.losses.lock().unwrap_or_else(PoisonError::into_inner);
        losses.0 += 1;
        if losses.1.len() < TOLD {
            losses.1.push(format!("connection {number}: {error}"));
        }
    }
}

/// Opens connections, which then say nothing. Those that cannot be opened are losses.
pub(super) async fn open(tally: &Arc<Tally>, addresses: &Arc<[SocketAddr]>, connections: u64) -> Vec<TcpStream> {
    let opened = parallel::map(0..connections, CLIENTS, |number| {
        let (tally, address) = (tally.clone(), address(addresses, number));
        async move {
            let opened = TcpStream::connect(address).await;
            tally.bar.inc(1);
            opened.inspect_err(|error| tally.loss(number, error)).ok()
        }
    });
    opened.await.into_iter().flatten().collect()
}

/// Asks once on each, and closes it.
pub(super) async fn ask_each(tally: &Arc<Tally>, open: Vec<TcpStream>) {
    tally.bar.set_position(0);
    parallel::for_each((0..).zip(open), CLIENTS, |(number, stream)| {
        let tally = tally.clone();
        async move {
            asked(&tally, number, &stream).await;
            tally.bar.inc(1);
        }
    })
    .await;
}

/// Connections for one question each.
pub(super) async fn short(tally: &Arc<Tally>, addresses: Arc<[SocketAddr]>, connections: u64) {
    parallel::for_each(0..connections, CLIENTS, |number| {
        let (tally, address) = (tally.clone(), address(&addresses, number));
        async move {
            connect_and_ask(&tally, number, address).await;
            tally.bar.inc(1);
        }
    })
    .await;
}

/// Slow connections, all at once, and beside them others that must be answered.
pub(super) async fn slow(tally: &Arc<Tally>, addresses: Arc<[SocketAddr]>, connections: u64) {
    nursery(async |n| {
        for number in 0..connections {
            let (tally, address) = (tally.clone(), address(&addresses, number));
            n.spawn(async move {
                if let Err(error) = be_slow(address).await {
                    tally.loss(number, &error);
                }
                tally.bar.inc(1);
            });
        }
        let (tally, addresses) = (tally.clone(), addresses.clone());
        parallel::for_each(0..connections * BESIDE, CLIENTS, |number| {
            let (tally, address) = (tally.clone(), address(&addresses, number));
            async move { connect_and_ask(&tally, connections + number, address).await }
        })
        .await;
    })
    .await;
}

/// Sends bytes of a line that never ends, until the server closes.
async fn be_slow(address: SocketAddr) -> io::Result<()> {
    let stream = TcpStream::connect(address).await?;
    for _ in 0..LONGEST {
        if stream.write_all(b"x").await.is_err() {
            return Ok(());
        }
        match move_on_after(SLOWNESS, stream.read(&mut [0; 1])).await {
            None => {}
            Some(Ok(0) | Err(_)) => return Ok(()),
            Some(Ok(_)) => return Err(io::Error::other("it was answered")),
        }
    }
    Err(io::Error::other("the server had patience with it to the end"))
}

/// Short connections, of which one in ten breaks off by a reset: at once, after a part of a question, or before the answer.
pub(super) async fn broken(tally: &Arc<Tally>, addresses: Arc<[SocketAddr]>, connections: u64, seed: u64) {
    parallel::for_each(0..connections, CLIENTS, |number| {
        let (tally, address) = (tally.clone(), address(&addresses, number));
        let chance = mixed(seed ^ number);
        async move {
            if chance.is_multiple_of(10) {
                // It may be that the server has something to say about it; whatever that is, nobody else is to notice.
                if let Err(error) = break_off(address, number, chance / 10).await {
                    tally.loss(number, &error);
                }
            } else {
                connect_and_ask(&tally, number, address).await;
            }
            tally.bar.inc(1);
        }
    })
    .await;
}

async fn break_off(address: SocketAddr, number: u64, chance: u64) -> io::Result<()> {
    let stream = TcpStream::connect(address).await?;
    let question = question(number);
    let sent = chance as usize % (question.len() + 1);
    if sent > 0 {
        stream.write_all(&question.as_bytes()[..sent]).await?;
    }
    stream.set_linger(Some(Duration::ZERO))
    // Dropped, and so reset.
}

async fn connect_and_ask(tally: &Tally, number: u64, address: SocketAddr) {
    match TcpStream::connect(address).await {
        Ok(stream) => asked(tally, number, &stream).await,
        Err(error) => tally.loss(number, &error),
    }
}

/// Asks, and tallies what comes of it.
async fn asked(tally: &Tally, number: u64, stream: &TcpStream) {
    let began = Instant::now();
    match fail_after(PATIENCE, ask(number, stream)).await {
        Ok(Ok(())) => tally.answer(began.elapsed()),
        Ok(Err(error)) => tally.loss(number, &error),
        Err(_) => tally.loss(number, &io::Error::other(format!("no answer within {PATIENCE:?}"))),
    }
}

async fn ask(number: u64, stream: &TcpStream) -> io::Result<()> {
    let question = question(number);
    stream.write_all(question.as_bytes()).await?;
    let answer = BufReader::new(stream).read_line(LONGEST).await?;
    if answer.as_deref() == Some(question.trim_end()) {
        return Ok(());
    }
    Err(io::Error::other(format!("asked {question:?}, answered {answer:?}")))
}

fn question(number: u64) -> String {
    format!("question {number}\n")
}

fn address(addresses: &[SocketAddr], number: u64) -> SocketAddr {
    addresses[number as usize % addresses.len()]
}

/// Chance from a number: the finaliser of SplitMix64.
fn mixed(number: u64) -> u64 {
    let mut bits = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
