//! Clean-up that may await.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use super::deadline::Deadline;
use super::node::flag::HOLDER;
use super::scoped::{Scoped, shield};
use super::shield::is_cut_here;
use super::timeout::move_on_after;
use crate::contain;
use crate::held_panic::HeldPanic;

/// Runs `body`, then `cleanup`, whatever becomes of `body`: its end, its panic, or its being cancelled.
///
/// In a cancelled scope `body` is dropped where it is suspended, `cleanup` runs to its end under a shield, and the scope waits for it. Give a
/// clean-up that may take long a time-out of its own.
///
/// # Cancellation
///
/// As described; a checkpoint only where `body` and `cleanup` are. If something else than a scope drops the future (a foreign `select!`),
/// then `cleanup` is dropped with it: nothing in Rust can await there. A panic of `body` that has waited for it becomes the task's.
///
/// # Panics
///
/// When polled outside a run; with the panic of `body`, after `cleanup` has run; or else of `cleanup`. And when it is polled again, outside of
/// it, after a scope has cancelled it.
///
/// ```
/// use std::time::Duration;
/// use trioxide_runtime::{checkpoint, finally, move_on_after, run, sleep_forever};
/// run(async {
///     let mut said_goodbye = false;
///     let farewell = async {
///         checkpoint().await; // it may await, although the scope is cancelled
///         said_goodbye = true;
///     };
///     move_on_after(Duration::from_millis(1), finally(sleep_forever(), farewell)).await;
///     assert!(said_goodbye);
/// });
/// ```
pub async fn finally<F, C>(body: F, cleanup: C) -> F::Output
where
    F: Future,
    C: Future<Output = ()>,
{
    // Held while the clean-up runs: if that is dropped half-way, the panic is the task's.
    let mut panic = HeldPanic::none();
    let value = {
        let mut body = pin!(Some(body));
        let caught = poll_fn(|cx| poll_caught(body.as_mut(), cx));
        let outcome = Scoped::new("finally", HOLDER, Deadline::Never, caught).await;
        let (value, panicked) = match outcome {
            Ok(Ok(value)) => (Some(value), None),
            Ok(Err(panic)) => (None, Some(panic)),
            Err(_) => (None, None),
        };
        let dropped = catch_unwind(AssertUnwindSafe(|| body.set(None)));
        [panicked, dropped.err()].into_iter().flatten().for_each(|payload| panic.keep(payload));
        value
    };
    let mut cleanup = pin!(Some(cleanup));
    let cleaned = shield(poll_fn(|cx| poll_caught(cleanup.as_mut(), cx))).await;
    let dropped = catch_unwind(AssertUnwindSafe(|| cleanup.set(None)));
    [cleaned.err(), dropped.err()].into_iter().flatten().for_each(|payload| panic.keep(payload));
    match (panic.take(), value) {
        (Some(panic), value) => {
            contain::drop_value(value);
            resume_unwind(panic)
        }
        (None, Some(value)) => value,
        (None, None) => cut("finally").await,
    }
}

/// As [`finally`], with a clean-up that is cut when it has taken longer than `limit`.
///
/// The time counts from the beginning of the clean-up. So a connection that does not close cannot keep a cancelled scope for ever.
///
/// # Cancellation
///
/// As [`finally`]. At the limit `cleanup` is dropped where it is suspended, once every guard in it has let go; the outcome is as if it had ended. A clean-up
/// that must know that wraps itself with [`move_on_after`](crate::move_on_after) in place of this.
///
/// # Panics
///
/// As [`finally`].
///
/// ```
/// use std::time::Duration;
/// use trioxide_runtime::{finally_within, run, sleep_forever};
/// let answer = run(finally_within(Duration::from_millis(1), async { 42 }, sleep_forever()));
/// assert_eq!(answer, 42);
/// ```
pub async fn finally_within<F, C>(limit: Duration, body: F, cleanup: C) -> F::Output
where
    F: Future,
    C: Future<Output = ()>,
{
    let within = async {
        let _ = move_on_after(limit, cleanup).await;
    };
    finally(body, within).await
}

fn poll_caught<F: Future>(body: Pin<&mut Option<F>>, cx: &mut Context<'_>) -> Poll<std::thread::Result<F::Output>> {
    let body = body.as_pin_mut().expect("dropped only after the last poll");
    match catch_unwind(AssertUnwindSafe(|| body.poll(cx))) {
        Ok(polled) => polled.map(Ok),
        Err(panic) => Poll::Ready(Err(panic)),
    }
}

/// The place at which the cancelled scope around drops what has been cut.
pub(super) async fn cut<T>(operation: &str) -> T {
    poll_fn(|cx| {
        assert!(
            is_cut_here(cx),
            "trioxide: a `{operation}` was polled again after a scope had cancelled it; it has no value to give"
        );
        Poll::Pending
    })
    .await
}
