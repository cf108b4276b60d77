//! Channels with many senders: bounded, of capacity 1, rendezvous, unbounded.
//!
//! Each library's for the job: tokio's `mpsc` has one receiver; crossfire has `mpsc`, which is used where there is one receiver, and `mpmc`. (Its `spsc`, whose sender cannot be cloned,
//! has no counterpart elsewhere, and is not used.) Where a send to an unbounded channel is not `async` with a library, that one is used; with trioxide `try_send`.

use std::future::Future;
use std::sync::Once;

use trioxide::sync::channel;

use super::sync::{Host, MANY, row, sum_below};
use super::{Metric, Row, Scale};
use crate::contenders::Contender;
use crate::marks;
use crate::measure::Sample;

/// A channel of numbers.
trait Channel: 'static {
    type Sender: Clone + Send + 'static;
    type Receiver: Send + 'static;

    fn open(capacity: usize) -> (Self::Sender, Self::Receiver);
    fn send(sender: &Self::Sender, number: u64) -> impl Future<Output = ()> + Send;
    /// `None` when all senders are gone.
    fn recv(receiver: &mut Self::Receiver) -> impl Future<Output = Option<u64>> + Send;
}

struct Ours;
struct OursUnbounded;
struct TokioMpsc;
struct TokioUnbounded;
struct AsyncChannel;
struct AsyncChannelUnbounded;
struct Flume;
struct FlumeUnbounded;
struct CrossfireMpsc;
struct CrossfireMpmc;
struct CrossfireUnboundedMpsc;
struct CrossfireUnboundedMpmc;

const THERE: &str = "the receivers stay until all senders are gone";

macro_rules! channel {
    (
        $name:ty: $sender:ty, $receiver:ty,
        |$capacity:ident| $open:expr,
        |$s:ident, $number:ident| $send:expr,
        |$r:ident| $recv:expr
    ) => {
        impl Channel for $name {
            type Sender = $sender;
            type Receiver = $receiver;

            fn open($capacity: usize) -> (Self::Sender, Self::Receiver) {
                $open
            }

            async fn send($s: &Self::Sender, $number: u64) {
                $send.expect(THERE);
            }

            async fn recv($r: &mut Self::Receiver) -> Option<u64> {
                $recv
            }
        }
    };
}

channel!(
    Ours: channel::Sender<u64>,
    channel::Receiver<u64>,
    |capacity| channel::bounded(capacity),
    |s, number| s.send(number).await,
    |r| r.recv().await.ok()
);
channel!(
    OursUnbounded: channel::Sender<u64>,
    channel::Receiver<u64>,
    |_capacity| channel::unbounded(),
    |s, number| s.try_send(number),
    |r| r.recv().await.ok()
);
channel!(
    TokioMpsc: tokio::sync::mpsc::Sender<u64>,
    tokio::sync::mpsc::Receiver<u64>,
    |capacity| tokio::sync::mpsc::channel(capacity),
    |s, number| s.send(number).await,
    |r| r.recv().await
);
channel!(
    TokioUnbounded: tokio::sync::mpsc::UnboundedSender<u64>,
    tokio::sync::mpsc::UnboundedReceiver<u64>,
    |_capacity| tokio::sync::mpsc::unbounded_channel(),
    |s, number| s.send(number),
    |r| r.recv().await
);
channel!(
    AsyncChannel: async_channel::Sender<u64>,
    async_channel::Receiver<u64>,
    |capacity| async_channel::bounded(capacity),
    |s, number| s.send(number).await,
    |r| r.recv().await.ok()
);
channel!(
    AsyncChannelUnbounded: async_channel::Sender<u64>,
    async_channel::Receiver<u64>,
    |_capacity| async_channel::unbounded(),
    |s, number| s.try_send(number),
    |r| r.recv().await.ok()
);
channel!(
    Flume: flume::Sender<u64>,
    flume::Receiver<u64>,
    |capacity| flume::bounded(capacity),
    |s, number| s.send_async(number).await,
    |r| r.recv_async().await.ok()
);
channel!(
    FlumeUnbounded: flume::Sender<u64>,
    flume::Receiver<u64>,
    |_capacity| flume::unbounded(),
    |s, number| s.send(number),
    |r| r.recv_async().await.ok()
);
channel!(
    CrossfireMpsc: crossfire::MAsyncTx<crossfire::mpsc::Array<u64>>, crossfire::AsyncRx<crossfire::mpsc::Array<u64>>,
    |capacity| tuned(crossfire::mpsc::bounded_async(capacity)),
    |s, number| s.send(number).await,
    |r| r.recv().await.ok()
);
channel!(
    CrossfireMpmc: crossfire::MAsyncTx<crossfire::mpmc::Array<u64>>, crossfire::MAsyncRx<crossfire::mpmc::Array<u64>>,
    |capacity| tuned(crossfire::mpmc::bounded_async(capacity)),
    |s, number| s.send(number).await,
    |r| r.recv().await.ok()
);
channel!(
    CrossfireUnboundedMpsc: crossfire::MTx<crossfire::mpsc::List<u64>>, crossfire::AsyncRx<crossfire::mpsc::List<u64>>,
    |_capacity| tuned(crossfire::mpsc::unbounded_async()),
    |s, number| s.send(number),
    |r| r.recv().await.ok()
);
channel!(
    CrossfireUnboundedMpmc: crossfire::MTx<crossfire::mpmc::List<u64>>, crossfire::MAsyncRx<crossfire::mpmc::List<u64>>,
    |_capacity| tuned(crossfire::mpmc::unbounded_async()),
    |s, number| s.send(number),
    |r| r.recv().await.ok()
);

/// crossfire asks to be told to look at the machine once.
fn tuned<T>(channel: T) -> T {
    static LOOKED: Once = Once::new();
    LOOKED.call_once(crossfire::detect_backoff_cfg);
    channel
}

const METRICS: &[Metric] = &[Metric::main("ns/message")];

/// One task sends and receives in turn.
fn alone<C: Channel>(host: &impl Host, scale: Scale, capacity: usize) -> Sample {
    let messages = scale.of(200_000, 10_000);
    let cost = host.time_all(messages, move || {
        let (sender, mut receiver) = C::open(capacity);
        vec![async move {
            let mut sum = 0;
            for number in 0..messages {
                C::send(&sender, number).await;
                sum += C::recv(&mut receiver).await.expect("it has been sent");
            }
            marks::add(0, sum);
        }]
    });
    assert_eq!(marks::take_sum(1), sum_below(messages));
    cost.per_operation()
}

/// `senders` tasks send to one that receives.
fn to_one<C: Channel>(host: &impl Host, scale: Scale, senders: u64, capacity: usize) -> Sample {
    pass::<C>(host, scale, senders, capacity, |receiver| vec![receiver])
}

/// [`MANY`] tasks send to as many that receive.
fn to_many<C: Channel<Receiver: Clone>>(host: &impl Host, scale: Scale, capacity: usize) -> Sample {
    pass::<C>(host, scale, MANY, capacity, |receiver| vec![receiver; MANY as usize])
}

fn pass<C: Channel>(
    host: &impl Host,
    scale: Scale,
    senders: u64,
    capacity: usize,
    share: fn(C::Receiver) -> Vec<C::Receiver>,
) -> Sample {
    let each = scale.of(100_000, 10_000) / senders;
    let messages = senders * each;
    let cost = host.time(messages, move || {
        let (sender, receiver) = C::open(capacity);
        let send = |sender: C::Sender, first| async move {
            for number in first..first + each {
                C::send(&sender, number).await;
            }
        };
        let receive = |(slot, mut receiver)| async move {
            let mut sum = 0;
            while let Some(number) = C::recv(&mut receiver).await {
                sum += number;
            }
            marks::add(slot, sum);
        };
        let send = (0..senders).map(|i| send(sender.clone(), i * each)).collect();
        (send, (0..).zip(share(receiver)).map(receive).collect())
    });
    assert_eq!(marks::take_sum(MANY), sum_below(messages));
    cost.per_operation()
}

const ROOM: usize = 64;

pub(super) const BOUNDED_ALONE: Row = row(
    "bounded_alone",
    "a bounded channel (64): one task sends and receives in turn, 200,000 times",
    METRICS,
    |rt, scale| alone::<Ours>(rt, scale, ROOM),
    Some(|rt, scale| alone::<TokioMpsc>(rt, scale, ROOM)),
    &[
        (Contender::TokioHere, |rt, scale| alone::<TokioMpsc>(rt, scale, ROOM)),
        (Contender::AsyncChannel, |rt, scale| alone::<AsyncChannel>(rt, scale, ROOM)),
        (Contender::Flume, |rt, scale| alone::<Flume>(rt, scale, ROOM)),
        (Contender::Crossfire, |rt, scale| alone::<CrossfireMpsc>(rt, scale, ROOM)),
    ],
);

pub(super) const BOUNDED_1_1: Row = row(
    "bounded_1_1",
    "a bounded channel (64): 100,000 messages from one task to another",
    METRICS,
    |rt, scale| to_one::<Ours>(rt, scale, 1, ROOM),
    Some(|rt, scale| to_one::<TokioMpsc>(rt, scale, 1, ROOM)),
    &[
        (Contender::TokioHere, |rt, scale| to_one::<TokioMpsc>(rt, scale, 1, ROOM)),
        (Contender::AsyncChannel, |rt, scale| to_one::<AsyncChannel>(rt, scale, 1, ROOM)),
        (Contender::Flume, |rt, scale| to_one::<Flume>(rt, scale, 1, ROOM)),
        (Contender::Crossfire, |rt, scale| to_one::<CrossfireMpsc>(rt, scale, 1, ROOM)),
    ],
);

pub(super) const BOUNDED_N_1: Row = row(
    "bounded_n_1",
    "the same from 8 tasks to one",
    METRICS,
    |rt, scale| to_one::<Ours>(rt, scale, MANY, ROOM),
    Some(|rt, scale| to_one::<TokioMpsc>(rt, scale, MANY, ROOM)),
    &[
        (Contender::TokioHere, |rt, scale| to_one::<TokioMpsc>(rt, scale, MANY, ROOM)),
        (Contender::AsyncChannel, |rt, scale| to_one::<AsyncChannel>(rt, scale, MANY, ROOM)),
        (Contender::Flume, |rt, scale| to_one::<Flume>(rt, scale, MANY, ROOM)),
        (Contender::Crossfire, |rt, scale| to_one::<CrossfireMpsc>(rt, scale, MANY, ROOM)),
    ],
);

pub(super) const BOUNDED_N_N: Row = row(
    "bounded_n_n",
    "the same from 8 tasks to 8 others; tokio has no such channel",
    METRICS,
    |rt, scale| to_many::<Ours>(rt, scale, ROOM),
    None,
    &[
        (Contender::AsyncChannel, |rt, scale| to_many::<AsyncChannel>(rt, scale, ROOM)),
        (Contender::Flume, |rt, scale| to_many::<Flume>(rt, scale, ROOM)),
        (Contender::Crossfire, |rt, scale| to_many::<CrossfireMpmc>(rt, scale, ROOM)),
    ],
);

pub(super) const CAPACITY_1_1_1: Row = row(
    "capacity1_1_1",
    "as bounded_1_1, with room for one message",
    METRICS,
    |rt, scale| to_one::<Ours>(rt, scale, 1, 1),
    Some(|rt, scale| to_one::<TokioMpsc>(rt, scale, 1, 1)),
    &[
        (Contender::TokioHere, |rt, scale| to_one::<TokioMpsc>(rt, scale, 1, 1)),
        (Contender::AsyncChannel, |rt, scale| to_one::<AsyncChannel>(rt, scale, 1, 1)),
        (Contender::Flume, |rt, scale| to_one::<Flume>(rt, scale, 1, 1)),
        (Contender::Crossfire, |rt, scale| to_one::<CrossfireMpsc>(rt, scale, 1, 1)),
    ],
);

pub(super) const CAPACITY_1_N_N: Row = row(
    "capacity1_n_n",
    "as bounded_n_n, with room for one message",
    METRICS,
    |rt, scale| to_many::<Ours>(rt, scale, 1),
    None,
    &[
        (Contender::AsyncChannel, |rt, scale| to_many::<AsyncChannel>(rt, scale, 1)),
        (Contender::Flume, |rt, scale| to_many::<Flume>(rt, scale, 1)),
        (Contender::Crossfire, |rt, scale| to_many::<CrossfireMpmc>(rt, scale, 1)),
    ],
);

pub(super) const RENDEZVOUS_1_1: Row = row(
    "rendezvous_1_1",
    "as bounded_1_1, without room: a send is done when the message has been taken; only flume has that, too",
    METRICS,
    |rt, scale| to_one::<Ours>(rt, scale, 1, 0),
    None,
    &[(Contender::Flume, |rt, scale| to_one::<Flume>(rt, scale, 1, 0))],
);

pub(super) const RENDEZVOUS_N_N: Row = row(
    "rendezvous_n_n",
    "as bounded_n_n, without room",
    METRICS,
    |rt, scale| to_many::<Ours>(rt, scale, 0),
    None,
    &[(Contender::Flume, |rt, scale| to_many::<Flume>(rt, scale, 0))],
);

pub(super) const UNBOUNDED_ALONE: Row = row(
    "unbounded_alone",
    "as bounded_alone, unbounded",
    METRICS,
    |rt, scale| alone::<OursUnbounded>(rt, scale, 0),
    Some(|rt, scale| alone::<TokioUnbounded>(rt, scale, 0)),
    &[
        (Contender::TokioHere, |rt, scale| alone::<TokioUnbounded>(rt, scale, 0)),
        (Contender::AsyncChannel, |rt, scale| alone::<AsyncChannelUnbounded>(rt, scale, 0)),
        (Contender::Flume, |rt, scale| alone::<FlumeUnbounded>(rt, scale, 0)),
        (Contender::Crossfire, |rt, scale| alone::<CrossfireUnboundedMpsc>(rt, scale, 0)),
    ],
);

pub(super) const UNBOUNDED_1_1: Row = row(
    "unbounded_1_1",
    "as bounded_1_1, unbounded",
    METRICS,
    |rt, scale| to_one::<OursUnbounded>(rt, scale, 1, 0),
    Some(|rt, scale| to_one::<TokioUnbounded>(rt, scale, 1, 0)),
    &[
        (Contender::TokioHere, |rt, scale| to_one::<TokioUnbounded>(rt, scale, 1, 0)),
        (Contender::AsyncChannel, |rt, scale| to_one::<AsyncChannelUnbounded>(rt, scale, 1, 0)),
        (Contender::Flume, |rt, scale| to_one::<FlumeUnbounded>(rt, scale, 1, 0)),
        (Contender::Crossfire, |rt, scale| to_one::<CrossfireUnboundedMpsc>(rt, scale, 1, 0)),
    ],
);

pub(super) const UNBOUNDED_N_1: Row = row(
    "unbounded_n_1",
    "as bounded_n_1, unbounded",
    METRICS,
    |rt, scale| to_one::<OursUnbounded>(rt, scale, MANY, 0),
    Some(|rt, scale| to_one::<TokioUnbounded>(rt, scale, MANY, 0)),
    &[
        (Contender::TokioHere, |rt, scale| to_one::<TokioUnbounded>(rt, scale, MANY, 0)),
        (Contender::AsyncChannel, |rt, scale| to_one::<AsyncChannelUnbounded>(rt, scale, MANY, 0)),
        (Contender::Flume, |rt, scale| to_one::<FlumeUnbounded>(rt, scale, MANY, 0)),
        (Contender::Crossfire, |rt, scale| to_one::<CrossfireUnboundedMpsc>(rt, scale, MANY, 0)),
    ],
);

pub(super) const UNBOUNDED_N_N: Row = row(
    "unbounded_n_n",
    "as bounded_n_n, unbounded",
    METRICS,
    |rt, scale| to_many::<OursUnbounded>(rt, scale, 0),
    None,
    &[
        (Contender::AsyncChannel, |rt, scale| to_many::<AsyncChannelUnbounded>(rt, scale, 0)),
        (Contender::Flume, |rt, scale| to_many::<FlumeUnbounded>(rt, scale, 0)),
        (Contender::Crossfire, |rt, scale| to_many::<CrossfireUnboundedMpmc>(rt, scale, 0)),
    ],
);
