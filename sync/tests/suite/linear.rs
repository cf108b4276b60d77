//! Histories of random runs are linearizable: there is an order of the operations, one after the other, that a queue (or a lock) of one thread could have gone through, and in which each stands between its begin and its end.
//!
//! Each task notes when an operation begins and ends, by one counter for all. The checker is a search with what it has seen (Wing and Gong, with Lowe's cache).

use crate::common::WORKERS;
use std::collections::{HashSet, VecDeque};
use std::hash::Hash;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use trioxide_runtime::{checkpoint, nursery};
use trioxide_sync::channel;
use trioxide_testing::on_each;

/// One operation that has ended.
#[derive(Clone, Debug)]
pub(crate) struct Event<O> {
    pub(crate) begin: usize,
    pub(crate) end: usize,
    pub(crate) operation: O,
}

/// Of one thread: what an operation makes of a state; `None` if it could not have gone so.
pub(crate) trait Model: Clone + Eq + Hash {
    type Operation;

    fn step(&self, operation: &Self::Operation) -> Option<Self>;
}

pub(crate) fn is_linearizable<M: Model>(start: M, history: &[Event<M::Operation>]) -> bool {
    fn search<M: Model>(state: &M, history: &[Event<M::Operation>], done: u128, seen: &mut HashSet<(u128, M)>) -> bool {
        if done.count_ones() as usize == history.len() {
            return true;
        }
        if !seen.insert((done, state.clone())) {
            return false;
        }
        let left = || (0..history.len()).filter(|&index| done & (1 << index) == 0);
        let first_end = left().map(|index| history[index].end).min().expect("not all are done");
        // Whoever began after another had ended comes after it.
        left().filter(|&index| history[index].begin < first_end).any(|index| {
            state.step(&history[index].operation).is_some_and(|next| search(&next, history, done | 1 << index, seen))
        })
    }
    assert!(history.len() <= 128, "one bit for each operation");
    search(&start, history, 0, &mut HashSet::new())
}

/// A bounded queue.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Bounded {
    buffer: VecDeque<u32>,
    capacity: usize,
}

#[derive(Clone, Debug)]
enum ChannelOperation {
    Sent(u32),
    Full,
    Received(u32),
    Empty,
}

impl Model for Bounded {
    type Operation = ChannelOperation;

    fn step(&self, operation: &ChannelOperation) -> Option<Self> {
        let mut next = self.clone();
        let possible = match operation {
            ChannelOperation::Sent(value) => {
                next.buffer.push_back(*value);
                next.buffer.len() <= self.capacity
            }
            ChannelOperation::Full => self.buffer.len() == self.capacity,
            ChannelOperation::Received(value) => next.buffer.pop_front() == Some(*value),
            ChannelOperation::Empty => self.buffer.is_empty(),
        };
        possible.then_some(next)
    }
}

/// A lock with a number in it.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Counter(u32);

impl Model for Counter {
    /// What it read before it added one.
    type Operation = u32;

    fn step(&self, read: &u32) -> Option<Self> {
        (self.0 == *read).then(|| Self(self.0 + 1))
    }
}

/// Notes operations with the moments at which they began and ended.
pub(crate) struct Recorder<O> {
    clock: AtomicUsize,
    events: Mutex<Vec<Event<O>>>,
}

impl<O> Recorder<O> {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { clock: AtomicUsize::new(0), events: Mutex::new(vec![]) })
    }

    fn now(&self) -> usize {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    pub(crate) async fn record(&self, operation: impl Future<Output = O>) {
        let begin = self.now();
        let operation = operation.await;
        let end = self.now();
        self.events.lock().unwrap().push(Event { begin, end, operation });
    }

    pub(crate) fn history(&self) -> Vec<Event<O>> {
        std::mem::take(&mut self.events.lock().unwrap())
    }
}

/// A small generator of choices: the same seed makes the same ones.
pub(crate) struct Choices(pub(crate) u64);

impl Choices {
    pub(crate) fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % most
    }
}

#[test]
fn the_checker_finds_a_history_that_is_not() {
    fn event<O>(begin: usize, end: usize, operation: O) -> Event<O> {
        Event { begin, end, operation }
    }
    let empty = || Bounded { buffer: VecDeque::new(), capacity: 2 };
    use ChannelOperation::{Received, Sent};
    assert!(is_linearizable(empty(), &[event(0, 1, Sent(1)), event(2, 3, Sent(2)), event(4, 5, Received(1))]));
    assert!(!is_linearizable(empty(), &[event(0, 1, Sent(1)), event(2, 3, Sent(2)), event(4, 5, Received(2))]));
    // At the same time either may be the first.
    assert!(is_linearizable(empty(), &[event(0, 3, Sent(1)), event(1, 2, Sent(2)), event(4, 5, Received(2))]));
    assert!(!is_linearizable(Counter(0), &[event(0, 1, 0), event(2, 3, 0)]));
}

#[test]
fn histories_of_channels_are_linearizable() {
    on_each(WORKERS, async || {
        for seed in 0..60 {
            let capacity = 1 + (seed % 3) as usize;
            let (sender, receiver) = channel::bounded(capacity);
            let recorder = Recorder::new();
            nursery(async |n| {
                for producer in 0..3u32 {
                    let (sender, recorder) = (sender.clone(), recorder.clone());
                    let mut choices = Choices(seed * 31 + u64::from(producer));
                    n.spawn(async move {
                        for number in 0..6 {
                            let value = producer * 6 + number;
                            if choices.below(3) == 0 {
                                checkpoint().await;
                            }
                            if choices.below(3) == 0 {
                                let mut sent = false;
                                recorder
                                    .record(async {
                                        sent = sender.try_send(value).is_ok();
                                        if sent { ChannelOperation::Sent(value) } else { ChannelOperation::Full }
                                    })
                                    .await;
                                if sent {
                                    continue;
                                }
                            }
                            recorder
                                .record(async {
                                    sender.send(value).await.unwrap();
                                    ChannelOperation::Sent(value)
                                })
                                .await;
                        }
                    });
                }
                for consumer in 0..2u64 {
                    let (receiver, recorder) = (receiver.clone(), recorder.clone());
                    let mut choices = Choices(seed * 17 + consumer);
                    n.spawn(async move {
                        let mut received = 0;
                        while received < 9 {
                            if choices.below(3) == 0 {
                                checkpoint().await;
                            }
                            if choices.below(3) == 0 {
                                let mut got = false;
                                recorder
                                    .record(async {
                                        let tried = receiver.try_recv();
                                        got = tried.is_ok();
                                        tried.map_or(ChannelOperation::Empty, ChannelOperation::Received)
                                    })
                                    .await;
                                received += usize::from(got);
                                continue;
                            }
                            recorder.record(async { ChannelOperation::Received(receiver.recv().await.unwrap()) }).await;
                            received += 1;
                        }
                    });
                }
            })
            .await;
            let history = recorder.history();
            let start = Bounded { buffer: VecDeque::new(), capacity };
            assert!(is_linearizable(start, &history), "seed {seed}: {history:?}");
        }
    });
}

#[test]
fn histories_of_a_lock_are_linearizable() {
    on_each(WORKERS, async || {
        for seed in 0..60 {
            let lock = Arc::new(trioxide_sync::Mutex::new(0u32));
            let recorder = Recorder::new();
            nursery(async |n| {
                for task in 0..4 {
                    let (lock, recorder) = (lock.clone(), recorder.clone());
                    let mut choices = Choices(seed * 13 + task);
                    n.spawn(async move {
                        for _ in 0..10 {
                            let yields = choices.below(3) == 0;
                            recorder
                                .record(async {
                                    let mut guard = lock.lock().await.unwrap();
                                    let read = *guard;
                                    if yields {
                                        checkpoint().await;
                                    }
                                    *guard = read + 1;
                                    read
                                })
                                .await;
                        }
                    });
                }
            })
            .await;
            assert!(is_linearizable(Counter(0), &recorder.history()), "seed {seed}");
        }
    });
}
