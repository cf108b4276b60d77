//! The command line of `latency`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use indicatif::ProgressBar;

use super::lateness::Quantiles;
use super::{SCENARIOS, Scenario, programs};
use crate::machine::Watch;

/// Measures how late tasks, timers and sockets are served under trioxide and tokio while other tasks compute.
#[derive(Debug, Parser)]
#[command(name = "latency")]
struct Options {
    /// Only scenarios whose name contains NAME (repeatable)
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Workers of each runtime [default: the CPUs this process may use]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    workers: Option<u16>,
    /// Seconds for each scenario on each runtime
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Write latency.md to DIR, which exists
    #[arg(long, value_name = "DIR")]
    into: Option<PathBuf>,
}

/// The program: reads the command line, runs, prints.
#[must_use]
pub fn main() -> ExitCode {
    let options = Options::parse();
    let wanted = |scenario: &&Scenario| {
        options.only.is_empty() || options.only.iter().any(|part| scenario.name.contains(part.as_str()))
    };
    let scenarios: Vec<&Scenario> = SCENARIOS.iter().filter(wanted).collect();
    if scenarios.is_empty() {
        let names: Vec<&str> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
        eprintln!("latency: no scenario is named so; there are {}", names.join(", "));
        return ExitCode::FAILURE;
    }
    let workers =
        options.workers.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from);
    let time = Duration::from_secs(options.seconds);
    let bar = ProgressBar::new(2 * scenarios.len() as u64);
    let watch = Watch::start();
    let mut text = format!(
        "{workers} workers, {} s each; lateness in us\n\n\
         | {:<17} | {:<8} | {:>8} | {:>8} | {:>8} | {:>8} | {:>8} |\n| --- | --- | ---: | ---: | ---: | ---: | ---: |\n",
        options.seconds, "scenario", "runtime", "events", "p50", "p99", "p99.9", "max"
    );
    for scenario in scenarios {
        for (name, run) in [("trioxide", programs::trioxide as fn(&_, _, _) -> _), ("tokio", programs::tokio)] {
            bar.set_message(scenario.name);
            text += &line(scenario.name, name, &run(scenario, workers, time));
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    if let Some(cores) = watch.cores_used_by_others().filter(|cores| *cores >= 0.1) {
        let _ = writeln!(text, "\nothers used {cores:.2} cores meanwhile: not to be trusted");
    }
    print!("{text}");
    if let Some(file) = options.into.map(|directory| directory.join("latency.md"))
        && let Err(error) = std::fs::write(&file, text)
    {
        eprintln!("latency: cannot write {}: {error}", file.display());
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn line(scenario: &str, runtime: &str, quantiles: &Quantiles) -> String {
    let at = |quantile| quantiles.at(quantile).map_or(f64::NAN, |late| late.as_nanos() as f64 / 1e3);
    format!(
        "| {scenario:<17} | {runtime:<8} | {:>8} | {:>8.0} | {:>8.0} | {:>8.0} | {:>8.0} |\n",
        quantiles.count(),
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0)
    )
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn command_line_is_consistent() {
        Options::command().debug_assert();
    }
}
