//! Sleeping until a moment.
#![allow(unsafe_code)]

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use super::{Fire, Timer, now_for};
use crate::context;

/// Waits for `duration` by the clock of the run. Zero is a plain checkpoint.
///
/// The duration counts from the first poll. It never ends early; how late it ends depends on how busy the worker is.
///
/// # Cancellation
///
/// A checkpoint; nothing is lost.
///
/// # Panics
///
/// When polled outside a run.
///
/// ```
/// use std::time::Duration;
/// trioxide_runtime::run(async {
///     let before = trioxide_runtime::now();
///     trioxide_runtime::sleep(Duration::from_millis(2)).await;
///     assert!(trioxide_runtime::now() - before >= Duration::from_millis(2));
/// });
/// ```
pub fn sleep(duration: Duration) -> Sleep {
    Sleep::new(Until::After(duration))
}

/// Waits until `deadline` by the clock of the run. A moment in the past is a plain checkpoint.
///
/// Cancellation and panics as for [`sleep`].
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep::new(Until::At(deadline))
}

/// Waits until the surrounding scope is cancelled.
pub async fn sleep_forever() {
    std::future::poll_fn(|cx| {
        ready!(context::poll_checkpoint(cx, "sleep_forever"));
        Poll::<()>::Pending
    })
    .await;
}

/// The future of [`sleep`] and [`sleep_until`].
pub struct Sleep {
    until: Until,
    step: Step,
    timer: Timer,
}

#[derive(Clone, Copy, Debug)]
enum Until {
    After(Duration),
    At(Instant),
    /// Further away than the clock can say.
    Never,
}

#[derive(PartialEq)]
enum Step {
    New,
    /// It was over before it began: a checkpoint.
    Yielding,
    Waiting,
    Done,
}

impl Sleep {
    fn new(until: Until) -> Self {
        Self { until, step: Step::New, timer: Timer::new() }
    }

    /// The moment at which it ends; `None` before the first poll of a relative one, or if that is beyond the reach of the clock.
    pub fn deadline(&self) -> Option<Instant> {
        match self.until {
            Until::At(deadline) => Some(deadline),
            Until::After(_) | Until::Never => None,
        }
    }

    /// Waits until `deadline` instead, also if it has ended. Allocates nothing.
    pub fn reset(self: Pin<&mut Self>, deadline: Instant) {
        // SAFETY: nothing is moved out of the pinned value.
        let this = unsafe { self.get_unchecked_mut() };
        drop(this.timer.disarm());
        this.until = Until::At(deadline);
        this.step = Step::New;
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // SAFETY: nothing is moved out of the pinned value.
        let this = unsafe { self.get_unchecked_mut() };
        let mut now = None; // The clock is asked once for each poll.
        if this.step == Step::New {
            let operation = if matches!(this.until, Until::At(_)) { "sleep_until" } else { "sleep" };
            ready!(context::poll_checkpoint(cx, operation));
            let begin = *now.insert(now_for("sleep"));
            if let Until::After(duration) = this.until {
                this.until = begin.checked_add(duration).map_or(Until::Never, Until::At);
            }
            this.step = Step::Waiting;
            if matches!(this.until, Until::At(deadline) if begin >= deadline) {
                this.step = Step::Yielding;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        if this.step == Step::Yielding {
            ready!(context::poll_checkpoint(cx, "sleep"));
        }
        let Until::At(deadline) = this.until else { return Poll::Pending };
        if this.step == Step::Done || now.unwrap_or_else(|| now_for("sleep")) >= deadline {
            drop(this.timer.disarm());
            this.step = Step::Done;
            return Poll::Ready(());
        }
        // A timer that has fired did so at or after the deadline, and the clock, which never goes back, has just said that this is to come.
        if !this.timer.has(cx.waker()) && !this.timer.rewake(cx.waker()) {
            drop(this.timer.disarm());
            let task = context::task("sleep");
            // SAFETY: the task is being polled, so its run has not ended. The timer is pinned with `self`, used by this future alone,
            // disarmed, and disarms itself when dropped (M1).
            unsafe { this.timer.arm(task.as_ref().runtime(), deadline, Fire::Wake(cx.waker().clone())) };
        }
        Poll::Pending
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").field("until", &self.until).field("done", &(self.step == Step::Done)).finish()
    }
}
