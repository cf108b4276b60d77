//! The rows: what is timed, written three times side by side, so that the eye can check that the work is the same.
//! (Once more for runtimes of other kinds in `peers`.) The rows of one primitive, in the modules that begin with `sync_`, are written
//! once, over a trait of what all libraries can do: see `sync`.
//!
//! A row's closure runs one repetition and returns its cost. Rules that all follow:
//! - The clock runs from [`Span::start`](crate::measure::Span::start) to `stop`, inside the body; runtimes are built before.
//! - Each runtime uses what its users would write: a nursery, tokio's `JoinSet`, a `Vec` of smol's tasks.
//! - Each repetition asserts that all of the work was done. What the optimiser could see through goes through `black_box`.
//! - A runtime's own yield, sleep, time-out and channel are used; where the row is about waking alone, all use `Rewake`.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::contenders::{Contender, Smol, Tokio, Trioxide};
use crate::measure::Sample;

mod accept;
mod blocking;
mod cancel;
pub(crate) mod fork_join;
mod http;
mod memory;
mod scopes;
mod spawn;
mod sync;
mod sync_channels;
mod sync_locks;
mod sync_news;
mod sync_others;
pub(crate) mod tcp;
pub(crate) mod timers;
mod wake;

/// Every row, in the order of the table.
pub static ROWS: &[Row] = &[
    spawn::SPAWN_JOIN,
    spawn::SPAWN_HANDLES,
    spawn::SPAWN_CHAIN,
    spawn::NESTED_SPAWN,
    fork_join::FORK_JOIN,
    fork_join::FORK_JOIN_SCOPE,
    wake::YIELD_MANY,
    wake::WAKE_SEQ,
    wake::WAKE_PAR,
    wake::PING_PONG,
    timers::SLEEP_MANY,
    timers::SLEEP_100K,
    timers::TIMEOUT_SEQ,
    timers::TIMEOUT_PAR,
    scopes::SCOPE_READY,
    scopes::SCOPE_WAKE,
    scopes::DEADLINE_READY,
    scopes::FINALLY,
    scopes::NURSERY_EMPTY,
    scopes::NURSERY_ONE,
    cancel::CANCEL,
    cancel::CANCEL_SLEEP,
    blocking::BLOCKING_SEQ,
    blocking::BLOCKING_BATCH,
    tcp::TCP_ECHO,
    tcp::ECHO_1,
    tcp::ECHO_64,
    tcp::ECHO_1000,
    tcp::ECHO_1_64K,
    tcp::ECHO_64_64K,
    tcp::ECHO_1000_64K,
    accept::TCP_ACCEPT,
    http::HTTP,
    memory::MEM_GROUP,
    memory::MEM_EVENT,
    sync_channels::BOUNDED_ALONE,
    sync_channels::BOUNDED_1_1,
    sync_channels::BOUNDED_N_1,
    sync_channels::BOUNDED_N_N,
    sync_channels::CAPACITY_1_1_1,
    sync_channels::CAPACITY_1_N_N,
    sync_channels::RENDEZVOUS_1_1,
    sync_channels::RENDEZVOUS_N_N,
    sync_channels::UNBOUNDED_ALONE,
    sync_channels::UNBOUNDED_1_1,
    sync_channels::UNBOUNDED_N_1,
    sync_channels::UNBOUNDED_N_N,
    sync_news::ONESHOT_ALONE,
    sync_news::ONESHOT_1_1,
    sync_news::BROADCAST_ALONE,
    sync_news::BROADCAST_1_N,
    sync_news::WATCH_ALONE,
    sync_news::WATCH_1_N,
    sync_locks::MUTEX_ALONE,
    sync_locks::MUTEX_CONTENDED,
    sync_locks::MUTEX_HELD,
    sync_locks::RW_LOCK_ALONE,
    sync_locks::RW_LOCK_MOSTLY_READ,
    sync_locks::RW_LOCK_HELD,
    sync_locks::SEMAPHORE_ALONE,
    sync_locks::SEMAPHORE_CONTENDED,
    sync_locks::SEMAPHORE_HELD,
    sync_locks::SEMAPHORE_MANY,
    sync_others::EVENT_ALONE,
    sync_others::EVENT_1_1,
    sync_others::EVENT_1_N,
    sync_others::NOTIFY_ALONE,
    sync_others::NOTIFY_1_1,
    sync_others::BARRIER,
    sync_others::ONCE_ALONE,
    sync_others::ONCE_CONTENDED,
];

/// One line of the table.
#[derive(Debug)]
pub struct Row {
    /// Its name, as `--only` and `--list` know it.
    pub name: &'static str,
    /// What is timed, in one line.
    pub about: &'static str,
    /// What the values of its samples mean. The first is the row's own figure.
    pub metrics: &'static [Metric],
    /// Whether each repetition needs a process of its own, because it looks at the memory of the whole process.
    pub own_process: bool,
    /// The program without which it cannot run.
    pub needs: Option<&'static str>,
    /// One repetition on trioxide.
    pub trioxide: OnTrioxide,
    /// One repetition on tokio, if it has got that.
    pub tokio: Option<fn(&Tokio, Scale) -> Sample>,
    /// One repetition on smol, if it has got that.
    pub smol: Option<fn(&Smol, Scale) -> Sample>,
    /// In a row of one primitive: a repetition with the same primitive of each library that has it, on trioxide's runtime. Empty in a row of runtimes.
    pub libraries: &'static [(Contender, OnTrioxide)],
}

/// One repetition on trioxide's runtime.
pub type OnTrioxide = fn(&Trioxide, Scale) -> Sample;

impl Row {
    /// Whether `contender` has something to show in this row.
    #[must_use]
    pub fn runs_on(&self, contender: Contender) -> bool {
        match contender {
            Contender::Trioxide => true,
            Contender::Tokio => self.tokio.is_some(),
            // What one thread does tells nothing about a primitive for many.
            Contender::TokioCt => self.tokio.is_some() && !self.is_of_a_primitive(),
            Contender::Smol => self.smol.is_some(),
            library if library.is_library() => self.library(library).is_some(),
            #[cfg(feature = "peers")]
            peer => crate::peers::repeat(peer, self.name).is_some(),
            #[cfg(not(feature = "peers"))]
            _ => false,
        }
    }

    /// Whether it compares one primitive of several libraries, and not runtimes.
    #[must_use]
    pub fn is_of_a_primitive(&self) -> bool {
        !self.libraries.is_empty()
    }

    /// How `library` does it.
    #[must_use]
    pub fn library(&self, library: Contender) -> Option<OnTrioxide> {
        self.libraries.iter().find(|(who, _)| *who == library).map(|(_, repeat)| *repeat)
    }

    /// Whether the program that it needs is there.
    #[must_use]
    pub fn can_run(&self) -> bool {
        let found =
            |program| std::env::split_paths(&std::env::var_os("PATH")?).find(|path| path.join(program).is_file());
        self.needs.is_none_or(|program| found(program).is_some())
    }
}

/// One figure of a row. All are costs: less is better.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Added to the row's name; empty for the figure that the row is named after.
    pub suffix: &'static str,
    /// What it is counted in.
    pub unit: &'static str,
}

impl Metric {
    const fn main(unit: &'static str) -> Self {
        Self { suffix: "", unit }
    }

    const fn also(suffix: &'static str, unit: &'static str) -> Self {
        Self { suffix, unit }
    }

    /// The name of the table's line for this figure of `row`.
    #[must_use]
    pub fn label(&self, row: &str) -> String {
        if self.suffix.is_empty() { row.to_owned() } else { format!("{row}.{}", self.suffix) }
    }
}

/// How much work a repetition does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// The sizes that the rows are defined with.
    Full,
    /// Small enough for a glance, too small for a claim.
    Quick,
}

impl Scale {
    pub(crate) fn of(self, full: u64, quick: u64) -> u64 {
        match self {
            Self::Full => full,
            Self::Quick => quick,
        }
    }
}

/// How often a repetition of a row of short tasks does the same again, so that it takes many times as long as waking a worker does.
pub(crate) const ROUNDS: u64 = 10;
/// The length of a chain in `spawn_chain`.
pub(crate) const HOPS: u64 = 1_000;
/// The pairs of tasks in `ping_pong`.
pub(crate) const PAIRS: u64 = 1_000;

/// A nursery whose children cannot fail.
type Group = trioxide::Nursery<Infallible>;

/// Pending once, after waking its task: the smallest suspension there is, the same on every runtime.
#[derive(Debug, Default)]
pub(crate) struct Rewake {
    woken: bool,
}

impl Future for Rewake {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.woken {
            return Poll::Ready(());
        }
        self.woken = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests;
