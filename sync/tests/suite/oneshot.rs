//! Oneshot channels.

use crate::common::{WORKERS, begin_in_cancelled_scope, cancel_while_waiting, drop_after};
use futures_util::poll;
use std::pin::Pin;
use std::task::Poll;
use std::thread;
use trioxide_runtime::{CancelScope, nursery, run};
use trioxide_sync::channel::oneshot::{Closed, OneshotStatistics};
use trioxide_sync::channel::{self, TryRecvError};
use trioxide_testing::{CountDrops, on_each};

#[test]
fn delivers_what_was_sent_before_and_after_the_wait_began() {
    run(async {
        let (sender, receiver) = channel::oneshot();
        sender.send(1).unwrap();
        assert_eq!(receiver.await, Ok(1));

        let (sender, mut receiver) = channel::oneshot();
        assert!(poll!(&mut receiver).is_pending());
        sender.send(2).unwrap();
        assert_eq!(poll!(&mut receiver), Poll::Ready(Ok(2)));
        assert_eq!(receiver.await, Err(Closed));
    });
}

#[test]
fn delivers_between_tasks() {
    on_each(WORKERS, async || {
        for number in 0..200 {
            nursery(async |n| {
                let (there, question) = channel::oneshot();
                let (back, answer) = channel::oneshot();
                n.spawn(async move { back.send(question.await.unwrap() + 1).unwrap() });
                there.send(number).unwrap();
                assert_eq!(answer.await, Ok(number + 1));
            })
            .await;
        }
    });
}

#[test]
fn delivers_from_a_plain_thread() {
    on_each(WORKERS, async || {
        let (sender, receiver) = channel::oneshot();
        let sending = thread::spawn(move || sender.send("hello").unwrap());
        assert_eq!(receiver.await, Ok("hello"));
        sending.join().unwrap();
    });
}

#[test]
fn a_dropped_sender_ends_the_wait() {
    on_each(WORKERS, async || {
        nursery(async |n| {
            let (sender, receiver) = channel::oneshot::<u32>();
            n.spawn(async move { drop(sender) });
            assert_eq!(receiver.await, Err(Closed));
        })
        .await;
    });
    assert_eq!(Closed.to_string(), "the channel is closed: its sender was dropped without having sent");
}

#[test]
fn a_value_for_nobody_comes_back() {
    let drops = CountDrops::new();
    let (sender, receiver) = channel::oneshot();
    assert!(!sender.is_closed());
    drop(receiver);
    assert!(sender.is_closed());
    let value = sender.send(drops.guard()).unwrap_err();
    assert_eq!(drops.dropped(), 0);
    drop(value);
    assert_eq!(drops.dropped(), 1);
}

#[test]
fn a_value_that_is_not_received_is_dropped_with_the_receiver() {
    let drops = CountDrops::new();
    let (sender, receiver) = channel::oneshot();
    sender.send(drops.guard()).unwrap();
    assert_eq!(drops.dropped(), 0);
    drop(receiver);
    assert_eq!(drops.dropped(), 1);
}

#[test]
fn try_recv_does_not_wait() {
    let (sender, mut receiver) = channel::oneshot::<u32>();
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    drop(sender);
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
}

#[test]
fn a_cancelled_wait_on_a_reference_has_taken_nothing() {
    run(async {
        let (sender, mut receiver) = channel::oneshot();
        cancel_while_waiting(&mut receiver).await;
        drop_after(&mut receiver, || sender.send(1).unwrap()).await;
        assert_eq!(receiver.await, Ok(1));
    });
}

#[test]
fn a_wait_that_begins_in_a_cancelled_scope_takes_nothing() {
    run(async {
        let (sender, mut receiver) = channel::oneshot();
        sender.send(1).unwrap();
        begin_in_cancelled_scope(&mut receiver).await;
        assert_eq!(receiver.await, Ok(1));
    });
}

#[test]
fn what_is_complete_is_delivered_in_a_cancelled_scope() {
    run(async {
        let (sender, mut receiver) = channel::oneshot();
        let scope = CancelScope::new();
        let handle = scope.handle();
        let delivered = scope.run(async {
            assert!(poll!(&mut receiver).is_pending());
            sender.send(1).unwrap();
            handle.cancel("it is complete");
            receiver.await
        });
        assert_eq!(delivered.await.unwrap(), Ok(1));
    });
}

#[test]
fn a_receiver_that_changes_tasks_wakes_the_last_one() {
    on_each(WORKERS, async || {
        let (sender, mut receiver) = channel::oneshot();
        assert!(poll!(Pin::new(&mut receiver)).is_pending());
        nursery(async |n| {
            let task = n.spawn(async move { assert_eq!(receiver.await, Ok(1)) });
            trioxide_runtime::checkpoint().await;
            sender.send(1).unwrap();
            task.await.unwrap();
        })
        .await;
    });
}

#[test]
#[should_panic(expected = "`oneshot::Receiver`")]
fn a_wait_outside_a_run_says_so() {
    let (_sender, receiver) = channel::oneshot::<u32>();
    let _ = futures_util::FutureExt::now_or_never(receiver);
}

#[test]
fn statistics_tell_at_both_ends_what_goes_on() {
    run(async {
        let (sender, mut receiver) = channel::oneshot();
        let seen = |now: OneshotStatistics| (now.is_sent, now.senders, now.receivers, now.tasks_waiting);
        assert_eq!(seen(sender.statistics()), (false, 1, 1, 0));
        assert!(poll!(&mut receiver).is_pending());
        assert_eq!(seen(sender.statistics()), (false, 1, 1, 1));
        assert_eq!(seen(receiver.statistics()), (false, 1, 1, 1));
        sender.send(1).unwrap();
        assert_eq!(seen(receiver.statistics()), (true, 0, 1, 0));
        assert_eq!((&mut receiver).await, Ok(1));
        assert_eq!(seen(receiver.statistics()), (true, 0, 1, 0));

        let (sender, receiver) = channel::oneshot::<u32>();
        drop(sender);
        assert_eq!(seen(receiver.statistics()), (false, 0, 1, 0));
        let (sender, mut receiver) = channel::oneshot::<u32>();
        assert!(poll!(&mut receiver).is_pending());
        drop(receiver);
        assert_eq!(seen(sender.statistics()), (false, 1, 0, 0));
        assert!(format!("{sender:?}").contains("receivers: 0"), "{sender:?}");
    });
}
