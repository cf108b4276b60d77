//! Time under the control of a test: [`MockClock`].
//!
//! The time of the clock is a point on a line through its *anchor*: `anchor.virtual_time` at the real time
//! `anchor.real_time`, from there on `rate` virtual seconds per real one. A jump or a new rate sets the
//! anchor anew, so that time never runs backwards.

use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use trioxide_runtime::Clock;

/// A clock that a test controls; give it to the runtime's builder and keep a clone.
///
/// By itself it stands still. It moves by [`jump`](MockClock::jump), at a [`rate`](MockClock::set_rate), or, if
/// made with [`autojump`](MockClock::autojump), to the next deadline whenever nothing else is left to do. All
/// three go together. Tasks in [`wait_all_tasks_blocked`](crate::wait_all_tasks_blocked) come before such a jump.
///
/// Clones share the time, and one clock may serve several runtimes: each of them moves it when *it* has nothing else to do.
///
/// What waits for something that the runtime does not know of, such as an answer from another process, may
/// see time jump ahead of it: autojump is for tests whose world is inside the run. Jobs on the thread
/// pool are inside; a [threshold](MockClock::set_autojump_threshold) gives the rest some real time.
///
/// After Trio's `MockClock`; there `autojump_threshold` is infinite by default, as it is `None` here.
///
/// ```
/// use std::time::Duration;
/// use trioxide_runtime::{Runtime, sleep};
/// use trioxide_testing::MockClock;
///
/// let clock = MockClock::autojump();
/// let runtime = Runtime::builder().clock(clock.clone()).build().unwrap();
/// runtime.run(async {
///     sleep(Duration::from_secs(86_400)).await;
/// });
/// assert_eq!(clock.elapsed(), Duration::from_secs(86_400));
/// ```
#[derive(Clone)]
pub struct MockClock {
    shared: Arc<Shared>,
}

struct Shared {
    start: Instant,
    /// `None`: no jumps of its own.
    threshold: Mutex<Option<Duration>>,
    anchor: Mutex<Anchor>,
    /// Called after the time was moved by hand; one for each runtime that was built with this clock.
    changed: Mutex<Vec<Arc<dyn Fn() + Send + Sync>>>,
}

#[derive(Clone, Copy)]
struct Anchor {
    virtual_time: Instant,
    real_time: Instant,
    rate: f64,
}

impl MockClock {
    /// A clock that stands still until it is moved.
    pub fn new() -> Self {
        Self::build(None)
    }

    /// A clock that jumps to the next deadline whenever every task waits and only time can go on.
    ///
    /// It jumps to the deadline exactly, so what a task sees of time does not depend on the machine.
    pub fn autojump() -> Self {
        Self::build(Some(Duration::ZERO))
    }

    fn build(threshold: Option<Duration>) -> Self {
        let start = Instant::now();
        let anchor = Anchor { virtual_time: start, real_time: start, rate: 0.0 };
        Self {
            shared: Arc::new(Shared {
                start,
                threshold: Mutex::new(threshold),
                anchor: Mutex::new(anchor),
                changed: Mutex::new(Vec::new()),
            }),
        }
    }

    /// Moves the time ahead by `by`. Timers that are due then fire. Works from any thread.
    ///
    /// # Panics
    ///
    /// If the time would be later than an [`Instant`] can tell.
    pub fn jump(&self, by: Duration) {
        self.change(|anchor| {
            anchor.virtual_time = anchor
                .virtual_time
                .checked_add(by)
                .unwrap_or_else(|| panic!("trioxide: `MockClock::jump` by {by:?} goes beyond the end of time"));
        });
    }

    /// From now on `rate` virtual seconds pass for each real one; 0 lets the time stand still.
    ///
    /// # Panics
    ///
    /// If `rate` is negative, infinite or not a number.
    pub fn set_rate(&self, rate: f64) {
        assert!(
            rate.is_finite() && rate >= 0.0,
            "trioxide: `MockClock::set_rate` takes 0 or a positive number, not {rate}: time does not run backwards"
        );
        self.change(|anchor| anchor.rate = rate);
    }

    /// The rate: 0 until it was [set](Self::set_rate).
    pub fn rate(&self) -> f64 {
        self.shared.anchor.lock().rate
    }

    /// How long, in real time, everything must have been blocked before the clock jumps to the next deadline by itself; `None`: it does not. What is
    /// set counts at once, also for what is blocked already.
    ///
    /// Zero is right if the world of the test is inside the run. Something that answers from outside, such as a process, has so much time for it.
    ///
    /// ```
    /// use std::time::Duration;
    /// use trioxide_runtime::{Runtime, sleep};
    /// use trioxide_testing::MockClock;
    ///
    /// let clock = MockClock::new();
    /// let runtime = Runtime::builder().clock(clock.clone()).build().unwrap();
    /// runtime.run(async {
    ///     clock.set_autojump_threshold(Some(Duration::ZERO));
    ///     sleep(Duration::from_secs(5)).await;
    ///     clock.set_autojump_threshold(None); // From here on it stands still again.
    /// });
    /// assert_eq!(clock.elapsed(), Duration::from_secs(5));
    /// ```
    pub fn set_autojump_threshold(&self, threshold: Option<Duration>) {
        *self.shared.threshold.lock() = threshold;
        self.tell();
    }

    /// What [`set_autojump_threshold`](Self::set_autojump_threshold) has set: `None` for [`new`](Self::new), zero for [`autojump`](Self::autojump).
    pub fn autojump_threshold(&self) -> Option<Duration> {
        *self.shared.threshold.lock()
    }

    /// How much virtual time has passed since the clock was made.
    pub fn elapsed(&self) -> Duration {
        self.now().duration_since(self.shared.start)
    }

    fn change(&self, change: impl FnOnce(&mut Anchor)) {
        let mut anchor = self.shared.anchor.lock();
        let mut moved = anchor.at(Instant::now());
        change(&mut moved);
        *anchor = moved;
        drop(anchor);
        self.tell();
    }

    fn tell(&self) {
        // Called without the locks: what it wakes may look at the clock.
        let changed = self.shared.changed.lock().clone();
        for notify in changed {
            notify();
        }
    }
}

impl Anchor {
    /// The same line, anchored at `real_time`.
    fn at(self, real_time: Instant) -> Self {
        let passed = real_time.saturating_duration_since(self.real_time);
        let virtual_time = if self.rate == 0.0 {
            self.virtual_time
        } else {
            Duration::try_from_secs_f64(passed.as_secs_f64() * self.rate)
                .ok()
                .and_then(|passed| self.virtual_time.checked_add(passed))
                .expect("trioxide: the time of a `MockClock` has reached the end of time")
        };
        Self { virtual_time, real_time, rate: self.rate }
    }
}

impl Clock for MockClock {
    fn now(&self) -> Instant {
        let anchor = *self.shared.anchor.lock();
        if anchor.rate == 0.0 {
            return anchor.virtual_time;
        }
        anchor.at(Instant::now()).virtual_time
    }

    fn sleep_time(&self, deadline: Instant) -> Option<Duration> {
        let anchor = self.shared.anchor.lock().at(Instant::now());
        let left = deadline.saturating_duration_since(anchor.virtual_time);
        if left.is_zero() {
            return Some(Duration::ZERO);
        }
        if anchor.rate == 0.0 {
            return None;
        }
        // A time too long to tell is a time to sleep until woken.
        let real = Duration::try_from_secs_f64(left.as_secs_f64() / anchor.rate).ok()?;
        // Rounded up: a worker that wakes a nanosecond early would find nothing to do.
        Some(real.saturating_add(Duration::from_nanos(1)))
    }

    fn patience(&self) -> Option<Duration> {
        self.autojump_threshold()
    }

    fn all_idle(&self, next: Option<Instant>) -> bool {
        let Some((next, _)) = next.zip(self.autojump_threshold()) else { return false };
        let mut anchor = self.shared.anchor.lock();
        let mut moved = anchor.at(Instant::now());
        moved.virtual_time = moved.virtual_time.max(next);
        *anchor = moved;
        true
    }

    fn attach(&self, changed: Arc<dyn Fn() + Send + Sync>) {
        self.shared.changed.lock().push(changed);
    }
}

impl Default for MockClock {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MockClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MockClock")
            .field("elapsed", &self.elapsed())
            .field("rate", &self.rate())
            .field("autojump_threshold", &self.autojump_threshold())
            .finish()
    }
}
