//! The clock of a run, as something that tests can replace.

use std::sync::Arc;
use std::time::{Duration, Instant};

/// Where a runtime takes the time from. The default is [`Instant::now`]; tests put a mock clock in its place.
///
/// After Trio's `Clock`.
pub trait Clock: Send + Sync + 'static {
    /// The present moment. Must not go backwards.
    fn now(&self) -> Instant;

    /// How long a worker that has nothing else to do may really sleep for a timer at `deadline`. `None`: until it is woken.
    fn sleep_time(&self, deadline: Instant) -> Option<Duration>;

    /// How long, in real time, every task must have been blocked before [`all_idle`](Self::all_idle) is called; `None`: it is not. Default: not at all, so it is called at once.
    fn patience(&self) -> Option<Duration> {
        Some(Duration::ZERO)
    }

    /// Every task is blocked, and no call runs on the thread pool; `next` is the earliest timer. True: the clock was moved, so
    /// that timers may be due.
    fn all_idle(&self, next: Option<Instant>) -> bool {
        let _ = next;
        false
    }

    /// Called once, when a runtime is built with this clock. The clock calls `changed` whenever it was moved by hand, or its
    /// [`patience`](Self::patience) is another.
    fn attach(&self, changed: Arc<dyn Fn() + Send + Sync>) {
        let _ = changed;
    }
}
