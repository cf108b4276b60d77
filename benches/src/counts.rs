//! What is counted by tools of the system rather than by the clock: instructions, system calls, and those of `futex` among them.
//!
//! Both in processes of their own that run a row at its small size. A tool that is not there leaves its column empty.
//!
//! - **Instructions** by `valgrind --tool=callgrind`, with one worker, from [`Span::start`] to [`Span::stop`]: they do not depend on what else
//!   the machine does, so two versions can be compared by them on a busy one. Locked instructions count as one; they take many cycles.
//! - **System calls** by `perf stat`, with the workers of the table: the difference between one repetition and four, so that what
//!   a runtime does at its start is not in it.
//!
//! [`Span::start`]: crate::measure::Span::start
//! [`Span::stop`]: crate::measure::Span::stop

use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use crate::contenders::Contender;
use crate::json;
use crate::report::Settings;
use crate::rows::{Row, Scale};
use crate::runner::arguments;

/// Which tools are there.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tools {
    callgrind: bool,
    perf: bool,
}

const FUTEX: &str = "syscalls:sys_enter_futex";
const ALL: &str = "raw_syscalls:sys_enter";
const FUNCTION: &str = "trioxide_benches::measure::Span::";

impl Tools {
    /// Looks, and says on standard error what is missing.
    #[must_use]
    pub fn find() -> Self {
        let works = |program: &str, arguments: &[&str]| {
            let status = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
            status.is_ok_and(|status| status.success())
        };
        let callgrind = works("valgrind", &["--version"]);
        if !callgrind {
            eprintln!("no valgrind: instructions are not counted");
        }
        let perf = works("perf", &["stat", "-e", FUTEX, "-e", ALL, "true"]);
        if !perf {
            eprintln!("`perf stat -e {FUTEX} -e {ALL}` does not work here: system calls are not counted");
        }
        Self { callgrind, perf }
    }
}

/// Instructions per operation with one worker; `None` without the tool, or if the run fails.
///
/// # Errors
///
/// If no process can be started.
pub fn instructions(tools: &Tools, row: &Row, contender: Contender, settings: &Settings) -> io::Result<Option<f64>> {
    // Memory, and what another program asks for over the network, are nothing that one would count instructions of.
    if !tools.callgrind || row.own_process || row.needs.is_some() {
        return Ok(None);
    }
    let settings = Settings { workers: 1, scale: Scale::Quick, ..settings.clone() };
    let scratch = Scratch::new()?;
    let ran = repeat(callgrind(&scratch), row, contender, &settings, 1)?;
    let Some(operations) = ran.operations else { return Ok(None) };
    let mut total = 0;
    for dump in dumps(&scratch)? {
        total += totals(&fs::read_to_string(dump)?).unwrap_or(0);
    }
    Ok((total > 0).then(|| total as f64 / operations as f64))
}

/// Callgrind, which writes a file to `scratch` for each time that the clock was stopped.
pub(crate) fn callgrind(scratch: &Scratch) -> Command {
    let mut command = Command::new("valgrind");
    let file = scratch.0.join("out");
    command.args(["-q", "--tool=callgrind", &format!("--callgrind-out-file={}", file.display())]);
    command.args([&format!("--zero-before={FUNCTION}start*"), &format!("--dump-before={FUNCTION}stop*")]);
    command
}

/// Those files.
pub(crate) fn dumps(scratch: &Scratch) -> io::Result<Vec<PathBuf>> {
    let files = fs::read_dir(&scratch.0)?.map(|file| file.map(|file| file.path())).collect::<io::Result<Vec<_>>>()?;
    // The one without a number holds what came after the last stop.
    Ok(files.into_iter().filter(|file| file.extension().is_some()).collect())
}

/// System calls per operation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Calls {
    /// Of all kinds.
    pub all: f64,
    /// Of `futex`.
    pub futex: f64,
}

/// System calls per operation; `None` without the tool, or if a run fails.
///
/// # Errors
///
/// If no process can be started.
pub fn system_calls(tools: &Tools, row: &Row, contender: Contender, settings: &Settings) -> io::Result<Option<Calls>> {
    if !tools.perf || row.own_process || row.needs.is_some() {
        return Ok(None);
    }
    let settings = Settings { scale: Scale::Quick, ..settings.clone() };
    let run = |times: u64| -> io::Result<Option<(u64, [u64; 2])>> {
        let mut command = Command::new("perf");
        command.args(["stat", "-x,", "-e", FUTEX, "-e", ALL]);
        let ran = repeat(command, row, contender, &settings, times)?;
        let text = String::from_utf8_lossy(&ran.output.stderr);
        Ok(ran
            .operations
            .zip(calls(&text, ALL))
            .zip(calls(&text, FUTEX))
            .map(|((ops, all), futex)| (ops, [all, futex])))
    };
    let (Some((_, once)), Some((operations, often))) = (run(1)?, run(1 + MORE)?) else { return Ok(None) };
    let [all, futex] = [0, 1].map(|kind| often[kind].saturating_sub(once[kind]) as f64 / (MORE * operations) as f64);
    Ok(Some(Calls { all, futex }))
}

/// No row takes so long under a tool at its small size; what does hangs.
const PATIENCE: Duration = Duration::from_secs(120);
/// So many repetitions more has the second run.
const MORE: u64 = 3;

/// What a runner has done under a tool.
pub(crate) struct Ran {
    /// Of one repetition; `None` if the runner failed.
    pub(crate) operations: Option<u64>,
    pub(crate) output: Output,
}

/// Runs a row `times` times under `tool`.
pub(crate) fn repeat(
    mut tool: Command,
    row: &Row,
    contender: Contender,
    settings: &Settings,
    times: u64,
) -> io::Result<Ran> {
    tool.arg(std::env::current_exe()?).args(arguments(row, contender, settings));
    // A group of their own: to end the tool is to end the runner.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut tool, 0);
    let mut child = tool.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut questions = child.stdin.take().expect("it is piped");
    for _ in 0..times {
        // It fails only if the runner is gone, and then there is no sample.
        let _ = writeln!(questions, "timed");
    }
    drop(questions);
    let id = child.id();
    let (ended, waits) = channel::<()>();
    // What hangs under a tool has no figure, and must not hold up the others.
    let killer = thread::spawn(move || {
        if waits.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            let _ = Command::new("kill").args(["-KILL", "--", &format!("-{id}")]).status();
        }
    });
    let output = child.wait_with_output();
    drop(ended);
    killer.join().expect("it does not panic");
    let output = output?;
    let answers = String::from_utf8_lossy(&output.stdout);
    let sample = answers.lines().last().and_then(|line| json::read_sample(line.as_bytes()));
    let operations = sample.filter(|_| output.status.success()).map(|sample| sample.cost.operations);
    Ok(Ran { operations, output })
}

/// The sum of the events of a callgrind file.
fn totals(text: &str) -> Option<u64> {
    let line =
        text.lines().find_map(|line| line.strip_prefix("totals: ").or_else(|| line.strip_prefix("summary: ")))?;
    line.trim().parse().ok()
}

/// The count of `event` in what `perf stat -x,` prints.
fn calls(text: &str, event: &str) -> Option<u64> {
    text.lines().find(|line| line.contains(event))?.split(',').next()?.parse().ok()
}

/// A directory that is gone afterwards.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("trioxide-compare-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_from_what_the_tools_print() {
        assert_eq!(totals("version: 1\nsummary: 1234\n\nfn=(1) main\n10 1234\n"), Some(1234));
        assert_eq!(totals("fn=(1) main\n10 1234\ntotals: 77\n"), Some(77));
        assert_eq!(totals(""), None);
        let both = "5123,,syscalls:sys_enter_futex,20055242,100.00,,\n6000,,raw_syscalls:sys_enter,20055242,100.00,,\n";
        assert_eq!((calls(both, FUTEX), calls(both, ALL)), (Some(5123), Some(6000)));
        assert_eq!(calls("<not supported>,,syscalls:sys_enter_futex,0,0.00,,\n", FUTEX), None);
    }
}
