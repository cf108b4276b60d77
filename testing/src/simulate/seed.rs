//! How a run is named so that it can be run again: `17`, or `17/pct2` if it is not the schedule that the seed stands for.

use std::env;
use std::fmt;
use std::str::FromStr;

use super::Schedule;

/// The environment variable that names a run.
const VARIABLE: &str = "TRIOXIDE_SEED";

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Replay {
    pub(super) seed: u64,
    pub(super) schedule: Option<Schedule>,
}

impl Replay {
    pub(super) fn new(seed: u64, schedule: Schedule) -> Self {
        let usual = Schedule::BySeed.resolve(seed);
        Self { seed, schedule: Some(schedule.resolve(seed)).filter(|schedule| *schedule != usual) }
    }

    /// What the environment asks for.
    pub(super) fn from_environment() -> Option<Self> {
        let text = env::var(VARIABLE).ok()?;
        Some(text.parse().unwrap_or_else(|()| {
            panic!(
                "trioxide: {VARIABLE}={text} names no run; write a number, or what a failed run printed, as `17/pct2`"
            )
        }))
    }

    /// The command that runs it again.
    pub(super) fn command(self) -> String {
        let package = env::var("CARGO_PKG_NAME").map_or_else(|_| String::new(), |name| format!(" -p {name}"));
        match std::thread::current().name() {
            // The test harness names the thread of a test after it.
            Some(test) if test != "main" => match env::var_os("NEXTEST") {
                None => format!("{VARIABLE}={self} cargo test{package} -- --exact {test} --nocapture"),
                Some(_) => {
                    // Which of the executables with a test of that name; since nextest 0.9.116.
                    let binary = env::var("NEXTEST_BINARY_ID")
                        .map_or_else(|_| String::new(), |id| format!("binary_id(={id}) & "));
                    format!("{VARIABLE}={self} cargo nextest run{package} -E '{binary}test(={test})' --no-capture")
                }
            },
            _ => {
                let command: Vec<_> = env::args().collect();
                format!("{VARIABLE}={self} {}", command.join(" "))
            }
        }
    }
}

impl fmt::Display for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.schedule {
            None => write!(f, "{}", self.seed),
            Some(schedule) => write!(f, "{}/{schedule}", self.seed),
        }
    }
}

impl FromStr for Replay {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (seed, schedule) = text.split_once('/').map_or((text, None), |(seed, schedule)| (seed, Some(schedule)));
        let schedule = match schedule {
            None => None,
            Some("random") => Some(Schedule::Random),
            Some(pct) => {
                let depth = pct.strip_prefix("pct").ok_or(())?.parse().map_err(|_| ())?;
                Some(Schedule::Pct { depth })
            }
        };
        Ok(Self { seed: seed.parse().map_err(|_| ())?, schedule })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_found_again_by_its_name() {
        for schedule in [Schedule::BySeed, Schedule::Random, Schedule::Pct { depth: 1 }, Schedule::Pct { depth: 3 }] {
            for seed in 0..16 {
                let name = Replay::new(seed, schedule).to_string();
                let replay: Replay = name.parse().unwrap();
                let found = replay.schedule.unwrap_or(Schedule::BySeed).resolve(replay.seed);
                assert_eq!((replay.seed, found), (seed, schedule.resolve(seed)), "{name}");
            }
        }
        assert_eq!("17/fifo".parse::<Replay>(), Err(()));
        assert_eq!("x".parse::<Replay>(), Err(()));
    }
}
