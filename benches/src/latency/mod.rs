//! How late things happen while other tasks are busy: what the `latency` command measures.
//!
//! An *open loop*: what is to happen is due at times that are fixed beforehand, whether or not earlier things are done, and what is measured is
//! how long after its time each has happened. A closed loop would stop asking while the runtime is stuck, and so hide the worst.
//!
//! [`programs`] holds the same few programs for trioxide and tokio, [`lateness`] what is made of the times.

pub mod cli;
pub mod lateness;
pub mod programs;

use std::time::Duration;

/// A mixture of load.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// Its name, as `--only` knows it.
    pub name: &'static str,
    /// What it is, in one line.
    pub about: &'static str,
    /// What is late.
    pub measured: &'static [Measured],
    /// Beside it, tasks that compute without a pause: how many, for how long each time, how often.
    pub hogs: Option<Hogs>,
}

/// What has a time at which it is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measured {
    /// A task that another thread spawns every 200 µs, until it runs.
    Spawns,
    /// A hundred tasks that sleep for 5 ms again and again, each until it runs.
    Timers,
    /// One byte there and back through a task that serves a socket, asked for every 1 ms by another thread.
    Echo,
    /// A task that a hog spawns just before it computes, until it runs: it is what that worker would have run next.
    BehindHog,
}

/// Tasks that keep a worker.
#[derive(Debug, Clone, Copy)]
pub struct Hogs {
    /// How long one computes.
    pub busy: Duration,
    /// From the start of one to the start of the next.
    pub every: Duration,
}

const SHORT: Option<Hogs> = Some(Hogs { busy: Duration::from_millis(1), every: Duration::from_millis(5) });
const LONG: Option<Hogs> = Some(Hogs { busy: Duration::from_millis(100), every: Duration::from_millis(400) });

/// All of them.
pub static SCENARIOS: &[Scenario] = &[
    scenario("spawns", "a task from outside every 200 us", &[Measured::Spawns], None),
    scenario("spawns_short_hogs", "the same; a task computes for 1 ms every 5 ms", &[Measured::Spawns], SHORT),
    scenario("spawns_long_hogs", "the same; a task computes for 100 ms every 400 ms", &[Measured::Spawns], LONG),
    scenario("timers", "100 tasks sleep for 5 ms, again and again", &[Measured::Timers], None),
    scenario("timers_long_hogs", "the same; a task computes for 100 ms every 400 ms", &[Measured::Timers], LONG),
    scenario("echo", "a byte there and back over a socket every 1 ms", &[Measured::Echo], None),
    scenario("echo_long_hogs", "the same; a task computes for 100 ms every 400 ms", &[Measured::Echo], LONG),
    scenario("mixed_short_hogs", "all three; a task computes for 1 ms every 5 ms", MIXED, SHORT),
    scenario("mixed_long_hogs", "all three; a task computes for 100 ms every 400 ms", MIXED, LONG),
    scenario("behind_a_hog", "what a task spawns just before it computes for 100 ms", &[Measured::BehindHog], LONG),
];

const MIXED: &[Measured] = &[Measured::Spawns, Measured::Timers, Measured::Echo];

const fn scenario(
    name: &'static str,
    about: &'static str,
    measured: &'static [Measured],
    hogs: Option<Hogs>,
) -> Scenario {
    Scenario { name, about, measured, hogs }
}
