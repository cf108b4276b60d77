//! Primitives that carry a value and are no queues: oneshots, broadcast and watch channels.

use std::future::Future;

use trioxide::sync::channel;

use super::sync::{Host, MANY, row, sum_below};
use super::{Metric, Rewake, Row, Scale};
use crate::contenders::Contender;
use crate::marks;
use crate::measure::Sample;

/// One message.
trait Oneshot: 'static {
    type Sender: Send + 'static;
    type Receiver: Send + 'static;

    fn open() -> (Self::Sender, Self::Receiver);
    fn send(sender: Self::Sender, number: u64);
    fn recv(receiver: Self::Receiver) -> impl Future<Output = u64> + Send;
}

struct Ours;
struct Tokio;
struct AsyncChannel;
struct Flume;
struct Crossfire;

const SENT: &str = "it is sent";

macro_rules! oneshot {
    ($name:ty: $sender:ty, $receiver:ty, $open:expr, |$s:ident, $number:ident| $send:expr, |$r:ident| $recv:expr) => {
        impl Oneshot for $name {
            type Sender = $sender;
            type Receiver = $receiver;

            fn open() -> (Self::Sender, Self::Receiver) {
                $open
            }

            fn send($s: Self::Sender, $number: u64) {
                let _ = $send;
            }

            async fn recv($r: Self::Receiver) -> u64 {
                $recv.await.expect(SENT)
            }
        }
    };
}

oneshot!(
    Ours: channel::oneshot::Sender<u64>,
    channel::oneshot::Receiver<u64>,
    channel::oneshot(),
    |s, number| s.send(number),
    |r| r
);
oneshot!(
    Tokio: tokio::sync::oneshot::Sender<u64>,
    tokio::sync::oneshot::Receiver<u64>,
    tokio::sync::oneshot::channel(),
    |s, number| s.send(number),
    |r| r
);
oneshot!(
    AsyncChannel: async_channel::Sender<u64>,
    async_channel::Receiver<u64>,
    async_channel::bounded(1),
    |s, number| s.try_send(number),
    |r| r.recv()
);
oneshot!(
    Flume: flume::Sender<u64>,
    flume::Receiver<u64>,
    flume::bounded(1),
    |s, number| s.try_send(number),
    |r| r.recv_async()
);
oneshot!(
    Crossfire: crossfire::oneshot::TxOneshot<u64>,
    crossfire::oneshot::RxOneshot<u64>,
    crossfire::oneshot::oneshot(),
    |s, number| s.send(number),
    |r| r
);

fn oneshot_alone<O: Oneshot>(host: &impl Host, scale: Scale) -> Sample {
    let messages = scale.of(200_000, 10_000);
    let cost = host.time_all(messages, move || {
        vec![async move {
            let mut sum = 0;
            for number in 0..messages {
                let (sender, receiver) = O::open();
                O::send(sender, number);
                sum += O::recv(receiver).await;
            }
            marks::add(0, sum);
        }]
    });
    assert_eq!(marks::take_sum(1), sum_below(messages));
    cost.per_operation()
}

/// Two tasks send each other oneshots in turn, all of which have been made before.
fn oneshot_1_1<O: Oneshot>(host: &impl Host, scale: Scale) -> Sample {
    let pairs = scale.of(50_000, 5_000);
    let cost = host.time(2 * pairs, move || {
        let (mut pings, mut pongs) = (Vec::new(), Vec::new());
        for _ in 0..pairs {
            let ((ping, pinged), (pong, ponged)) = (O::open(), O::open());
            pings.push((ping, ponged));
            pongs.push((pong, pinged));
        }
        let first = async move {
            let mut sum = 0;
            for (number, (ping, ponged)) in (0..).zip(pings) {
                O::send(ping, number);
                sum += O::recv(ponged).await;
            }
            marks::add(0, sum);
        };
        let second = async move {
            for (pong, pinged) in pongs {
                O::send(pong, O::recv(pinged).await);
            }
        };
        (vec![first], vec![second])
    });
    assert_eq!(marks::take_sum(1), sum_below(pairs));
    cost.per_operation()
}

const MESSAGE: &[Metric] = &[Metric::main("ns/message")];

pub(super) const ONESHOT_ALONE: Row = row(
    "oneshot_alone",
    "one task makes a oneshot, sends and receives, 200,000 times; where there is no oneshot a bounded channel (1)",
    MESSAGE,
    oneshot_alone::<Ours>,
    Some(oneshot_alone::<Tokio>),
    &[
        (Contender::TokioHere, oneshot_alone::<Tokio>),
        (Contender::AsyncChannel, oneshot_alone::<AsyncChannel>),
        (Contender::Flume, oneshot_alone::<Flume>),
        (Contender::Crossfire, oneshot_alone::<Crossfire>),
    ],
);

pub(super) const ONESHOT_1_1: Row = row(
    "oneshot_1_1",
    "two tasks send each other a oneshot in turn, 50,000 times; their making is timed, too",
    MESSAGE,
    oneshot_1_1::<Ours>,
    Some(oneshot_1_1::<Tokio>),
    &[
        (Contender::TokioHere, oneshot_1_1::<Tokio>),
        (Contender::AsyncChannel, oneshot_1_1::<AsyncChannel>),
        (Contender::Flume, oneshot_1_1::<Flume>),
        (Contender::Crossfire, oneshot_1_1::<Crossfire>),
    ],
);

/// News for all receivers: each message (`broadcast`), or the newest (`watch`).
trait News: 'static {
    type Sender: Send + 'static;
    type Receiver: Clone + Send + 'static;

    /// With room for `capacity` messages, if that means something.
    fn open(capacity: usize) -> (Self::Sender, Self::Receiver);
    fn send(sender: &Self::Sender, number: u64);
    /// Waits for something that this receiver has not seen.
    fn next(receiver: &mut Self::Receiver) -> impl Future<Output = u64> + Send;
}

struct OurBroadcast;
struct OurWatch;
struct TokioBroadcast;
struct TokioWatch;

impl News for OurBroadcast {
    type Sender = channel::broadcast::Sender<u64>;
    type Receiver = channel::broadcast::Receiver<u64>;

    fn open(capacity: usize) -> (Self::Sender, Self::Receiver) {
        channel::broadcast(capacity)
    }

    fn send(sender: &Self::Sender, number: u64) {
        sender.send(number).expect("the receivers are there");
    }

    async fn next(receiver: &mut Self::Receiver) -> u64 {
        receiver.recv().await.expect("there is room for all")
    }
}

/// A receiver of tokio's broadcast is not `Clone`.
struct Resubscribes(tokio::sync::broadcast::Receiver<u64>);

impl Clone for Resubscribes {
    fn clone(&self) -> Self {
        Self(self.0.resubscribe())
    }
}

impl News for TokioBroadcast {
    type Sender = tokio::sync::broadcast::Sender<u64>;
    type Receiver = Resubscribes;

    fn open(capacity: usize) -> (Self::Sender, Self::Receiver) {
        let (sender, receiver) = tokio::sync::broadcast::channel(capacity);
        (sender, Resubscribes(receiver))
    }

    fn send(sender: &Self::Sender, number: u64) {
        sender.send(number).expect("the receivers are there");
    }

    async fn next(receiver: &mut Self::Receiver) -> u64 {
        receiver.0.recv().await.expect("there is room for all")
    }
}

impl News for OurWatch {
    type Sender = channel::watch::Sender<u64>;
    type Receiver = channel::watch::Receiver<u64>;

    fn open(_capacity: usize) -> (Self::Sender, Self::Receiver) {
        channel::watch(0)
    }

    fn send(sender: &Self::Sender, number: u64) {
        sender.send(number);
    }

    async fn next(receiver: &mut Self::Receiver) -> u64 {
        receiver.changed().await.expect("the sender is there");
        *receiver.borrow_and_update()
    }
}

impl News for TokioWatch {
    type Sender = tokio::sync::watch::Sender<u64>;
    type Receiver = tokio::sync::watch::Receiver<u64>;

    fn open(_capacity: usize) -> (Self::Sender, Self::Receiver) {
        tokio::sync::watch::channel(0)
    }

    fn send(sender: &Self::Sender, number: u64) {
        sender.send(number).expect("the receivers are there");
    }

    async fn next(receiver: &mut Self::Receiver) -> u64 {
        receiver.changed().await.expect("the sender is there");
        *receiver.borrow_and_update()
    }
}

fn news_alone<N: News>(host: &impl Host, scale: Scale) -> Sample {
    let messages = scale.of(200_000, 10_000);
    let cost = host.time_all(messages, move || {
        let (sender, mut receiver) = N::open(64);
        vec![async move {
            let mut sum = 0;
            for number in 0..messages {
                N::send(&sender, number);
                sum += N::next(&mut receiver).await;
            }
            marks::add(0, sum);
        }]
    });
    assert_eq!(marks::take_sum(1), sum_below(messages));
    cost.per_operation()
}

/// One task sends and lets others run after each message; [`MANY`] wait for the last one.
fn news_1_n<N: News>(host: &impl Host, scale: Scale) -> Sample {
    let messages = scale.of(20_000, 2_000);
    let cost = host.time(messages, move || {
        let (sender, receiver) = N::open(messages as usize);
        let send = async move {
            for number in 1..=messages {
                N::send(&sender, number);
                Rewake::default().await;
            }
        };
        let receive = |(slot, mut receiver)| async move {
            while N::next(&mut receiver).await < messages {}
            marks::add(slot, 1);
        };
        (vec![send], (0..).zip(vec![receiver; MANY as usize]).map(receive).collect())
    });
    marks::assert_all_ran(MANY, 1);
    cost.per_operation()
}

pub(super) const BROADCAST_ALONE: Row = row(
    "broadcast_alone",
    "one task sends into a broadcast channel (64) and receives, 200,000 times",
    MESSAGE,
    news_alone::<OurBroadcast>,
    Some(news_alone::<TokioBroadcast>),
    &[(Contender::TokioHere, news_alone::<TokioBroadcast>)],
);

pub(super) const BROADCAST_1_N: Row = row(
    "broadcast_1_n",
    "20,000 messages to 8 tasks, each of which gets them all; the sender lets others run after each",
    MESSAGE,
    news_1_n::<OurBroadcast>,
    Some(news_1_n::<TokioBroadcast>),
    &[(Contender::TokioHere, news_1_n::<TokioBroadcast>)],
);

pub(super) const WATCH_ALONE: Row = row(
    "watch_alone",
    "one task changes a watch channel's value and waits for the change, 200,000 times",
    MESSAGE,
    news_alone::<OurWatch>,
    Some(news_alone::<TokioWatch>),
    &[(Contender::TokioHere, news_alone::<TokioWatch>)],
);

pub(super) const WATCH_1_N: Row = row(
    "watch_1_n",
    "20,000 values before the eyes of 8 tasks; the sender lets others run after each",
    MESSAGE,
    news_1_n::<OurWatch>,
    Some(news_1_n::<TokioWatch>),
    &[(Contender::TokioHere, news_1_n::<TokioWatch>)],
);
