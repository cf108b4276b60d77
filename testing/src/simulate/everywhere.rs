//! A future, cancelled and dropped wherever it can be: [`cancel_everywhere`].

use std::any::Any;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::task::{Context, Poll};

use trioxide_runtime::{CancelScope, Cancelled, Nursery, ScopeHandle, nursery};

use super::{Schedule, Simulation, blame};

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
            for suspension in 0..=suspensions {
                for by in [By::Cancel, By::Drop] {
                    once(Some(Place { suspension, moment: Moment::Woken, by }));
                    if suspension > 0 {
                        once(Some(Place { suspension, moment: Moment::Suspended, by }));
                    }
                }
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

/// How a future was cut, and what came of it.
#[derive(Clone, Debug)]
pub struct Cut<T> {
    place: Option<Place>,
    outcome: Option<T>,
}

impl<T> Cut<T> {
    /// What it gave, if it came to its end: it was not cut, or what it waited for was complete when it was cancelled.
    pub fn outcome(&self) -> Option<&T> {
        self.outcome.as_ref()
    }

    /// Whether it was cut at all: it is not in the first run of each seed.
    pub fn is_cut(&self) -> bool {
        self.place.is_some()
    }

    /// Whether it was dropped, and not cancelled.
    pub fn is_drop(&self) -> bool {
        self.place.is_some_and(|place| place.by == By::Drop)
    }

    /// After how many suspensions it was cut; 0: before its first poll.
    pub fn suspensions(&self) -> usize {
        self.place.map_or(0, |place| place.suspension)
    }
}

impl<T> fmt::Display for Cut<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            None => f.write_str("not cut"),
            Some(place) => place.fmt(f),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    suspension: usize,
    moment: Moment,
    by: By,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// At once, when it has been suspended.
    Suspended,
    /// When it has been woken, before it is polled.
    Woken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Cancel,
    Drop,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = match self.by {
            By::Cancel => "cancelled",
            By::Drop => "dropped",
        };
        match (self.suspension, self.moment) {
            (0, _) => write!(f, "{how} before its first poll"),
            (suspension, Moment::Suspended) => write!(f, "{how} at suspension {suspension}"),
            (suspension, Moment::Woken) => write!(f, "{how} when woken from suspension {suspension}"),
        }
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
    let first = simulation.clone().record(async || {
        let mut ended = None;
        nursery(async |n| {
            let state = setup(&n).await;
            let scope = CancelScope::new();
            let handle = scope.handle();
            let (suspensions, outcome) = {
                let body = Some(Box::pin(scope.run(body(&state))));
                Cutting { body, handle, place, suspensions: 0 }.await
            };
            ended = Some((state, suspensions, Cut { place, outcome }));
        })
        .await;
        ended.expect("the nursery's body has ended")
    });
    let (state, suspensions, cut) = first.into_outcome().unwrap_or_else(|panic| fail(simulation, place, panic));
    let checked = simulation.clone().record(async || check(&state, &cut).await);
    checked.into_outcome().unwrap_or_else(|panic| fail(simulation, place, panic));
    suspensions
}

fn fail(simulation: &Simulation, place: Option<Place>, panic: Box<dyn Any + Send>) -> ! {
    let place = place.map_or_else(|| "not cut".to_owned(), |place| place.to_string());
    eprintln!(
        "trioxide: the future that was {place}, with seed {}: {}",
        simulation.settings.seed,
        blame::text(&*panic)
    );
    resume_unwind(panic)
}

/// Cuts a future at its place. Gives how often it was suspended, and its value.
struct Cutting<F> {
    body: Option<Pin<Box<F>>>,
    handle: ScopeHandle,
    place: Option<Place>,
    suspensions: usize,
}

impl<F> Cutting<F> {
    /// Whether the body is gone.
    fn cut(&mut self, at: Moment) -> bool {
        let place = self.place.filter(|place| (place.suspension, place.moment) == (self.suspensions, at));
        match place.map(|place| place.by) {
            Some(By::Cancel) => self.handle.cancel("everywhere"),
            Some(By::Drop) => self.body = None,
            None => {}
        }
        self.body.is_none()
    }
}

impl<F, T> Future for Cutting<F>
where
    F: Future<Output = Result<T, Cancelled>>,
{
    type Output = (usize, Option<T>);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.cut(Moment::Woken) {
            return Poll::Ready((self.suspensions, None));
        }
        let body = self.body.as_mut().expect("it is not polled after its end");
        if let Poll::Ready(outcome) = body.as_mut().poll(cx) {
            self.body = None;
            return Poll::Ready((self.suspensions, outcome.ok()));
        }
        self.suspensions += 1;
        if self.cut(Moment::Suspended) {
            return Poll::Ready((self.suspensions, None));
        }
        Poll::Pending
    }
}
