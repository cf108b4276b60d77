//! What runs a test: [`Harness`], which the attribute `#[trioxide::test]` writes for you.
//!
//! | file | duty |
//! | --- | --- |
//! | `mod` (here) | the settings, and one run for each number of workers |
//! | `fixture` | what a test is given, set up before it and taken down after it |
//! | `seeded` | the test in simulations |
//! | `hang` | a test that takes too long: what it was at, and its end |
//!
//! Everything belongs to one call of [`Harness::run`]: a runtime, a nursery, a clock, a thread that watches. So tests share nothing, be they in one process or (nextest) in one each.

mod fixture;
mod hang;
mod seeded;

#[doc(hidden)]
pub use fixture::with_fixture;
pub use fixture::{Bench, Fixture};
pub use seeded::Seeded;

use std::fmt;
use std::ops::Range;
use std::process::ExitCode;
use std::time::Duration;

use trioxide_runtime::{AnyError, CancelScope, NurseryError, Runtime, nursery};

use crate::MockClock;
use crate::workers::Named;
use hang::Hang;

/// How long a test may take, in real time.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How long it may take to end when it was cancelled for that.
const GRACE: Duration = Duration::from_secs(5);

/// Runs an async test: on several numbers of workers, with a clock, and with an end if it hangs.
///
/// `#[trioxide::test]` is this, and its options are the methods. By itself it serves where an attribute cannot be, as in a property test:
///
/// ```
/// use trioxide_testing::Harness;
///
/// // What the closure of a property test does with each case.
/// fn holds(case: u64) -> Result<(), String> {
///     Harness::new().workers([1, 2]).run(async |_| {
///         let doubled = trioxide_runtime::blocking(move || case * 2).await;
///         if doubled / 2 == case { Ok(()) } else { Err(format!("{case}")) }
///     })
/// }
/// assert_eq!(holds(21), Ok(()));
/// ```
///
/// What a task waits for is noted ([`track_tasks`](trioxide_runtime::Builder::track_tasks)), so that reports can show it. Control-C ends a test at once.
#[derive(Clone)]
pub struct Harness {
    /// `None`: what a runtime has by default.
    workers: Option<Vec<usize>>,
    clock: Option<fn() -> MockClock>,
    fail_on_deadlock: Option<bool>,
    timeout: Duration,
    grace: Duration,
}

impl Harness {
    /// One run, with as many workers as a runtime has by default, on real time, ended after 60 s.
    pub fn new() -> Self {
        Self { workers: None, clock: None, fail_on_deadlock: None, timeout: TIMEOUT, grace: GRACE }
    }

    /// With so many workers; or, given several numbers, once with each, until one run fails.
    ///
    /// # Panics
    ///
    /// If no number is given.
    pub fn workers(mut self, workers: impl Workers) -> Self {
        let workers = workers.numbers();
        assert!(
            !workers.is_empty(),
            "trioxide: a test needs a number of workers, got none of them; leave `workers` out for one per usable CPU"
        );
        self.workers = Some(workers);
        self
    }

    /// With the clock that this makes, anew for each run. The test gets it as the fixture [`MockClock`]. A run with it that is in a deadlock fails at once.
    pub fn clock(mut self, make: fn() -> MockClock) -> Self {
        self.clock = Some(make);
        self
    }

    /// Whether a run in which nothing can run any more [fails at once](trioxide_runtime::Builder::fail_on_deadlock). Default: if it has a mock clock. Not if a thread that the runtime does not know of is to
    /// wake a task.
    pub fn fail_on_deadlock(mut self, fail: bool) -> Self {
        self.fail_on_deadlock = Some(fail);
        self
    }

    /// How long a run may take, in real time, whatever its clock; default 60 s, `Duration::MAX`: for ever. Then it is cancelled and fails, and the tree of its tasks shows
    /// what it was at.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long after the time-out the run may take to end; default 5 s. If it has not ended then, because something is shielded or blocks its thread, the process is
    /// aborted, after a second tree on standard error.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// In simulations, one for each of the seeds, instead of on a runtime; if [`workers`](Self::workers) were given, after those runs, which have
    /// a mock clock that jumps by itself if no other was given.
    ///
    /// The test gets the simulation's clock as the fixture [`MockClock`].
    ///
    /// # Panics
    ///
    /// If there is no seed.
    pub fn seeds(self, seeds: Range<u64>) -> Seeded {
        Seeded::new(self, seeds)
    }

    /// Runs `test`, and gives what its last run gives: the first that fails, or the last of all.
    ///
    /// # Panics
    ///
    /// Whatever `test` panics with; the number of workers goes to standard error. If it takes too long; if it is in a deadlock; if a task in the nursery of the [`Bench`] fails; if a
    /// runtime cannot be built.
    pub fn run<T: Outcome>(&self, test: impl AsyncFn(&Bench) -> T) -> T {
        let Some(workers) = &self.workers else { return self.run_once(None, &test) };
        let (last, others) = workers.split_last().expect("checked when it was set");
        for &workers in others {
            let outcome = self.run_once(Some(workers), &test);
            if outcome.failure().is_some() {
                eprintln!("note: it failed on a runtime with {workers} worker(s)");
                return outcome;
            }
        }
        self.run_once(Some(*last), &test)
    }

    fn run_once<T>(&self, workers: Option<usize>, test: &impl AsyncFn(&Bench) -> T) -> T {
        let _named = workers.map(Named);
        let clock = self.clock.map(|make| make());
        let fails = self.fail_on_deadlock.unwrap_or(clock.is_some());
        let mut builder = Runtime::builder().signals(false).track_tasks(true).fail_on_deadlock(fails);
        if let Some(workers) = workers {
            builder = builder.workers(workers);
        }
        if let Some(clock) = &clock {
            builder = builder.clock(clock.clone());
        }
        let runtime =
            builder.build().unwrap_or_else(|error| panic!("trioxide: cannot start the workers of a test: {error}"));
        let scope = CancelScope::new();
        let hang = Hang::watch(runtime.observer(), scope.handle(), self.timeout, self.grace);
        let surrounded = runtime.run(scope.run(surround(clock, test)));
        if let Some(report) = hang.end() {
            panic!("{report}");
        }
        surrounded.unwrap_or_else(|_| unreachable!("only the time-out has the handle of the scope"))
    }
}

/// Runs `test` on a bench of its own, in the nursery that its fixtures share.
async fn surround<T>(clock: Option<MockClock>, test: &impl AsyncFn(&Bench) -> T) -> T {
    let mut outcome = None;
    let joined = nursery(async |n| {
        let bench = Bench::new(n.clone(), clock);
        outcome = Some(test(&bench).await);
        n.cancel("the test is over");
        Ok::<(), AnyError>(())
    })
    .await;
    match (joined, outcome) {
        (Err(NurseryError::Failed(errors)), _) => {
            panic!("trioxide: a task in the nursery of a test has failed: {errors}")
        }
        (_, Some(outcome)) => outcome,
        (joined, None) => panic!("trioxide: the test was cut: {joined:?}"),
    }
}

impl Default for Harness {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Harness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Harness")
            .field("workers", &self.workers)
            .field("fail_on_deadlock", &self.fail_on_deadlock)
            .field("timeout", &self.timeout)
            .field("grace", &self.grace)
            .finish_non_exhaustive()
    }
}

/// One number of workers, or several.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no number of workers",
    label = "a number, as in `4`, or several, as in `[1, 2, 8]`"
)]
pub trait Workers {
    /// The numbers.
    fn numbers(self) -> Vec<usize>;
}

impl Workers for usize {
    fn numbers(self) -> Vec<usize> {
        vec![self]
    }
}

impl<const N: usize> Workers for [usize; N] {
    fn numbers(self) -> Vec<usize> {
        self.into()
    }
}

impl Workers for &[usize] {
    fn numbers(self) -> Vec<usize> {
        self.into()
    }
}

impl<const N: usize> Workers for &[usize; N] {
    fn numbers(self) -> Vec<usize> {
        self.into()
    }
}

/// What a test gives: that it has passed, or failed.
#[diagnostic::on_unimplemented(
    message = "a test gives `()`, a `Result` or an `ExitCode`, not `{Self}`",
    label = "says neither that it has passed nor that it has failed"
)]
pub trait Outcome {
    /// How it has failed.
    fn failure(&self) -> Option<String>;
}

impl Outcome for () {
    fn failure(&self) -> Option<String> {
        None
    }
}

impl<T, E: fmt::Debug> Outcome for Result<T, E> {
    fn failure(&self) -> Option<String> {
        self.as_ref().err().map(|error| format!("{error:?}"))
    }
}

impl Outcome for ExitCode {
    fn failure(&self) -> Option<String> {
        (*self != Self::SUCCESS).then(|| format!("{self:?}"))
    }
}
