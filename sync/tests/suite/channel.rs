//! Bounded channels: order, room, fairness, rendezvous, statistics.

use crate::common::WORKERS;
use futures_util::{StreamExt, poll};
use std::pin::pin;
use std::task::Poll;
use trioxide_runtime::{nursery, run};
use trioxide_sync::channel::{self, RecvError, TryRecvError, TrySendError};
use trioxide_testing::on_each;

#[test]
fn is_full_at_its_capacity_and_first_in_first_out() {
    let (sender, receiver) = channel::bounded(3);
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    for number in 0..3 {
        assert_eq!(sender.len(), number);
        sender.try_send(number).unwrap();
    }
    assert_eq!(sender.try_send(3), Err(TrySendError::Full(3)));
    assert_eq!((receiver.len(), receiver.capacity()), (3, 3));
    assert_eq!(receiver.try_recv(), Ok(0));
    sender.try_send(3).unwrap();
    let rest: Vec<_> = std::iter::from_fn(|| receiver.try_recv().ok()).collect();
    assert_eq!(rest, [1, 2, 3]);
    assert!(sender.is_empty() && receiver.is_empty());
}

#[test]
fn without_a_limit_no_send_waits() {
    run(async {
        let (sender, receiver) = channel::bounded(usize::MAX);
        for number in 0..10_000 {
            sender.send(number).await.unwrap();
        }
        assert_eq!(receiver.len(), 10_000);
        drop(sender);
        let received: Vec<i32> = receiver.messages().collect().await;
        assert!(received.into_iter().eq(0..10_000));
    });
}

#[test]
fn a_send_waits_for_room() {
    on_each(WORKERS, async || {
        let (sender, receiver) = channel::bounded(2);
        nursery(async |n| {
            n.spawn(async move {
                for number in 0..1000 {
                    sender.send(number).await.unwrap();
                }
            });
            for number in 0..1000 {
                assert!(receiver.len() <= 2);
                assert_eq!(receiver.recv().await, Ok(number));
            }
            assert_eq!(receiver.recv().await, Err(RecvError));
        })
        .await;
    });
}

/// What is sent while somebody waits belongs to the one who has waited longest.
#[test]
fn a_message_handed_to_a_receiver_cannot_be_snatched() {
    run(async {
        let (sender, receiver) = channel::bounded(1);
        let mut first = pin!(receiver.recv());
        let mut second = pin!(receiver.recv());
        assert!(poll!(first.as_mut()).is_pending());
        assert!(poll!(second.as_mut()).is_pending());
        sender.try_send(1).unwrap();
        sender.try_send(2).unwrap();
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        assert_eq!(second.await, Ok(2));
        assert_eq!(first.await, Ok(1));
    });
}

#[test]
fn a_place_given_to_a_sender_cannot_be_snatched() {
    run(async {
        let (sender, receiver) = channel::bounded(1);
        sender.try_send(1).unwrap();
        let mut first = pin!(sender.send(2));
        let mut second = pin!(sender.send(3));
        assert!(poll!(first.as_mut()).is_pending());
        assert!(poll!(second.as_mut()).is_pending());
        assert_eq!(receiver.try_recv(), Ok(1));
        assert_eq!(sender.try_send(9), Err(TrySendError::Full(9)));
        assert!(poll!(second.as_mut()).is_pending());
        assert_eq!(first.await, Ok(()));
        assert_eq!(receiver.try_recv(), Ok(2));
        assert_eq!(second.await, Ok(()));
        assert_eq!(receiver.try_recv(), Ok(3));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    });
}

#[test]
fn a_rendezvous_takes_two() {
    run(async {
        let (sender, receiver) = channel::bounded(0);
        assert_eq!(sender.try_send(1), Err(TrySendError::Full(1)));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        {
            let mut receiving = pin!(receiver.recv());
            assert!(poll!(receiving.as_mut()).is_pending());
            sender.try_send(2).unwrap();
            assert_eq!(sender.try_send(3), Err(TrySendError::Full(3)));
            assert_eq!(receiving.await, Ok(2));
        }
        let mut sending = pin!(sender.send(4));
        assert!(poll!(sending.as_mut()).is_pending());
        assert_eq!(receiver.len(), 0);
        assert_eq!(receiver.try_recv(), Ok(4));
        assert_eq!(poll!(sending), Poll::Ready(Ok(())));
    });
}

#[test]
fn a_stream_of_messages_ends_with_the_channel() {
    run(async {
        let (sender, receiver) = channel::bounded(4);
        for number in 0..3 {
            sender.try_send(number).unwrap();
        }
        let mut messages = pin!(receiver.messages());
        assert_eq!(messages.next().await, Some(0));
        assert_eq!(messages.next().await, Some(1));
        drop(sender);
        assert_eq!(messages.next().await, Some(2));
        assert_eq!(messages.next().await, None);
        assert_eq!(messages.next().await, None);
    });
}

#[test]
fn statistics_count_handles_messages_and_waiters() {
    run(async {
        let (sender, receiver) = channel::bounded(2);
        let clones = (sender.clone(), sender.clone(), receiver.clone());
        let at_first = sender.statistics();
        assert_eq!((at_first.senders, at_first.receivers), (3, 2));
        assert_eq!((at_first.capacity, at_first.buffered), (2, 0));
        drop(clones);
        sender.try_send(1).unwrap();
        sender.try_send(2).unwrap();
        {
            let mut sending = pin!(sender.send(3));
            assert!(poll!(sending.as_mut()).is_pending());
            assert_eq!(receiver.statistics().tasks_waiting_send, 1);
        }
        assert_eq!(receiver.statistics().tasks_waiting_send, 0);
        receiver.try_recv().unwrap();
        receiver.try_recv().unwrap();
        {
            let mut receiving = pin!(receiver.recv());
            assert!(poll!(receiving.as_mut()).is_pending());
            assert_eq!(receiver.statistics().tasks_waiting_recv, 1);
        }
        let at_last = receiver.statistics();
        assert_eq!(at_last.tasks_waiting_recv, 0);
        assert_eq!((at_last.senders, at_last.receivers), (1, 1));
        assert_eq!((at_last.buffered, at_last.peak_buffered), (0, 2));
    });
}

#[test]
#[should_panic(expected = "`Sender::send`")]
fn a_send_outside_a_run_says_so() {
    let (sender, _receiver) = channel::bounded(1);
    let _ = futures_util::FutureExt::now_or_never(sender.send(1));
}

#[test]
#[should_panic(expected = "`Receiver::recv`")]
fn a_receive_outside_a_run_says_so() {
    let (_sender, receiver) = channel::bounded::<u32>(1);
    let _ = futures_util::FutureExt::now_or_never(receiver.recv());
}

/// Futures and handles can go wherever their messages can.
#[test]
fn is_send_and_sync() {
    fn check<T: Send + Sync>(_: &T) {}
    let (sender, receiver) = channel::bounded(1);
    check(&sender.send(1));
    check(&receiver.recv());
    check(&receiver.messages());
    check(&(sender, receiver));
    check(&channel::oneshot::<u32>());
}
