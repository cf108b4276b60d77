//! Bounded channels close when the last handle of one end goes, in every order.

use crate::common::WORKERS;
use futures_util::poll;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use trioxide_runtime::{nursery, run};
use trioxide_sync::channel::{self, RecvError, SendError, Sender, TryRecvError, TrySendError};
use trioxide_testing::{CountDrops, on_each};

#[test]
fn receivers_drain_the_buffer_and_then_learn_that_it_is_closed() {
    run(async {
        let (sender, receiver) = channel::bounded(2);
        sender.try_send(1).unwrap();
        sender.try_send(2).unwrap();
        let other = receiver.clone();
        assert!(!receiver.is_closed());
        drop(sender);
        assert!(receiver.is_closed());
        assert_eq!(receiver.recv().await, Ok(1));
        assert_eq!(other.try_recv(), Ok(2));
        assert_eq!(receiver.recv().await, Err(RecvError));
        assert_eq!(other.try_recv(), Err(TryRecvError::Closed));
    });
}

#[test]
fn every_waiting_receiver_learns_that_the_last_sender_has_gone() {
    on_each(WORKERS, async || {
        let (sender, receiver) = channel::bounded::<u32>(1);
        nursery(async |n| {
            for _ in 0..100 {
                let receiver = receiver.clone();
                n.spawn(async move { assert_eq!(receiver.recv().await, Err(RecvError)) });
            }
            let clone = sender.clone();
            drop(sender);
            trioxide_runtime::checkpoint().await;
            drop(clone);
        })
        .await;
    });
}

#[test]
fn every_waiting_sender_gets_its_value_back_when_the_last_receiver_goes() {
    on_each(WORKERS, async || {
        let (sender, receiver) = channel::bounded(1);
        sender.try_send(1000).unwrap();
        nursery(async |n| {
            for number in 0..100 {
                let sender = sender.clone();
                n.spawn(async move {
                    assert_eq!(sender.send(number).await, Err(SendError(number)));
                });
            }
            let clone = receiver.clone();
            drop(receiver);
            trioxide_runtime::checkpoint().await;
            drop(clone);
        })
        .await;
        assert!(sender.is_closed());
        assert_eq!(sender.try_send(7), Err(TrySendError::Closed(7)));
        assert_eq!(sender.send(8).await, Err(SendError(8)));
    });
}

#[test]
fn one_handle_of_each_end_keeps_it_open() {
    run(async {
        let (sender, receiver) = channel::bounded(1);
        drop((sender.clone(), receiver.clone()));
        let (other_sender, other_receiver) = (sender.clone(), receiver.clone());
        drop((sender, receiver));
        other_sender.send(1).await.unwrap();
        assert_eq!(other_receiver.recv().await, Ok(1));
        assert!(!other_sender.is_closed() && !other_receiver.is_closed());
    });
}

/// A message that comes back after the last sender has gone is still received.
#[test]
fn a_message_that_comes_back_to_a_closed_channel_is_received() {
    run(async {
        let (sender, receiver) = channel::bounded(1);
        let mut told_of_the_end = pin!(receiver.recv());
        let mut handed = Box::pin(receiver.recv());
        assert!(poll!(handed.as_mut()).is_pending());
        assert!(poll!(told_of_the_end.as_mut()).is_pending());
        sender.try_send(1).unwrap();
        drop(sender);
        drop(handed);
        assert_eq!(told_of_the_end.await, Ok(1));
        assert_eq!(receiver.recv().await, Err(RecvError));
    });
}

#[test]
fn what_is_buffered_is_dropped_with_the_last_receiver() {
    let drops = CountDrops::new();
    let (sender, receiver) = channel::bounded(3);
    for _ in 0..3 {
        sender.try_send(drops.guard()).unwrap();
    }
    let other = receiver.clone();
    drop(receiver);
    assert_eq!(drops.dropped(), 0);
    drop(other);
    assert_eq!(drops.dropped(), 3);
    assert!(sender.try_send(drops.guard()).unwrap_err().is_closed());
    assert!(drops.all_dropped());
}

#[test]
fn values_are_dropped_once_whichever_end_goes_first() {
    for sender_first in [true, false] {
        let drops = CountDrops::new();
        let (sender, receiver) = channel::bounded(2);
        sender.try_send(drops.guard()).unwrap();
        sender.try_send(drops.guard()).unwrap();
        drop(receiver.try_recv().unwrap());
        if sender_first {
            drop(sender);
            drop(receiver);
        } else {
            drop(receiver);
            drop(sender);
        }
        assert_eq!((drops.made(), drops.dropped()), (2, 2));
    }
}

/// Dropping a value runs foreign code, which may use the channel that it comes out of.
#[test]
fn a_value_may_use_the_channel_in_its_drop() {
    struct Asks(Sender<Arc<Asks>>);
    impl Drop for Asks {
        fn drop(&mut self) {
            assert!(self.0.is_closed());
        }
    }
    let (sender, receiver) = channel::bounded(1);
    sender.try_send(Arc::new(Asks(sender.clone()))).unwrap();
    drop(receiver);
}

#[test]
fn a_waiting_send_returns_its_value_only_once() {
    run(async {
        let drops = CountDrops::new();
        let (sender, receiver) = channel::bounded(0);
        let mut sending = Box::pin(sender.send(drops.guard()));
        assert!(poll!(sending.as_mut()).is_pending());
        drop(receiver);
        let Poll::Ready(Err(error)) = poll!(sending.as_mut()) else {
            panic!("the value comes back");
        };
        drop(sending);
        assert_eq!(drops.dropped(), 0);
        drop(error.into_inner());
        assert_eq!(drops.dropped(), 1);
    });
}

#[test]
fn the_errors_say_what_happened() {
    assert_eq!(SendError(1).to_string(), "the channel is closed: all of its receivers have been dropped");
    assert_eq!(TrySendError::Full(1).to_string(), "the channel is full");
    assert_eq!(TryRecvError::Empty.to_string(), "the channel is empty");
    assert_eq!(
        TryRecvError::Closed.to_string(),
        "the channel is closed and empty: all of its senders have been dropped"
    );
    let (sender, receiver) = channel::bounded::<std::cell::Cell<u8>>(1);
    drop(receiver);
    let error = sender.try_send(std::cell::Cell::new(0)).unwrap_err();
    assert_eq!(format!("{error:?}"), "Closed(..)");
}
