//! What one repetition costs: time, CPU time, voluntary context switches, allocations.
//!
//! A row's body calls [`Span::start`] when its setting-up is done and [`Span::stop`] when the work is. Both run inside the
//! runtime, so that neither its start nor the entry into `run` is in the figure.

use std::ops::Add;
use std::time::{Duration, Instant};

use crate::allocations;

/// The beginning of what is timed.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    began: Instant,
    usage: Usage,
    allocations: u64,
}

impl Span {
    /// Begins to measure. The clock is read last.
    #[must_use]
    pub fn start() -> Self {
        let (usage, allocations) = (Usage::of_process(), allocations::counted());
        Self { began: Instant::now(), usage, allocations }
    }

    /// Ends: what has been spent on `operations` since the start. The clock is read first.
    #[must_use]
    pub fn stop(self, operations: u64) -> Cost {
        let wall = self.began.elapsed();
        let usage = Usage::of_process();
        Cost {
            operations,
            wall,
            cpu: usage.cpu.saturating_sub(self.usage.cpu),
            switches: usage.switches.saturating_sub(self.usage.switches),
            allocations: allocations::counted().saturating_sub(self.allocations),
        }
    }
}

/// What `operations` operations have cost together.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Cost {
    /// How many operations the other figures are for.
    pub operations: u64,
    /// Time by the clock.
    pub wall: Duration,
    /// User and system time of all threads.
    pub cpu: Duration,
    /// How often a thread gave its core away because it had to wait.
    pub switches: u64,
    /// How often memory was allocated; 0 unless counting was on.
    pub allocations: u64,
}

impl Cost {
    /// Nanoseconds by the clock per operation.
    #[must_use]
    pub fn nanos_per_operation(&self) -> f64 {
        self.wall.as_nanos() as f64 / self.operations as f64
    }

    /// The sample of a row whose only metric is the time per operation, in nanoseconds.
    #[must_use]
    pub fn per_operation(self) -> Sample {
        self.with_values(vec![self.nanos_per_operation()])
    }

    /// The sample of a row with other or more metrics, in their order.
    #[must_use]
    pub fn with_values(self, values: Vec<f64>) -> Sample {
        Sample { values, cost: self }
    }
}

impl Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            operations: self.operations + other.operations,
            wall: self.wall + other.wall,
            cpu: self.cpu + other.cpu,
            switches: self.switches + other.switches,
            allocations: self.allocations + other.allocations,
        }
    }
}

/// One repetition of one row on one runtime.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// A value for each of the row's metrics, in their order.
    pub values: Vec<f64>,
    /// What the whole repetition cost.
    pub cost: Cost,
}

/// CPU time of this process and of the children it has waited for.
#[must_use]
pub fn own_cpu_time() -> Duration {
    Usage::of_process().cpu + Usage::of_children().cpu
}

/// What has been used since the start of the process, over all its threads, also those that have ended.
#[derive(Debug, Clone, Copy, Default)]
struct Usage {
    cpu: Duration,
    switches: u64,
}

#[cfg(unix)]
impl Usage {
    fn of_process() -> Self {
        Self::of(nix::sys::resource::UsageWho::RUSAGE_SELF)
    }

    fn of_children() -> Self {
        Self::of(nix::sys::resource::UsageWho::RUSAGE_CHILDREN)
    }

    fn of(who: nix::sys::resource::UsageWho) -> Self {
        use nix::sys::time::TimeValLike as _;

        let usage = nix::sys::resource::getrusage(who).expect("getrusage on oneself cannot fail");
        let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
        Self {
            cpu: Duration::from_micros(micros.try_into().unwrap_or(0)),
            switches: usage.voluntary_context_switches().try_into().unwrap_or(0),
        }
    }
}

#[cfg(not(unix))]
impl Usage {
    fn of_process() -> Self {
        Self::default()
    }

    fn of_children() -> Self {
        Self::default()
    }
}

/// Resident memory of this process in bytes; `None` where there is no `/proc`.
#[must_use]
pub fn resident_bytes() -> Option<u64> {
    resident_bytes_in(&std::fs::read_to_string("/proc/self/status").ok()?)
}

fn resident_bytes_in(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cost_is_shared_out_over_the_operations() {
        let cost = Cost {
            operations: 1_000,
            wall: Duration::from_micros(250),
            cpu: Duration::ZERO,
            switches: 0,
            allocations: 0,
        };
        assert!((cost.per_operation().values[0] - 250.0).abs() < 1e-9);
    }

    #[test]
    fn costs_add_up() {
        let cost = |operations, millis, switches| Cost {
            operations,
            wall: Duration::from_millis(millis),
            cpu: Duration::from_millis(2 * millis),
            switches,
            allocations: 1,
        };
        let sum = cost(10, 1, 3) + cost(20, 2, 4);
        assert_eq!(sum, Cost { allocations: 2, ..cost(30, 3, 7) });
    }

    #[test]
    fn span_sees_time_pass() {
        let span = Span::start();
        while span.began.elapsed() < Duration::from_millis(1) {}
        let cost = span.stop(1);
        assert!(cost.wall >= Duration::from_millis(1));
    }

    #[test]
    fn resident_memory_is_read_from_the_status_file() {
        let status = "Name:\tcompare\nVmHWM:\t    9000 kB\nVmRSS:\t    1728 kB\nRssAnon:\t     100 kB\n";
        assert_eq!(resident_bytes_in(status), Some(1728 * 1024));
        assert_eq!(resident_bytes_in("Name:\tcompare\n"), None);
    }
}
