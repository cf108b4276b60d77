//! Many futures at once, on all workers, with a limit: each runs as a child of a nursery of its own.
//!
//! All of these wait until everything they have started has ended, whatever happens: the end, an error, a panic or a cancel. They are nurseries
//! with a purpose, no more; what they do not offer is written with [`nursery`](fn@crate::nursery).
//!
//! | I want | function |
//! | --- | --- |
//! | some futures, of different types, and all their values | [`join`], [`try_join`] |
//! | the first one to end | [`race`], [`race_all`] |
//! | one function for many items, its values in order | [`map`], [`try_map`] |
//! | … that has no value | [`for_each`], [`try_for_each`] |
//! | one function for the items of a stream, its values as a stream | [`ordered`], [`completed`] |
//!
//! What the futures use they own, for they run on any worker. To lend them something, share it (`Arc`), or write the loop in a
//! [`nursery_with`](crate::nursery_with). In the task, borrowing freely: [`join!`](crate::join), [`try_join!`](crate::try_join), [`race!`](crate::race).
//!
//! ```
//! use trioxide_runtime::{parallel, run};
//! let squares = run(parallel::map(1..=4, 2, async |n: u32| n * n));
//! assert_eq!(squares, [1, 4, 9, 16]);
//! ```

mod each;
mod race;
mod slots;
mod streams;
mod tuples;

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::panic::Location;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::Poll;

pub use each::{for_each, map, try_for_each, try_map};
pub use race::{Race, race, race_all};
pub use streams::{Results, completed, ordered};
pub use tuples::{Join, TryJoin, join, try_join};

use crate::nursery::{ErrorGroup, Nursery, NurseryError, nursery};
use crate::scope::is_cut_here;
use crate::scope::node::flag::CLOSED;

/// The place of the user's call, for the children that it spawns.
type Site = &'static Location<'static>;

/// What comes out of a nursery that nobody but us could have cancelled.
async fn unless_cut<T, E>(joined: impl Future<Output = Result<T, NurseryError<E>>>) -> Result<T, ErrorGroup<E>> {
    match joined.await {
        Ok(value) => Ok(value),
        Err(NurseryError::Failed(group)) => Err(group),
        // It was cut by a scope around, which drops us now.
        Err(NurseryError::Cancelled(_)) => cut().await,
    }
}

/// As [`unless_cut`], for children that cannot fail.
async fn never_fails<T>(joined: impl Future<Output = Result<T, NurseryError<Infallible>>>) -> T {
    match unless_cut(joined).await {
        Ok(value) => value,
        Err(group) => match group.into_first() {},
    }
}

/// A nursery that `body` itself may cancel once there is a result. `result` is asked when everything has ended. A result that is there is
/// delivered also in a cancelled scope, although children were cut.
async fn with_result<T, F, Fut>(body: F, mut result: impl FnMut() -> Option<T>) -> T
where
    F: FnOnce(Nursery<Infallible>) -> Fut,
    Fut: Future<Output = ()>,
{
    let opened = OnceLock::new();
    let joined = nursery::<Infallible, _, _>(|n| {
        let _ = opened.set(Arc::clone(n.node()));
        body(n)
    });
    let mut joined = pin!(joined);
    let is_closed = || opened.get().is_some_and(|node| node.has(CLOSED));
    let value = poll_fn(|cx| {
        loop {
            let closed = is_closed();
            match joined.as_mut().poll(cx) {
                Poll::Ready(()) => return Poll::Ready(result()),
                // Closed and still pending, it waits to be dropped by a cancelled scope around.
                Poll::Pending if closed => return result().map_or(Poll::Pending, |value| Poll::Ready(Some(value))),
                Poll::Pending if is_closed() => {} // Since we looked: then it may have seen that, or not.
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await;
    match value {
        Some(value) => value,
        None => cut().await,
    }
}

/// The place at which the cancelled scope around drops what has been cut.
async fn cut<T>() -> T {
    poll_fn(|cx| {
        assert!(
            is_cut_here(cx),
            "trioxide: a function of `parallel` was polled again after a scope had cancelled it; it has no value to give"
        );
        Poll::Pending
    })
    .await
}

#[track_caller]
fn check_limit(limit: usize, operation: &str) {
    assert!(
        limit > 0,
        "trioxide: `{operation}` with a limit of 0 would never begin; give it the number of futures that may run at once, or `usize::MAX`"
    );
}
