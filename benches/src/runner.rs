//! A runner: this program once more, with one runtime and one row; see [`session`](crate::session).
//!
//! It does a repetition for each line that it reads, and answers with a line of JSON. It ends with its standard input.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use clap::{Args, Subcommand};

use crate::contenders::{Body, Contender};
use crate::json;
use crate::measure::Sample;
use crate::report::Settings;
use crate::rows::{ROWS, Row, Scale};
use crate::session::Running;

/// The name of the hidden command that a runner is started with.
const COMMAND: &str = "runner";

/// No repetition takes so long; what does hangs.
const PATIENCE: Duration = Duration::from_secs(120);

const TIMED: &str = "timed";
const COUNTED: &str = "counted";

/// The runner of a row on one runtime, as the program that started it sees it.
pub(crate) struct Runner {
    row: &'static Row,
    contender: Contender,
    settings: Settings,
    process: Option<Process>,
}

struct Process {
    child: Child,
    questions: ChildStdin,
    answers: Receiver<String>,
}

impl Runner {
    /// Starts nothing yet.
    pub(crate) fn new(row: &'static Row, contender: Contender, settings: &Settings) -> Self {
        Self { row, contender, settings: settings.clone(), process: None }
    }

    /// One repetition, in a new process if the row wants that.
    pub(crate) fn repeat(&mut self, counting: bool) -> io::Result<Sample> {
        if self.row.own_process {
            self.process = None;
        }
        if self.process.is_none() {
            self.process = Some(Process::start(command(self.row, self.contender, &self.settings)?)?);
        }
        let process = self.process.as_mut().expect("it has just been started");
        // A runner that is gone has told why on standard error; here its answer is missing.
        let _ = writeln!(process.questions, "{}", if counting { COUNTED } else { TIMED });
        let answer = process.answers.recv_timeout(PATIENCE);
        let failed = |what: &str| Err(io::Error::other(what.to_owned()));
        match answer {
            Ok(line) => json::read_sample(line.as_bytes()).map_or_else(|| failed("it printed no sample"), Ok),
            Err(RecvTimeoutError::Timeout) => failed("it hangs"),
            Err(RecvTimeoutError::Disconnected) => failed("it panicked or crashed"),
        }
    }
}

impl Process {
    fn start(mut command: Command) -> io::Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let questions = child.stdin.take().expect("it is piped");
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        let (sender, answers) = channel();
        thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Ok(Self { child, questions, answers })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Not by closing its input: one that hangs would not notice. It holds nothing that needs an end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How to start a runner.
pub(crate) fn command(row: &Row, contender: Contender, settings: &Settings) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(arguments(row, contender, settings));
    Ok(command)
}

/// The arguments of a runner.
pub(crate) fn arguments(row: &Row, contender: Contender, settings: &Settings) -> Vec<String> {
    let workers = settings.workers.to_string();
    let arguments = [COMMAND, "--row", row.name, "--runtime", contender.name(), "--workers", &workers];
    let mut arguments: Vec<String> = arguments.map(String::from).to_vec();
    arguments.extend(["--body".to_owned(), settings.body.name().to_owned()]);
    if settings.scale == Scale::Quick {
        arguments.push("--quick".to_owned());
    }
    arguments
}

/// How a program that runs runners is started as one.
#[derive(Debug, Subcommand)]
pub(crate) enum Hidden {
    /// One row on one runtime in this process, again and again: how `compare` runs everything.
    #[command(name = COMMAND, hide = true)]
    Runner {
        #[command(flatten)]
        common: Common,
        #[arg(long)]
        row: String,
        #[arg(long)]
        runtime: Contender,
    },
}

impl Hidden {
    /// Does what a runner does, until nobody asks any more.
    pub(crate) fn serve(&self) -> io::Result<()> {
        let Self::Runner { common, row, runtime } = self;
        let known = ROWS.iter().find(|known| known.name == row);
        let row = known.ok_or_else(|| io::Error::other(format!("no row is named {row:?}")))?;
        serve(row, *runtime, &common.settings(vec![*runtime], Some(1), false))
    }
}

/// What a runner must be told, too.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Workers of each runtime [default: the CPUs this process may use]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    workers: Option<u16>,
    /// Where the bodies of tokio and smol run: as async `main` does, or in a task on a worker
    #[arg(long, value_enum, default_value_t)]
    body: Body,
    /// Smaller sizes and fewer repetitions: a glance, not a claim
    #[arg(long)]
    quick: bool,
}

impl Common {
    pub(crate) fn settings(&self, contenders: Vec<Contender>, reps: Option<u32>, counts: bool) -> Settings {
        let cpus = || std::thread::available_parallelism().map_or(1, usize::from);
        Settings {
            contenders,
            workers: self.workers.map_or_else(cpus, usize::from),
            repetitions: reps.unwrap_or(if self.quick { 3 } else { 7 }) as usize,
            scale: if self.quick { Scale::Quick } else { Scale::Full },
            body: self.body,
            counts,
        }
    }
}

/// What a runner does.
fn serve(row: &'static Row, contender: Contender, settings: &Settings) -> io::Result<()> {
    let running = Running::start(row, contender, settings)?;
    for line in io::stdin().lines() {
        let sample = running.repeat(line? == COUNTED);
        let mut output = io::stdout().lock();
        writeln!(output, "{}", json::sample(&sample))?;
        output.flush()?;
    }
    Ok(())
}
