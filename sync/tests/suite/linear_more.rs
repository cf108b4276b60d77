//! Histories of what is no queue: readers and writers, permits, values that are watched, messages to all. The checker is that of `linear`.

use crate::common::WORKERS;
use crate::linear::{Choices, Event, Model, Recorder, is_linearizable};
use std::sync::Arc;
use trioxide_runtime::{checkpoint, nursery};
use trioxide_sync::channel::{broadcast, watch};
use trioxide_sync::{RwLock, Semaphore};
use trioxide_testing::on_each;

/// A number that is read and counted up.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Register(u32);

#[derive(Clone, Debug)]
enum RegisterOperation {
    Read(u32),
    /// What it read before it added one.
    Added(u32),
}

impl Model for Register {
    type Operation = RegisterOperation;

    fn step(&self, operation: &RegisterOperation) -> Option<Self> {
        match operation {
            RegisterOperation::Read(read) => (self.0 == *read).then(|| self.clone()),
            RegisterOperation::Added(read) => (self.0 == *read).then(|| Self(self.0 + 1)),
        }
    }
}

/// Permits that are there.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Permits(usize);

#[derive(Clone, Debug)]
enum PermitOperation {
    Acquired(usize),
    Released(usize),
    Available(usize),
}

impl Model for Permits {
    type Operation = PermitOperation;

    fn step(&self, operation: &PermitOperation) -> Option<Self> {
        match operation {
            PermitOperation::Acquired(permits) => self.0.checked_sub(*permits).map(Self),
            PermitOperation::Released(permits) => Some(Self(self.0 + permits)),
            PermitOperation::Available(permits) => (self.0 == *permits).then(|| self.clone()),
        }
    }
}

/// A value that is swapped and looked at.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Watched(u32);

#[derive(Clone, Debug)]
enum WatchOperation {
    Swapped { old: u32, new: u32 },
    Looked(u32),
}

impl Model for Watched {
    type Operation = WatchOperation;

    fn step(&self, operation: &WatchOperation) -> Option<Self> {
        match operation {
            WatchOperation::Swapped { old, new } => (self.0 == *old).then_some(Self(*new)),
            WatchOperation::Looked(value) => (self.0 == *value).then(|| self.clone()),
        }
    }
}

/// All messages, and how far each receiver is.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Log {
    messages: Vec<u32>,
    read: [usize; 2],
}

#[derive(Clone, Debug)]
enum LogOperation {
    Sent(u32),
    Received(usize, u32),
    Empty(usize),
}

impl Model for Log {
    type Operation = LogOperation;

    fn step(&self, operation: &LogOperation) -> Option<Self> {
        let mut next = self.clone();
        let possible = match *operation {
            LogOperation::Sent(message) => {
                next.messages.push(message);
                true
            }
            LogOperation::Received(receiver, message) => {
                next.read[receiver] += 1;
                self.messages.get(self.read[receiver]) == Some(&message)
            }
            LogOperation::Empty(receiver) => self.read[receiver] == self.messages.len(),
        };
        possible.then_some(next)
    }
}

#[test]
fn the_models_refuse_what_cannot_be() {
    let one_by_one = |number| (2 * number, 2 * number + 1);
    fn history<O>(operations: Vec<O>, at: impl Fn(usize) -> (usize, usize)) -> Vec<Event<O>> {
        let place = |(number, operation)| {
            let (begin, end) = at(number);
            Event { begin, end, operation }
        };
        operations.into_iter().enumerate().map(place).collect()
    }
    use {LogOperation as L, PermitOperation as P, RegisterOperation as R, WatchOperation as W};
    assert!(is_linearizable(Register(0), &history(vec![R::Added(0), R::Read(1)], one_by_one)));
    assert!(!is_linearizable(Register(0), &history(vec![R::Added(0), R::Read(0)], one_by_one)), "an old value");
    assert!(is_linearizable(Permits(2), &history(vec![P::Acquired(2), P::Released(1), P::Acquired(1)], one_by_one)));
    assert!(!is_linearizable(Permits(2), &history(vec![P::Acquired(2), P::Acquired(1)], one_by_one)), "too many");
    assert!(!is_linearizable(Watched(0), &history(vec![W::Swapped { old: 0, new: 1 }, W::Looked(0)], one_by_one)));
    let log = || Log { messages: vec![], read: [0; 2] };
    assert!(is_linearizable(log(), &history(vec![L::Sent(1), L::Received(0, 1), L::Empty(0)], one_by_one)));
    assert!(!is_linearizable(log(), &history(vec![L::Sent(1), L::Empty(1)], one_by_one)), "it was sent before");
    assert!(is_linearizable(log(), &history(vec![L::Sent(1), L::Empty(1)], |_| (0, 1))), "at the same time");
}

#[test]
fn histories_of_readers_and_writers_are_linearizable() {
    on_each(WORKERS, async || {
        for seed in 0..60 {
            let (lock, recorder) = (Arc::new(RwLock::new(0)), Recorder::new());
            nursery(async |n| {
                for task in 0..4 {
                    let (lock, recorder) = (lock.clone(), recorder.clone());
                    let mut choices = Choices(seed * 13 + task);
                    n.spawn(async move {
                        for _ in 0..8 {
                            let (writes, yields) = (choices.below(2) == 0, choices.below(3) == 0);
                            let operation = async {
                                if writes {
                                    let mut guard = lock.write().await.unwrap();
                                    let read = *guard;
                                    if yields {
                                        checkpoint().await;
                                    }
                                    *guard = read + 1;
                                    RegisterOperation::Added(read)
                                } else {
                                    let guard = lock.read().await.unwrap();
                                    let read = *guard;
                                    if yields {
                                        checkpoint().await;
                                    }
                                    assert_eq!(*guard, read, "nobody writes beside a reader");
                                    RegisterOperation::Read(read)
                                }
                            };
                            recorder.record(operation).await;
                        }
                    });
                }
            })
            .await;
            let history = recorder.history();
            assert_eq!(history.len(), 32);
            assert!(is_linearizable(Register(0), &history), "seed {seed}: {history:?}");
        }
    });
}

#[test]
fn histories_of_permits_are_linearizable() {
    on_each(WORKERS, async || {
        for seed in 0..60 {
            let (semaphore, recorder) = (Arc::new(Semaphore::new(3)), Recorder::new());
            nursery(async |n| {
                for task in 0..4 {
                    let (semaphore, recorder) = (semaphore.clone(), recorder.clone());
                    let mut choices = Choices(seed * 29 + task);
                    n.spawn(async move {
                        for _ in 0..6 {
                            let permits = 1 + choices.below(3) as usize;
                            let mut held = None;
                            recorder
                                .record(async {
                                    held = Some(semaphore.acquire_many(permits).await);
                                    PermitOperation::Acquired(permits)
                                })
                                .await;
                            if choices.below(2) == 0 {
                                checkpoint().await;
                            }
                            if choices.below(3) == 0 {
                                recorder.record(async { PermitOperation::Available(semaphore.available()) }).await;
                            }
                            recorder
                                .record(async {
                                    drop(held.take());
                                    PermitOperation::Released(permits)
                                })
                                .await;
                        }
                    });
                }
            })
            .await;
            let history = recorder.history();
            assert!(history.len() >= 48);
            assert!(is_linearizable(Permits(3), &history), "seed {seed}: {history:?}");
        }
    });
}

#[test]
fn histories_of_a_watched_value_are_linearizable() {
    on_each(WORKERS, async || {
        for seed in 0..60 {
            let (sender, receiver) = watch::watch(0);
            let (sender, recorder) = (Arc::new(sender), Recorder::new());
            nursery(async |n| {
                for task in 0..2u32 {
                    let (sender, recorder) = (sender.clone(), recorder.clone());
                    let mut choices = Choices(seed * 7 + u64::from(task));
                    n.spawn(async move {
                        for number in 1..=8 {
                            if choices.below(2) == 0 {
                                checkpoint().await;
                            }
                            let new = 10 * number + task;
                            recorder.record(async { WatchOperation::Swapped { old: sender.send(new), new } }).await;
                        }
                    });
                }
                for task in 2..4u64 {
                    let (mut receiver, recorder) = (receiver.clone(), recorder.clone());
                    let mut choices = Choices(seed * 7 + task);
                    n.spawn(async move {
                        for _ in 0..8 {
                            if choices.below(2) == 0 {
                                checkpoint().await;
                            }
                            recorder.record(async { WatchOperation::Looked(*receiver.borrow_and_update()) }).await;
                        }
                    });
                }
            })
            .await;
            let history = recorder.history();
            assert_eq!(history.len(), 32);
            assert!(is_linearizable(Watched(0), &history), "seed {seed}: {history:?}");
        }
    });
}

#[test]
fn histories_of_messages_to_all_are_linearizable() {
    on_each(WORKERS, async || {
        for seed in 0..60 {
            let (sender, first) = broadcast::broadcast(64);
            let receivers = [sender.subscribe(), first];
            let (sender, recorder) = (Arc::new(sender), Recorder::new());
            nursery(async |n| {
                for task in 0..2u32 {
                    let (sender, recorder) = (sender.clone(), recorder.clone());
                    let mut choices = Choices(seed * 11 + u64::from(task));
                    n.spawn(async move {
                        for number in 0..8 {
                            if choices.below(2) == 0 {
                                checkpoint().await;
                            }
                            let message = 10 * number + task;
                            recorder
                                .record(async {
                                    sender.send(message).unwrap();
                                    LogOperation::Sent(message)
                                })
                                .await;
                        }
                    });
                }
                for (number, mut receiver) in receivers.into_iter().enumerate() {
                    let recorder = recorder.clone();
                    let mut choices = Choices(seed * 11 + 2 + number as u64);
                    n.spawn(async move {
                        let mut received = 0;
                        let mut empty = 0;
                        while received < 16 {
                            if choices.below(3) == 0 {
                                checkpoint().await;
                            }
                            // Not too often, so that the history stays short.
                            if choices.below(3) == 0 && empty < 10 {
                                recorder
                                    .record(async {
                                        match receiver.try_recv() {
                                            Ok(message) => {
                                                received += 1;
                                                LogOperation::Received(number, message)
                                            }
                                            Err(_) => {
                                                empty += 1;
                                                LogOperation::Empty(number)
                                            }
                                        }
                                    })
                                    .await;
                            } else {
                                recorder
                                    .record(async { LogOperation::Received(number, receiver.recv().await.unwrap()) })
                                    .await;
                                received += 1;
                            }
                        }
                    });
                }
            })
            .await;
            let history = recorder.history();
            assert!(history.len() >= 48);
            let start = Log { messages: vec![], read: [0; 2] };
            assert!(is_linearizable(start, &history), "seed {seed}: {history:?}");
        }
    });
}
