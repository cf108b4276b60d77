//! What a server must stand: connections that do nothing, connections that come and go, peers that send too slowly, peers that break off.
//!
//! The server is this program once more ([`server`]), a process of its own; the clients are here ([`clients`]). After each load the two are asked whether everything
//! is as it was before: no descriptor more, no task more. Whatever was lost is named, and the program fails.

mod clients;
mod server;

use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};

use trioxide_benches::{machine, open_files};

use clients::Tally;
use server::{Counts, Server};

/// Loads a server of trioxide's with many connections, short ones, slow ones and broken ones, and fails if it loses any other than those that break off.
#[derive(Debug, Parser)]
#[command(name = "load", args_conflicts_with_subcommands = true)]
struct Options {
    #[command(subcommand)]
    command: Option<Hidden>,
    #[command(flatten)]
    sizes: Sizes,
    /// A twentieth of the sizes: some seconds in all
    #[arg(long)]
    quick: bool,
    /// Workers of each process [default: the CPUs this process may use]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    workers: Option<u16>,
    /// Which connections break off, and where
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write load.md to DIR, which exists
    #[arg(long, value_name = "DIR")]
    into: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, clap::Args)]
struct Sizes {
    /// Connections that are open at once and say nothing
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    idle: u64,
    /// Connections, one after the other by 64 clients, each for one question
    #[arg(long, value_name = "N", default_value_t = 200_000)]
    short: u64,
    /// Connections that send a byte from time to time, and never a whole line
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    slow: u64,
    /// Short connections, one in ten of which breaks off by a reset
    #[arg(long, value_name = "N", default_value_t = 40_000)]
    broken: u64,
}

#[derive(Debug, Subcommand)]
enum Hidden {
    /// The server: how `load` runs it.
    #[command(name = "server", hide = true)]
    Server {
        #[arg(long)]
        workers: u16,
    },
}

fn main() -> ExitCode {
    match execute(&Options::parse()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(losses) => {
            eprintln!("load: {losses} of the loads have lost something; the table says what");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Gives the number of loads that have lost something.
fn execute(options: &Options) -> io::Result<usize> {
    if let Some(Hidden::Server { workers }) = options.command {
        return server::main(workers.into()).map(|()| 0);
    }
    let cpus = || std::thread::available_parallelism().map_or(1, usize::from);
    let workers = options.workers.map_or_else(cpus, usize::from);
    let loads = Load::all(options);
    let runtime = trioxide::Runtime::builder().workers(workers).build()?;
    let outcomes = runtime.run(run(loads, workers, options.seed))?;
    let text = table(&outcomes, workers);
    print!("{text}");
    if let Some(directory) = &options.into {
        let file = directory.join("load.md");
        let named = |error| io::Error::other(format!("cannot write {}: {error}", file.display()));
        std::fs::write(&file, &text).map_err(named)?;
    }
    Ok(outcomes.iter().filter(|outcome| !outcome.losses.is_empty()).count())
}

/// One of the loads.
#[derive(Debug, Clone, Copy)]
struct Load {
    kind: Kind,
    connections: u64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Idle,
    Short,
    Slow,
    Broken,
}

impl Load {
    fn all(options: &Options) -> Vec<Load> {
        let Sizes { idle, short, slow, broken } = options.sizes;
        let all = [(Kind::Idle, idle), (Kind::Short, short), (Kind::Slow, slow), (Kind::Broken, broken)];
        let size = |full: u64| if options.quick { full.div_ceil(20) } else { full };
        let loads = all.map(|(kind, full)| Load { kind, connections: size(full) });
        loads.into_iter().filter(|load| load.connections > 0).map(Load::within_limit).collect()
    }

    /// No more connections at once than the system lets a process have.
    fn within_limit(self) -> Load {
        /// Standard streams, the reactor's, the listeners, what the runtime and `std` open for a moment.
        const OTHERS: u64 = 64;
        let at_once = matches!(self.kind, Kind::Idle | Kind::Slow);
        match open_files::raise_limit() {
            Some(limit) if at_once && self.connections + OTHERS > limit => {
                let connections = limit.saturating_sub(OTHERS);
                eprintln!(
                    "{} connections of {} are too many here: a process may have {limit} files open (ulimit -Hn); {connections} it is",
                    self.kind.name(),
                    self.connections,
                );
                Load { connections, ..self }
            }
            _ => self,
        }
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Short => "short",
            Self::Slow => "slow",
            Self::Broken => "broken",
        }
    }
}

/// How a load went.
#[derive(Debug)]
struct Outcome {
    load: Load,
    took: Duration,
    /// Questions that were answered.
    answered: u64,
    p50: Duration,
    p99: Duration,
    /// Resident bytes more than before, per connection, while all were open: of the server, and of the clients.
    memory: Option<[f64; 2]>,
    losses: Vec<String>,
}

async fn run(loads: Vec<Load>, workers: usize, seed: u64) -> io::Result<Vec<Outcome>> {
    let mut server = Server::start(workers).await?;
    let mut outcomes = Vec::new();
    for load in loads {
        let bar = Arc::new(bar(load));
        // The first of each makes the tables of the reactor and of the allocator what they are afterwards.
        let before = [server.counts().await?, Counts::here()?];
        let tally = Arc::new(Tally::new(bar.clone()));
        let addresses = server.addresses.clone();
        let began = Instant::now();
        let mut memory = None;
        match load.kind {
            Kind::Idle => {
                let open = clients::open(&tally, &addresses, load.connections).await;
                memory = Some([server.counts().await?, Counts::here()?].map(|counts| counts.resident));
                clients::ask_each(&tally, open).await;
            }
            Kind::Short => clients::short(&tally, addresses, load.connections).await,
            Kind::Slow => clients::slow(&tally, addresses, load.connections).await,
            Kind::Broken => clients::broken(&tally, addresses, load.connections, seed).await,
        }
        let took = began.elapsed();
        bar.finish_and_clear();
        let mut losses = tally.losses();
        losses.extend(server.came_back_to(&before, load, &tally).await?);
        let latencies = tally.latencies();
        let at = |part: f64| latencies.get((latencies.len().saturating_sub(1) as f64 * part) as usize).copied();
        let more = |now: [u64; 2]| {
            [0, 1].map(|end| now[end].saturating_sub(before[end].resident) as f64 / load.connections as f64)
        };
        let outcome = Outcome {
            load,
            took,
            answered: latencies.len() as u64,
            p50: at(0.50).unwrap_or_default(),
            p99: at(0.99).unwrap_or_default(),
            memory: memory.map(more),
            losses,
        };
        if !io::stderr().is_terminal() {
            eprintln!("{}", line(&outcome));
        }
        outcomes.push(outcome);
    }
    server.stop().await?;
    Ok(outcomes)
}

fn bar(load: Load) -> ProgressBar {
    let template = format!("{:<6} {{bar:30}} {{pos}}/{{len}} {{elapsed}}, {{eta}} left", load.kind.name());
    let style = ProgressStyle::with_template(&template).expect("the template is well-formed");
    ProgressBar::new(load.connections).with_style(style)
}

const HEAD: &str = "| load | connections | lost | answers | seconds | connections/s | p50 ms | p99 ms | server, bytes/connection | clients, bytes/connection |\n\
                    | --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n";

fn table(outcomes: &[Outcome], workers: usize) -> String {
    let mut text = format!(
        "a server and its clients, {workers} workers each, over the loopback; {}\n\n{HEAD}",
        machine::describe()
    );
    for outcome in outcomes {
        let _ = writeln!(text, "{}", line(outcome));
    }
    for outcome in outcomes.iter().filter(|outcome| !outcome.losses.is_empty()) {
        let _ = writeln!(text, "\n{}: {}", outcome.load.kind.name(), outcome.losses.join("; "));
    }
    text
}

fn line(outcome: &Outcome) -> String {
    let Outcome { load, took, answered, p50, p99, memory, losses } = outcome;
    let millis = |time: &Duration| format!("{:.2}", time.as_secs_f64() * 1e3);
    let bytes = |end: usize| memory.map_or_else(|| "-".to_owned(), |memory| format!("{:.0}", memory[end]));
    let lost = if losses.is_empty() { "nothing".to_owned() } else { format!("{} things", losses.len()) };
    format!(
        "| {} | {} | {lost} | {answered} | {:.2} | {:.0} | {} | {} | {} | {} |",
        load.kind.name(),
        load.connections,
        took.as_secs_f64(),
        load.connections as f64 / took.as_secs_f64(),
        millis(p50),
        millis(p99),
        bytes(0),
        bytes(1),
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

    #[test]
    fn sizes_can_be_chosen_and_a_load_be_left_out() {
        let loads = |line: &str| {
            let options = Options::try_parse_from(line.split_whitespace()).unwrap();
            Load::all(&options).iter().map(|load| (load.kind, load.connections)).collect::<Vec<_>>()
        };
        assert_eq!(
            loads("load --idle 30 --short 0 --slow 20 --broken 10"),
            [(Kind::Idle, 30), (Kind::Slow, 20), (Kind::Broken, 10)]
        );
        assert_eq!(loads("load --quick --idle 30 --slow 0 --broken 0"), [(Kind::Idle, 2), (Kind::Short, 10_000)]);
    }
}
