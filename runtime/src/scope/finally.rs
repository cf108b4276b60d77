//! Clean-up that may await.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use super::node::flag::HOLDER;
use super::scoped::{Deadline, Scoped, shield};
use crate::context;

/// Runs `body`, then `cleanup`, whatever becomes of `body`: its end, its panic, or its being cancelled.
///
/// In a cancelled scope `body` is dropped where it is suspended, `cleanup` runs to its end under a shield, and the scope waits for it. Give a
/// clean-up that may take long a time-out of its own.
///
/// # Cancellation
///
/// As described; a checkpoint only where `body` and `cleanup` are. If something else than a scope drops the future (a foreign `select!`),
/// then `cleanup` is dropped with it: nothing in Rust can await there.
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
    let outcome = {
        let mut body = pin!(Some(body));
        let caught = std::future::poll_fn(|cx| poll_caught(body.as_mut(), cx));
        let outcome = Scoped::new("finally", HOLDER, Deadline::Never, caught).await;
        match catch_unwind(AssertUnwindSafe(|| body.set(None))) {
            Ok(()) => outcome,
            Err(panic) => Ok(Err(panic)),
        }
    };
    shield(cleanup).await;
    match outcome {
        Ok(Ok(output)) => output,
        Ok(Err(panic)) => resume_unwind(panic),
        Err(_) => cut().await,
    }
}

fn poll_caught<F: Future>(body: Pin<&mut Option<F>>, cx: &mut Context<'_>) -> Poll<std::thread::Result<F::Output>> {
    let body = body.as_pin_mut().expect("dropped only after the last poll");
    match catch_unwind(AssertUnwindSafe(|| body.poll(cx))) {
        Ok(polled) => polled.map(Ok),
        Err(panic) => Poll::Ready(Err(panic)),
    }
}

/// The place at which the cancelled scope around drops what has been cut.
async fn cut<T>() -> T {
    std::future::poll_fn(|_| {
        assert!(
            context::is_cancelled(),
            "trioxide: a `finally` was polled again after a scope had cancelled it; it has no value to give"
        );
        Poll::Pending
    })
    .await
}
