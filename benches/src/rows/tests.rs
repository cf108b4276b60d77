use std::collections::HashSet;

use super::*;
use crate::contenders::{Body, Contender};
use crate::report::Settings;
use crate::session::Running;

#[test]
fn names_are_unique_and_each_row_has_a_figure_of_its_own() {
    let mut names = HashSet::new();
    for row in ROWS {
        assert!(names.insert(row.name), "{} is there twice", row.name);
        assert!(row.metrics.first().is_some_and(|metric| metric.suffix.is_empty()), "{}", row.name);
    }
}

/// Each row asserts itself that its work was done; this runs them all, small, with fewer and more workers than cores.
/// In one test, as the marks that tasks leave are for one row at a time.
#[test]
fn every_row_runs_on_every_runtime() {
    for (workers, body) in [(1, Body::Main), (3, Body::Task)] {
        let contenders = Contender::ALL.to_vec();
        let settings = Settings { contenders, workers, repetitions: 1, scale: Scale::Quick, body, counts: false };
        for row in ROWS.iter().filter(|row| row.can_run()) {
            for &contender in Contender::ALL.iter().filter(|contender| row.runs_on(**contender)) {
                let sample = Running::start(row, contender, &settings).unwrap().repeat(false);
                assert_eq!(sample.values.len(), row.metrics.len(), "{} on {contender:?}", row.name);
                assert!(sample.cost.operations > 0, "{} on {contender:?}", row.name);
            }
        }
    }
}
