//! [`Portal`]: a runtime in a thread of its own, for programs that are not async.
//!
//! ```text
//!  start ─▶ thread ─▶ run(nursery: the body waits for `close`)        call, spawn ─▶ children of that nursery
//!  close ─▶ the body ends ─▶ children joined ─▶ run ends ─▶ thread joined          drop: cancel first
//! ```

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::io;
use std::panic::resume_unwind;
use std::thread::{self, JoinHandle};

use crate::from_thread::{Answer, Answering, answering, not_on_a_worker};
use crate::nursery::{Closed, Nursery, nursery};
use crate::runtime::{Builder, Runtime};
use crate::scope::{CancelReason, CancelScope, CancelSource, Cancelled, ScopeHandle};
use crate::task::Task;
use crate::time::sleep_forever;
use crate::token::{RunFinished, RunToken, RunTokenError};

/// A handle for synchronous code to a run in a thread of its own.
///
/// All that it runs lives in one nursery: [`close`](Self::close) waits for it, dropping the portal cancels it and then waits. Use it from any number of threads by reference. It blocks:
/// it is for code that is not in a run. After anyio's blocking portal.
///
/// ```
/// use trioxide_runtime::{Portal, checkpoint};
///
/// let portal = Portal::start()?;
/// let task = portal.spawn(async { 40 }).unwrap();
/// let two = portal.call(async {
///     checkpoint().await;
///     2
/// });
/// assert_eq!(task.join().unwrap() + two.unwrap(), 42);
/// portal.close();
/// # Ok::<_, std::io::Error>(())
/// ```
pub struct Portal {
    nursery: Nursery<Infallible>,
    /// Ends the body of the nursery.
    closing: ScopeHandle,
    /// Shows that something outside may wake a task; `None` once the portal gives up.
    token: Option<RunToken>,
    /// `None` once joined.
    thread: Option<JoinHandle<()>>,
}

impl Portal {
    /// Starts a runtime with the default settings, but for signals: they stay the program's.
    ///
    /// # Errors
    ///
    /// If the system refuses a thread.
    pub fn start() -> io::Result<Self> {
        Self::start_with(Runtime::builder().signals(false))
    }

    /// Starts a runtime with these settings.
    ///
    /// # Errors
    ///
    /// As for [`Builder::build`]; and if the system refuses a thread.
    pub fn start_with(builder: Builder) -> io::Result<Self> {
        let runtime = builder.build()?;
        let scope = CancelScope::new();
        let closing = scope.handle();
        let (send, receive) = crossbeam_channel::bounded(1);
        let thread = thread::Builder::new().name("trioxide-portal".into()).spawn(move || {
            runtime.run(nursery(async |n: Nursery<Infallible>| {
                let _ = send.send((n, RunToken::current()));
                let _ = scope.run(sleep_forever()).await;
            }));
        })?;
        match receive.recv() {
            Ok((nursery, token)) => Ok(Self { nursery, closing, token: Some(token), thread: Some(thread) }),
            Err(_) => match thread.join() {
                Err(panic) => resume_unwind(panic),
                Ok(()) => unreachable!("the body sends first of all"),
            },
        }
    }

    /// Runs `future` in the run and waits for its value. A panic of `future` comes out here.
    ///
    /// # Errors
    ///
    /// If the portal's run has ended (something spawned has panicked), or is cancelled while `future` is suspended.
    ///
    /// # Panics
    ///
    /// With the panic of `future`; on a thread that runs tasks, which it would block.
    #[track_caller]
    pub fn call<F>(&self, future: F) -> Result<F::Output, RunTokenError>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        not_on_a_worker("Portal::call");
        let (request, answer) = answering(future);
        self.nursery.try_spawn(request).map_err(|Closed(_)| RunFinished)?;
        match answer.wait() {
            Answer::Given(Ok(value)) => Ok(value),
            Answer::Given(Err(panic)) => resume_unwind(panic),
            Answer::Dropped => Err(cancelled(&self.nursery)),
        }
    }

    /// Starts `future` in the run, and does not wait. A panic of `future` cancels all that runs there, and comes out of [`close`](Self::close).
    ///
    /// # Errors
    ///
    /// If the portal's run has ended.
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> Result<PortalTask<F::Output>, RunFinished>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let (send, receive) = crossbeam_channel::bounded(1);
        let task = self.nursery.try_spawn(async move {
            let _ = send.send(Ok(future.await));
        });
        let task = task.map_err(|Closed(_)| RunFinished)?;
        Ok(PortalTask { task, answer: Answering::new(receive), nursery: self.nursery.clone() })
    }

    /// Cancels all that runs, which goes on to unwind. Does not wait; and nothing can be run any more that suspends.
    pub fn cancel(&self, reason: impl Into<CancelReason>) {
        self.nursery.cancel(reason);
    }

    /// Waits until all that was spawned has ended, and ends the run and its threads.
    ///
    /// # Panics
    ///
    /// With the first panic of what was spawned.
    pub fn close(mut self) {
        self.closing.cancel("the portal is closed");
        self.join();
    }

    fn join(&mut self) {
        drop(self.token.take());
        let Some(thread) = self.thread.take() else { return };
        if let Err(panic) = thread.join()
            && !thread::panicking()
        {
            resume_unwind(panic);
        }
    }
}

impl Drop for Portal {
    /// Cancels what still runs, and waits until it has unwound.
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.nursery.cancel(CancelReason::of(CancelSource::Dropped));
            self.join();
        }
    }
}

impl fmt::Debug for Portal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Portal").field("tasks", &self.nursery.len()).finish_non_exhaustive()
    }
}

/// Something that [`Portal::spawn`] has started. Dropping it changes nothing.
pub struct PortalTask<T> {
    task: Task<()>,
    answer: Answering<T>,
    nursery: Nursery<Infallible>,
}

impl<T> PortalTask<T> {
    /// Waits for the value.
    ///
    /// # Errors
    ///
    /// If it was cancelled, or has panicked: the panic comes out of [`Portal::close`].
    ///
    /// # Panics
    ///
    /// On a thread that runs tasks, which it would block.
    #[track_caller]
    pub fn join(self) -> Result<T, RunTokenError> {
        not_on_a_worker("PortalTask::join");
        match self.answer.wait() {
            Answer::Given(Ok(value)) => Ok(value),
            Answer::Given(Err(panic)) => resume_unwind(panic),
            Answer::Dropped => Err(cancelled(&self.nursery)),
        }
    }

    /// Cancels it alone. Does not wait.
    pub fn cancel(&self, reason: impl Into<CancelReason>) {
        self.task.cancel(reason);
    }

    /// Whether it has ended.
    pub fn is_finished(&self) -> bool {
        self.task.is_finished()
    }
}

impl<T> fmt::Debug for PortalTask<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PortalTask").field("task", &self.task).finish_non_exhaustive()
    }
}

fn cancelled(nursery: &Nursery<Infallible>) -> RunTokenError {
    RunTokenError::Cancelled(Cancelled { reason: nursery.node().reason() })
}
