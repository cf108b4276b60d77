//! A future, cancelled and dropped wherever it can be: [`cancel_everywhere`].

use std::any::Any;
use std::convert::Infallible;
use std::ops::Range;
use std::panic::resume_unwind;

use trioxide_runtime::Nursery;

use super::{Schedule, Simulation, blame};
use crate::cut::{Cut, Ended, Place, cut};

/// Runs `body` in simulations, once to the end, and then once for each way to cut it: cancelled and dropped, before its first poll, at each suspension, and at each suspension just when it has been woken.
/// `check` is called after each of them. [`CancelSweep`] has options.
///
/// - `setup` makes what `body` works on, and may spawn others into the nursery, which `body` works with. They are not cut: the run ends when they have ended. Those that never do are spawned as
///   [services](Nursery::service).
/// - `body` is what is cut. Nurseries and clean-up in it are waited for before `check` is called.
/// - `check` asserts what has to hold: that nothing is lost. It runs in a run of its own, when all tasks of the first have ended.
///
/// Gives the number of runs. The seed makes each run up to the cut the same as the one that was not cut. A cut that makes others hang is told as a deadlock.
///
/// # Panics
///
/// With the panics of `setup`, `body`, `check`, and those of [`Simulation::run`]; standard error tells the cut.
///
/// ```
/// use std::sync::Arc;
/// use trioxide_runtime::sleep;
/// use trioxide_sync::Semaphore;
/// use trioxide_testing::cancel_everywhere;
/// use std::time::Duration;
///
/// let runs = cancel_everywhere(
///     async |n| {
///         let semaphore = Arc::new(Semaphore::new(1));
///         let other = semaphore.clone();
///         n.spawn(async move {
///             let _permit = other.acquire().await;
///             sleep(Duration::from_secs(1)).await;
///         });
///         semaphore
///     },
///     async |semaphore| {
///         let _permit = semaphore.acquire().await;
///         sleep(Duration::from_secs(1)).await;
///     },
///     async |semaphore, cut| assert_eq!(semaphore.available(), 1, "{cut}"), // no permit is lost
/// );
/// assert!(runs > 10);
/// ```
pub fn cancel_everywhere<S, T>(
    setup: impl AsyncFn(&Nursery<Infallible>) -> S,
    body: impl AsyncFn(&S) -> T,
    check: impl AsyncFn(&S, &Cut<T>),
) -> usize {
    CancelSweep::new().run(setup, body, check)
}

/// [`cancel_everywhere`], with options.
#[derive(Clone, Debug)]
#[must_use = "call `run`"]
pub struct CancelSweep {
    seeds: Range<u64>,
    simulation: Simulation,
}

impl CancelSweep {
    /// With the seeds 0 to 7.
    pub fn new() -> Self {
        Self { seeds: 0..8, simulation: Simulation::new().schedule(Schedule::BySeed) }
    }

    /// With these seeds: each makes other schedules, in which other things happen at the cuts.
    pub fn seeds(mut self, seeds: Range<u64>) -> Self {
        self.seeds = seeds;
        self
    }

    /// What each simulation does, but for the seed.
    pub fn simulation(mut self, simulation: Simulation) -> Self {
        self.simulation = simulation;
        self
    }

    /// See [`cancel_everywhere`].
    ///
    /// # Panics
    ///
    /// As there.
    pub fn run<S, T>(
        self,
        setup: impl AsyncFn(&Nursery<Infallible>) -> S,
        body: impl AsyncFn(&S) -> T,
        check: impl AsyncFn(&S, &Cut<T>),
    ) -> usize {
        let mut runs = 0;
        for seed in self.seeds.clone() {
            let simulation = self.simulation.clone().seed(seed);
            let mut once = |place| {
                runs += 1;
                run_once(&simulation, &setup, &body, &check, place)
            };
            let suspensions = once(None);
            for place in (0..=suspensions).flat_map(Place::all) {
                once(Some(place));
            }
        }
        runs
    }
}

impl Default for CancelSweep {
    fn default() -> Self {
        Self::new()
    }
}

/// How often the body was suspended.
fn run_once<S, T>(
    simulation: &Simulation,
    setup: &impl AsyncFn(&Nursery<Infallible>) -> S,
    body: &impl AsyncFn(&S) -> T,
    check: &impl AsyncFn(&S, &Cut<T>),
    place: Option<Place>,
) -> usize {
    let first = simulation.clone().record(async || cut(setup, body, place).await);
    let ended = first.into_outcome().unwrap_or_else(|panic| fail(simulation, place, panic));
    let Ended { state, cut, suspensions } = ended;
    let checked = simulation.clone().record(async || check(&state, &cut).await);
    checked.into_outcome().unwrap_or_else(|panic| fail(simulation, place, panic));
    suspensions
}

fn fail(simulation: &Simulation, place: Option<Place>, panic: Box<dyn Any + Send>) -> ! {
    eprintln!(
        "trioxide: the future that was {}, with seed {}: {}",
        Place::told(place),
        simulation.settings.seed,
        blame::text(&*panic)
    );
    resume_unwind(panic)
}
