//! Bounded channels lose nothing: waits that are cancelled, and waits that are dropped after a hand-over.

use crate::common::{begin_in_cancelled_scope, cancel_while_waiting, drop_after};
use futures_util::poll;
use std::pin::pin;
use trioxide_runtime::{CancelScope, run};
use trioxide_sync::channel::{self, Receiver, TryRecvError, TrySendError};
use trioxide_testing::CountDrops;

fn drain<T>(receiver: &Receiver<T>) -> Vec<T> {
    std::iter::from_fn(|| receiver.try_recv().ok()).collect()
}

#[test]
fn a_cancelled_send_has_not_sent_and_drops_its_value() {
    run(async {
        let drops = CountDrops::new();
        let (sender, receiver) = channel::bounded(1);
        sender.try_send((1, drops.guard())).unwrap();
        cancel_while_waiting(sender.send((2, drops.guard()))).await;
        assert_eq!(drops.dropped(), 1);
        assert_eq!(receiver.statistics().tasks_waiting_send, 0);
        let received = drain(&receiver);
        assert!(matches!(received[..], [(1, _)]));
    });
}

/// The others in line keep their places.
#[test]
fn a_cancelled_send_leaves_the_line_behind_it_in_order() {
    run(async {
        let (sender, receiver) = channel::bounded(1);
        sender.try_send(0).unwrap();
        let mut first = pin!(sender.send(1));
        assert!(poll!(first.as_mut()).is_pending());
        let mut third = pin!(sender.send(3));
        {
            let mut second = pin!(sender.send(2));
            assert!(poll!(second.as_mut()).is_pending());
            assert!(poll!(third.as_mut()).is_pending());
        }
        assert_eq!(drain(&receiver), [0, 1, 3]);
        assert_eq!((first.await, third.await), (Ok(()), Ok(())));
    });
}

#[test]
fn a_send_dropped_after_its_value_was_taken_has_sent() {
    run(async {
        let (sender, receiver) = channel::bounded(1);
        sender.try_send(1).unwrap();
        drop_after(sender.send(2), || assert_eq!(receiver.try_recv(), Ok(1))).await;
        assert_eq!(drain(&receiver), [2]);
    });
}

/// A later send just buffers.
#[test]
fn a_cancelled_receive_has_taken_nothing_and_leaves_no_trace() {
    run(async {
        let (sender, receiver) = channel::bounded(1);
        cancel_while_waiting(receiver.recv()).await;
        sender.try_send(1).unwrap();
        assert_eq!(sender.try_send(2), Err(TrySendError::Full(2)));
        assert_eq!(drain(&receiver), [1]);
    });
}

#[test]
fn what_begins_in_a_cancelled_scope_takes_and_gives_nothing() {
    run(async {
        let (sender, receiver) = channel::bounded(2);
        sender.try_send(1).unwrap();
        begin_in_cancelled_scope(receiver.recv()).await;
        begin_in_cancelled_scope(sender.send(2)).await;
        assert_eq!(drain(&receiver), [1]);
    });
}

#[test]
fn what_is_complete_is_delivered_in_a_cancelled_scope() {
    run(async {
        let (sender, receiver) = channel::bounded(1);
        let scope = CancelScope::new();
        let handle = scope.handle();
        let delivered = scope.run(async {
            let mut receiving = pin!(receiver.recv());
            assert!(poll!(receiving.as_mut()).is_pending());
            sender.try_send(1).unwrap();
            sender.try_send(2).unwrap();
            let mut sending = pin!(sender.send(3));
            assert!(poll!(sending.as_mut()).is_pending());
            assert_eq!(receiver.try_recv(), Ok(2));
            handle.cancel("both are complete");
            (receiving.await, sending.await)
        });
        assert_eq!(delivered.await.unwrap(), (Ok(1), Ok(())));
        assert_eq!(drain(&receiver), [3]);
    });
}

#[test]
fn a_receive_dropped_after_the_hand_over_returns_the_message_to_the_front() {
    run(async {
        let (sender, receiver) = channel::bounded(2);
        drop_after(receiver.recv(), || {
            for number in 1..=3 {
                sender.try_send(number).unwrap();
            }
            assert!(sender.try_send(4).unwrap_err().is_full());
        })
        .await;
        // One more than the capacity, and nothing more fits until two have gone.
        assert_eq!(receiver.len(), 3);
        assert_eq!(receiver.try_recv(), Ok(1));
        assert!(sender.try_send(4).unwrap_err().is_full());
        assert_eq!(receiver.try_recv(), Ok(2));
        sender.try_send(4).unwrap();
        assert_eq!(drain(&receiver), [3, 4]);
    });
}

#[test]
fn a_receive_dropped_after_the_hand_over_passes_the_message_to_the_next_in_line() {
    run(async {
        let (sender, receiver) = channel::bounded(1);
        let mut second = pin!(receiver.recv());
        let mut third = pin!(receiver.recv());
        {
            let mut first = pin!(receiver.recv());
            assert!(poll!(first.as_mut()).is_pending());
            assert!(poll!(second.as_mut()).is_pending());
            assert!(poll!(third.as_mut()).is_pending());
            sender.try_send(1).unwrap();
            assert!(poll!(second.as_mut()).is_pending());
        }
        assert!(poll!(third.as_mut()).is_pending());
        assert_eq!(second.await, Ok(1));
        assert_eq!(receiver.statistics().tasks_waiting_recv, 1);
    });
}

/// Whatever the order in which the receives are dropped, the messages come back in theirs.
#[test]
fn messages_that_come_back_keep_their_order() {
    run(async {
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [0, 2, 1]] {
            let (sender, receiver) = channel::bounded(3);
            let mut receives: Vec<_> = (0..3).map(|_| Some(Box::pin(receiver.recv()))).collect();
            for receive in receives.iter_mut().flatten() {
                assert!(poll!(receive.as_mut()).is_pending());
            }
            for number in 0..4 {
                sender.try_send(number).unwrap();
            }
            for index in order {
                receives[index] = None;
            }
            assert_eq!(drain(&receiver), [0, 1, 2, 3], "dropped in the order {order:?}");
        }
    });
}

/// A message that went from one receive to another and came back from there is still the older one.
#[test]
fn a_message_passed_on_keeps_its_age() {
    run(async {
        let (sender, receiver) = channel::bounded(1);
        let mut first = Box::pin(receiver.recv());
        let mut second = Box::pin(receiver.recv());
        let mut third = Box::pin(receiver.recv());
        for receive in [&mut first, &mut second, &mut third] {
            assert!(poll!(receive.as_mut()).is_pending());
        }
        sender.try_send(1).unwrap();
        sender.try_send(2).unwrap();
        drop(first); // 1 goes to the third
        drop(third);
        drop(second);
        assert_eq!(drain(&receiver), [1, 2]);
    });
}

#[test]
fn a_message_that_comes_back_to_a_rendezvous_waits_there() {
    run(async {
        let (sender, receiver) = channel::bounded(0);
        drop_after(receiver.recv(), || sender.try_send(1).unwrap()).await;
        let mut sending = pin!(sender.send(2));
        assert!(poll!(sending.as_mut()).is_pending());
        assert_eq!(receiver.recv().await, Ok(1));
        assert!(poll!(sending.as_mut()).is_pending());
        assert_eq!(receiver.recv().await, Ok(2));
        assert_eq!(sending.await, Ok(()));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    });
}

#[test]
fn a_stream_dropped_after_the_hand_over_loses_nothing() {
    use futures_util::StreamExt;
    run(async {
        let (sender, receiver) = channel::bounded(1);
        let messages = receiver.messages();
        let next = async move { pin!(messages).next().await };
        drop_after(next, || sender.try_send(1).unwrap()).await;
        assert_eq!(drain(&receiver), [1]);
    });
}

#[test]
fn a_message_that_nobody_receives_is_dropped_once() {
    run(async {
        let drops = CountDrops::new();
        let (sender, receiver) = channel::bounded(1);
        drop_after(receiver.recv(), || sender.try_send(drops.guard()).unwrap()).await;
        assert_eq!(drops.dropped(), 0);
        drop(receiver);
        assert_eq!((drops.made(), drops.dropped()), (1, 1));
    });
}
