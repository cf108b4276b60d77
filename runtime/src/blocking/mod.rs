//! Calls that block, on threads of their own.
//!
//! ```text
//! blocking(f) ─▶ limiter: wait for a token, as a task ─▶ pool: a thread that is free, last in first out, or a new one
//!                                                          │ f()          ◀──▶ host: the task that called; `from_thread` runs things there
//!    value ◀── wake ◀── token back ◀── thread free again ◀─┘
//! ```
//!
//! | file | duty |
//! | --- | --- |
//! | `mod` (here) | `blocking` and its options |
//! | `call` | the future of a call, and what the thread does for it |
//! | `host` | the way from the thread back into the task that called |
//! | `pool` | the threads |
//! | `name` | what the system shows as a thread's name |
//! | `simulated` | in place of the threads, in a simulation |
//! | `scope` | closures on threads that borrow from a synchronous frame |
//!
//! An ordinary call holds a guard while its closure runs, so a cancelled scope waits for it; and a token of its task, so the task does not end
//! before the closure has returned, even if the future of the call is dropped or forgotten. A call that may be abandoned has neither: its thread runs on by
//! itself, and what it gives is dropped there. It keeps its token of the limiter, so that no more threads run than are allowed.

mod call;
pub(crate) mod host;
mod name;
mod pool;
mod scope;
mod simulated;

use std::sync::Arc;

use call::Call;
pub(crate) use pool::{Limits, Pool};
pub use scope::{BlockingScope, ScopedCall, blocking_scope};

use crate::context;
use crate::limiter::CapacityLimiter;

/// Runs `f`, which may block, on a thread of the pool, and gives its value.
///
/// The call waits in order for a token of the runtime's [limiter](blocking_limiter), of which there are
/// [`max_blocking_threads`](crate::Builder::max_blocking_threads). [`Blocking`] has options. Inside, [`from_thread`](crate::from_thread) goes back into the
/// task, and task locals have the values of the task. After Trio's `to_thread.run_sync`.
///
/// # Cancellation
///
/// A checkpoint. In a cancelled scope, a call that has not begun never begins. One whose closure runs goes on to its end: the scope
/// waits for it, and its value is delivered. If something else than a scope drops the future, the value is dropped, a panic of `f` becomes that of the
/// task, and the *task* does not end before `f` has returned.
///
/// # Panics
///
/// With the panic of `f`; when polled outside a run; if no thread is free and the system refuses to start one.
///
/// ```
/// let answer = trioxide_runtime::run(trioxide_runtime::blocking(|| 6 * 7));
/// assert_eq!(answer, 42);
/// ```
pub async fn blocking<T, F>(f: F) -> T
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    Blocking::new().run(f).await
}

/// The limiter of calls that name none: it has [`max_blocking_threads`](crate::Builder::max_blocking_threads) tokens at first. One for each runtime.
///
/// # Panics
///
/// Outside a run.
///
/// ```
/// trioxide_runtime::run(async {
///     trioxide_runtime::blocking_limiter().set_total(40);
/// });
/// ```
#[track_caller]
pub fn blocking_limiter() -> Arc<CapacityLimiter> {
    default_limiter("blocking_limiter")
}

#[track_caller]
fn default_limiter(operation: &str) -> Arc<CapacityLimiter> {
    let limiter = context::worker(|worker| worker.map(|worker| Arc::clone(worker.shared().pool.limiter())));
    limiter.filter(|_| context::in_task()).unwrap_or_else(|| context::outside(operation))
}

/// A call of [`blocking`] with options.
///
/// ```
/// use std::sync::Arc;
/// use trioxide_runtime::{Blocking, CapacityLimiter, run};
///
/// let disk = Arc::new(CapacityLimiter::new(4));
/// let sum: u64 = run(Blocking::new().limiter(&disk).name("checksum").run(|| (1..=100).sum()));
/// assert_eq!(sum, 5050);
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "call `run`"]
pub struct Blocking {
    limiter: Option<Arc<CapacityLimiter>>,
    name: Option<Arc<str>>,
    abandon: bool,
}

impl Blocking {
    /// No options: as [`blocking`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Borrows its token from `limiter` instead of the runtime's. Any other limit is a token that the closure owns: it is dropped when the closure ends.
    pub fn limiter(mut self, limiter: &Arc<CapacityLimiter>) -> Self {
        self.limiter = Some(Arc::clone(limiter));
        self
    }

    /// What the system shows as the name of the thread during the call: the first 15 bytes, on Linux. Elsewhere it has no effect.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Lets the task go at once when it is cancelled, while the thread runs on.
    ///
    /// The scope then does not wait for the closure. What it gives, or its panic, is dropped on its thread; the token of the limiter is held until
    /// the thread has really ended. The run does not wait for it, nor does the end of the runtime; the closure can ask
    /// [`from_thread::check_cancelled`](crate::from_thread::check_cancelled) whether anybody still wants its value. For calls that may hang for ever, such as
    /// a look-up of a name.
    pub fn abandon_on_cancel(mut self) -> Self {
        self.abandon = true;
        self
    }

    /// Runs `f` on a thread of the pool, and gives its value.
    ///
    /// # Cancellation
    ///
    /// As for [`blocking`]; or see [`abandon_on_cancel`](Self::abandon_on_cancel).
    ///
    /// # Panics
    ///
    /// As for [`blocking`].
    pub async fn run<T, F>(self, f: F) -> T
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let Self { limiter, name, abandon } = self;
        let limiter = limiter.unwrap_or_else(|| default_limiter("blocking"));
        let token = limiter.acquire_owned_in("blocking").await;
        Call::new(f, call::Options { token, name, abandon }).await
    }
}
