//! Nodes that stand for the code of others: combinators that know nothing of scopes, and what else can be done to a future.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::SeqCst;
use std::task::Poll;

use futures_util::StreamExt;
use futures_util::future::{join_all, select_all};
use futures_util::stream::FuturesUnordered;
use trioxide_runtime::checkpoint;

use crate::helpers;
use crate::plan::{Fate, Op};
use crate::play::{Place, play};
use crate::record::Bad;

/// An arm of a combinator, which may drop the result: so an error is told in the arm.
async fn arm(at: Place, op: Op) {
    if let Err(bad) = play(at, op).await {
        bad.tell();
    }
}

pub(crate) async fn join(at: Place, ops: Vec<Op>) -> Result<(), Bad> {
    let _passing = at.frame.excuse_panics(); // It drops what stands beside.
    join_all(ops.into_iter().map(|op| arm(at.below("arm"), op))).await;
    Ok(())
}

pub(crate) async fn unordered(at: Place, ops: Vec<Op>) -> Result<(), Bad> {
    let _passing = at.frame.excuse_panics(); // It drops what stands beside.
    let mut arms: FuturesUnordered<_> = ops.into_iter().map(|op| arm(at.below("arm").gently(), op)).collect();
    while arms.next().await.is_some() {}
    Ok(())
}

pub(crate) async fn select(at: Place, ops: Vec<Op>) -> Result<(), Bad> {
    let _passing = at.frame.excuse_panics(); // It drops what stands beside.
    if ops.is_empty() {
        return Ok(());
    }
    let arms = ops.into_iter().map(|op| Box::pin(arm(at.below("arm"), op)));
    let ((), _, losers) = select_all(arms).await;
    at.frame.excuse();
    drop(losers);
    Ok(())
}

pub(crate) async fn after(at: Place, polls: u8, fate: Fate, op: Op) -> Result<(), Bad> {
    let mut played = play(at.clone(), op);
    let mut left = polls;
    let early = poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match played.as_mut().poll(cx) {
            Poll::Ready(result) => Poll::Ready(Some(result)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    });
    if let Some(result) = early.await {
        return result;
    }
    at.frame.excuse();
    at.frame.late.store(matches!(fate, Fate::Forget), SeqCst);
    match fate {
        Fate::Drop => drop(played),
        Fate::DropElsewhere => helpers::elsewhere(move || {
            let dropped = catch_unwind(AssertUnwindSafe(|| drop(played)));
            at.frame.outlived.store(at.polling_task().has_ended(), SeqCst);
            if let Err(payload) = dropped {
                at.told(payload);
            }
        }),
        Fate::Forget => at.world.morgue.lock().unwrap().push(played),
        Fate::Move => {
            at.hand_on(played);
        }
        Fate::Pause(turns) => {
            for _ in 0..turns {
                checkpoint().await;
            }
            return played.await;
        }
    }
    Ok(())
}
