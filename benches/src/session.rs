//! Runs the repetitions: for each row one of each runtime to warm up, then A B C A B C, then one of each that counts allocations and
//! is not timed.
//!
//! Each runtime runs in a process of its own, a *runner*, which waits on its standard input while the others have their turn. So what
//! the system counts for a process is one runtime's, no runtime's threads or memory are in the way of another's, and one that
//! panics, crashes or hangs loses its own figure and no other's.

use std::io;

use crate::allocations;
use crate::contenders::{Contender, Smol, Tokio, Trioxide};
use crate::counts::{self, Tools};
use crate::machine::Watch;
use crate::measure::Sample;
use crate::report::{Outcome, Report, Series, Settings};
use crate::rows::{OnTrioxide, Row, Scale};
use crate::runner::Runner;

/// Told what is going on; see [`run`].
pub trait Observer {
    /// A repetition of `row` on `contender` begins.
    fn repetition_begins(&mut self, row: &Row, contender: Contender);
    /// It has ended.
    fn repetition_ends(&mut self);
    /// All repetitions of the last row of `report` have ended.
    fn row_ends(&mut self, report: &Report);
}

/// How many repetitions [`run`] will report to its observer.
#[must_use]
pub fn repetitions(rows: &[&'static Row], settings: &Settings) -> usize {
    let of_row = |row: &&Row| {
        let runtimes = settings.contenders.iter().filter(|contender| row.runs_on(**contender)).count();
        runtimes * (settings.repetitions + usize::from(!row.own_process) + 1 + usize::from(settings.counts))
    };
    rows.iter().map(of_row).sum()
}

/// Runs `rows` as `settings` say. A runtime that fails in a row is without a figure there.
///
/// # Errors
///
/// If the program cannot be started again, as it must be for the runners.
pub fn run(rows: &[&'static Row], settings: Settings, observer: &mut impl Observer) -> io::Result<Report> {
    let watch = Watch::start();
    let tools = if settings.counts { Tools::find() } else { Tools::default() };
    let mut report = Report { settings, cores_used_by_others: None, outcomes: Vec::new() };
    for row in rows {
        let outcome = run_row(row, &report.settings, &tools, observer)?;
        report.outcomes.push(outcome);
        report.cores_used_by_others = watch.cores_used_by_others();
        observer.row_ends(&report);
    }
    Ok(report)
}

fn run_row(row: &'static Row, settings: &Settings, tools: &Tools, observer: &mut impl Observer) -> io::Result<Outcome> {
    let wanted = settings.contenders.iter().copied().filter(|contender| row.runs_on(*contender));
    let mut series: Vec<(Series, Runner)> =
        wanted.map(|contender| (Series::new(contender), Runner::new(row, contender, settings))).collect();

    let mut each = |counting: bool, keep: &mut dyn FnMut(&mut Series, Sample)| {
        for (series, runner) in &mut series {
            observer.repetition_begins(row, series.contender);
            if series.failed.is_none() {
                match runner.repeat(counting) {
                    Ok(sample) => keep(series, sample),
                    Err(error) => series.failed = Some(error.to_string()),
                }
            }
            observer.repetition_ends();
        }
    };
    if !row.own_process {
        each(false, &mut |_, _warm_up| ());
    }
    for _ in 0..settings.repetitions {
        each(false, &mut |series, sample| series.samples.push(sample));
    }
    each(true, &mut |series, sample| series.counted = Some(sample.cost));
    // The runners end here, before anything is counted.
    let mut series: Vec<Series> = series.into_iter().map(|(series, _)| series).collect();
    for series in series.iter_mut().filter(|_| settings.counts) {
        observer.repetition_begins(row, series.contender);
        if series.failed.is_none() {
            series.calls = counts::system_calls(tools, row, series.contender, settings)?;
            series.instructions = counts::instructions(tools, row, series.contender, settings)?;
        }
        observer.repetition_ends();
    }
    Ok(Outcome { row, series })
}

/// A runtime that has been built, for one row.
pub struct Running {
    scale: Scale,
    on: On,
}

enum On {
    Trioxide(Box<Trioxide>, OnTrioxide),
    Tokio(Tokio, fn(&Tokio, Scale) -> Sample),
    Smol(Smol, fn(&Smol, Scale) -> Sample),
    #[cfg(feature = "peers")]
    Peer {
        repeat: crate::peers::Repeat,
        workers: usize,
    },
}

impl Running {
    /// Builds `contender`'s runtime.
    ///
    /// # Errors
    ///
    /// If it cannot be built, or does not run that row.
    pub fn start(row: &'static Row, contender: Contender, settings: &Settings) -> io::Result<Self> {
        let not_there = || io::Error::other(format!("{} does not run {}", contender.name(), row.name));
        let (workers, body) = (settings.workers, settings.body);
        let on = match contender {
            Contender::Trioxide => On::Trioxide(Box::new(Trioxide::new(workers)?), row.trioxide),
            Contender::Tokio => On::Tokio(Tokio::new(workers, body)?, row.tokio.ok_or_else(not_there)?),
            Contender::TokioCt => On::Tokio(Tokio::current_thread(body)?, row.tokio.ok_or_else(not_there)?),
            Contender::Smol => On::Smol(Smol::new(workers, body)?, row.smol.ok_or_else(not_there)?),
            library if library.is_library() => {
                On::Trioxide(Box::new(Trioxide::new(workers)?), row.library(library).ok_or_else(not_there)?)
            }
            #[cfg(feature = "peers")]
            peer => On::Peer { repeat: crate::peers::repeat(peer, row.name).ok_or_else(not_there)?, workers },
            #[cfg(not(feature = "peers"))]
            _ => return Err(not_there()),
        };
        Ok(Self { scale: settings.scale, on })
    }

    /// One repetition, whose allocations are counted if `counting`.
    ///
    /// # Panics
    ///
    /// If a row finds that a runtime did not do its work.
    #[must_use]
    pub fn repeat(&self, counting: bool) -> Sample {
        allocations::set_counting(counting);
        let sample = match &self.on {
            On::Trioxide(runtime, repeat) => repeat(runtime, self.scale),
            On::Tokio(runtime, repeat) => repeat(runtime, self.scale),
            On::Smol(runtime, repeat) => repeat(runtime, self.scale),
            #[cfg(feature = "peers")]
            On::Peer { repeat, workers } => repeat(*workers, self.scale),
        };
        allocations::set_counting(false);
        sample
    }
}
