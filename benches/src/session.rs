//! Runs the repetitions: for each row first one of each runtime to warm up, then A B C A B C, then one of each that counts
//! allocations and is not timed.

use std::io;
use std::process::{Command, Stdio};

use crate::allocations;
use crate::contenders::{Contender, Smol, Tokio, Trioxide};
use crate::json;
use crate::machine::Watch;
use crate::measure::Sample;
use crate::report::{Outcome, Report, Series, Settings};
use crate::rows::{Row, Scale};

/// Told what is going on; see [`run`].
pub trait Observer {
    /// A repetition of `row` on `contender` begins.
    fn repetition_begins(&mut self, row: &Row, contender: Contender);
    /// It has ended.
    fn repetition_ends(&mut self);
    /// All repetitions of a row have ended.
    fn row_ends(&mut self, outcome: &Outcome);
}

/// How many repetitions [`run`] will report to its observer.
#[must_use]
pub fn repetitions(rows: &[&'static Row], settings: &Settings) -> usize {
    let of_row = |row: &&Row| settings.repetitions + usize::from(!row.own_process) + 1;
    rows.iter().map(of_row).sum::<usize>() * settings.contenders.len()
}

/// Runs `rows` as `settings` say.
///
/// # Errors
///
/// If a runtime cannot be built, or a child process cannot be run or fails.
///
/// # Panics
///
/// If a row finds that a runtime did not do its work.
pub fn run(rows: &[&'static Row], settings: Settings, observer: &mut impl Observer) -> io::Result<Report> {
    let watch = Watch::start();
    let mut outcomes = Vec::new();
    for row in rows {
        let outcome = run_row(row, &settings, observer)?;
        observer.row_ends(&outcome);
        outcomes.push(outcome);
    }
    Ok(Report { settings, cores_used_by_others: watch.cores_used_by_others(), outcomes })
}

/// One repetition of `row` on a runtime built for it: what a child process does.
///
/// # Errors
///
/// If the runtime cannot be built.
pub fn run_once(row: &Row, contender: Contender, settings: &Settings, counting: bool) -> io::Result<Sample> {
    let runtime = Running::start(contender, settings)?;
    Ok(counted(counting, || runtime.repeat(row, settings.scale)))
}

fn run_row(row: &'static Row, settings: &Settings, observer: &mut impl Observer) -> io::Result<Outcome> {
    let places = settings.contenders.iter().map(|contender| Place::of(row, *contender, settings));
    let places = places.collect::<io::Result<Vec<_>>>()?;
    let mut series: Vec<Series> = settings
        .contenders
        .iter()
        .map(|contender| Series { contender: *contender, samples: Vec::new(), counted: None })
        .collect();

    let mut each = |counting: bool, keep: &mut dyn FnMut(&mut Series, Sample)| -> io::Result<()> {
        for (place, series) in places.iter().zip(&mut series) {
            observer.repetition_begins(row, series.contender);
            let sample = place.repeat(row, series.contender, settings, counting)?;
            observer.repetition_ends();
            keep(series, sample);
        }
        Ok(())
    };
    if !row.own_process {
        each(false, &mut |_, _warm_up| ())?;
    }
    for _ in 0..settings.repetitions {
        each(false, &mut |series, sample| series.samples.push(sample))?;
    }
    each(true, &mut |series, sample| series.counted = Some(sample.cost))?;
    Ok(Outcome { row, series })
}

/// Where a row's repetitions run on one runtime.
enum Place {
    Here(Running),
    ChildProcess,
}

impl Place {
    fn of(row: &Row, contender: Contender, settings: &Settings) -> io::Result<Self> {
        if row.own_process { Ok(Self::ChildProcess) } else { Running::start(contender, settings).map(Self::Here) }
    }

    fn repeat(&self, row: &Row, contender: Contender, settings: &Settings, counting: bool) -> io::Result<Sample> {
        match self {
            Self::Here(runtime) => Ok(counted(counting, || runtime.repeat(row, settings.scale))),
            Self::ChildProcess => in_child(row, contender, settings, counting),
        }
    }
}

/// A runtime that has been built.
enum Running {
    Trioxide(Trioxide),
    Tokio(Tokio),
    Smol(Smol),
}

impl Running {
    fn start(contender: Contender, settings: &Settings) -> io::Result<Self> {
        match contender {
            Contender::Trioxide => Trioxide::new(settings.workers).map(Self::Trioxide),
            Contender::Tokio => Tokio::new(settings.workers, settings.body).map(Self::Tokio),
            Contender::Smol => Smol::new(settings.workers, settings.body).map(Self::Smol),
        }
    }

    fn repeat(&self, row: &Row, scale: Scale) -> Sample {
        match self {
            Self::Trioxide(runtime) => (row.trioxide)(runtime, scale),
            Self::Tokio(runtime) => (row.tokio)(runtime, scale),
            Self::Smol(runtime) => (row.smol)(runtime, scale),
        }
    }
}

fn counted(counting: bool, repeat: impl FnOnce() -> Sample) -> Sample {
    if !counting {
        return repeat();
    }
    allocations::set_counting(true);
    let sample = repeat();
    allocations::set_counting(false);
    sample
}

/// The name of the hidden command that a child process is started with.
pub const CHILD_COMMAND: &str = "child";

/// Runs one repetition in a new process of this program, which prints its sample.
fn in_child(row: &Row, contender: Contender, settings: &Settings, counting: bool) -> io::Result<Sample> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args([CHILD_COMMAND, "--row", row.name, "--runtime", contender.name()]);
    command.args(["--workers", &settings.workers.to_string(), "--body", settings.body.name()]);
    if settings.scale == Scale::Quick {
        command.arg("--quick");
    }
    if counting {
        command.arg("--counting");
    }
    let output = command.stderr(Stdio::inherit()).output()?;
    let failed =
        |what: &str| io::Error::other(format!("{} on {}, in its own process: {what}", row.name, contender.name()));
    if !output.status.success() {
        return Err(failed(&output.status.to_string()));
    }
    json::read_sample(&output.stdout).ok_or_else(|| failed("it printed no sample"))
}
