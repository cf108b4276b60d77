//! Priorities, and moments at which they change; see [`Schedule::Pct`](super::Schedule::Pct).

use fastrand::Rng;
use trioxide_runtime::lowlevel::Candidate;

use super::quick::QuickMap;

/// The moments of change lie among so many first steps.
const STEPS: u64 = 1000;
/// Who has gone on so often in a row while others waited comes after them.
const IN_A_ROW: u32 = 100;

/// See the module.
pub(super) struct Pct {
    priorities: QuickMap<Candidate, i64>,
    /// At which steps, the next one last.
    changes: Vec<u64>,
    step: u64,
    /// The lowest priority that was given.
    lowest: i64,
    row: Option<(Candidate, u32)>,
}

impl Pct {
    pub(super) fn new(depth: u32, random: &mut Rng) -> Self {
        let mut changes: Vec<_> = (1..depth).map(|_| random.u64(1..=STEPS)).collect();
        changes.sort_unstable_by(|a, b| b.cmp(a));
        Self { priorities: QuickMap::default(), changes, step: 0, lowest: 0, row: None }
    }

    pub(super) fn next(&mut self, ready: &[Candidate], random: &mut Rng) -> usize {
        self.step += 1;
        let mut chosen = self.highest(ready, random);
        while self.changes.pop_if(|at| *at <= self.step).is_some() {
            self.lower(ready[chosen]);
            chosen = self.highest(ready, random);
        }
        if self.hogs(ready[chosen], ready.len() > 1) {
            self.lower(ready[chosen]);
            chosen = self.highest(ready, random);
        }
        chosen
    }

    /// Of equals, the first.
    fn highest(&mut self, ready: &[Candidate], random: &mut Rng) -> usize {
        let mut highest = (0, i64::MIN);
        for (index, candidate) in ready.iter().enumerate() {
            let priority = *self.priorities.entry(*candidate).or_insert_with(|| random.i64(1..));
            if priority > highest.1 {
                highest = (index, priority);
            }
        }
        highest.0
    }

    fn lower(&mut self, candidate: Candidate) {
        self.lowest -= 1;
        self.priorities.insert(candidate, self.lowest);
    }

    fn hogs(&mut self, chosen: Candidate, others_wait: bool) -> bool {
        let before = self.row.filter(|(who, _)| *who == chosen && others_wait).map_or(0, |(_, times)| times);
        self.row = (before < IN_A_ROW).then_some((chosen, before + 1));
        self.row.is_none()
    }
}
