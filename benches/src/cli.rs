//! The command line of `compare`, and its progress.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};

use crate::contenders::Contender;
use crate::report::Report;
use crate::rows::{ROWS, Row};
use crate::runner::Common;
use crate::session::{self, Observer};
use crate::{chart, json, runner, table};

/// Runs each row on trioxide, tokio, smol and others in turn, and prints the medians side by side.
#[derive(Debug, Parser)]
#[command(name = "compare", args_conflicts_with_subcommands = true)]
struct Options {
    #[command(subcommand)]
    command: Option<runner::Hidden>,
    #[command(flatten)]
    common: Common,
    /// Only rows whose name contains NAME (repeatable)
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Only this runtime (repeatable)
    #[arg(long, value_name = "RUNTIME")]
    runtime: Vec<Contender>,
    /// Timed repetitions of each row on each runtime [default: 7, with --quick 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    reps: Option<u32>,
    /// Count instructions (valgrind) and system calls (perf) too; takes as long again
    #[arg(long)]
    counts: bool,
    /// Write compare.json, compare.md and compare.svg to DIR, which exists
    #[arg(long, value_name = "DIR", conflicts_with_all = ["json", "markdown", "svg"])]
    into: Option<PathBuf>,
    /// Write everything, each repetition included, to FILE
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the tables to FILE as Markdown
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Draw the ratios to tokio as a bar chart, to FILE
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// List the rows and what they time
    #[arg(long)]
    list: bool,
}

/// The program: reads the command line, runs, prints.
#[must_use]
pub fn main() -> ExitCode {
    match execute(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compare: {error}");
            ExitCode::FAILURE
        }
    }
}

fn execute(options: &Options) -> io::Result<()> {
    if let Some(hidden) = &options.command {
        return hidden.serve();
    }
    let mut rows = select(&options.only)?;
    if options.list {
        list(&rows);
        return Ok(());
    }
    rows.retain(|row| {
        let missing = row.needs.filter(|_| !row.can_run());
        missing.inspect(|program| eprintln!("no {program}: {} is left out", row.name)).is_none()
    });
    let files = Files::asked_for(options)?;
    let settings = options.common.settings(contenders(&options.runtime), options.reps, options.counts);
    let mut progress = Progress::new(session::repetitions(&rows, &settings), files);
    let report = session::run(&rows, settings, &mut progress)?;
    progress.bar.finish_and_clear();
    print!("{}", table::render(&report));
    progress.files.write(&report)
}

/// Where the report goes besides the screen.
struct Files {
    json: Option<PathBuf>,
    markdown: Option<PathBuf>,
    svg: Option<PathBuf>,
}

impl Files {
    /// An error belongs before minutes of work, not after them. What a file holds stays until there is something better.
    fn asked_for(options: &Options) -> io::Result<Self> {
        let of = |file: &Option<PathBuf>, name| file.clone().or_else(|| Some(options.into.as_ref()?.join(name)));
        let files = Self {
            json: of(&options.json, "compare.json"),
            markdown: of(&options.markdown, "compare.md"),
            svg: of(&options.svg, "compare.svg"),
        };
        for file in [&files.json, &files.markdown, &files.svg].into_iter().flatten() {
            let opened = std::fs::OpenOptions::new().append(true).create(true).open(file);
            opened.map_err(|error| named(file, &error))?;
        }
        Ok(files)
    }

    /// Writes what there is so far.
    fn write(&self, report: &Report) -> io::Result<()> {
        if let Some(file) = &self.json {
            write(file, &format!("{:#}\n", json::report(report)))?;
        }
        if let Some(file) = &self.markdown {
            write(file, &table::markdown(report))?;
        }
        if let Some(file) = &self.svg {
            let chart = chart::render(report);
            let without = || io::Error::other("the chart shows how runtimes compare with tokio, and here none does");
            write(file, &chart.ok_or_else(without)?)?;
        }
        Ok(())
    }
}

/// The rows whose name contains one of `parts`; all rows if there are none.
fn select(parts: &[String]) -> io::Result<Vec<&'static Row>> {
    if let Some(unknown) = parts.iter().find(|part| !ROWS.iter().any(|row| row.name.contains(*part))) {
        return Err(io::Error::other(format!("no row's name contains {unknown:?}; --list shows them all")));
    }
    let wanted = |row: &&Row| parts.is_empty() || parts.iter().any(|part| row.name.contains(part));
    Ok(ROWS.iter().filter(wanted).collect())
}

/// Those asked for, in the usual order; all if none is.
fn contenders(asked: &[Contender]) -> Vec<Contender> {
    Contender::ALL.iter().copied().filter(|contender| asked.is_empty() || asked.contains(contender)).collect()
}

fn list(rows: &[&Row]) {
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
    for row in rows {
        println!("{:<width$}  {}", row.name, row.about);
    }
}

fn write(file: &std::path::Path, text: &str) -> io::Result<()> {
    std::fs::write(file, text).map_err(|error| named(file, &error))
}

fn named(file: &std::path::Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot write {}: {error}", file.display()))
}

/// A bar on a terminal, a line per row elsewhere; both on standard error. The files are written anew after each row, so that a run which is
/// broken off has not been for nothing.
struct Progress {
    bar: ProgressBar,
    terminal: bool,
    files: Files,
}

impl Progress {
    fn new(repetitions: usize, files: Files) -> Self {
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed}, {eta} left  {msg}");
        let bar = ProgressBar::new(repetitions as u64).with_style(style.expect("the template is well-formed"));
        Self { bar, terminal: io::stderr().is_terminal(), files }
    }
}

impl Observer for Progress {
    fn repetition_begins(&mut self, row: &Row, contender: Contender) {
        self.bar.set_message(format!("{} on {}", row.name, contender.name()));
    }

    fn repetition_ends(&mut self) {
        self.bar.inc(1);
    }

    fn row_ends(&mut self, report: &Report) {
        let Some(outcome) = report.outcomes.last() else { return };
        if self.terminal {
            self.bar.println(table::one_line(outcome));
        } else {
            eprintln!("{}", table::one_line(outcome));
        }
        // Whether it can be written at the end is what counts.
        let _ = self.files.write(report);
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::rows::Scale;

    fn parse(line: &str) -> Result<Options, clap::Error> {
        Options::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn command_line_is_consistent() {
        Options::command().debug_assert();
    }

    #[test]
    fn quick_is_smaller_unless_asked_otherwise() {
        let settings = |line| {
            let options = parse(line).unwrap();
            options.common.settings(contenders(&options.runtime), options.reps, options.counts)
        };
        assert_eq!(settings("compare").repetitions, 7);
        let quick = settings("compare --quick --workers 3");
        assert_eq!((quick.repetitions, quick.scale, quick.workers), (3, Scale::Quick, 3));
        assert_eq!(settings("compare --quick --reps 9").repetitions, 9);
        assert_eq!(
            settings("compare --runtime smol --runtime trioxide").contenders,
            [Contender::Trioxide, Contender::Smol]
        );
    }

    #[test]
    fn nonsense_is_refused_with_its_reason() {
        assert!(parse("compare --into a --json b").is_err());
        for line in ["compare --workers 0", "compare --reps 0", "compare --runtime actix"] {
            assert!(parse(line).unwrap_err().to_string().contains("invalid value"), "{line}");
        }
        let error = select(&["spawn".into(), "spwan".into()]).unwrap_err().to_string();
        assert_eq!(error, "no row's name contains \"spwan\"; --list shows them all");
    }

    #[test]
    fn only_selects_by_part_of_the_name() {
        let names = |parts: &[&str]| -> Vec<&str> {
            let parts: Vec<String> = parts.iter().map(|part| (*part).to_owned()).collect();
            select(&parts).unwrap().iter().map(|row| row.name).collect()
        };
        assert_eq!(names(&["fork"]), ["fork_join", "fork_join_scope"]);
        assert_eq!(names(&["timeout_par", "ping"]), ["ping_pong", "timeout_par"]);
        assert_eq!(names(&[]).len(), ROWS.len());
    }
}
