//! The same program on one thread, with virtual time and with every choice made from a seed: [`simulate`](fn@simulate), [`Simulation`], [`Sweep`].
//!
//! ```
//! use trioxide_runtime::{nursery, sleep};
//! use trioxide_testing::simulate;
//! use std::time::Duration;
//!
//! let order = simulate(7, async || {
//!     let (sender, receiver) = trioxide_sync::channel::bounded(1);
//!     nursery(async |n| {
//!         for hours in [3, 1, 2] {
//!             let sender = sender.clone();
//!             n.spawn(async move {
//!                 sleep(Duration::from_secs(3600 * hours)).await; // takes no time
//!                 sender.send(hours).await.unwrap();
//!             });
//!         }
//!         let mut order = vec![];
//!         while order.len() < 3 {
//!             order.push(receiver.recv().await.unwrap());
//!         }
//!         Ok::<_, std::convert::Infallible>(order)
//!     })
//!     .await
//! });
//! assert_eq!(order.unwrap(), [1, 2, 3]);
//! ```
//!
//! # What is chosen
//!
//! | choice | |
//! | --- | --- |
//! | which task that could go on does so | by the [`Schedule`] |
//! | where a task that need not wait yields to the others | after how many operations: mostly one or two, in place of the 128 of a real run |
//! | which of the timers that are due together fires first | any |
//! | when the closure of a call of `blocking` runs | between any two polls before the task needs its value |
//! | which branch a poll of `race!`, `join!`, `try_join!` begins with | any |
//! | how long a poll takes | nothing, or with [`Simulation::poll_time`] something |
//! | what the program itself leaves to chance | [`choose`], [`chance`], [`random`]: use them in fakes (a network that loses packets) |
//!
//! Virtual time stands still while something can run, and then jumps to the next timer. The children of a local nursery are parts of one task, and polled in the order of
//! their wakes, as its documentation says.
//!
//! # What a program must not do
//!
//! The same seed gives the same run as long as the program takes nothing from elsewhere. What leaks in from the world:
//! - the order of a `HashMap` (its `RandomState`), addresses, thread ids, [`TaskId`](trioxide_runtime::TaskId)s, which go on from run to run;
//! - real time (`Instant::now`; [`now`](trioxide_runtime::now) is the virtual one), real sockets and files, a random generator of its own;
//! - statics and globals that one run leaves behind for the next.
//!
//! [`Simulation::check`] runs a program twice and tells where the two runs part. Other threads cannot take part: a task that one of them wakes makes the run panic, and a program that
//! waits for one is stuck. A simulation that waits for a real socket panics, too.
//!
//! `blocking` has no threads here: its closure runs on the one thread, from begin to end. [`check_cancelled`](trioxide_runtime::from_thread::check_cancelled) and
//! [`blocking_scope`](trioxide_runtime::blocking_scope) (whose closures run where they are spawned) work in it. What waits there for a task cannot, and panics: `from_thread::run` and `run_sync`, those
//! of a `RunToken`, the ends of channels for threads when they would have to wait.
//!
//! # What it finds, and what not
//!
//! It finds what goes wrong in *some* order of the polls: lost updates between two awaits, lost wake-ups, deadlocks, time-outs at a bad moment, cancels at a bad moment. It does not see what
//! happens between two instructions: data races, memory orderings. For these there are loom and the sanitizers.
//!
//! # How it is made
//!
//! | file | duty |
//! | --- | --- |
//! | `mod` (here) | `Simulation`: a run, and what came of it |
//! | `director` | makes the choices that the runtime asks for, and notes what comes of them |
//! | `schedule`, `pct`, `quick` | how the next task is chosen |
//! | `current` | choices and notes of the program |
//! | `trace`, `blame` | what happened, as values and as texts; the texts of what goes wrong |
//! | `sweep`, `seed` | many seeds; how a run is named and run again |
//! | `everywhere` | a future, cut at each suspension (`crate::cut` cuts it) |

mod blame;
mod current;
mod director;
mod everywhere;
mod pct;
mod quick;
mod schedule;
mod seed;
mod sweep;
mod trace;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

pub(crate) use current::clock;
pub use current::{chance, choose, is_simulated, note, random};
pub use everywhere::{CancelSweep, cancel_everywhere};
pub use schedule::Schedule;
pub use sweep::{Sweep, sweep};
pub use trace::{Actor, Event, Trace, What};

use crate::MockClock;
use current::Current;
use director::{Director, Settings};
use seed::Replay;
use trioxide_runtime::Runtime;

/// Runs `main` in a simulation with this seed, and gives its value; see the [module](mod@self). [`Simulation`] has options, [`sweep`] tries many seeds.
///
/// # Panics
///
/// As [`Simulation::run`].
///
/// ```
/// use trioxide_runtime::{checkpoint, nursery};
/// use trioxide_testing::simulate;
/// use std::sync::{Arc, Mutex};
///
/// let order = |seed| {
///     let order = Arc::new(Mutex::new(vec![]));
///     simulate(seed, async || {
///         nursery(async |n| {
///             for task in 0..4 {
///                 let order = order.clone();
///                 n.spawn(async move { order.lock().unwrap().push(task) });
///             }
///         })
///         .await;
///     });
///     Arc::into_inner(order).unwrap().into_inner().unwrap()
/// };
/// assert_eq!(order(1), order(1));
/// assert!((2..100).any(|seed| order(seed) != order(1)));
/// ```
pub fn simulate<T>(seed: u64, main: impl AsyncFnOnce() -> T) -> T {
    Simulation::new().seed(seed).run(main)
}

/// A simulation, with options.
///
/// ```
/// use std::time::Duration;
/// use trioxide_runtime::{nursery, sleep};
/// use trioxide_testing::{Schedule, Simulation};
///
/// let simulation = Simulation::new().seed(7).schedule(Schedule::Pct { depth: 2 }).traced(true);
/// let simulated = simulation.record(async || {
///     nursery(async |n| {
///         n.task("sleeper").spawn(sleep(Duration::from_secs(60)));
///     })
///     .await;
/// });
/// assert!(simulated.outcome().is_ok());
/// assert_eq!(simulated.elapsed(), Duration::from_secs(60));
/// println!("{}", simulated.trace());
/// ```
#[derive(Clone, Debug)]
#[must_use = "call `run`, `record` or `check`"]
pub struct Simulation {
    settings: Settings,
}

impl Simulation {
    /// With the seed of the environment variable `TRIOXIDE_SEED`, or else 0.
    ///
    /// # Panics
    ///
    /// If that variable says something that is no seed.
    pub fn new() -> Self {
        let mut settings = Settings::default();
        if let Some(replay) = Replay::from_environment() {
            settings.seed = replay.seed;
            settings.schedule = replay.schedule.unwrap_or(settings.schedule);
        }
        Self { settings }
    }

    /// Where all choices come from.
    pub fn seed(mut self, seed: u64) -> Self {
        self.settings.seed = seed;
        self
    }

    /// How tasks are scheduled; default: [`Schedule::BySeed`].
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.settings.schedule = schedule;
        self
    }

    /// Each poll takes a random virtual time of less than `most`, so that timers come between polls; default: zero, and times are exact.
    pub fn poll_time(mut self, most: Duration) -> Self {
        self.settings.poll_time = most;
        self
    }

    /// After so many polls the run panics: it would go on for ever. Default: ten million.
    pub fn max_steps(mut self, steps: u64) -> Self {
        self.settings.max_steps = steps;
        self
    }

    /// Whether the events are kept for [`Simulated::trace`], and not only their hash; default: no, for that takes time and memory.
    pub fn traced(mut self, traced: bool) -> Self {
        self.settings.traced = traced;
        self
    }

    /// Runs `main`, and gives its value.
    ///
    /// # Panics
    ///
    /// With the panic of `main`, having told of the seed on standard error; or with a text: if nothing can go on any more (a deadlock, with the tree of tasks), if there is no
    /// end after [`max_steps`](Self::max_steps), if something from outside took part (see the [module](mod@self)). Inside a run.
    pub fn run<T>(self, main: impl AsyncFnOnce() -> T) -> T {
        let settings = self.settings.clone();
        self.record(main).into_outcome().unwrap_or_else(|panic| {
            eprintln!("{}", blame::failed(&settings, &*panic));
            resume_unwind(panic)
        })
    }

    /// Runs `main`, and gives what came of it together with a [trace](Trace). It does not panic with `main`.
    ///
    /// # Panics
    ///
    /// Inside a run.
    pub fn record<T>(self, main: impl AsyncFnOnce() -> T) -> Simulated<T> {
        let clock = MockClock::autojump();
        let director = Arc::new(Director::new(self.settings, clock.clone()));
        let outcome = direct(&director, &clock, main);
        let elapsed = clock.elapsed();
        Simulated { outcome, elapsed, trace: director.take_trace() }
    }

    /// Runs `program` twice.
    ///
    /// # Panics
    ///
    /// If the two runs differ, with the first events that do: something in it is not made from the seed. And as [`run`](Self::run).
    ///
    /// ```should_panic
    /// use std::sync::atomic::{AtomicU64, Ordering};
    /// use std::time::Duration;
    /// use trioxide_runtime::sleep;
    /// use trioxide_testing::Simulation;
    ///
    /// static LEAK: AtomicU64 = AtomicU64::new(0);
    /// Simulation::new().check(async || {
    ///     sleep(Duration::from_secs(LEAK.fetch_add(1, Ordering::Relaxed))).await;
    /// });
    /// ```
    pub fn check<T>(self, program: impl AsyncFn() -> T) -> T {
        let first = self.clone().traced(true).record(async || drop(program().await));
        let second = self.clone().traced(true).record(async || program().await);
        if let Some(parting) = first.trace.parts_from(&second.trace) {
            panic!("{}", blame::not_deterministic(&self.settings, &parting));
        }
        second.into_outcome().unwrap_or_else(|panic| {
            eprintln!("{}", blame::failed(&self.settings, &*panic));
            resume_unwind(panic)
        })
    }
}

impl Default for Simulation {
    fn default() -> Self {
        Self::new()
    }
}

/// What came of a simulation.
#[derive(Debug)]
pub struct Simulated<T> {
    outcome: std::thread::Result<T>,
    elapsed: Duration,
    trace: Trace,
}

impl<T> Simulated<T> {
    /// The value of `main`, or the panic.
    pub fn outcome(&self) -> &std::thread::Result<T> {
        &self.outcome
    }

    /// The same, as a value.
    ///
    /// # Errors
    ///
    /// The panic.
    pub fn into_outcome(self) -> std::thread::Result<T> {
        self.outcome
    }

    /// How much virtual time has passed.
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// What happened.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }
}

fn direct<T>(director: &Arc<Director>, clock: &MockClock, main: impl AsyncFnOnce() -> T) -> std::thread::Result<T> {
    let runtime = Runtime::builder()
        .choose(director.clone())
        .instrument(director.clone())
        .track_tasks(director.traces())
        .clock(clock.clone())
        .signals(false)
        .build()
        .expect("a runtime with one worker starts no thread");
    let _current = Current::enter(director);
    let outcome = catch_unwind(AssertUnwindSafe(|| runtime.run(main())));
    match director.leak() {
        Some(leak) if outcome.is_ok() => Err(Box::new(leak)),
        _ => outcome,
    }
}
