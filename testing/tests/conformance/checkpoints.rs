//! Checkpoints, and halves of them.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use trioxide_runtime::{EffectiveDeadline, checkpoint, current_effective_deadline, nursery, shield, sleep};
use trioxide_sync::{Event, Mutex, Semaphore, channel};
use trioxide_testing::{assert_checkpoints, assert_no_checkpoints, on_each, pending_once, wait_all_tasks_blocked};

use crate::common::panic_of;

/// Yields, and lets no cancellation in: Trio's `cancel_shielded_checkpoint`.
async fn schedule_point() {
    shield(checkpoint()).await;
}

/// Notices a cancel, and does not yield: Trio's `checkpoint_if_cancelled`.
async fn cancel_point() {
    poll_fn(|_| match current_effective_deadline() {
        EffectiveDeadline::Cancelled => Poll::Pending,
        _ => Poll::Ready(()),
    })
    .await;
}

#[test]
fn c114_asserting_a_checkpoint_fails_for_none_and_for_half_of_one() {
    on_each(&[1, 2], async || {
        let nothing = panic_of(assert_checkpoints(async || {})).await;
        assert!(nothing.contains("not a checkpoint: it has completed in a cancelled scope"), "{nothing}");
        let half = panic_of(assert_checkpoints(schedule_point)).await;
        assert!(half.contains("not a checkpoint: it has completed in a cancelled scope"), "{half}");
        let half = panic_of(assert_checkpoints(cancel_point)).await;
        assert!(half.contains("not a checkpoint: it has completed without a suspension"), "{half}");
        // Both halves together are a whole, in either order.
        assert_checkpoints(async || {
            cancel_point().await;
            schedule_point().await;
        })
        .await;
        assert_checkpoints(async || {
            schedule_point().await;
            cancel_point().await;
        })
        .await;
        assert_checkpoints(checkpoint).await;
    });
}

#[test]
fn c115_asserting_no_checkpoint_fails_for_one_and_for_half_of_one() {
    on_each(&[1, 2], async || {
        assert_eq!(assert_no_checkpoints(async || 7).await, 7);
        let whole = panic_of(assert_no_checkpoints(checkpoint)).await;
        assert!(whole.contains("a checkpoint: it was suspended"), "{whole}");
        for half in
            [panic_of(assert_no_checkpoints(schedule_point)).await, panic_of(assert_no_checkpoints(cancel_point)).await]
        {
            assert!(half.contains("a checkpoint: it was suspended"), "{half}");
        }
        // A suspension that asks nobody is where a cancelled scope cuts.
        panic_of(assert_no_checkpoints(pending_once)).await;
        checkpoint().await; // The budget is back.
    });
}

/// What could complete at once is a checkpoint too (P5), and what was cut has taken nothing.
#[test]
fn c114_our_own_operations_are_checkpoints_when_they_could_complete_at_once() {
    on_each(&[1, 2], async || {
        assert_checkpoints(async || sleep(Duration::ZERO).await).await;
        let event = Event::new();
        event.set();
        assert_checkpoints(async || event.wait().await).await;
        let mutex = Mutex::new(1);
        assert_checkpoints(async || *mutex.lock().await.unwrap()).await;
        let semaphore = Semaphore::new(1);
        assert_checkpoints(async || drop(semaphore.acquire().await)).await;
        let (sender, receiver) = channel::bounded(2);
        assert_checkpoints(async || sender.send("message").await.unwrap()).await;
        assert_eq!(assert_checkpoints(async || receiver.recv().await).await, Ok("message"));
        assert!(receiver.try_recv().is_err(), "the sends and receives that were cut have done nothing");
        assert_checkpoints(async || wait_all_tasks_blocked(Duration::ZERO).await).await;
        assert_no_checkpoints(async || (semaphore.try_acquire().is_ok(), mutex.try_lock().is_ok(), event.set())).await;
        nursery(async |n| {
            assert_no_checkpoints(async || drop(n.spawn(checkpoint()))).await;
        })
        .await;
    });
}
