//! Waiting on a plain thread.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use trioxide_runtime::lowlevel;

/// Blocks this thread until `future` is ready.
///
/// # Panics
///
/// In a task, whose worker it would block; in a call of `blocking` in a simulation, if it would have to wait.
#[track_caller]
pub(crate) fn wait<F: Future>(operation: &str, instead: &str, future: F) -> F::Output {
    assert!(
        !lowlevel::in_run(),
        "trioxide: `{operation}` was called in a task, whose worker it would block; await `{instead}` instead, or call it in `blocking`"
    );
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(output) => return output,
            // A wake before this makes it return at once.
            Poll::Pending => {
                assert!(
                    !lowlevel::in_simulated_blocking(),
                    "trioxide: `{operation}` has to wait in `blocking` in a simulation, where the closure runs on the one thread of all tasks: it would wait for itself; \
                     await `{instead}` in the task, and give the closure what came of it"
                );
                thread::park();
            }
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
