//! [`RunToken`]: a run's door for other threads.
//!
//! ```text
//!  any thread: run_sync_soon, run ─▶ mailbox ─▶ system task: calls them in order; futures become its children
//!  main task has ended ─▶ mailbox closed ─▶ the rest is called ─▶ the children are cancelled and joined ─▶ the run ends
//! ```
//!
//! | file | duty |
//! | --- | --- |
//! | `mod` (here) | what users call |
//! | `mailbox` | the queue |
//! | `system` | the task behind it, and the start and end of that |
//!
//! The system task is a child of the run's root, beside the main task; it begins with the first post, so a run that nobody posts to has none. It inherits
//! nothing, and a shield keeps it from the cancel that ends the main task: what was accepted is always called.

mod mailbox;
mod system;

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::AcqRel;

#[cfg(loom)]
pub use mailbox::{Mailbox, Posted};
pub(crate) use system::System;

use crate::blocking::host::Host;
use crate::context;
use crate::from_thread::{Answer, answering};
use crate::scope::{CancelReason, CancelSource, Cancelled};

/// A run, for other threads: has it call functions and run futures.
///
/// Get it in the run with [`current`](Self::current) and send it where it is needed. It keeps nothing alive: when the main task has ended it refuses
/// with [`RunFinished`]. Two tokens are equal if they are of the same run. After Trio's `TrioToken`.
///
/// ```
/// use std::sync::mpsc;
/// use trioxide_runtime::{RunToken, blocking, run};
///
/// run(async {
///     let (send, receive) = mpsc::channel();
///     let token = RunToken::current();
///     // Any thread: that of another library, a signal handler's.
///     std::thread::spawn(move || token.run_sync_soon(move || send.send("called in the run").unwrap()));
///     assert_eq!(blocking(move || receive.recv().unwrap()).await, "called in the run");
/// });
/// ```
pub struct RunToken(Arc<System>);

impl Clone for RunToken {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.0))
    }
}

impl Drop for RunToken {
    fn drop(&mut self) {
        self.0.token_dropped();
    }
}

/// The main task of the run has ended: nothing more is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunFinished;

impl fmt::Display for RunFinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the run has finished: its main task has ended")
    }
}

impl std::error::Error for RunFinished {}

/// Why [`RunToken::run`] has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunTokenError {
    /// The main task had ended before.
    RunFinished,
    /// It began, and was cancelled: the main task ended.
    Cancelled(Cancelled),
}

impl fmt::Display for RunTokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RunFinished => RunFinished.fmt(f),
            Self::Cancelled(cancelled) => cancelled.fmt(f),
        }
    }
}

impl std::error::Error for RunTokenError {}

impl From<RunFinished> for RunTokenError {
    fn from(_: RunFinished) -> Self {
        Self::RunFinished
    }
}

/// Something to be done in the run.
enum Entry {
    Call(Box<dyn FnOnce() + Send>),
    Repeat(Arc<Repeat>),
    Future(std::pin::Pin<Box<dyn Future<Output = ()> + Send>>),
}

struct Repeat {
    /// In the queue.
    queued: AtomicBool,
    call: Box<dyn Fn() + Send + Sync>,
}

impl RunToken {
    pub(crate) fn new(system: Arc<System>) -> Self {
        system.token_made();
        Self(system)
    }

    /// The token of the run that the caller is in: in a task, or in a call of [`blocking`](crate::blocking).
    ///
    /// # Panics
    ///
    /// Outside a run.
    #[track_caller]
    pub fn current() -> Self {
        let token = context::worker(|worker| worker.filter(|_| context::in_task())?.shared().present.token());
        token.or_else(|| Host::current()?.token()).unwrap_or_else(|| context::outside("RunToken::current"))
    }

    /// Has `f` called in the run, soon, by one of its workers, in a task of its own. Callbacks are called one after the other, in the order in which they were
    /// accepted; tasks of the run have their turns between them, however many there are. `f` must not block. From any thread, in a run or not; never waits.
    ///
    /// What was accepted is called in any case: also if the main task ends or panics meanwhile. If `f` panics, the later ones are still called, the main
    /// task is cancelled, and the run panics at its end.
    ///
    /// # Errors
    ///
    /// If the main task has ended; `f` is dropped.
    pub fn run_sync_soon(&self, f: impl FnOnce() + Send + 'static) -> Result<(), RunFinished> {
        self.0.post(|| Some(Entry::Call(Box::new(f))))
    }

    /// A callback to be called any number of times: what is asked for while it is queued already is merged into that. The idempotent form of
    /// [`run_sync_soon`](Self::run_sync_soon), in whose order it takes part.
    ///
    /// ```
    /// use trioxide_runtime::{RunToken, run};
    ///
    /// run(async {
    ///     let redraw = RunToken::current().callback(|| { /* once for many changes */ });
    ///     redraw.run_soon().unwrap();
    ///     redraw.run_soon().unwrap();
    /// });
    /// ```
    pub fn callback(&self, f: impl Fn() + Send + Sync + 'static) -> Callback {
        let repeat = Arc::new(Repeat { queued: AtomicBool::new(false), call: Box::new(f) });
        Callback { token: self.clone(), repeat }
    }

    /// Runs `future` in a system task of the run, outside the nurseries of the user, and waits for its value on this thread, whose task locals
    /// it sees. A panic of `future` comes out here.
    ///
    /// In a call of [`blocking`](crate::blocking), [`from_thread::run`](crate::from_thread::run) runs things in the task that called, below its scopes.
    ///
    /// # Errors
    ///
    /// If the main task has ended before, or ends while `future` runs: then that is cancelled.
    ///
    /// # Panics
    ///
    /// With the panic of `future`; and on a thread that runs tasks, which would wait for itself.
    ///
    /// ```
    /// use trioxide_runtime::{RunToken, blocking, checkpoint, run};
    ///
    /// run(async {
    ///     let token = RunToken::current();
    ///     let foreign = std::thread::spawn(move || token.run(async { checkpoint().await; 42 }));
    ///     assert_eq!(blocking(move || foreign.join().unwrap()).await, Ok(42));
    /// });
    /// ```
    #[track_caller]
    pub fn run<F>(&self, future: F) -> Result<F::Output, RunTokenError>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        crate::from_thread::not_on_a_worker("RunToken::run");
        crate::from_thread::not_in_a_simulation("RunToken::run");
        let (request, answer) = answering(future);
        self.0.post(|| Some(Entry::Future(request)))?;
        match answer.wait() {
            Answer::Given(Ok(value)) => Ok(value),
            Answer::Given(Err(panic)) => resume_unwind(panic),
            Answer::Dropped => {
                Err(RunTokenError::Cancelled(Cancelled { reason: CancelReason::of(CancelSource::Shutdown) }))
            }
        }
    }

    /// Calls `f` as [`run_sync_soon`](Self::run_sync_soon) does, and waits for its value on this thread. A panic of `f` comes out here.
    ///
    /// # Errors
    ///
    /// If the main task has ended before.
    ///
    /// # Panics
    ///
    /// With the panic of `f`; and on a thread that runs tasks, which would wait for itself.
    #[track_caller]
    pub fn run_sync<T: Send + 'static>(&self, f: impl FnOnce() -> T + Send + 'static) -> Result<T, RunFinished> {
        crate::from_thread::not_on_a_worker("RunToken::run_sync");
        crate::from_thread::not_in_a_simulation("RunToken::run_sync");
        let (send, receive) = crossbeam_channel::bounded(1);
        self.run_sync_soon(move || {
            let _ = send.send(catch_unwind(AssertUnwindSafe(f)));
        })?;
        match receive.recv().expect("what was accepted is called") {
            Ok(value) => Ok(value),
            Err(panic) => resume_unwind(panic),
        }
    }
}

impl PartialEq for RunToken {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for RunToken {}

impl fmt::Debug for RunToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunToken").field("queued", &self.0.queued()).finish_non_exhaustive()
    }
}

/// A callback that is queued at most once at a time; made by [`RunToken::callback`].
#[derive(Clone)]
pub struct Callback {
    token: RunToken,
    repeat: Arc<Repeat>,
}

impl Callback {
    /// Has it called soon, as [`RunToken::run_sync_soon`] does, unless it is queued already. Called from inside itself it queues it again.
    ///
    /// # Errors
    ///
    /// If the main task has ended.
    pub fn run_soon(&self) -> Result<(), RunFinished> {
        // Acquire and release pair with the swap before the call: that call sees all that was done before a request that was merged into it.
        self.token.0.post(|| (!self.repeat.queued.swap(true, AcqRel)).then(|| Entry::Repeat(Arc::clone(&self.repeat))))
    }
}

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callback").field("token", &self.token).finish_non_exhaustive()
    }
}
