//! Bounded channels under many tasks on many workers: every message exactly once.

use crate::common::WORKERS;
use futures_util::future::{Either, select};
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use trioxide_runtime::{Nursery, nursery, race, sleep_forever};
use trioxide_sync::channel::{self, Receiver, RecvError};
use trioxide_testing::{CountDrops, DropGuard, on_each, pending_once};

const PRODUCERS: u64 = 6;
const EACH: u64 = 300;
const ALL: u64 = PRODUCERS * EACH;

/// A number, and a guard that knows whether it was dropped.
type Message = (u64, DropGuard);

/// How a consumer receives.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// It waits until there is something.
    Patient,
    /// It gives up each receive after a while, perhaps right after it was handed a message.
    Restless,
    /// It takes what is there, and waits only if there is nothing.
    Greedy,
}

impl Way {
    async fn receive(self, receiver: &Receiver<Message>) -> Result<Message, RecvError> {
        match self {
            Self::Patient => receiver.recv().await,
            Self::Restless => loop {
                let receiving = pin!(receiver.recv());
                match select(receiving, pin!(pending_once())).await {
                    Either::Left((received, _)) => return received,
                    Either::Right(_) => {}
                }
            },
            Self::Greedy => match receiver.try_recv() {
                Ok(message) => Ok(message),
                Err(_) => receiver.recv().await,
            },
        }
    }
}

#[test]
fn every_message_arrives_exactly_once() {
    for way in [Way::Patient, Way::Restless, Way::Greedy] {
        for (capacity, consumers) in [(0, 3), (1, 1), (1, 6), (16, 3), (100, 3), (usize::MAX, 2)] {
            on_each(WORKERS, async || {
                eprintln!("{way:?}, {consumers} consumers, capacity {capacity}");
                every_message_once(capacity, consumers, way).await;
            });
        }
    }
}

async fn every_message_once(capacity: usize, consumers: usize, way: Way) {
    let drops = CountDrops::new();
    let (count, sum) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (sender, receiver) = channel::bounded(capacity);
    nursery(async |n| {
        for producer in 0..PRODUCERS {
            let (sender, drops) = (sender.clone(), drops.clone());
            n.spawn(async move {
                for number in producer * EACH..(producer + 1) * EACH {
                    let sent = sender.send((number, drops.guard())).await;
                    sent.expect("the consumers stay to the end");
                }
            });
        }
        for _ in 0..consumers {
            let (receiver, count, sum) = (receiver.clone(), count.clone(), sum.clone());
            n.spawn(async move {
                while let Ok((number, _guard)) = way.receive(&receiver).await {
                    count.fetch_add(1, Ordering::Relaxed);
                    sum.fetch_add(number, Ordering::Relaxed);
                }
            });
        }
        drop(sender);
    })
    .await;
    assert_eq!(count.load(Ordering::Relaxed), ALL);
    assert_eq!(sum.load(Ordering::Relaxed), ALL * (ALL - 1) / 2);
    assert_eq!(drops.made() as u64, ALL);
    assert!(drops.all_dropped());
}

/// What comes back after a dropped receive does not overtake, nor is overtaken.
#[test]
fn each_producer_is_heard_in_order_also_by_a_restless_consumer() {
    for capacity in [0, 1, 8, 100, usize::MAX] {
        on_each(WORKERS, async || {
            let drops = CountDrops::new();
            let (sender, receiver) = channel::bounded(capacity);
            nursery(async |n| {
                for producer in 0..PRODUCERS {
                    let (sender, drops) = (sender.clone(), drops.clone());
                    n.spawn(async move {
                        for number in producer * EACH..(producer + 1) * EACH {
                            sender.send((number, drops.guard())).await.unwrap();
                        }
                    });
                }
                drop(sender);
                let mut expected: Vec<u64> = (0..PRODUCERS).map(|p| p * EACH).collect();
                while let Ok((number, _guard)) = Way::Restless.receive(&receiver).await {
                    let next = &mut expected[(number / EACH) as usize];
                    assert_eq!(number, *next);
                    *next += 1;
                }
                assert!(expected.into_iter().eq((1..=PRODUCERS).map(|p| p * EACH)));
            })
            .await;
        });
    }
}

/// Consumers that leave one by one, and producers that meet a closed channel: each value is either received
/// or comes back, and is dropped once.
#[test]
fn values_survive_a_channel_that_closes_under_load() {
    for capacity in [0, 1, 8] {
        on_each(WORKERS, async || {
            let drops = CountDrops::new();
            let returned = Arc::new(AtomicU64::new(0));
            let (sender, receiver) = channel::bounded(capacity);
            nursery(async |n| {
                for _ in 0..PRODUCERS {
                    let sender = sender.clone();
                    let (drops, returned) = (drops.clone(), returned.clone());
                    n.spawn(async move {
                        while sender.send(drops.guard()).await.is_ok() {}
                        returned.fetch_add(1, Ordering::Relaxed);
                    });
                }
                for consumer in 0..4 {
                    let receiver = receiver.clone();
                    n.spawn(async move {
                        for _ in 0..consumer * 50 {
                            let received = receiver.recv().await;
                            drop(received.expect("the producers outstay us"));
                        }
                    });
                }
                drop((sender, receiver));
            })
            .await;
            assert_eq!(returned.load(Ordering::Relaxed), PRODUCERS);
            assert!(drops.all_dropped());
        });
    }
}

/// `try_send` works from threads that know of no run, and wakes the tasks that wait.
#[test]
fn plain_threads_can_send() {
    on_each(WORKERS, async || {
        let (sender, receiver) = channel::bounded(usize::MAX);
        let threads: Vec<_> = (0..3)
            .map(|index| {
                let sender = sender.clone();
                let numbers = index * EACH..(index + 1) * EACH;
                thread::spawn(move || {
                    numbers.for_each(|number| sender.try_send(number).expect("there is room"));
                })
            })
            .collect();
        drop(sender);
        let mut sum = 0;
        while let Ok(number) = receiver.recv().await {
            sum += number;
        }
        assert_eq!(sum, (0..3 * EACH).sum::<u64>());
        for thread in threads {
            thread.join().expect("it has not panicked");
        }
    });
}

/// A task that receives from whichever of several channels has something: of the branches that lose none has taken a message, whatever the kind of the channel.
#[test]
fn a_race_over_several_channels_loses_no_message() {
    on_each(WORKERS, async || {
        let (bounded, from_bounded) = channel::bounded(2);
        let (unbounded, from_unbounded) = channel::unbounded();
        let (direct, from_direct) = channel::bounded(0);
        let mut got = [const { Vec::new() }; 3];
        nursery(async |n: Nursery<Infallible>| {
            n.spawn(async move {
                for number in 0..EACH {
                    bounded.send(number).await.unwrap();
                }
            });
            n.spawn(async move {
                for number in 0..EACH {
                    unbounded.send(number).await.unwrap();
                    pending_once().await;
                }
            });
            n.spawn(async move {
                for number in 0..EACH {
                    direct.send(number).await.unwrap();
                }
            });
            // One that has ended is always ready: it is not asked again.
            let mut open = [true; 3];
            while open.contains(&true) {
                let [first, second, third] = open;
                let (which, received) = race!(
                    async { (0, when(first, from_bounded.recv()).await) },
                    async { (1, when(second, from_unbounded.recv()).await) },
                    async { (2, when(third, from_direct.recv()).await) },
                );
                match received {
                    Ok(number) => got[which].push(number),
                    Err(_ended) => open[which] = false,
                }
            }
        })
        .await;
        let all: Vec<_> = (0..EACH).collect();
        assert_eq!(got, [all.clone(), all.clone(), all]);
    });
}

/// `future` if `wanted`, or else for ever.
async fn when<F: Future>(wanted: bool, future: F) -> F::Output {
    if !wanted {
        sleep_forever().await;
    }
    future.await
}
