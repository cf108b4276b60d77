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
/// three go together.
///
/// What waits for something that the runtime does not know of, such as an answer from another process, may
/// see time jump ahead of it: autojump is for tests whose world is inside the run. Jobs on the thread
/// pool are inside.
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
    autojump: bool,
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
        Self::build(false)
    }

    /// A clock that jumps to the next deadline whenever every task waits and only time can go on.
    ///
    /// It jumps to the deadline exactly, so what a task sees of time does not depend on the machine.
    pub fn autojump() -> Self {
        Self::build(true)
    }

    fn build(autojump: bool) -> Self {
        let start = Instant::now();
        let anchor = Anchor { virtual_time: start, real_time: start, rate: 0.0 };
        Self {
            shared: Arc::new(Shared { start, autojump, anchor: Mutex::new(anchor), changed: Mutex::new(Vec::new()) }),
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

    fn all_idle(&self, next: Option<Instant>) -> bool {
        let Some(next) = next.filter(|_| self.shared.autojump) else {
            return false;
        };
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
            .field("rate", &self.shared.anchor.lock().rate)
            .field("autojump", &self.shared.autojump)
            .finish()
    }
}
