//! Many seeds, on all cores: [`sweep`].

use std::any::Any;
use std::fs;
use std::io;
use std::ops::Range;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::seed::Replay;
use super::trace::Trace;
use super::{Schedule, Simulation, blame};

/// Runs `program` in a simulation once for each of the `seeds`; [`Sweep`] has options.
///
/// # Panics
///
/// As [`Sweep::run`].
///
/// ```
/// use trioxide_runtime::{checkpoint, nursery};
/// use trioxide_testing::sweep;
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
///
/// // A lost update: what is read is old when it is written.
/// let lost = std::panic::catch_unwind(|| sweep(0..100, async || {
///     let counter = Arc::new(AtomicU32::new(0));
///     nursery(async |n| {
///         for _ in 0..2 {
///             let counter = counter.clone();
///             n.spawn(async move {
///                 let read = counter.load(Relaxed);
///                 checkpoint().await;
///                 counter.store(read + 1, Relaxed);
///             });
///         }
///     })
///     .await;
///     assert_eq!(counter.load(Relaxed), 2);
/// }));
/// assert!(lost.is_err());
/// ```
pub fn sweep<T>(seeds: Range<u64>, program: impl AsyncFn() -> T + Sync) {
    Sweep::new(seeds).run(program);
}

/// A sweep over many seeds, with options.
///
/// With the environment variable `TRIOXIDE_SEED` it runs that seed alone, traced: so a run that has failed is run again by the command that was printed then.
#[derive(Clone, Debug)]
#[must_use = "call `run`"]
pub struct Sweep {
    seeds: Range<u64>,
    simulation: Simulation,
    threads: usize,
    replay: Option<Replay>,
}

impl Sweep {
    /// Over these seeds.
    ///
    /// # Panics
    ///
    /// If `TRIOXIDE_SEED` says something that is no seed.
    pub fn new(seeds: Range<u64>) -> Self {
        Self {
            seeds,
            simulation: Simulation::new().schedule(Schedule::BySeed),
            threads: thread::available_parallelism().map_or(1, usize::from),
            replay: Replay::from_environment(),
        }
    }

    /// What each seed does, but for the seed and whether it is traced; default: [`Simulation::new`].
    pub fn simulation(mut self, simulation: Simulation) -> Self {
        self.simulation = simulation;
        self
    }

    /// On how many threads; default: one for each core.
    ///
    /// # Panics
    ///
    /// On zero.
    pub fn threads(mut self, threads: usize) -> Self {
        assert!(threads > 0, "trioxide: a sweep needs at least 1 thread, got 0");
        self.threads = threads;
        self
    }

    /// Runs them all; seeds are taken in order, and on a terminal a bar shows how far it is.
    ///
    /// # Panics
    ///
    /// If one fails: with the panic of the smallest seed that does. Before that it is made simpler, if that is cheap (a [`Pct`](Schedule::Pct) schedule with fewer changes), and standard error tells the seed,
    /// the command that runs it again, and where its trace was written: below `simulations` in the target directory, or else in the directory for temporary files. And if a seed fails once and then not
    /// again: then the program is not made from the seed alone.
    pub fn run<T>(self, program: impl AsyncFn() -> T + Sync) {
        if let Some(replay) = self.replay {
            let schedule = replay.schedule.unwrap_or(self.simulation.settings.schedule);
            let simulated = self.simulation.seed(replay.seed).schedule(schedule).traced(true).record(&program);
            eprintln!("{}", simulated.trace());
            if let Err(panic) = simulated.into_outcome() {
                resume_unwind(panic);
            }
            return;
        }
        if let Some((seed, _)) = self.first_failing(&program) {
            self.blame(seed, &program);
        }
    }

    /// The smallest seed that fails, and how.
    fn first_failing<T>(&self, program: &(impl AsyncFn() -> T + Sync)) -> Option<(u64, Panic)> {
        let next = AtomicU64::new(self.seeds.start);
        let failing = AtomicU64::new(u64::MAX);
        let bar = bar(self.seeds.end.saturating_sub(self.seeds.start));
        let search = || {
            let mut found: Option<(u64, Panic)> = None;
            let mut shown = Instant::now();
            let mut done = 0;
            loop {
                let seed = next.fetch_add(1, Relaxed);
                // Smaller ones than the one that was found are run to the end: so what is found does not depend on the threads.
                if seed >= self.seeds.end || seed > failing.load(Relaxed) {
                    bar.inc(done);
                    return found;
                }
                let outcome = self.simulation.clone().seed(seed).traced(false).record(program).into_outcome();
                if let Err(panic) = outcome {
                    failing.fetch_min(seed, Relaxed);
                    found = Some((seed, panic));
                }
                done += 1;
                if shown.elapsed() > Duration::from_millis(100) {
                    bar.inc(std::mem::take(&mut done));
                    shown = Instant::now();
                }
            }
        };
        let found = thread::scope(|scope| {
            let threads: Vec<_> = (0..self.threads).map(|_| scope.spawn(search)).collect();
            threads
                .into_iter()
                .filter_map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
                .collect()
        });
        bar.finish_and_clear();
        let mut found: Vec<(u64, Panic)> = found;
        found.sort_by_key(|(seed, _)| *seed);
        found.into_iter().next()
    }

    /// Runs `seed` again, as simply as it still fails, and panics with its panic.
    fn blame<T>(&self, seed: u64, program: &impl AsyncFn() -> T) {
        let again = |schedule| {
            let simulation = self.simulation.clone().seed(seed).schedule(schedule).traced(true);
            let settings = simulation.settings.clone();
            let simulated = simulation.record(program);
            let trace = simulated.trace().clone();
            simulated.into_outcome().err().map(|panic| (settings, trace, panic))
        };
        let schedule = self.simulation.settings.schedule.resolve(seed);
        let simpler = match schedule {
            Schedule::Pct { depth } => (1..depth).find_map(|depth| again(Schedule::Pct { depth })),
            _ => None,
        };
        let Some((settings, trace, panic)) = simpler.or_else(|| again(schedule)) else {
            panic!(
                "trioxide: seed {seed} has failed, and then not again: the program is not made from the seed alone; `Simulation::check` shows where two runs part"
            )
        };
        eprintln!("{}", blame::failed(&settings, &*panic));
        let name = settings.replay().to_string().replace('/', "-");
        match write(&trace, &name) {
            Ok(path) => eprintln!("its trace: {}", path.display()),
            Err(error) => eprintln!("its trace cannot be written: {error}\n{trace}"),
        }
        resume_unwind(panic)
    }
}

type Panic = Box<dyn Any + Send>;

/// Hidden where standard error is no terminal.
fn bar(seeds: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {human_pos} of {human_len} seeds, {per_sec}, {eta} left");
    ProgressBar::new(seeds).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn write(trace: &Trace, name: &str) -> io::Result<PathBuf> {
    let directory = target().unwrap_or_else(std::env::temp_dir).join("simulations");
    fs::create_dir_all(&directory)?;
    let test = thread::current().name().unwrap_or("main").replace("::", "-");
    let path = directory.join(format!("{test}-{name}.txt"));
    fs::write(&path, trace.to_string())?;
    Ok(path)
}

/// The target directory that this program was built in, which cargo marks.
fn target() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    program.ancestors().find(|directory| directory.join("CACHEDIR.TAG").exists()).map(Path::to_owned)
}
