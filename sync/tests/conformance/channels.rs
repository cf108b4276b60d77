//! Channels.

use crate::common::{ALL, all_wait, begin_in_cancelled_scope};
use futures_util::poll;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use trioxide_runtime::{checkpoint, move_on_after, nursery, run};
use trioxide_sync::channel::{self, RecvError, SendError, TryRecvError, TrySendError};
use trioxide_testing::{CountDrops, on_each, on_each_with_clock};

/// A size is a `usize`, so what is no size does not compile.
#[test]
fn c146_without_waiting_it_says_full_or_empty_and_it_is_first_in_first_out() {
    run(async {
        let (sender, receiver) = channel::bounded(2);
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        sender.send(1).await.unwrap();
        sender.try_send(2).unwrap();
        assert_eq!(sender.try_send(3), Err(TrySendError::Full(3)));
        let mut waits = pin!(sender.send(3));
        assert!(poll!(waits.as_mut()).is_pending());
        assert_eq!(receiver.recv().await, Ok(1));
        assert_eq!(waits.await, Ok(()));
        assert_eq!((receiver.try_recv(), receiver.recv().await), (Ok(2), Ok(3)));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    });
}

#[test]
fn c147_after_the_last_sender_the_buffer_is_received_and_then_the_end() {
    run(async {
        let (sender, receiver) = channel::bounded(3);
        let other = sender.clone();
        for number in 0..3 {
            sender.send(number).await.unwrap();
        }
        drop(sender);
        drop(other);
        for number in 0..3 {
            assert_eq!(receiver.recv().await, Ok(number));
        }
        assert_eq!(receiver.recv().await, Err(RecvError));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
        begin_in_cancelled_scope(receiver.recv()).await;
    });
}

#[test]
fn c149_a_receive_that_timed_out_leaves_no_trace() {
    on_each_with_clock(ALL, async |_clock| {
        let (sender, receiver) = channel::bounded(1);
        assert_eq!(move_on_after(Duration::from_secs(1), receiver.recv()).await, None);
        assert_eq!(sender.try_send(1), Ok(()));
        assert_eq!(sender.try_send(2), Err(TrySendError::Full(2)));
    });
}

#[test]
fn c150_many_senders_and_it_ends_when_all_are_gone() {
    on_each(ALL, async || {
        nursery(async |n| {
            let (sender, receiver) = channel::bounded(0);
            for first in 0..3 {
                let sender = sender.clone();
                n.spawn(async move {
                    for number in 0..3 {
                        sender.send(3 * first + number).await.unwrap();
                    }
                });
            }
            drop(sender);
            let mut got = vec![];
            while let Ok(number) = receiver.recv().await {
                got.push(number);
            }
            got.sort_unstable();
            assert_eq!(got, (0..9).collect::<Vec<_>>());
        })
        .await;
    });
}

#[test]
fn c151_many_receivers_and_each_message_once_and_each_receiver_some() {
    on_each(ALL, async || {
        let got = Arc::new(Mutex::new(vec![]));
        nursery(async |n| {
            let (sender, receiver) = channel::bounded(0);
            for index in 0..3 {
                let (receiver, got) = (receiver.clone(), got.clone());
                n.spawn(async move {
                    while let Ok(number) = receiver.recv().await {
                        got.lock().unwrap().push((index, number));
                    }
                });
            }
            // All three wait, so the first three messages are theirs, one each.
            all_wait().await;
            assert_eq!(receiver.statistics().tasks_waiting_recv, 3);
            for number in 0..10 {
                sender.send(number).await.unwrap();
            }
        })
        .await;
        let got = got.lock().unwrap();
        let mut numbers: Vec<_> = got.iter().map(|(_, number)| *number).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..10).collect::<Vec<_>>());
        assert!((0..3).all(|index| got.iter().any(|(by, _)| *by == index)));
    });
}

#[test]
fn c153_senders_that_wait_and_that_come_learn_that_the_last_receiver_has_gone() {
    run(async {
        let (sender, receiver) = channel::bounded(0);
        let other = receiver.clone();
        let mut waits = pin!(sender.send(1));
        assert!(poll!(waits.as_mut()).is_pending());
        drop(receiver);
        assert!(poll!(waits.as_mut()).is_pending());
        drop(other);
        assert_eq!(waits.await, Err(SendError(1)));
        assert_eq!(sender.send(2).await, Err(SendError(2)));
        assert_eq!(sender.try_send(3), Err(TrySendError::Closed(3)));
    });
}

#[test]
fn c155_dropping_one_handle_leaves_those_who_wait_on_others_alone() {
    run(async {
        let (sender, receiver) = channel::bounded(0);
        let (other_sender, other_receiver) = (sender.clone(), receiver.clone());
        {
            let mut waits = pin!(sender.send(1));
            assert!(poll!(waits.as_mut()).is_pending());
            drop(other_sender);
            assert!(poll!(waits.as_mut()).is_pending());
            assert_eq!(receiver.recv().await, Ok(1));
            assert_eq!(waits.await, Ok(()));
        }
        let mut waits = pin!(receiver.recv());
        assert!(poll!(waits.as_mut()).is_pending());
        drop(other_receiver);
        assert!(poll!(waits.as_mut()).is_pending());
        sender.try_send(2).unwrap();
        assert_eq!(waits.await, Ok(2));
    });
}

#[test]
fn c156_one_receiver_is_enough() {
    run(async {
        let (sender, receiver) = channel::bounded(1);
        let other = receiver.clone();
        drop(receiver);
        sender.send(1).await.unwrap();
        assert_eq!(other.recv().await, Ok(1));
        drop(other);
        assert_eq!(sender.send(2).await, Err(SendError(2)));
    });
}

#[test]
fn c157_without_a_limit_no_send_waits() {
    run(async {
        let (sender, receiver) = channel::bounded(usize::MAX);
        for number in 0..1000 {
            sender.try_send(number).unwrap();
        }
        assert_eq!(receiver.len(), 1000);
        assert!((0..1000).all(|number| receiver.try_recv() == Ok(number)));
    });
}

#[test]
fn c158_the_statistics_count_handles_waiters_and_the_most_that_was_there() {
    run(async {
        let (sender, receiver) = channel::bounded(2);
        let now = sender.statistics();
        assert_eq!((now.senders, now.receivers, now.capacity), (1, 1, 2));
        let others = (sender.clone(), receiver.clone(), receiver.clone());
        let now = receiver.statistics();
        assert_eq!((now.senders, now.receivers), (2, 3));
        drop(others);
        {
            let mut waits = pin!(receiver.recv());
            assert!(poll!(waits.as_mut()).is_pending());
            assert_eq!(receiver.statistics().tasks_waiting_recv, 1);
        }
        assert_eq!(receiver.statistics().tasks_waiting_recv, 0);
        sender.try_send(1).unwrap();
        sender.try_send(2).unwrap();
        {
            let mut waits = pin!(sender.send(3));
            assert!(poll!(waits.as_mut()).is_pending());
            assert_eq!(sender.statistics().tasks_waiting_send, 1);
        }
        let now = sender.statistics();
        assert_eq!((now.buffered, now.peak_buffered, now.tasks_waiting_send), (2, 2, 0));
        receiver.try_recv().unwrap();
        receiver.try_recv().unwrap();
        let now = sender.statistics();
        assert_eq!((now.buffered, now.peak_buffered), (0, 2));
    });
}

#[test]
fn c159_nobody_snatches_a_message_or_a_place() {
    on_each(ALL, async || {
        nursery(async |n| {
            let (sender, receiver) = channel::bounded(1);
            let waiting = receiver.clone();
            let got = n.spawn(async move { assert_eq!(waiting.recv().await, Ok(1)) });
            all_wait().await;
            assert_eq!(receiver.statistics().tasks_waiting_recv, 1);
            sender.try_send(1).unwrap();
            assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
            got.await.unwrap();

            sender.try_send(2).unwrap();
            let waiting = sender.clone();
            let sent = n.spawn(async move { waiting.send(3).await.unwrap() });
            all_wait().await;
            assert_eq!(sender.statistics().tasks_waiting_send, 1);
            assert_eq!(receiver.try_recv(), Ok(2));
            assert_eq!(sender.try_send(4), Err(TrySendError::Full(4)));
            sent.await.unwrap();
            assert_eq!(receiver.try_recv(), Ok(3));
        })
        .await;
    });
}

#[test]
fn c160_a_rendezvous_takes_two() {
    run(async {
        let (sender, receiver) = channel::bounded(0);
        assert_eq!(sender.try_send(1), Err(TrySendError::Full(1)));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        {
            let mut waits = pin!(receiver.recv());
            assert!(poll!(waits.as_mut()).is_pending());
            sender.try_send(1).unwrap();
            assert_eq!(waits.await, Ok(1));
        }
        let mut waits = pin!(sender.send(2));
        assert!(poll!(waits.as_mut()).is_pending());
        assert_eq!(receiver.try_recv(), Ok(2));
        assert_eq!(waits.await, Ok(()));
        checkpoint().await;
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    });
}

#[test]
fn c161_a_generator_is_received_one_by_one_and_its_end_is_not_lost() {
    run(async {
        // To the end, with an error after the last value.
        let fails = async |sender: channel::Sender<u32>| {
            for number in 0..3 {
                sender.send(number).await.map_err(|_| "nobody receives")?;
            }
            Err::<(), _>("after the last")
        };
        let (produced, received) = channel::generate(fails, async |numbers| {
            let mut received = vec![];
            while let Ok(number) = numbers.recv().await {
                received.push(number);
            }
            received
        })
        .await;
        assert_eq!((produced, received), (Some(Err("after the last")), vec![0, 1, 2]));
    });
}

/// A send is done when its value has been taken: so the producer is at most one value ahead.
#[test]
fn c161_a_generator_is_not_ahead_of_who_receives_and_is_cleaned_up() {
    run(async {
        let (ahead, drops) = (Mutex::new(0), CountDrops::new());
        let produce = async |sender: channel::Sender<u32>| {
            let _cleaned_up = drops.guard();
            for number in 1.. {
                *ahead.lock().unwrap() = number;
                sender.send(number).await.unwrap();
            }
        };
        let (produced, last) = channel::generate(produce, async |numbers| {
            for number in 1..=5 {
                assert_eq!(numbers.recv().await, Ok(number));
                checkpoint().await;
                assert!(*ahead.lock().unwrap() <= number + 1);
            }
            Err::<(), _>("enough")
        })
        .await;
        // Cancelled, and the error of the body comes out beside that.
        assert_eq!((produced, last), (None, Err("enough")));
        assert!(drops.all_dropped());
    });
}

/// In a scope that is cancelled neither gets beyond its first suspension; several may receive.
#[test]
fn c161_a_generator_in_a_cancelled_scope_sends_nothing_and_several_may_receive() {
    run(async {
        let received = Mutex::new(0);
        begin_in_cancelled_scope(channel::generate(
            async |sender: channel::Sender<u32>| sender.send(1).await.is_ok(),
            async |numbers| *received.lock().unwrap() = numbers.recv().await.unwrap(),
        ))
        .await;
        assert_eq!(*received.lock().unwrap(), 0);
        let four = async |sender: channel::Sender<u32>| {
            for number in 0..4 {
                sender.send(number).await.unwrap();
            }
        };
        let (produced, both) = channel::generate(four, async |numbers| {
            let (one, two) = (numbers.clone(), numbers.clone());
            futures_util::future::join(async { (one.recv().await.unwrap(), one.recv().await.unwrap()) }, async {
                (two.recv().await.unwrap(), two.recv().await.unwrap())
            })
            .await
        })
        .await;
        assert_eq!((produced, both.0.0 + both.0.1 + both.1.0 + both.1.1), (Some(()), 6));
    });
}
