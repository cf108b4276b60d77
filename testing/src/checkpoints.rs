//! Whether something is a checkpoint: [`assert_checkpoints`], [`assert_no_checkpoints`].
//!
//! What a checkpoint is, stands in promise P5: an operation that notices cancellation also when it could complete at once, and that yields when the budget of its task is used up. Neither shows
//! when it just completes. So both functions bring about the situation in which it must show.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use trioxide_runtime::{CancelScope, lowlevel};

/// Panics unless `operation` is a checkpoint, in both respects; otherwise gives what it gives.
///
/// It is called twice: in a cancelled scope, where it must be cut and not complete; then with a used-up budget, where it must be suspended before it completes, as it is also if it
/// simply has to wait. That second call is the one whose value comes back. Half a checkpoint is none: a `shield` round one notices no cancellation, for instance.
///
/// After Trio's context manager of that name, which watches a block that runs once; there every operation yields always, so it can.
///
/// # Cancellation
///
/// As `operation`.
///
/// # Panics
///
/// If it is no checkpoint; and as `operation`.
///
/// ```
/// use trioxide_runtime::{checkpoint, run};
/// use trioxide_sync::channel;
/// use trioxide_testing::assert_checkpoints;
///
/// run(async {
///     assert_checkpoints(checkpoint).await;
///     let (sender, mut receiver) = channel::bounded(1);
///     sender.send("ready").await.unwrap();
///     // It could complete at once, and is a checkpoint all the same. The call that was cut has taken nothing.
///     let receiver = &std::cell::RefCell::new(&mut receiver);
///     let received = assert_checkpoints(async || receiver.borrow_mut().recv().await).await;
///     assert_eq!(received, Ok("ready"));
/// });
/// ```
pub async fn assert_checkpoints<T>(operation: impl AsyncFn() -> T) -> T {
    let scope = CancelScope::new();
    scope.handle().cancel("`assert_checkpoints` looks whether it is noticed");
    assert!(
        scope.run(operation()).await.is_err(),
        "trioxide: not a checkpoint: it has completed in a cancelled scope; something in it must notice that, as `checkpoint` does"
    );
    let mut operation = pin!(operation());
    let mut was_pending = false;
    poll_fn(|cx| {
        if !was_pending {
            lowlevel::use_up_budget();
        }
        let polled = operation.as_mut().poll(cx);
        assert!(
            was_pending || polled.is_pending(),
            "trioxide: not a checkpoint: it has completed without a suspension though the budget of its task was used up; something in it must yield then, as `checkpoint` does"
        );
        was_pending = true;
        polled
    })
    .await
}

/// Panics if `operation` is a checkpoint, or half of one; otherwise gives what it gives. For what promises to neither wait nor yield.
///
/// It is called in a cancelled scope and with a used-up budget, and must complete at once. After Trio's context manager of that name.
///
/// # Cancellation
///
/// Not a checkpoint.
///
/// # Panics
///
/// If it is a checkpoint; and as `operation`.
///
/// ```
/// use trioxide_runtime::run;
/// use trioxide_testing::assert_no_checkpoints;
///
/// run(async {
///     assert_eq!(assert_no_checkpoints(async || 6 * 7).await, 42);
/// });
/// ```
pub async fn assert_no_checkpoints<T>(operation: impl AsyncFnOnce() -> T) -> T {
    let scope = CancelScope::new();
    scope.handle().cancel("`assert_no_checkpoints` looks whether it is noticed");
    let mut operation = pin!(scope.run(operation()));
    poll_fn(|cx| {
        lowlevel::use_up_budget();
        match operation.as_mut().poll(cx) {
            Poll::Ready(Ok(value)) => Poll::Ready(value),
            _ => panic!(
                "trioxide: a checkpoint: it was suspended, in a cancelled scope and without a budget, where only what neither waits, nor notices that, nor yields, completes"
            ),
        }
    })
    .await
}
