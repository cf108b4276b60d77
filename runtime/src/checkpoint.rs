//! The plain checkpoint.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::context;

/// Lets other tasks run, and gives cancellation a place to strike.
///
/// Always suspends once: the task goes to the end of its worker's queue. For long computations. After Trio's `lowlevel.checkpoint`.
///
/// # Cancellation
///
/// A checkpoint, and nothing else.
///
/// # Panics
///
/// When polled outside a run.
///
/// ```
/// trioxide_runtime::run(async {
///     for _ in 0..3 {
///         trioxide_runtime::checkpoint().await;
///     }
/// });
/// ```
pub fn checkpoint() -> impl Future<Output = ()> + Send + Sync + Unpin {
    Checkpoint { yielded: false }
}

struct Checkpoint {
    yielded: bool,
}

impl Future for Checkpoint {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // Asked both times: a deadline that passes during the yield is seen by the same checkpoint.
        ready!(context::poll_checkpoint(cx, "checkpoint"));
        if self.yielded {
            return Poll::Ready(());
        }
        self.yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
