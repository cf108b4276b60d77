//! From a thread of the pool back into the run.
//!
//! The closure of a [`blocking`](crate::blocking) call has a *host*: the task that made the call. What is here runs in that task, below the scopes around the call. Threads of
//! other kinds use a [`RunToken`](crate::RunToken). After Trio's `trio.from_thread`.
//!
//! ```
//! use trioxide_runtime::{blocking, checkpoint, from_thread, run};
//!
//! let value = run(blocking(|| {
//!     let half = from_thread::run(async {
//!         checkpoint().await;
//!         21
//!     });
//!     half.map(|half| 2 * half)
//! }));
//! assert_eq!(value, Ok(42));
//! ```

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::task::{Context, Poll};

use crate::blocking::host::{Host, HostRef, Request};
use crate::context;
use crate::local::Locals;
use crate::scope::Cancelled;

/// Runs `future` in the host task and waits for its value on this thread.
///
/// # Errors
///
/// [`Cancelled`] if `future` was cut: the scopes around the call are cancelled and it was suspended; or if the task has gone, as after
/// [`abandon_on_cancel`](crate::Blocking::abandon_on_cancel).
///
/// # Panics
///
/// With the panic of `future`. Outside a call of [`blocking`](crate::blocking), and on a thread that runs tasks.
#[track_caller]
pub fn run<F>(future: F) -> Result<F::Output, Cancelled>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let host = host("from_thread::run");
    not_in_a_simulation("from_thread::run");
    let (request, answer) = answering(future);
    host.send(request);
    match answer.wait() {
        Answer::Given(Ok(value)) => Ok(value),
        Answer::Given(Err(panic)) => resume_unwind(panic),
        Answer::Dropped => Err(host.cancelled()),
    }
}

/// Calls `f` in the host task, where it must not block, and waits for its value on this thread. `f` is no suspension: it is called in a cancelled scope, too.
///
/// # Errors
///
/// [`Cancelled`] if the task has gone, as after [`abandon_on_cancel`](crate::Blocking::abandon_on_cancel).
///
/// # Panics
///
/// With the panic of `f`. Outside a call of [`blocking`](crate::blocking), and on a thread that runs tasks.
///
/// ```
/// use trioxide_runtime::{blocking, from_thread, lowlevel, run};
///
/// assert_eq!(run(blocking(|| from_thread::run_sync(lowlevel::in_run))), Ok(true));
/// ```
#[track_caller]
pub fn run_sync<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> Result<T, Cancelled> {
    not_on_a_worker("from_thread::run_sync");
    host("from_thread::run_sync");
    not_in_a_simulation("from_thread::run_sync");
    let mut f = Some(f);
    run(poll_fn(move |_| Poll::Ready((f.take().expect("polled once"))())))
}

/// Whether anybody still wants what this call does.
///
/// # Errors
///
/// [`Cancelled`] if the scopes around the call are cancelled, or its task has gone.
///
/// # Panics
///
/// Outside a call of [`blocking`](crate::blocking), and on a thread that runs tasks.
///
/// ```
/// use trioxide_runtime::{blocking, from_thread, run};
///
/// let sum = run(blocking(|| {
///     let mut sum = 0;
///     for number in 0..1000 {
///         from_thread::check_cancelled()?; // stop early if nobody waits any more
///         sum += number;
///     }
///     Ok::<_, trioxide_runtime::Cancelled>(sum)
/// }));
/// assert_eq!(sum, Ok(499_500));
/// ```
#[track_caller]
pub fn check_cancelled() -> Result<(), Cancelled> {
    host("from_thread::check_cancelled").check_cancelled()
}

#[track_caller]
fn host(operation: &str) -> HostRef {
    not_on_a_worker(operation);
    Host::current().unwrap_or_else(|| {
        panic!(
            "trioxide: `{operation}` was called on a thread that no run knows; call it inside `blocking`, or give the thread a `RunToken` \
             and use that"
        )
    })
}

#[track_caller]
pub(crate) fn not_on_a_worker(operation: &str) {
    assert!(
        !context::worker(|worker| worker.is_some()),
        "trioxide: `{operation}` was called on a thread that runs tasks: it would wait for itself; await the future there, or call it inside `blocking`"
    );
}

/// The closure of a call of `blocking` in a simulation must not wait for a task: both have one thread.
#[track_caller]
pub(crate) fn not_in_a_simulation(operation: &str) {
    assert!(
        !crate::lowlevel::in_simulated_blocking(),
        "trioxide: `{operation}` was called in `blocking` in a simulation, where the closure runs on the one thread of all tasks: it would wait for itself; \
         give the closure what it needs, and let the task go on with what it returns"
    );
}

/// What became of something that was sent.
pub(crate) enum Answer<T> {
    Given(std::thread::Result<T>),
    Dropped,
}

/// Where a thread waits for its answer.
pub(crate) struct Answering<T>(crossbeam_channel::Receiver<std::thread::Result<T>>);

impl<T> Answering<T> {
    pub(crate) fn new(receiver: crossbeam_channel::Receiver<std::thread::Result<T>>) -> Self {
        Self(receiver)
    }

    pub(crate) fn wait(self) -> Answer<T> {
        self.0.recv().map_or(Answer::Dropped, Answer::Given)
    }
}

/// `future` as something to be run elsewhere, and where to wait for it.
pub(crate) fn answering<F>(future: F) -> (Request, Answering<F::Output>)
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let (send, receive) = crossbeam_channel::bounded(1);
    // What the thread sees of locals goes with it, as a copy.
    let locals = Locals::current();
    let request = Box::pin(async move {
        let mut future = Box::pin(future);
        let mut poll =
            |cx: &mut Context<'_>| catch_unwind(AssertUnwindSafe(|| locals.enter(|| future.as_mut().poll(cx))));
        let polled = poll_fn(|cx| match poll(cx) {
            Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(panic) => Poll::Ready(Err(panic)),
        });
        let outcome = polled.await;
        // Gone before the thread goes on; what panics first counts.
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(future)));
        let _ = send.send(match (outcome, dropped) {
            (Ok(_), Err(panic)) => Err(panic),
            (outcome, _) => outcome,
        });
    });
    (request, Answering(receive))
}
