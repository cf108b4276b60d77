//! The report as JSON, and a sample on its way from a runner.

use std::time::Duration;

use serde_json::{Value, json};

use crate::contenders::Contender;
use crate::goals::Goal;
use crate::measure::{Cost, Sample};
use crate::report::{Outcome, Report, Series};
use crate::rows::Scale;
use crate::statistics::{Summary, ratio};

/// The whole report: settings, summaries and every repetition.
#[must_use]
pub fn report(report: &Report) -> Value {
    let settings = &report.settings;
    json!({
        "machine": crate::machine::describe(),
        "workers": settings.workers,
        "cpus": std::thread::available_parallelism().map_or(0, usize::from),
        "repetitions": settings.repetitions,
        "quick": settings.scale == Scale::Quick,
        "body": settings.body.name(),
        "cores_used_by_others": report.cores_used_by_others,
        "os": std::env::consts::OS,
        "arch": std::env::consts::ARCH,
        "rows": report.outcomes.iter().map(outcome).collect::<Vec<_>>(),
    })
}

fn outcome(outcome: &Outcome) -> Value {
    let metrics = outcome.row.metrics.iter().enumerate().map(|(index, metric)| {
        let of = |contender| outcome.summary(contender, index);
        let goal = Goal::of(outcome.row, index);
        let medians =
            outcome.series.iter().map(|series| (series.contender.name().to_owned(), summary(series.summary(index))));
        json!({
            "name": metric.label(outcome.row.name),
            "unit": metric.unit,
            "runtimes": medians.collect::<serde_json::Map<_, _>>(),
            "trioxide_to_tokio": ratio(of(Contender::Trioxide), of(Contender::Tokio)),
            "trioxide_to_smol": ratio(of(Contender::Trioxide), of(Contender::Smol)),
            "goal": goal.map(Goal::text),
            "goal_met": goal.and_then(|goal| goal.is_met(outcome, index)),
        })
    });
    let runtimes = outcome.series.iter().map(|series| (series.contender.name().to_owned(), runtime(series)));
    json!({
        "row": outcome.row.name,
        "about": outcome.row.about,
        "metrics": metrics.collect::<Vec<_>>(),
        "runtimes": runtimes.collect::<serde_json::Map<_, _>>(),
    })
}

fn runtime(series: &Series) -> Value {
    json!({
        "cpu_ns_per_operation": summary(series.cpu()),
        "switches_per_operation": summary(series.switches()),
        "allocations_per_operation": series.allocations(),
        "system_calls_per_operation": series.calls.map(|calls| calls.all),
        "futexes_per_operation": series.calls.map(|calls| calls.futex),
        "instructions_per_operation_with_one_worker": series.instructions,
        "failed": series.failed,
        "repetitions": series.samples.iter().map(sample).collect::<Vec<_>>(),
    })
}

fn summary(summary: Option<Summary>) -> Value {
    summary.map_or(Value::Null, |summary| json!({ "median": summary.median, "min": summary.min, "max": summary.max }))
}

/// One repetition. A value that is not a number is `null`.
#[must_use]
pub fn sample(sample: &Sample) -> Value {
    json!({
        "values": sample.values,
        "operations": sample.cost.operations,
        "wall_ns": nanos(sample.cost.wall),
        "cpu_ns": nanos(sample.cost.cpu),
        "switches": sample.cost.switches,
        "allocations": sample.cost.allocations,
    })
}

/// Reads what [`sample`] has written.
#[must_use]
pub fn read_sample(text: &[u8]) -> Option<Sample> {
    let value: Value = serde_json::from_slice(text).ok()?;
    let number = |name: &str| value.get(name)?.as_u64();
    let values = value.get("values")?.as_array()?.iter().map(|value| value.as_f64().unwrap_or(f64::NAN)).collect();
    let cost = Cost {
        operations: number("operations")?,
        wall: Duration::from_nanos(number("wall_ns")?),
        cpu: Duration::from_nanos(number("cpu_ns")?),
        switches: number("switches")?,
        allocations: number("allocations")?,
    };
    Some(cost.with_values(values))
}

fn nanos(duration: Duration) -> u64 {
    duration.as_nanos().try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::example;

    #[test]
    fn report_holds_medians_ratios_and_every_repetition() {
        let value = report(&example());
        assert_eq!(value["workers"], 2);
        assert_eq!(value["quick"], false);
        assert_eq!(value["cores_used_by_others"], 0.0625);
        let row = &value["rows"][0];
        assert_eq!(row["row"], "spawn_join");
        assert_eq!(row["metrics"][0]["runtimes"]["trioxide"], json!({ "median": 100.0, "min": 95.0, "max": 110.0 }));
        assert_eq!(row["metrics"][0]["trioxide_to_tokio"], 0.25);
        assert_eq!(row["metrics"][0]["trioxide_to_smol"], 0.5);
        assert_eq!(row["metrics"][0]["goal_met"], false);
        let repetitions = row["runtimes"]["tokio"]["repetitions"].as_array().unwrap();
        assert_eq!(repetitions.len(), 3);
        assert_eq!(repetitions[1]["values"], json!([404.0]));
        assert_eq!(row["runtimes"]["smol"]["allocations_per_operation"], 2.5);
    }

    #[test]
    fn runtime_that_did_not_run_is_not_there() {
        let mut example = example();
        example.outcomes[0].series.remove(1);
        let row = &report(&example)["rows"][0];
        assert_eq!(row["metrics"][0]["runtimes"]["tokio"], Value::Null);
        assert_eq!(row["metrics"][0]["trioxide_to_tokio"], Value::Null);
    }

    #[test]
    fn sample_survives_the_way_between_processes() {
        let before = example().outcomes[0].series[0].samples[0].clone();
        assert_eq!(read_sample(sample(&before).to_string().as_bytes()), Some(before.clone()));

        let unknown = before.cost.with_values(vec![f64::NAN]);
        let after = read_sample(sample(&unknown).to_string().as_bytes()).unwrap();
        assert!(after.values[0].is_nan());
        assert_eq!(read_sample(b"{}"), None);
        assert_eq!(read_sample(b"no json"), None);
    }
}
