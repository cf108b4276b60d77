//! Which machine it is, and how much of it others used while the repetitions ran: what makes a whole table worthless.

use std::time::{Duration, Instant};

use crate::measure::own_cpu_time;

/// Watches the machine from its start on.
#[derive(Debug)]
pub struct Watch {
    began: Instant,
    busy: Option<Duration>,
    own: Duration,
}

impl Watch {
    /// Starts to watch.
    #[must_use]
    pub fn start() -> Self {
        Self { began: Instant::now(), busy: busy_time(), own: own_cpu_time() }
    }

    /// How many cores others have used since the start, in the mean: other processes, and whatever takes time from a virtual machine.
    /// `None` where there is no `/proc`.
    #[must_use]
    pub fn cores_used_by_others(&self) -> Option<f64> {
        let busy = busy_time()?.saturating_sub(self.busy?);
        let others = busy.saturating_sub(own_cpu_time().saturating_sub(self.own));
        Some(others.as_secs_f64() / self.began.elapsed().as_secs_f64())
    }
}

/// The processor, how many of it, and the system, as far as they can be told.
#[must_use]
pub fn describe() -> String {
    let read = |file| std::fs::read_to_string(file).unwrap_or_default();
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let model = model_in(&read("/proc/cpuinfo")).unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("{cpus} CPUs ({model}), {} {}", std::env::consts::OS, kernel.trim()).trim_end().to_owned()
}

fn model_in(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The version of a dependency, by the lock file with which this was built; the newest, if dependencies of others have older ones.
#[must_use]
pub fn version(package: &str) -> Option<&'static str> {
    let lock = include_str!("../../Cargo.lock");
    let entry =
        lock.split("[[package]]").filter(|entry| entry.contains(&format!("\nname = \"{package}\"\n"))).last()?;
    entry.lines().find_map(|line| line.strip_prefix("version = \"")?.strip_suffix('"'))
}

fn busy_time() -> Option<Duration> {
    busy_time_in(&std::fs::read_to_string("/proc/stat").ok()?)
}

/// The first line of `/proc/stat` counts ticks: user, nice, system, idle, iowait, irq, softirq, steal.
fn busy_time_in(stat: &str) -> Option<Duration> {
    // Fixed in Linux's interface to user space, whatever the kernel ticks at.
    const MILLIS_PER_TICK: u64 = 10;
    let fields = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace();
    let ticks: Vec<u64> = fields.map(str::parse).collect::<Result<_, _>>().ok()?;
    let [user, nice, system, _idle, _iowait, irq, softirq, steal] = *ticks.first_chunk()?;
    Some(Duration::from_millis(MILLIS_PER_TICK * (user + nice + system + irq + softirq + steal)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_and_the_versions_are_known() {
        assert_eq!(model_in("processor\t: 0\nmodel name\t: Fast One\n").as_deref(), Some("Fast One"));
        assert_eq!(model_in(""), None);
        assert!(describe().contains(std::env::consts::OS));
        assert!(version("tokio").is_some_and(|version| version.starts_with("1.")));
        assert_eq!(version("no such package"), None);
    }

    #[test]
    fn idle_time_is_not_busy_time() {
        let stat = "cpu  100 20 30 99999 4444 5 6 7 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n";
        assert_eq!(busy_time_in(stat), Some(Duration::from_millis(1_680)));
        assert_eq!(busy_time_in("cpu  1 2 3\n"), None);
        assert_eq!(busy_time_in(""), None);
    }
}
