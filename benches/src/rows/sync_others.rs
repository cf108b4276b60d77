//! Primitives by which tasks tell each other something: oneshots, broadcast and watch channels, events, barriers, cells that are set once.
//!
//! An event that happens once for any number of tasks is a `SetOnce` of tokio's and a `OnceCell` of async-lock's. Capacity limiters, conditions and parking lots
//! have no counterpart in those libraries, so no row.

use std::future::Future;
use std::sync::Arc;

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
struct AsyncLock;

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

/// Something that happens once.
trait Once: Send + Sync + 'static {
    type Event: Send + Sync + 'static;

    fn event() -> Self::Event;
    fn set(event: &Self::Event);
    fn wait(event: &Self::Event) -> impl Future<Output = ()> + Send;
}

macro_rules! once {
    ($name:ty: $event:ty, |$e:ident| $set:expr, $wait:expr) => {
        impl Once for $name {
            type Event = $event;

            fn event() -> Self::Event {
                <$event>::new()
            }

            fn set($e: &Self::Event) {
                let _ = $set;
            }

            async fn wait($e: &Self::Event) {
                let _ = $wait.await;
            }
        }
    };
}

once!(Ours: trioxide::sync::Event, |e| e.set(), e.wait());
once!(Tokio: tokio::sync::SetOnce<()>, |e| e.set(()), e.wait());
once!(AsyncLock: async_lock::OnceCell<()>, |e| e.set_blocking(()), e.wait());

fn event_alone<O: Once>(host: &impl Host, scale: Scale) -> Sample {
    let events = scale.of(200_000, 10_000);
    let cost = host.time_all(events, move || {
        vec![async move {
            for _ in 0..events {
                let event = O::event();
                O::set(&event);
                O::wait(&event).await;
            }
            marks::add(0, 1);
        }]
    });
    marks::assert_all_ran(1, 1);
    cost.per_operation()
}

/// Two tasks wait for each other's events in turn, all of which have been made before.
fn event_1_1<O: Once>(host: &impl Host, scale: Scale) -> Sample {
    let pairs = scale.of(50_000, 5_000);
    let cost = host.time(2 * pairs, move || {
        let events: Arc<Vec<_>> = Arc::new((0..2 * pairs).map(|_| O::event()).collect());
        let others = Arc::clone(&events);
        let first = async move {
            for pair in events.chunks_exact(2) {
                O::set(&pair[0]);
                O::wait(&pair[1]).await;
            }
            marks::add(0, 1);
        };
        let second = async move {
            for pair in others.chunks_exact(2) {
                O::wait(&pair[0]).await;
                O::set(&pair[1]);
            }
            marks::add(1, 1);
        };
        (vec![first], vec![second])
    });
    marks::assert_all_ran(2, 1);
    cost.per_operation()
}

/// One task sets an event after the other, and lets others run after each; [`MANY`] wait for each of them.
fn event_1_n<O: Once>(host: &impl Host, scale: Scale) -> Sample {
    let number = scale.of(20_000, 2_000);
    let cost = host.time(number, move || {
        let events: Arc<Vec<_>> = Arc::new((0..number).map(|_| O::event()).collect());
        let wait = |slot| {
            let events = Arc::clone(&events);
            async move {
                for event in events.iter() {
                    O::wait(event).await;
                }
                marks::add(slot, 1);
            }
        };
        let wait = (0..MANY).map(wait).collect();
        let set = async move {
            for event in events.iter() {
                O::set(event);
                Rewake::default().await;
            }
        };
        (vec![set], wait)
    });
    marks::assert_all_ran(MANY, 1);
    cost.per_operation()
}

const EVENT: &[Metric] = &[Metric::main("ns/event")];

macro_rules! event_row {
    ($constant:ident, $name:literal, $about:literal, $how:ident) => {
        pub(super) const $constant: Row = row(
            $name,
            $about,
            EVENT,
            $how::<Ours>,
            Some($how::<Tokio>),
            &[(Contender::TokioHere, $how::<Tokio>), (Contender::AsyncLock, $how::<AsyncLock>)],
        );
    };
}

event_row!(
    EVENT_ALONE,
    "event_alone",
    "one task makes an event, sets it and waits for it, 200,000 times (tokio: SetOnce, async-lock: OnceCell)",
    event_alone
);
event_row!(
    EVENT_1_1,
    "event_1_1",
    "two tasks wait for an event that the other sets, in turn, 50,000 times; their making is timed, too",
    event_1_1
);
event_row!(
    EVENT_1_N,
    "event_1_n",
    "20,000 events, for each of which 8 tasks wait; the setter lets others run after each",
    event_1_n
);

/// So many tasks wait for each other.
trait Meeting: Send + Sync + 'static {
    fn of(tasks: usize) -> Self;
    /// Whether this is the one of them who is told to lead.
    fn meet(&self) -> impl Future<Output = bool> + Send;
}

macro_rules! meeting {
    ($barrier:ty) => {
        impl Meeting for $barrier {
            fn of(tasks: usize) -> Self {
                Self::new(tasks)
            }

            async fn meet(&self) -> bool {
                self.wait().await.is_leader()
            }
        }
    };
}

meeting!(trioxide::sync::Barrier);
meeting!(tokio::sync::Barrier);
meeting!(async_lock::Barrier);

fn barrier<M: Meeting>(host: &impl Host, scale: Scale) -> Sample {
    let rounds = scale.of(20_000, 1_000);
    let cost = host.time_all(MANY * rounds, move || {
        let meeting = Arc::new(M::of(MANY as usize));
        let task = |slot| {
            let meeting = Arc::clone(&meeting);
            async move {
                let mut led = 0;
                for _ in 0..rounds {
                    led += u64::from(meeting.meet().await);
                }
                marks::add(slot, led);
            }
        };
        (0..MANY).map(task).collect()
    });
    assert_eq!(marks::take_sum(MANY), rounds, "one leads each time");
    cost.per_operation()
}

pub(super) const BARRIER: Row = row(
    "barrier",
    "8 tasks wait for each other at a barrier, 20,000 times",
    &[Metric::main("ns/wait")],
    barrier::<trioxide::sync::Barrier>,
    Some(barrier::<tokio::sync::Barrier>),
    &[(Contender::TokioHere, barrier::<tokio::sync::Barrier>), (Contender::AsyncLock, barrier::<async_lock::Barrier>)],
);

/// A value that is made by whoever needs it first.
trait Cell: Send + Sync + 'static {
    fn empty() -> Self;
    /// The value, made if need be by a future that suspends once.
    fn get(&self, value: u64) -> impl Future<Output = u64> + Send;
}

macro_rules! cell {
    ($cell:ty) => {
        impl Cell for $cell {
            fn empty() -> Self {
                Self::new()
            }

            async fn get(&self, value: u64) -> u64 {
                let make = async move || {
                    Rewake::default().await;
                    value
                };
                *self.get_or_init(make).await
            }
        }
    };
}

cell!(trioxide::sync::OnceCell<u64>);
cell!(tokio::sync::OnceCell<u64>);
cell!(async_lock::OnceCell<u64>);

fn once_alone<C: Cell>(host: &impl Host, scale: Scale) -> Sample {
    let gets = scale.of(500_000, 10_000);
    let cost = host.time_all(gets, move || {
        let cell = C::empty();
        vec![async move {
            let mut sum = 0;
            for i in 0..gets {
                sum += std::hint::black_box(&cell).get(1 + i).await;
            }
            marks::add(0, sum);
        }]
    });
    assert_eq!(marks::take_sum(1), gets, "it is made once, with the first value");
    cost.per_operation()
}

/// [`MANY`] tasks want the values of the same cells in the same order, all of which have been made before.
fn once_contended<C: Cell>(host: &impl Host, scale: Scale) -> Sample {
    let number = scale.of(20_000, 1_000);
    let cost = host.time_all(number * MANY, move || {
        let cells: Arc<Vec<C>> = Arc::new((0..number).map(|_| C::empty()).collect());
        let task = |slot| {
            let cells = Arc::clone(&cells);
            async move {
                let mut sum = 0;
                for (cell, value) in cells.iter().zip(0..) {
                    sum += cell.get(value).await;
                }
                marks::add(slot, sum);
            }
        };
        (0..MANY).map(task).collect()
    });
    assert_eq!(marks::take_sum(MANY), MANY * sum_below(number));
    cost.per_operation()
}

const GET: &[Metric] = &[Metric::main("ns/get")];

macro_rules! once_row {
    ($constant:ident, $name:literal, $about:literal, $how:ident) => {
        pub(super) const $constant: Row = row(
            $name,
            $about,
            GET,
            $how::<trioxide::sync::OnceCell<u64>>,
            Some($how::<tokio::sync::OnceCell<u64>>),
            &[
                (Contender::TokioHere, $how::<tokio::sync::OnceCell<u64>>),
                (Contender::AsyncLock, $how::<async_lock::OnceCell<u64>>),
            ],
        );
    };
}

once_row!(
    ONCE_ALONE,
    "once_alone",
    "one task asks a cell for its value, which is made the first time, 500,000 times",
    once_alone
);
once_row!(
    ONCE_CONTENDED,
    "once_contended",
    "8 tasks ask 20,000 cells for their values in the same order; making one suspends once",
    once_contended
);
