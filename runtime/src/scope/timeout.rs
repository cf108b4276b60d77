//! Time-outs: a scope with a deadline, and what becomes of it.
//!
//! None is an `async fn`: that would keep a place for its argument beside the one that the scope has for its inside.

use std::future::Future;
use std::time::{Duration, Instant};

use super::deadline::Deadline;
use super::reason::TooSlow;
use super::scoped::Scoped;

/// Runs `future` for at most `after`; `None` if it was cut short.
///
/// The time counts from the first poll. A future that completes gives its result, even if the deadline has passed meanwhile; a deadline that is
/// met without suspending costs no timer. After Trio's `move_on_after`.
///
/// # Cancellation
///
/// At the deadline `future` is dropped where it is suspended, once every guard in it (nurseries, `finally`, `shield`, `blocking`) has let go.
///
/// # Panics
///
/// When polled outside a run; and with the panic of `future`.
///
/// ```
/// use std::time::Duration;
/// use trioxide_runtime::{move_on_after, run, sleep_forever};
/// assert_eq!(run(move_on_after(Duration::from_millis(1), async { 7 })), Some(7));
/// assert_eq!(run(move_on_after(Duration::from_millis(1), sleep_forever())), None);
/// ```
#[inline]
pub fn move_on_after<F: Future>(after: Duration, future: F) -> impl Future<Output = Option<F::Output>> {
    Scoped::new("move_on_after", 0, Deadline::After(after), future).map(Result::ok)
}

/// As [`move_on_after`], until the moment `at` of the run's clock.
///
/// # Panics
///
/// As [`move_on_after`].
#[inline]
pub fn move_on_at<F: Future>(at: Instant, future: F) -> impl Future<Output = Option<F::Output>> {
    Scoped::new("move_on_at", 0, Deadline::At(at), future).map(Result::ok)
}

/// As [`move_on_after`], for a time-out that is a failure.
///
/// # Errors
///
/// [`TooSlow`] if `future` was cut short.
///
/// # Panics
///
/// As [`move_on_after`].
///
/// ```
/// use std::time::Duration;
/// use trioxide_runtime::{fail_after, run, sleep_forever};
/// assert!(run(fail_after(Duration::from_millis(1), sleep_forever())).is_err());
/// ```
#[inline]
pub fn fail_after<F: Future>(after: Duration, future: F) -> impl Future<Output = Result<F::Output, TooSlow>> {
    Scoped::new("fail_after", 0, Deadline::After(after), future).map(|outcome| outcome.map_err(|_| TooSlow))
}

/// As [`fail_after`], until the moment `at` of the run's clock.
///
/// # Errors
///
/// [`TooSlow`] if `future` was cut short.
///
/// # Panics
///
/// As [`move_on_after`].
#[inline]
pub fn fail_at<F: Future>(at: Instant, future: F) -> impl Future<Output = Result<F::Output, TooSlow>> {
    Scoped::new("fail_at", 0, Deadline::At(at), future).map(|outcome| outcome.map_err(|_| TooSlow))
}
