//! How costs grow: with the number of tasks, the depth of nurseries and of scopes, the number of timers and of workers.
//!
//! A *curve* is what one operation costs, at each of a number of sizes. Flat means linear: twice the tasks, twice the time. [`curves`] has
//! the programs, [`plot`] draws them, here they are run and judged.

pub mod curves;
pub mod plot;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use indicatif::ProgressBar;

use crate::machine::Watch;
use crate::statistics::Summary;
use curves::{CURVES, Curve};

/// Measures how the cost of an operation grows with the size of the whole, and draws it.
#[derive(Debug, Parser)]
#[command(name = "growth")]
struct Options {
    /// Only curves whose name contains NAME (repeatable)
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Leave out sizes above N
    #[arg(long, value_name = "N", default_value_t = u64::MAX)]
    largest: u64,
    /// Workers of the runtime [default: the CPUs this process may use]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    workers: Option<u16>,
    /// Write growth.md and growth.svg to DIR, which exists
    #[arg(long, value_name = "DIR")]
    into: Option<PathBuf>,
}

/// A curve with its points.
#[derive(Debug)]
pub struct Measured {
    /// Which.
    pub curve: &'static Curve,
    /// Sizes, and nanoseconds per operation.
    pub points: Vec<(u64, f64)>,
}

impl Measured {
    /// The power of the size with which the whole grows: 1 is linear. By the ends of the upper half of the sizes, where constant costs no longer hide it.
    /// `None` for less than two points.
    #[must_use]
    pub fn power(&self) -> Option<f64> {
        let upper = &self.points[self.points.len() / 2 - self.points.len().min(2) / 2..];
        let ((from, before), (to, after)) = (upper.first()?, upper.last()?);
        (from < to).then(|| 1.0 + (after / before).ln() / (*to as f64 / *from as f64).ln())
    }
}

/// At least so long is measured for a point, so that small sizes are repeated.
const ENOUGH: Duration = Duration::from_millis(60);
/// A point is the median of so many.
const TIMES: usize = 3;

/// The program: reads the command line, measures, prints, draws.
#[must_use]
pub fn main() -> ExitCode {
    let options = Options::parse();
    let wanted =
        |curve: &&Curve| options.only.is_empty() || options.only.iter().any(|part| curve.name.contains(part.as_str()));
    let curves: Vec<&'static Curve> = CURVES.iter().filter(wanted).collect();
    let sizes =
        |curve: &Curve| -> Vec<u64> { curve.sizes.iter().copied().filter(|size| *size <= options.largest).collect() };
    let workers =
        options.workers.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from);
    let bar = ProgressBar::new(curves.iter().map(|curve| sizes(curve).len() as u64).sum());
    let watch = Watch::start();
    let mut measured = Vec::new();
    for curve in curves {
        let mut points = Vec::new();
        for size in sizes(curve) {
            bar.set_message(curve.name);
            points.push((size, point(curve, workers, size)));
            bar.inc(1);
        }
        measured.push(Measured { curve, points });
    }
    bar.finish_and_clear();
    let mut text = table(&measured, workers);
    if let Some(cores) = watch.cores_used_by_others().filter(|cores| *cores >= 0.1) {
        let _ = writeln!(text, "\nOthers used {cores:.2} cores meanwhile: the figures are not to be trusted.");
    }
    print!("{text}");
    if let Some(directory) = &options.into {
        let files = [("growth.md", text), ("growth.svg", plot::render(&measured))];
        for (name, text) in files {
            if let Err(error) = std::fs::write(directory.join(name), text) {
                eprintln!("growth: cannot write {}: {error}", directory.join(name).display());
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

/// Nanoseconds per operation at `size`.
fn point(curve: &Curve, workers: usize, size: u64) -> f64 {
    let medians = (0..TIMES).map(|_| {
        let (mut time, mut operations) = (Duration::ZERO, 0);
        while time < ENOUGH {
            let cost = (curve.run)(workers, size);
            time += cost.wall;
            operations += cost.operations;
        }
        time.as_nanos() as f64 / operations as f64
    });
    Summary::of(medians).map_or(f64::NAN, |summary| summary.median)
}

fn table(measured: &[Measured], workers: usize) -> String {
    let mut text = format!(
        "{workers} workers but where they are what grows; ns per operation at each size, and the power of the size with which the whole grows\n\n\
         | curve | operation | power | sizes and ns |\n| --- | --- | ---: | --- |\n"
    );
    for Measured { curve, points } in measured {
        let each: Vec<String> = points.iter().map(|(size, nanos)| format!("{}: {nanos:.0}", short(*size))).collect();
        let power = Measured { curve, points: points.clone() }.power();
        let power = power.map_or_else(|| "-".to_owned(), |power| format!("{power:.2}"));
        let _ = writeln!(text, "| {} | {} | {power} | {} |", curve.name, curve.about, each.join(", "));
    }
    text
}

/// 1000000 is 1M.
fn short(size: u64) -> String {
    match size {
        millions if size > 0 && size.is_multiple_of(1_000_000) => format!("{}M", millions / 1_000_000),
        thousands if size > 0 && size.is_multiple_of(1_000) => format!("{}k", thousands / 1_000),
        few => few.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn command_line_is_consistent() {
        Options::command().debug_assert();
    }

    #[test]
    fn every_curve_can_be_run_at_its_smallest_size() {
        for curve in CURVES {
            let cost = (curve.run)(2, curve.sizes[0]);
            assert!(cost.operations > 0 && cost.wall > Duration::ZERO, "{}", curve.name);
        }
    }

    #[test]
    fn flat_is_linear_and_rising_is_more() {
        let measured = |points: &[(u64, f64)]| Measured { curve: &CURVES[0], points: points.to_vec() }.power();
        assert_eq!(measured(&[(10, 5.0), (100, 5.0), (1000, 5.0)]), Some(1.0));
        let square = measured(&[(10, 50.0), (100, 500.0), (1000, 5000.0)]).unwrap();
        assert!((square - 2.0).abs() < 1e-9);
        assert_eq!(measured(&[]), None);
        assert_eq!(measured(&[(1, 1.0)]), None);
    }

    #[test]
    fn the_plot_has_a_line_for_each_curve() {
        let measured = CURVES.iter().map(|curve| Measured { curve, points: vec![(10, 5.0), (100, 7.0)] });
        let svg = plot::render(&measured.collect::<Vec<_>>());
        assert_eq!(svg.matches("<polyline").count(), CURVES.len());
    }
}
