//! A test in simulations: [`Seeded`].

use std::ops::Range;

use super::{Bench, Harness, Outcome, surround};
use crate::MockClock;
use crate::simulate::{self, Simulation, Sweep};

/// A [`Harness`] for simulations, made by [`Harness::seeds`].
///
/// ```
/// use std::time::Duration;
/// use trioxide_runtime::sleep;
/// use trioxide_testing::Harness;
///
/// Harness::new().seeds(0..100).run(async |bench| {
///     sleep(Duration::from_secs(60)).await;
///     assert_eq!(bench.clock().unwrap().elapsed(), Duration::from_secs(60));
/// });
/// ```
#[derive(Clone, Debug)]
#[must_use = "call `run`"]
pub struct Seeded {
    harness: Harness,
    seeds: Range<u64>,
}

impl Seeded {
    pub(super) fn new(mut harness: Harness, seeds: Range<u64>) -> Self {
        assert!(
            !seeds.is_empty(),
            "trioxide: a test in simulations needs a seed, got {seeds:?}; a single one is written `7..8`"
        );
        harness.clock.get_or_insert(MockClock::autojump);
        Self { harness, seeds }
    }

    /// Runs `test` on the numbers of workers, if they were given, until one run fails; and then in a [`Sweep`] over the seeds.
    ///
    /// # Panics
    ///
    /// As [`Harness::run`]; and if a seed fails, by a panic or by what it gives, as [`Sweep::run`], which tells how to run it again.
    pub fn run<T: Outcome>(&self, test: impl AsyncFn(&Bench) -> T + Sync) -> T {
        if self.harness.workers.is_some() {
            let outcome = self.harness.run(&test);
            if outcome.failure().is_some() {
                return outcome;
            }
        }
        let simulated = async || surround(simulate::clock(), &test).await;
        Sweep::new(self.seeds.clone()).run(async || {
            if let Some(failure) = simulated().await.failure() {
                panic!("the test has failed: {failure}");
            }
        });
        // None has failed; the value is wanted.
        Simulation::new().seed(self.seeds.start).run(simulated)
    }
}
