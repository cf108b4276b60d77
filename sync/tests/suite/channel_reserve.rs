//! Sending in two phases, the sink that is built on it, and the streams of `watch` and `broadcast`.

use crate::common::{WORKERS, begin_in_cancelled_scope, cancel_while_waiting, drop_after};
use futures_util::{SinkExt, StreamExt, poll};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use trioxide_runtime::{checkpoint, nursery, run};
use trioxide_sync::channel::{self, Receiver, RecvError, SendError, TryRecvError, TrySendError};
use trioxide_testing::on_each;

fn drain<T>(receiver: &Receiver<T>) -> Vec<T> {
    std::iter::from_fn(|| receiver.try_recv().ok()).collect()
}

#[test]
fn a_permit_is_a_place_until_it_is_used_or_dropped() {
    let (sender, receiver) = channel::bounded(2);
    let one = sender.try_reserve().unwrap();
    let two = sender.try_reserve().unwrap();
    assert_eq!(sender.try_reserve().unwrap_err(), TrySendError::Full(()));
    assert_eq!(sender.try_send(9), Err(TrySendError::Full(9)));
    assert_eq!((sender.statistics().reserved, sender.len()), (2, 0));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    two.send(2).unwrap();
    drop(one);
    sender.try_send(1).unwrap();
    assert_eq!(sender.try_send(9), Err(TrySendError::Full(9)));
    assert_eq!(drain(&receiver), [2, 1]);
    assert_eq!(sender.statistics().reserved, 0);
}

#[test]
fn sends_and_reservations_stand_in_one_line() {
    run(async {
        let (sender, receiver) = channel::bounded(1);
        sender.try_send(0).unwrap();
        let mut first = pin!(sender.send(1));
        let mut second = pin!(sender.reserve());
        let mut third = pin!(sender.send(3));
        assert!(poll!(first.as_mut()).is_pending());
        assert!(poll!(second.as_mut()).is_pending());
        assert!(poll!(third.as_mut()).is_pending());
        assert_eq!(receiver.try_recv(), Ok(0));
        assert_eq!(receiver.try_recv(), Ok(1));
        // The place is the reservation's now. The third's message needs none: there is nothing before it to take.
        assert_eq!(receiver.try_recv(), Ok(3));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        let Poll::Ready(permit) = poll!(second.as_mut()) else { panic!("it was granted") };
        permit.unwrap().send(2).unwrap();
        assert_eq!(receiver.try_recv(), Ok(2));
        assert_eq!((first.await, third.await), (Ok(()), Ok(())));
    });
}

#[test]
fn a_cancelled_reservation_has_reserved_nothing() {
    run(async {
        let (sender, receiver) = channel::bounded(1);
        begin_in_cancelled_scope(sender.reserve()).await;
        sender.try_send(1).unwrap();
        cancel_while_waiting(sender.reserve()).await;
        let statistics = sender.statistics();
        assert_eq!((statistics.reserved, statistics.tasks_waiting_send), (0, 0));
        assert_eq!(drain(&receiver), [1]);
    });
}

#[test]
fn one_that_is_dropped_right_after_it_was_granted_gives_its_place_to_the_next() {
    run(async {
        let (sender, receiver) = channel::bounded(1);
        sender.try_send(1).unwrap();
        let mut next = pin!(sender.send(2));
        drop_after(sender.reserve(), || {
            // It stands before the send.
            assert_eq!(sender.statistics().tasks_waiting_send, 1);
            assert_eq!(receiver.try_recv(), Ok(1));
            assert_eq!(sender.statistics().reserved, 1);
        })
        .await;
        assert_eq!(sender.statistics().reserved, 0);
        assert_eq!(poll!(next.as_mut()), Poll::Ready(Ok(())));
        assert_eq!(drain(&receiver), [2]);
    });
}

/// A receiver waits because a reservation stands before the send that has a message: without it the message is the receiver's.
#[test]
fn a_reservation_that_leaves_the_line_lets_the_send_behind_it_through() {
    run(async {
        let (sender, receiver) = channel::bounded(1);
        let permit = sender.try_reserve().unwrap();
        let mut send = pin!(sender.send(1));
        let mut receive = pin!(receiver.recv());
        {
            let mut second = pin!(sender.reserve());
            assert!(poll!(second.as_mut()).is_pending());
            assert!(poll!(send.as_mut()).is_pending());
            assert!(poll!(receive.as_mut()).is_pending());
        }
        assert_eq!(poll!(send.as_mut()), Poll::Ready(Ok(())));
        assert_eq!(poll!(receive.as_mut()), Poll::Ready(Ok(1)));
        permit.send(2).unwrap();
        assert_eq!(drain(&receiver), [2]);
    });
}

#[test]
fn a_permit_that_is_dropped_settles_the_line_behind_it() {
    run(async {
        let (sender, receiver) = channel::bounded(1);
        let permit = sender.try_reserve().unwrap();
        let mut second = pin!(sender.reserve());
        let mut send = pin!(sender.send(1));
        let mut receive = pin!(receiver.recv());
        assert!(poll!(second.as_mut()).is_pending());
        assert!(poll!(send.as_mut()).is_pending());
        assert!(poll!(receive.as_mut()).is_pending());
        drop(permit);
        // Granted to the second; then the message of the third goes to the receiver, which needs no place.
        assert_eq!(receive.await, Ok(1));
        assert_eq!(send.await, Ok(()));
        let permit = second.await.unwrap();
        assert_eq!(sender.statistics().reserved, 1);
        drop(permit);
    });
}

#[test]
fn the_last_receiver_takes_the_places_with_it() {
    run(async {
        let (sender, receiver) = channel::bounded(1);
        let permit = sender.reserve().await.unwrap();
        let mut waiting = pin!(sender.reserve());
        assert!(poll!(waiting.as_mut()).is_pending());
        drop(receiver);
        assert_eq!(waiting.await.unwrap_err(), SendError(()));
        assert_eq!(permit.send(1), Err(SendError(1)));
        assert_eq!(sender.reserve().await.unwrap_err(), SendError(()));
        assert_eq!(sender.try_reserve().unwrap_err(), TrySendError::Closed(()));
    });
}

#[test]
fn in_a_rendezvous_a_place_is_a_receiver_that_waits() {
    run(async {
        let (sender, receiver) = channel::bounded(0);
        assert_eq!(sender.try_reserve().unwrap_err(), TrySendError::Full(()));
        let mut reserve = pin!(sender.reserve());
        assert!(poll!(reserve.as_mut()).is_pending());
        // Who does not stay is no place.
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        assert!(poll!(reserve.as_mut()).is_pending());
        let mut receive = pin!(receiver.recv());
        assert!(poll!(receive.as_mut()).is_pending());
        let Poll::Ready(Ok(permit)) = poll!(reserve.as_mut()) else { panic!("a receiver waits") };
        // It is spoken for.
        assert_eq!(sender.try_send(9), Err(TrySendError::Full(9)));
        permit.send(1).unwrap();
        assert_eq!(receive.await, Ok(1));
        assert_eq!(sender.statistics().reserved, 0);
    });
}

#[test]
fn in_a_rendezvous_whose_receiver_is_gone_the_message_waits_for_the_next() {
    run(async {
        let (sender, receiver) = channel::bounded(0);
        let permit = {
            let mut receive = pin!(receiver.recv());
            assert!(poll!(receive.as_mut()).is_pending());
            sender.try_reserve().unwrap()
        };
        permit.send(1).unwrap();
        assert_eq!(receiver.recv().await, Ok(1));
    });
}

#[test]
fn nothing_is_lost_and_no_place_is_given_twice() {
    const SENDERS: usize = 8;
    const EACH: usize = 300;
    for capacity in [0, 1, 3] {
        on_each(WORKERS, async || {
            let (sender, receiver) = channel::bounded(capacity);
            let sent = Arc::new(AtomicUsize::new(0));
            nursery(async |n| {
                for number in 0..SENDERS {
                    let (sender, sent) = (sender.clone(), Arc::clone(&sent));
                    n.spawn(async move {
                        for at in 0..EACH {
                            if (number + at) % 3 == 0 {
                                sender.send(at).await.unwrap();
                            } else {
                                let permit = sender.reserve().await.unwrap();
                                checkpoint().await;
                                if (number + at) % 3 == 1 {
                                    continue; // Not needed after all.
                                }
                                permit.send(at).unwrap();
                            }
                            sent.fetch_add(1, Ordering::Relaxed);
                        }
                    });
                }
                drop(sender);
                let mut received = 0;
                while receiver.recv().await.is_ok() {
                    received += 1;
                    // In a rendezvous permits may have been granted for receivers that are back for more.
                    assert!(receiver.len() <= capacity.max(SENDERS * usize::from(capacity == 0)));
                }
                assert_eq!(received, sent.load(Ordering::Relaxed));
            })
            .await;
            assert_eq!(receiver.statistics().reserved, 0);
        });
    }
}

#[test]
fn a_sink_waits_for_room_before_it_takes_a_message() {
    run(async {
        let (sender, receiver) = channel::bounded(1);
        let mut sink = Box::pin(sender.sink());
        sink.feed(1).await.unwrap();
        assert_eq!(receiver.len(), 1, "nothing is buffered in the sink");
        {
            let mut feed = pin!(sink.feed(2));
            assert!(poll!(feed.as_mut()).is_pending());
            assert_eq!(receiver.try_recv(), Ok(1));
            assert!(poll!(feed.as_mut()).is_ready());
        }
        sink.close().await.unwrap();
        assert_eq!(receiver.recv().await, Ok(2));
        drop(receiver);
        assert_eq!(sink.send(3).await, Err(SendError(None)));
    });
}

#[test]
fn a_sink_that_is_dropped_while_it_is_ready_gives_its_place_back() {
    run(async {
        let (sender, receiver) = channel::bounded(1);
        {
            let mut sink = pin!(sender.sink());
            std::future::poll_fn(|cx| futures_util::Sink::poll_ready(sink.as_mut(), cx)).await.unwrap();
            assert_eq!(sender.statistics().reserved, 1);
        }
        sender.try_send(1).unwrap();
        assert_eq!(drain(&receiver), [1]);
    });
}

#[test]
fn a_stream_of_values_sees_the_newest_and_loses_no_change() {
    on_each(WORKERS, async || {
        let (sender, mut receiver) = channel::watch(0);
        nursery(async |n| {
            n.spawn(async move {
                for value in 1..=100 {
                    sender.send(value);
                    checkpoint().await;
                }
            });
            let mut values = pin!(receiver.values());
            let mut last = 0;
            while let Some(value) = values.next().await {
                assert!(value > last);
                last = value;
            }
            assert_eq!(last, 100);
        })
        .await;
    });
}

#[test]
fn a_stream_that_is_dropped_after_a_change_has_seen_nothing() {
    run(async {
        let (sender, mut receiver) = channel::watch(0);
        {
            let mut values = pin!(receiver.values());
            assert!(poll!(values.next()).is_pending());
            sender.send(1);
        }
        assert!(receiver.has_changed());
        cancel_while_waiting(async {
            receiver.borrow_and_update();
            receiver.values().boxed_local().next().await
        })
        .await;
        assert!(!receiver.has_changed());
    });
}

#[test]
fn a_stream_of_a_broadcast_tells_what_was_missed() {
    run(async {
        let (sender, mut receiver) = channel::broadcast(2);
        for number in 0..5 {
            sender.send(number).unwrap();
        }
        {
            let mut messages = pin!(receiver.messages());
            assert_eq!(messages.next().await, Some(Err(channel::broadcast::RecvError::Lagged(3))));
            assert_eq!(messages.next().await, Some(Ok(3)));
        }
        {
            let mut messages = pin!(receiver.messages());
            assert_eq!(messages.next().await, Some(Ok(4)));
            assert!(poll!(messages.next()).is_pending());
            sender.send(5).unwrap();
        }
        // What came while the stream waited that was dropped is there.
        drop(sender);
        let rest: Vec<_> = receiver.messages().collect().await;
        assert_eq!(rest, [Ok(5)]);
    });
}

#[test]
fn force_send_gives_a_message_to_who_waits_although_all_places_are_reserved() {
    run(async {
        let (sender, receiver) = channel::bounded(1);
        let permit = sender.try_reserve().unwrap();
        assert_eq!(sender.force_send(1), Ok(Some(1)), "there is no place, and no message to make one");
        let mut receive = pin!(receiver.recv());
        assert!(poll!(receive.as_mut()).is_pending());
        assert_eq!(sender.force_send(2), Ok(None));
        assert_eq!(receive.await, Ok(2));
        drop(permit);
        drop(sender);
        assert_eq!(receiver.recv().await, Err(RecvError));
    });
}
