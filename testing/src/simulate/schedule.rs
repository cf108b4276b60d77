//! How the next task is chosen.

use std::fmt;

use fastrand::Rng;
use trioxide_runtime::lowlevel::Candidate;

use super::pct::Pct;

/// How a simulation chooses the task that goes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Schedule {
    /// One of the others, by the seed: half of the seeds are [`Random`](Self::Random), the others are [`Pct`](Self::Pct) with a depth of 1 to 4.
    BySeed,
    /// Any task that can go on, all with the same chance. Finds what may happen anywhere.
    Random,
    /// Probabilistic concurrency testing: each task has a random priority, the highest goes on, and at `depth` - 1 random moments the one that would go on gets a lower one than all others.
    ///
    /// So a task may stand still for long while others go on, which hardly ever happens at random. With `n` tasks and `k` polls, a bug that needs `depth` constraints on the order is found with
    /// a probability of at least 1/(n·k^(`depth` - 1)) for each seed. The moments lie in the first thousand polls. A task that has gone on a hundred times in a row while others waited comes after them:
    /// it may wait for them in a loop.
    ///
    /// After Burckhardt, Kothari, Musuvathi and Nagarakatte, *A randomized scheduler with probabilistic guarantees of finding bugs* (ASPLOS 2010).
    Pct {
        /// How many constraints on the order the bug needs: one more than there are moments. Zero is taken as one.
        depth: u32,
    },
}

impl Schedule {
    /// What [`BySeed`](Self::BySeed) stands for.
    pub(super) fn resolve(self, seed: u64) -> Self {
        match (self, seed % 8) {
            (Self::BySeed, rest @ (1 | 3 | 5 | 7)) => Self::Pct { depth: 1 + rest as u32 / 2 },
            (Self::BySeed, _) => Self::Random,
            (other, _) => other,
        }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BySeed => f.write_str("by the seed"),
            Self::Random => f.write_str("random"),
            Self::Pct { depth } => write!(f, "pct{depth}"),
        }
    }
}

/// A schedule at work.
pub(super) enum Strategy {
    Random,
    Pct(Pct),
}

impl Strategy {
    pub(super) fn new(schedule: Schedule, random: &mut Rng) -> Self {
        match schedule {
            Schedule::Pct { depth } => Self::Pct(Pct::new(depth, random)),
            Schedule::Random | Schedule::BySeed => Self::Random,
        }
    }

    pub(super) fn next(&mut self, ready: &[Candidate], random: &mut Rng) -> usize {
        match self {
            Self::Random => random.usize(..ready.len()),
            Self::Pct(pct) => pct.next(ready, random),
        }
    }

    /// How many operations a task may do before it yields, though it could go on: one or a few.
    pub(super) fn budget(&self, usual: u32, random: &mut Rng) -> u32 {
        // Not always one: a future that begins with the same operation each time it is polled must come further, some time.
        (1..usual).find(|_| random.bool()).unwrap_or(usual)
    }
}
