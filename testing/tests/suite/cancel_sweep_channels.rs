//! A cut at every suspension of the operations of channels, and what holds afterwards.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use crate::slot::Slot;
use futures_util::{Sink, StreamExt};
use trioxide_runtime::{checkpoint, finally, move_on_after, sleep};
use trioxide_sync::channel::{self, Receiver, Sender};
use trioxide_testing::cancel_everywhere;

const MOMENT: Duration = Duration::from_millis(1);

#[test]
fn send() {
    for capacity in [0, 1, 2] {
        let runs = cancel_everywhere(
            async |n| {
                let (sender, receiver) = channel::bounded(capacity);
                let received = Arc::new(std::sync::Mutex::new(vec![]));
                let (other, noted) = (sender.clone(), received.clone());
                n.spawn(async move {
                    for number in 100..103 {
                        other.send(number).await.unwrap();
                    }
                });
                n.spawn(async move {
                    // Until all are gone: those who send keep it open no longer than they live.
                    while let Some(Ok(number)) = move_on_after(Duration::from_secs(1), receiver.recv()).await {
                        noted.lock().unwrap().push(number);
                        checkpoint().await;
                    }
                });
                (sender, received, RefCell::new(0))
            },
            async |(sender, _, sent)| {
                for number in 0..3 {
                    sender.send(number).await.unwrap();
                    *sent.borrow_mut() += 1;
                }
            },
            async |(_, received, sent), cut| {
                let (sent, received) = (*sent.borrow(), received.lock().unwrap());
                let of = |range: std::ops::Range<i32>| {
                    received.iter().copied().filter(|number| range.contains(number)).collect::<Vec<_>>()
                };
                assert_eq!(of(100..103), [100, 101, 102], "{cut}");
                // What was cut may have got through only if it was dropped unpolled.
                let numbers: Vec<_> = (0..sent).collect();
                let one_more: Vec<_> = (0..=sent).collect();
                assert!(
                    of(0..3) == numbers || (cut.is_drop() && of(0..3) == one_more),
                    "{cut}: {received:?}, {sent} sent"
                );
            },
        );
        assert!(runs > 60, "{runs}");
    }
}

/// What is sent in two phases is sent or not: no cut is in between.
#[test]
fn reserve_and_sink() {
    struct State {
        sender: Sender<u32>,
        received: Arc<std::sync::Mutex<Vec<u32>>>,
        sent: Cell<u32>,
    }
    for capacity in [0, 1, 2] {
        let runs = cancel_everywhere(
            async |n| {
                let (sender, receiver) = channel::bounded(capacity);
                let received = Arc::new(std::sync::Mutex::new(vec![]));
                let (other, noted) = (sender.clone(), received.clone());
                n.spawn(async move {
                    for _ in 0..3 {
                        other.send(100).await.unwrap();
                    }
                });
                n.spawn(async move {
                    while let Some(Ok(number)) = move_on_after(Duration::from_secs(1), receiver.recv()).await {
                        noted.lock().unwrap().push(number);
                        checkpoint().await;
                    }
                });
                State { sender, received, sent: Cell::new(0) }
            },
            async |state| {
                let count = || state.sent.replace(state.sent.get() + 1);
                let permit = state.sender.reserve().await.unwrap();
                checkpoint().await; // Cut here, the place goes to the next.
                permit.send(count()).unwrap();
                state.sender.reserve().await.unwrap().send(count()).unwrap();
                let mut sink = std::pin::pin!(state.sender.sink());
                poll_fn(|cx| sink.as_mut().poll_ready(cx)).await.unwrap();
                checkpoint().await;
                sink.start_send(count()).unwrap();
            },
            async |state, cut| {
                let received = state.received.lock().unwrap();
                assert_eq!(received.iter().filter(|number| **number == 100).count(), 3, "{cut}");
                let ours: Vec<_> = received.iter().copied().filter(|number| *number != 100).collect();
                assert_eq!(ours, (0..state.sent.get()).collect::<Vec<_>>(), "{cut}");
                assert_eq!(state.sender.len(), 0, "{cut}");
            },
        );
        assert!(runs > 60, "{runs}");
    }
}

/// A channel whose numbers 0 to 4 are sent, and what was received.
type Numbers = (Receiver<u32>, RefCell<Vec<u32>>);

fn numbers(capacity: usize, n: &trioxide_runtime::Nursery<std::convert::Infallible>) -> Numbers {
    let (sender, receiver) = channel::bounded(capacity);
    // A service: if nobody receives any more it would wait for ever.
    n.service(async move {
        for number in 0..5 {
            sender.send(number).await.unwrap();
        }
    });
    (receiver, RefCell::new(vec![]))
}

/// What was received, and what is there still, are the first numbers in order.
fn check_numbers((receiver, received): &Numbers, cut: &impl std::fmt::Display) {
    let mut all = received.borrow().clone();
    while let Ok(number) = receiver.try_recv() {
        all.push(number);
    }
    let expected: Vec<_> = (0..all.len() as u32).collect();
    assert_eq!(all, expected, "{cut}");
}

#[test]
fn recv() {
    for capacity in [0, 1, 5] {
        let runs = cancel_everywhere(
            async |n| numbers(capacity, n),
            async |(receiver, received)| {
                for _ in 0..5 {
                    let number = receiver.recv().await.unwrap();
                    received.borrow_mut().push(number);
                }
            },
            async |numbers, cut| check_numbers(numbers, cut),
        );
        assert!(runs > 60, "{runs}");
    }
}

#[test]
fn messages() {
    cancel_everywhere(
        async |n| numbers(1, n),
        async |(receiver, received)| {
            let mut messages = std::pin::pin!(receiver.messages());
            while let Some(number) = messages.next().await {
                received.borrow_mut().push(number);
            }
        },
        async |numbers, cut| check_numbers(numbers, cut),
    );
}

#[test]
fn oneshot() {
    cancel_everywhere(
        async |n| {
            let (sender, receiver) = channel::oneshot::oneshot();
            n.spawn(async move {
                sleep(MOMENT).await;
                sender.send(7).unwrap();
            });
            Slot::new(receiver)
        },
        async |receiver| {
            let mut receiver = receiver.lend();
            (&mut *receiver).await.unwrap()
        },
        async |receiver, cut| match cut.outcome() {
            Some(value) => assert_eq!(*value, 7),
            None => assert_eq!(receiver.lend().try_recv(), Ok(7), "{cut}"),
        },
    );
}

#[test]
fn broadcast() {
    cancel_everywhere(
        async |n| {
            let (sender, receiver) = channel::broadcast::broadcast(8);
            n.spawn(async move {
                for number in 0..4 {
                    sleep(MOMENT).await;
                    sender.send(number).unwrap();
                }
            });
            (Slot::new(receiver), RefCell::new(vec![]))
        },
        async |(receiver, received)| {
            let mut receiver = receiver.lend();
            while let Ok(number) = receiver.recv().await {
                received.borrow_mut().push(number);
            }
        },
        async |(receiver, received), cut| {
            let mut receiver = receiver.lend();
            while let Ok(number) = receiver.try_recv() {
                received.borrow_mut().push(number);
            }
            assert_eq!(*received.borrow(), [0, 1, 2, 3], "{cut}");
        },
    );
}

#[test]
fn watch() {
    cancel_everywhere(
        async |n| {
            let (sender, receiver) = channel::watch::watch(0);
            n.spawn(async move {
                for number in 1..=3 {
                    sleep(MOMENT).await;
                    sender.send(number);
                }
            });
            (Slot::new(receiver), Cell::new(0))
        },
        async |(receiver, seen)| {
            let mut receiver = receiver.lend();
            receiver.changed().await.unwrap();
            seen.set(*receiver.borrow_and_update());
            seen.set(*receiver.wait_for(|number| *number == 3).await.unwrap());
        },
        async |(receiver, seen), cut| {
            let receiver = receiver.lend();
            assert_eq!(*receiver.borrow(), 3);
            if seen.get() == 0 {
                assert!(receiver.has_changed(), "{cut}: still news");
            }
        },
    );
}

#[test]
fn generate() {
    cancel_everywhere(
        async |_| (Cell::new(0), Cell::new(0)),
        async |(begun, cleaned)| {
            let produce = async |sender: Sender<u32>| {
                begun.set(begun.get() + 1);
                let numbers = async {
                    for number in 0.. {
                        sender.send(number).await.unwrap();
                    }
                };
                finally(numbers, async {
                    sleep(MOMENT).await;
                    cleaned.set(cleaned.get() + 1);
                })
                .await;
            };
            let consume =
                async |numbers: &Receiver<u32>| [numbers.recv().await.unwrap(), numbers.recv().await.unwrap()];
            channel::generate(produce, consume).await.1
        },
        async |(begun, cleaned), cut| {
            assert!(cut.outcome().is_none_or(|numbers| *numbers == [0, 1]));
            // Whoever drops the whole drops the clean-up, too.
            if !cut.is_drop() {
                assert_eq!(begun.get(), cleaned.get(), "{cut}");
            }
        },
    );
}
