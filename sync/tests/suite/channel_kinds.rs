//! The other channels: watch, broadcast, without a bound, the ring; ends for plain threads.

use crate::common::{WORKERS, begin_in_cancelled_scope, cancel_while_waiting, drop_after};
use futures_util::{SinkExt, poll};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use trioxide_runtime::{blocking, checkpoint, nursery, run};
use trioxide_sync::channel::{self, RecvError, SendError, broadcast};
use trioxide_testing::{CountDrops, on_each};

#[test]
fn a_watch_shows_the_newest_value_and_what_is_between_is_not_seen() {
    run(async {
        let (sender, mut receiver) = channel::watch(0);
        assert!(!receiver.has_changed());
        assert_eq!((sender.send(1), sender.send(2)), (0, 1));
        assert!(receiver.has_changed());
        assert_eq!(receiver.changed().await, Ok(()));
        assert_eq!((*receiver.borrow(), receiver.has_changed()), (2, false));
        assert!(!sender.modify(|value| *value > 5));
        assert!(!receiver.has_changed());
        assert!(sender.modify(|value| {
            *value += 1;
            true
        }));
        assert_eq!((*receiver.borrow_and_update(), *sender.borrow()), (3, 3));
        let late = sender.subscribe();
        assert!(!late.has_changed());
        let now = sender.statistics();
        assert_eq!((now.senders, now.receivers, now.tasks_waiting), (1, 2, 0));
        sender.send(4);
        drop(sender);
        assert_eq!(receiver.changed().await, Ok(()));
        assert_eq!(receiver.changed().await, Err(RecvError));
    });
}

#[test]
fn every_observer_of_a_watch_sees_the_last_value() {
    on_each(WORKERS, async || {
        let (sender, receiver) = channel::watch(0);
        nursery(async |n| {
            for _ in 0..10 {
                let mut receiver = receiver.clone();
                n.spawn(async move {
                    let mut last = 0;
                    while receiver.changed().await.is_ok() {
                        let now = *receiver.borrow();
                        assert!(now >= last);
                        last = now;
                    }
                    assert_eq!(last, 500);
                });
            }
            for number in 1..=500 {
                sender.send(number);
                if number % 7 == 0 {
                    checkpoint().await;
                }
            }
            drop(sender);
        })
        .await;
    });
}

#[test]
fn a_wait_for_a_change_that_is_cancelled_or_dropped_has_seen_nothing() {
    on_each(WORKERS, async || {
        let (sender, receiver) = channel::watch(0);
        let mut one = receiver.clone();
        cancel_while_waiting(one.changed()).await;
        drop_after(one.changed(), || _ = sender.send(1)).await;
        assert!(one.has_changed());
        begin_in_cancelled_scope(one.changed()).await;
        assert_eq!(one.changed().await, Ok(()));
        assert_eq!(*one.wait_for(|value| *value == 1).await.unwrap(), 1);
        assert_eq!(sender.statistics().tasks_waiting, 0);
        let mut waits = pin!(one.wait_for(|value| *value == 3));
        assert!(poll!(waits.as_mut()).is_pending());
        sender.send(2);
        assert!(poll!(waits.as_mut()).is_pending());
        sender.send(3);
        assert_eq!(*waits.await.unwrap(), 3);
    });
}

#[test]
fn a_broadcast_reaches_all_in_order() {
    on_each(WORKERS, async || {
        let (sender, receiver) = channel::broadcast(1000);
        nursery(async |n| {
            for _ in 0..5 {
                let mut receiver = receiver.clone();
                n.spawn(async move {
                    for number in 0..500 {
                        assert_eq!(receiver.recv().await, Ok(number));
                    }
                    assert_eq!(receiver.recv().await, Err(broadcast::RecvError::Closed));
                });
            }
            for number in 0..500 {
                assert!(sender.send(number).is_ok());
                if number % 5 == 0 {
                    checkpoint().await;
                }
            }
            drop(sender);
        })
        .await;
        drop(receiver);
    });
}

#[test]
fn a_receiver_that_is_too_slow_is_told_how_much_it_has_missed() {
    run(async {
        let drops = CountDrops::new();
        let (sender, mut receiver) = channel::broadcast(3);
        for number in 0..10 {
            sender.send((number, Arc::new(drops.guard()))).unwrap();
        }
        assert_eq!((drops.dropped(), sender.statistics().kept), (7, 3));
        assert_eq!(receiver.recv().await.map(|message| message.0), Err(broadcast::RecvError::Lagged(7)));
        for number in 7..10 {
            assert_eq!(receiver.recv().await.map(|message| message.0), Ok(number));
        }
        assert!(matches!(receiver.try_recv(), Err(broadcast::TryRecvError::Empty)));
        let mut late = sender.subscribe();
        sender.send((10, Arc::new(drops.guard()))).unwrap();
        assert_eq!(late.recv().await.map(|message| message.0), Ok(10));
        drop((late, receiver));
        assert!(drops.all_dropped());
        assert!(sender.send((11, Arc::new(drops.guard()))).is_err());
    });
}

#[test]
fn a_broadcast_receive_that_is_cancelled_or_dropped_has_taken_nothing() {
    on_each(WORKERS, async || {
        let (sender, mut receiver) = channel::broadcast(2);
        cancel_while_waiting(receiver.recv()).await;
        assert_eq!(sender.statistics().tasks_waiting, 0);
        drop_after(receiver.recv(), || _ = sender.send(1)).await;
        begin_in_cancelled_scope(receiver.recv()).await;
        assert_eq!(receiver.recv().await, Ok(1));
    });
}

#[test]
fn a_broadcast_needs_room() {
    let panic = catch_unwind(AssertUnwindSafe(|| channel::broadcast::<u32>(0))).unwrap_err();
    assert!(panic.downcast_ref::<&str>().unwrap().contains("needs room for 1 at least"));
}

#[test]
fn without_a_bound_a_send_never_waits() {
    run(async {
        let (sender, receiver) = channel::unbounded();
        for number in 0..10_000 {
            sender.try_send(number).unwrap();
        }
        drop(sender);
        for number in 0..10_000 {
            assert_eq!(receiver.recv().await, Ok(number));
        }
        assert_eq!(receiver.recv().await, Err(RecvError));
    });
}

/// More than a channel keeps where no lock is taken: the order is that of the sends, the capacity is what was asked for, and what is left is dropped with the last receiver.
#[test]
fn a_long_channel_is_as_long_as_it_says_and_keeps_the_order() {
    const CAPACITY: usize = 200;
    let drops = CountDrops::new();
    let (sender, receiver) = channel::bounded(CAPACITY);
    let send = |numbers: Range<usize>| {
        for number in numbers {
            assert!(sender.try_send((number, drops.guard())).is_ok());
            assert_eq!(sender.try_reserve().is_ok(), receiver.len() < CAPACITY);
        }
        assert!(sender.try_send((0, drops.guard())).is_err_and(|error| error.is_full()));
    };
    let receive = |numbers: Range<usize>| {
        for number in numbers {
            assert_eq!(receiver.try_recv().map(|(received, _)| received).ok(), Some(number));
        }
    };
    send(0..CAPACITY);
    receive(0..90);
    send(CAPACITY..CAPACITY + 90);
    receive(90..CAPACITY + 40);
    assert_eq!((sender.len(), receiver.statistics().peak_buffered), (50, CAPACITY));
    assert!(sender.force_send((0, drops.guard())).is_ok_and(|replaced| replaced.is_none()));
    drop(receiver);
    assert_eq!((drops.dropped(), drops.made()), (CAPACITY + 93, CAPACITY + 93));
    assert!(sender.try_send((0, drops.guard())).is_err_and(|error| !error.is_full()));
}

/// The oldest makes room; who waits to send goes on waiting, and who waits to receive is served first.
#[test]
fn a_forced_send_takes_the_place_of_the_oldest() {
    run(async {
        let (sender, receiver) = channel::bounded(2);
        assert_eq!((sender.force_send(1), sender.force_send(2)), (Ok(None), Ok(None)));
        let mut waits = pin!(sender.send(9));
        assert!(poll!(waits.as_mut()).is_pending());
        assert_eq!(sender.force_send(3), Ok(Some(1)));
        assert!(poll!(waits.as_mut()).is_pending());
        assert_eq!((receiver.try_recv(), receiver.try_recv(), receiver.try_recv()), (Ok(2), Ok(3), Ok(9)));
        assert_eq!(waits.await, Ok(()));
        let mut receives = pin!(receiver.recv());
        assert!(poll!(receives.as_mut()).is_pending());
        assert_eq!(sender.force_send(4), Ok(None));
        assert_eq!(receives.await, Ok(4));
        let (sender, receiver) = channel::bounded(0);
        assert_eq!(sender.force_send(5), Ok(Some(5)));
        drop(receiver);
        assert_eq!(sender.force_send(6), Err(SendError(6)));
    });
}

#[test]
fn threads_and_tasks_share_a_channel() {
    on_each(WORKERS, async || {
        for capacity in [0, 1, 8] {
            let (sender, receiver) = channel::bounded(capacity);
            let sum = Arc::new(AtomicU64::new(0));
            nursery(async |n| {
                for first in 0..2 {
                    let sender = sender.clone();
                    n.spawn(async move {
                        blocking(move || {
                            (0..100).for_each(|number| sender.blocking_send(100 * first + number).unwrap())
                        })
                        .await;
                    });
                }
                drop(sender);
                let (other, added) = (receiver.clone(), sum.clone());
                n.spawn(async move {
                    blocking(move || {
                        while let Ok(number) = other.blocking_recv() {
                            added.fetch_add(number, Ordering::Relaxed);
                        }
                    })
                    .await;
                });
                while let Ok(number) = receiver.recv().await {
                    sum.fetch_add(number, Ordering::Relaxed);
                }
            })
            .await;
            assert_eq!(sum.load(Ordering::Relaxed), 200 * 199 / 2);
        }
    });
}

#[test]
fn the_ends_for_threads_work_without_a_run_and_are_refused_in_a_task() {
    let (sender, receiver) = channel::bounded(0);
    thread::scope(|s| {
        s.spawn(move || (0..10).for_each(|number| sender.blocking_send(number).unwrap()));
        assert!((0..10).all(|number| receiver.blocking_recv() == Ok(number)));
        assert_eq!(receiver.blocking_recv(), Err(RecvError));
    });
    let panic = run(async {
        let (_sender, receiver) = channel::bounded::<u32>(1);
        catch_unwind(AssertUnwindSafe(|| receiver.blocking_recv())).unwrap_err()
    });
    assert!(panic.downcast_ref::<String>().unwrap().contains("await `Receiver::recv` instead"));
}

#[test]
fn a_rendezvous_holds_nothing() {
    on_each(WORKERS, async || {
        let (sender, receiver) = channel::rendezvous();
        let mut sends = pin!(sender.send(1));
        assert!(poll!(sends.as_mut()).is_pending());
        assert_eq!((receiver.capacity(), receiver.try_recv()), (0, Ok(1)));
        assert_eq!(sends.await, Ok(()));
    });
}

/// Plain threads receive from each kind of channel; the last receive is told that the senders are gone.
#[test]
fn threads_receive_from_channels_of_each_kind() {
    let (answer, asked) = channel::oneshot();
    let (news, mut heard) = channel::broadcast(4);
    let (value, mut seen) = channel::watch(0);
    let mut awaited = value.subscribe();
    thread::scope(|s| {
        s.spawn(move || {
            assert_eq!(asked.blocking_recv(), Ok(7));
            assert_eq!((heard.blocking_recv(), heard.blocking_recv()), (Ok(1), Ok(2)));
            assert_eq!(heard.blocking_recv(), Err(channel::broadcast::RecvError::Closed));
        });
        s.spawn(move || {
            assert_eq!(awaited.blocking_wait_for(|value| *value == 3).map(|value| *value), Ok(3));
            assert_eq!(awaited.blocking_wait_for(|value| *value == 4).map(drop), Err(RecvError));
        });
        s.spawn(move || {
            while *seen.borrow_and_update() < 3 {
                seen.blocking_changed().unwrap();
            }
            assert_eq!(seen.blocking_changed(), Err(RecvError));
        });
        run(async {
            for number in 1..=3 {
                value.send(number);
            }
            answer.send(7).unwrap();
            assert_eq!((news.send(1), news.send(2)), (Ok(1), Ok(1)));
            drop((news, value));
        });
    });
}

#[test]
fn the_blocking_receives_are_refused_in_a_task() {
    let refused = |receive: &mut dyn FnMut()| {
        let panic = catch_unwind(AssertUnwindSafe(receive)).unwrap_err();
        panic.downcast_ref::<String>().unwrap().clone()
    };
    run(async {
        let (_answer, asked) = channel::oneshot::<u32>();
        let (_news, mut heard) = channel::broadcast::<u32>(4);
        let (_value, mut seen) = channel::watch(0);
        let mut asked = Some(asked);
        let texts = [
            refused(&mut || _ = asked.take().unwrap().blocking_recv()),
            refused(&mut || _ = heard.blocking_recv()),
            refused(&mut || _ = seen.blocking_changed()),
            refused(&mut || drop(seen.blocking_wait_for(|_| false))),
        ];
        let instead =
            ["the receiver", "broadcast::Receiver::recv", "watch::Receiver::changed", "watch::Receiver::wait_for"];
        for (text, instead) in texts.iter().zip(instead) {
            assert!(text.contains(&format!("await `{instead}` instead")), "{text}");
        }
    });
}

#[test]
fn a_sink_that_never_waits_is_a_checkpoint_for_each_message() {
    on_each(WORKERS, async || {
        let (sender, mut receiver) = channel::broadcast(4);
        let mut sink = sender.sink();
        begin_in_cancelled_scope(sink.send(0)).await;
        sink.send(1).await.unwrap();
        sink.close().await.unwrap();
        assert_eq!((receiver.try_recv(), receiver.statistics().sent), (Ok(1), 1));
        drop(receiver);
        assert_eq!(sink.send(2).await, Err(SendError(2)));

        let (sender, receiver) = channel::watch(0);
        let mut sink = sender.sink();
        begin_in_cancelled_scope(sink.send(1)).await;
        assert_eq!(*receiver.borrow(), 0);
        sink.send(2).await.unwrap();
        assert_eq!(*receiver.borrow(), 2);
    });
}
