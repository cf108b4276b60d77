//! Primitives by which tasks tell each other that something is so: events, signals that come again, barriers, cells that are set once.
//!
//! An event that happens once for any number of tasks is a `SetOnce` of tokio's and a `OnceCell` of async-lock's. A signal that is kept for who comes later is a flag beside an `Event` of event-listener's, which
//! keeps nothing itself. Capacity limiters, conditions and parking lots
//! have no counterpart in those libraries, so no row.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::AcqRel};

use super::sync::{Host, MANY, row, sum_below};
use super::{Metric, Rewake, Row, Scale};
use crate::contenders::Contender;
use crate::marks;
use crate::measure::Sample;

struct Ours;
struct Tokio;
struct AsyncLock;

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

/// A signal that can be given again and again: it wakes one who waits, or is kept for the next who comes.
trait Signal: Send + Sync + 'static {
    fn new() -> Self;
    fn notify(&self);
    fn wait(&self) -> impl Future<Output = ()> + Send;
}

macro_rules! signal {
    ($signal:ty, $wait:ident) => {
        impl Signal for $signal {
            fn new() -> Self {
                Self::new()
            }

            fn notify(&self) {
                self.notify_one();
            }

            async fn wait(&self) {
                self.$wait().await;
            }
        }
    };
}

signal!(trioxide::sync::Notify, wait);
signal!(tokio::sync::Notify, notified);

/// As event-listener's documentation has it: who waits looks at the flag, listens, and looks once more.
struct Flagged {
    flag: AtomicBool,
    event: event_listener::Event,
}

impl Flagged {
    fn take(&self) -> bool {
        self.flag.swap(false, AcqRel)
    }
}

impl Signal for Flagged {
    fn new() -> Self {
        Self { flag: AtomicBool::new(false), event: event_listener::Event::new() }
    }

    fn notify(&self) {
        self.flag.swap(true, AcqRel);
        self.event.notify(1);
    }

    async fn wait(&self) {
        while !self.take() {
            let listener = self.event.listen();
            if self.take() {
                return;
            }
            listener.await;
        }
    }
}

fn notify_alone<S: Signal>(host: &impl Host, scale: Scale) -> Sample {
    let signals = scale.of(500_000, 10_000);
    let cost = host.time_all(signals, move || {
        let signal = S::new();
        vec![async move {
            for _ in 0..signals {
                signal.notify();
                signal.wait().await;
            }
            marks::add(0, 1);
        }]
    });
    marks::assert_all_ran(1, 1);
    cost.per_operation()
}

/// Two tasks signal each other in turn.
fn notify_1_1<S: Signal>(host: &impl Host, scale: Scale) -> Sample {
    let pairs = scale.of(50_000, 5_000);
    let cost = host.time(2 * pairs, move || {
        let signals = Arc::new((S::new(), S::new()));
        let others = Arc::clone(&signals);
        let first = async move {
            for _ in 0..pairs {
                signals.0.notify();
                signals.1.wait().await;
            }
            marks::add(0, pairs);
        };
        let second = async move {
            for _ in 0..pairs {
                others.0.wait().await;
                others.1.notify();
            }
            marks::add(1, pairs);
        };
        (vec![first], vec![second])
    });
    assert_eq!(marks::take_sum(2), 2 * pairs, "each has waited for each signal of the other's");
    cost.per_operation()
}

const SIGNAL: &[Metric] = &[Metric::main("ns/signal")];

macro_rules! notify_row {
    ($constant:ident, $name:literal, $about:literal, $how:ident) => {
        pub(super) const $constant: Row = row(
            $name,
            $about,
            SIGNAL,
            $how::<trioxide::sync::Notify>,
            Some($how::<tokio::sync::Notify>),
            &[(Contender::TokioHere, $how::<tokio::sync::Notify>), (Contender::EventListener, $how::<Flagged>)],
        );
    };
}

notify_row!(
    NOTIFY_ALONE,
    "notify_alone",
    "one task signals and waits, 500,000 times; the signal is kept meanwhile (event-listener: a flag and an event)",
    notify_alone
);
notify_row!(NOTIFY_1_1, "notify_1_1", "two tasks signal each other in turn, 50,000 times", notify_1_1);

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
