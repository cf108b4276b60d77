//! What a runtime costs that has nothing to do: how often its threads wake up. Counted, and not timed: a busy machine changes nothing.
//!
//! A thread that waits has made a voluntary context switch, so the switches of the whole process are the wake-ups of all its threads.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use crate::measure::Span;

/// Counts how often an idle runtime wakes up. Fails if trioxide does so at all, or more than once per tick of a periodic timer.
#[derive(Debug, Parser)]
#[command(name = "idle")]
struct Options {
    /// Seconds to be idle for
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Workers of each runtime [default: the CPUs this process may use]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    workers: Option<u16>,
    /// Write idle.md to DIR, which exists
    #[arg(long, value_name = "DIR")]
    into: Option<PathBuf>,
}

/// What was counted on one runtime.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wakes {
    /// While everything slept for a long time; the one that ended the sleep is not in it.
    pub asleep: u64,
    /// The same, with a socket that nobody connects to.
    pub listening: u64,
    /// Per tick of a periodic timer.
    pub per_tick: f64,
}

/// What is counted: for how long nothing is to do, and how often how many milliseconds pass.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How long to sleep.
    pub idle: Duration,
    /// How many ticks.
    pub ticks: u64,
    /// From one to the next.
    pub period: Duration,
}

/// Threads that have just been started, or have just worked, lie down first. They have when nobody wakes up in so long, or never.
const SETTLE: Duration = Duration::from_millis(100);
/// So often is looked.
const LOOKS: u32 = 50;

/// The same program for both: `$sleep` and `$listen` are theirs.
macro_rules! count {
    ($plan:expr, $sleep:path, $listen:expr) => {{
        let Plan { idle, ticks, period } = $plan;
        let settle = async || {
            for _ in 0..LOOKS {
                let span = Span::start();
                $sleep(SETTLE).await;
                if span.stop(1).switches <= 1 {
                    break;
                }
            }
        };
        settle().await;
        let span = Span::start();
        $sleep(idle).await;
        // One wait has been that for the end of the sleep.
        let asleep = span.stop(1).switches.saturating_sub(1);

        let _listening = $listen;
        settle().await;
        let span = Span::start();
        $sleep(idle).await;
        let listening = span.stop(1).switches.saturating_sub(1);

        settle().await;
        let span = Span::start();
        for _ in 0..ticks {
            $sleep(period).await;
        }
        let per_tick = span.stop(ticks).switches as f64 / ticks as f64;
        Wakes { asleep, listening, per_tick }
    }};
}

/// Under trioxide.
///
/// # Panics
///
/// If the runtime or a socket cannot be had.
#[must_use]
pub fn trioxide(workers: usize, plan: Plan) -> Wakes {
    let runtime = trioxide::Runtime::builder().workers(workers).build().expect("the runtime starts");
    runtime.run(async {
        use trioxide::io::TcpListener;
        let mut wakes = None;
        trioxide::nursery(async |n: trioxide::Nursery<std::convert::Infallible>| {
            wakes = Some(count!(plan, trioxide::sleep, {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
                n.spawn(async move { drop(listener.accept().await) })
            }));
            n.cancel("all is counted");
        })
        .await;
        wakes.expect("the body has run to its end")
    })
}

/// Under tokio's multi-thread runtime; the body is a task, so that it is a worker that waits.
///
/// # Panics
///
/// If the runtime or a socket cannot be had.
#[must_use]
pub fn tokio(workers: usize, plan: Plan) -> Wakes {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build();
    let runtime = runtime.expect("the runtime starts");
    let body = async move {
        count!(plan, tokio::time::sleep, {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
            tokio::spawn(async move { drop(listener.accept().await) })
        })
    };
    runtime.block_on(runtime.spawn(body)).expect("the body panicked")
}

/// The program: reads the command line, counts, prints.
#[must_use]
pub fn main() -> ExitCode {
    let options = Options::parse();
    let workers =
        options.workers.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from);
    let plan = Plan { idle: Duration::from_secs(options.seconds), ticks: 200, period: Duration::from_millis(20) };
    eprintln!(
        "{} s asleep, {0} s listening, {} ticks of {:?}, on two runtimes",
        options.seconds, plan.ticks, plan.period
    );
    let ours = trioxide(workers, plan);
    let mut text = format!(
        "{workers} workers; wake-ups of all threads, but for the one that ends the sleep\n\n\
         | runtime | asleep for {0} s | listening for {0} s | per tick of a timer |\n| --- | ---: | ---: | ---: |\n",
        options.seconds
    );
    for (name, wakes) in [("trioxide", ours), ("tokio", tokio(workers, plan))] {
        let Wakes { asleep, listening, per_tick } = wakes;
        let _ = writeln!(text, "| {name} | {asleep} | {listening} | {per_tick:.2} |");
    }
    print!("{text}");
    if let Some(file) = options.into.map(|directory| directory.join("idle.md"))
        && let Err(error) = std::fs::write(&file, text)
    {
        eprintln!("idle: cannot write {}: {error}", file.display());
        return ExitCode::FAILURE;
    }
    if ours.asleep + ours.listening > 0 || ours.per_tick > 1.0 {
        eprintln!("idle: trioxide has woken up for nothing");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
