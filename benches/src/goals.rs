//! What the figures are to be: the one place where the goals stand. Tables and charts say for each whether it is met.

use crate::contenders::Contender;
use crate::report::Outcome;
use crate::rows::Row;
use crate::statistics::{Summary, ratio};

/// What a figure may be at most.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Goal {
    /// So many times tokio's, of its multi-thread runtime in the same run.
    OfTokio(f64),
    /// So many times the figure of the best of all others in the row.
    OfBest(f64),
    /// So much, in the figure's own unit.
    AtMost(f64),
}

/// The goal of each row of one primitive: ahead of every other library.
pub const PRIMITIVE: Goal = Goal::OfBest(1.0);

/// The goals of the rows of runtimes, by the labels of the figures. A figure that is not here is to be no worse than tokio's and smol's.
pub const GOALS: &[(&str, Goal)] = &[
    ("spawn_join", Goal::OfTokio(0.10)),
    ("spawn_handles", Goal::OfTokio(0.20)),
    ("spawn_chain", Goal::OfTokio(0.33)),
    ("fork_join", Goal::OfTokio(0.20)),
    ("fork_join_scope", Goal::OfTokio(0.20)),
    ("yield_many", Goal::OfTokio(0.50)),
    ("ping_pong", Goal::OfTokio(0.30)),
    ("sleep_100k", Goal::OfTokio(0.55)),
    ("sleep_100k.late", Goal::AtMost(1.5)),
    ("wake_seq", Goal::OfTokio(0.50)),
    ("wake_par", Goal::OfTokio(0.50)),
    ("timeout_seq", Goal::OfTokio(0.10)),
    ("timeout_par", Goal::OfTokio(0.10)),
    ("cancel", Goal::OfTokio(0.25)),
    ("cancel_sleep", Goal::OfTokio(0.30)),
    ("mem_group", Goal::OfTokio(0.27)),
    ("mem_event", Goal::OfTokio(0.33)),
    ("blocking_seq", Goal::OfTokio(0.50)),
    ("blocking_batch", Goal::OfTokio(0.15)),
    // 1.7 and 1.15 times the rate; the figures are times.
    ("tcp_echo", Goal::OfTokio(1.0 / 1.7)),
    ("http", Goal::OfTokio(1.0 / 1.15)),
    ("http.p99", Goal::OfTokio(1.0)),
];

impl Goal {
    /// The goal of figure number `metric` of `row`, if it has one of its own.
    #[must_use]
    pub fn of(row: &Row, metric: usize) -> Option<Self> {
        if row.is_of_a_primitive() {
            return (metric == 0).then_some(PRIMITIVE);
        }
        let label = row.metrics.get(metric)?.label(row.name);
        GOALS.iter().find(|(name, _)| *name == label).map(|(_, goal)| *goal)
    }

    /// Whether trioxide meets it in figure number `metric` of `outcome`; `None` if that cannot be said.
    #[must_use]
    pub fn is_met(self, outcome: &Outcome, metric: usize) -> Option<bool> {
        let of = |contender| outcome.summary(contender, metric);
        match self {
            Self::OfTokio(limit) => ratio(of(Contender::Trioxide), of(Contender::Tokio)).map(|ratio| ratio <= limit),
            Self::OfBest(limit) => {
                let best = best_of_others(outcome, metric).map(|(_, summary)| summary);
                ratio(of(Contender::Trioxide), best).map(|ratio| ratio <= limit)
            }
            Self::AtMost(limit) => of(Contender::Trioxide).map(|summary| summary.median <= limit),
        }
    }

    /// As tables show it.
    #[must_use]
    pub fn text(self) -> String {
        match self {
            Self::OfTokio(limit) | Self::OfBest(limit) => format!("{limit:.2}"),
            Self::AtMost(limit) => format!("at most {limit}"),
        }
    }
}

/// Who of all but trioxide has the least in figure number `metric` of `outcome`, and how much.
#[must_use]
pub fn best_of_others(outcome: &Outcome, metric: usize) -> Option<(Contender, Summary)> {
    let others = outcome.series.iter().filter(|series| series.contender != Contender::Trioxide);
    let figures = others.filter_map(|series| Some((series.contender, series.summary(metric)?)));
    figures.min_by(|(_, one), (_, other)| one.median.total_cmp(&other.median))
}

/// The figures in rows of runtimes in which trioxide is worse than `rival`, with how many times.
pub fn worse_than(outcomes: &[Outcome], rival: Contender) -> impl Iterator<Item = (String, f64)> {
    let outcomes = outcomes.iter().filter(|outcome| !outcome.row.is_of_a_primitive());
    let figures = outcomes.flat_map(|outcome| (0..outcome.row.metrics.len()).map(move |metric| (outcome, metric)));
    figures.filter_map(move |(outcome, metric)| {
        let times = ratio(outcome.summary(Contender::Trioxide, metric), outcome.summary(rival, metric))?;
        (times > 1.0).then(|| (outcome.row.metrics[metric].label(outcome.row.name), times))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::example;
    use crate::rows::ROWS;

    #[test]
    fn every_goal_is_for_a_figure_that_there_is() {
        let labels =
            |label: &str| ROWS.iter().any(|row| row.metrics.iter().any(|metric| metric.label(row.name) == label));
        for (label, _) in GOALS {
            assert!(labels(label), "{label}");
        }
    }

    #[test]
    fn met_at_the_limit_and_not_beyond() {
        let report = example();
        let outcome = &report.outcomes[0];
        assert_eq!(Goal::OfTokio(0.25).is_met(outcome, 0), Some(true));
        assert_eq!(Goal::OfTokio(0.24).is_met(outcome, 0), Some(false));
        assert_eq!(Goal::AtMost(100.0).is_met(outcome, 0), Some(true));
        assert_eq!(Goal::AtMost(99.0).is_met(outcome, 0), Some(false));
        assert_eq!(Goal::OfTokio(0.24).is_met(outcome, 1), None, "there is no such figure");
        assert_eq!(Goal::OfBest(0.5).is_met(outcome, 0), Some(true), "the best is smol");
        assert_eq!(Goal::OfBest(0.49).is_met(outcome, 0), Some(false));
    }

    #[test]
    fn what_is_worse_is_named() {
        let mut report = example();
        assert_eq!(worse_than(&report.outcomes, Contender::Tokio).count(), 0);
        let ours = report.outcomes[0].series[0].samples.clone();
        report.outcomes[0].series[0].samples = report.outcomes[0].series[1].samples.clone();
        report.outcomes[0].series[1].samples = ours;
        let worse: Vec<_> = worse_than(&report.outcomes, Contender::Tokio).collect();
        assert_eq!(worse, [("spawn_join".to_owned(), 4.0)]);
    }
}
