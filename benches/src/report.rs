//! What a run of `compare` has found, before anyone formats it.

use crate::contenders::{Body, Contender};
use crate::counts::Calls;
use crate::measure::{Cost, Sample};
use crate::rows::{Row, Scale};
use crate::statistics::Summary;

/// How the repetitions were run.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Which runtimes, in the order of the repetitions.
    pub contenders: Vec<Contender>,
    /// Workers of each.
    pub workers: usize,
    /// Timed repetitions of each row on each runtime.
    pub repetitions: usize,
    /// Sizes.
    pub scale: Scale,
    /// Where the bodies of tokio and smol ran.
    pub body: Body,
    /// Whether instructions and system calls are counted.
    pub counts: bool,
}

/// Everything that was measured.
#[derive(Debug)]
pub struct Report {
    /// How.
    pub settings: Settings,
    /// How many cores others used meanwhile.
    pub cores_used_by_others: Option<f64>,
    /// What, in the order of the rows.
    pub outcomes: Vec<Outcome>,
}

/// One row on all runtimes.
#[derive(Debug)]
pub struct Outcome {
    /// The row.
    pub row: &'static Row,
    /// A series for each runtime that took part.
    pub series: Vec<Series>,
}

/// One row on one runtime.
#[derive(Debug)]
pub struct Series {
    /// Where it ran.
    pub contender: Contender,
    /// The timed repetitions, in the order in which they ran.
    pub samples: Vec<Sample>,
    /// The repetition that counted allocations; its times are of no use.
    pub counted: Option<Cost>,
    /// Instructions per operation with one worker.
    pub instructions: Option<f64>,
    /// System calls per operation.
    pub calls: Option<Calls>,
    /// What went wrong.
    pub failed: Option<String>,
}

impl Outcome {
    /// The series of `contender`, if it took part.
    #[must_use]
    pub fn of(&self, contender: Contender) -> Option<&Series> {
        self.series.iter().find(|series| series.contender == contender)
    }

    /// The summary of the row's figure number `metric` on `contender`.
    #[must_use]
    pub fn summary(&self, contender: Contender, metric: usize) -> Option<Summary> {
        self.of(contender)?.summary(metric)
    }
}

impl Series {
    /// Without any repetition yet.
    #[must_use]
    pub fn new(contender: Contender) -> Self {
        Self { contender, samples: Vec::new(), counted: None, instructions: None, calls: None, failed: None }
    }

    /// The summary of figure number `metric`.
    #[must_use]
    pub fn summary(&self, metric: usize) -> Option<Summary> {
        Summary::of(self.samples.iter().map(|sample| sample.values.get(metric).copied().unwrap_or(f64::NAN)))
    }

    /// CPU time of all threads, in nanoseconds per operation.
    #[must_use]
    pub fn cpu(&self) -> Option<Summary> {
        self.per_operation(|cost| cost.cpu.as_nanos() as f64)
    }

    /// Voluntary context switches per operation.
    #[must_use]
    pub fn switches(&self) -> Option<Summary> {
        self.per_operation(|cost| cost.switches as f64)
    }

    /// Allocations per operation.
    #[must_use]
    pub fn allocations(&self) -> Option<f64> {
        let cost = self.counted?;
        Some(cost.allocations as f64 / cost.operations as f64)
    }

    fn per_operation(&self, total: impl Fn(&Cost) -> f64) -> Option<Summary> {
        Summary::of(self.samples.iter().map(|sample| total(&sample.cost) / sample.cost.operations as f64))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::rows::ROWS;

    /// A report of the first row, with three repetitions on each runtime around 100, 400 and 200 ns.
    pub(crate) fn example() -> Report {
        let series = |contender, nanos: [f64; 3]| Series {
            contender,
            samples: nanos.map(sample).to_vec(),
            counted: Some(Cost { allocations: 2_500, ..sample(0.0).cost }),
            ..Series::new(contender)
        };
        Report {
            settings: Settings {
                contenders: vec![Contender::Trioxide, Contender::Tokio, Contender::Smol],
                workers: 2,
                repetitions: 3,
                scale: Scale::Full,
                body: Body::Main,
                counts: false,
            },
            cores_used_by_others: Some(0.0625),
            outcomes: vec![Outcome {
                row: &ROWS[0],
                series: vec![
                    series(Contender::Trioxide, [110.0, 100.0, 95.0]),
                    series(Contender::Tokio, [400.0, 404.0, 396.0]),
                    series(Contender::Smol, [200.0, 200.0, 200.0]),
                ],
            }],
        }
    }

    fn sample(nanos: f64) -> Sample {
        let cost = Cost {
            operations: 1_000,
            wall: Duration::from_micros(nanos as u64),
            cpu: Duration::from_micros(2 * nanos as u64),
            switches: 5,
            allocations: 0,
        };
        cost.with_values(vec![nanos])
    }

    #[test]
    fn figures_are_per_operation() {
        let report = example();
        let series = report.outcomes[0].of(Contender::Trioxide).unwrap();
        assert_eq!(series.summary(0).unwrap().median, 100.0);
        assert_eq!(series.cpu().unwrap().median, 200.0);
        assert_eq!(series.switches().unwrap().median, 0.005);
        assert_eq!(series.allocations(), Some(2.5));
    }

    #[test]
    fn what_was_not_measured_is_missing() {
        let mut report = example();
        report.outcomes[0].series.truncate(1);
        assert!(report.outcomes[0].summary(Contender::Smol, 0).is_none());
        assert!(report.outcomes[0].summary(Contender::Trioxide, 1).is_none());
    }
}
