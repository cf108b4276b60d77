//! What happened in a simulation: [`Trace`].

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use trioxide_runtime::{CancelReason, TaskInfo};

use super::Schedule;

/// What happened in a simulation, event by event, if it was [traced](super::Simulation::traced); and a hash of that in any case. By `Display`, as a text.
///
/// Tasks go by numbers, in the order in which they were spawned; the main task is 0.
#[derive(Clone, Debug)]
pub struct Trace {
    pub(super) seed: u64,
    pub(super) schedule: Schedule,
    pub(super) steps: u64,
    pub(super) tasks: Vec<TaskInfo>,
    pub(super) events: Vec<Event>,
    pub(super) hasher: DefaultHasher,
}

/// Something that happened.
#[derive(Clone, Debug)]
pub struct Event {
    /// How much virtual time had passed.
    pub at: Duration,
    /// Who did it.
    pub by: Actor,
    /// What it was.
    pub what: What,
}

/// Who does something in a simulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Actor {
    /// The scheduler, and the timers.
    Runtime,
    /// A task, by its number.
    Task(usize),
    /// The closure of a call of `blocking`, by the number of the call.
    Blocking(u64),
    /// Another thread, which should not be there.
    OtherThread,
}

/// What happens in a simulation. Tasks go by their numbers.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum What {
    /// A task was spawned.
    Spawned(usize),
    /// A task was woken.
    Woken(usize),
    /// It is polled; with the reason, if it stands in a cancelled scope.
    Polled(usize, Option<CancelReason>),
    /// Its poll is over. With the operation that it has begun last: what it waits for, if it waits, and for something of the library.
    Stopped(usize, Option<&'static str>),
    /// It has ended.
    Ended(usize),
    /// The closure of a call of `blocking` runs.
    Called(u64),
    /// The program has [chosen](super::choose) so.
    Drew(u64),
    /// The program has [noted](super::note) so.
    Noted(String),
}

impl Trace {
    /// The seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The schedule.
    pub fn schedule(&self) -> Schedule {
        self.schedule
    }

    /// How many polls there were, and calls of closures.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The same for two runs in which the same happened, at the same virtual times. It does not depend on whether the run was traced.
    pub fn hash(&self) -> u64 {
        self.hasher.finish()
    }

    /// The tasks, by their numbers.
    pub fn tasks(&self) -> &[TaskInfo] {
        &self.tasks
    }

    /// What happened, in order. Empty if the simulation was not [traced](super::Simulation::traced).
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Where two traces of one program part: a text that shows it. Both were traced.
    pub(super) fn parts_from(&self, other: &Self) -> Option<String> {
        if self.hash() == other.hash() {
            return None;
        }
        let (mut these, mut those) = (self.lines(), other.lines());
        let mut common = Vec::new();
        loop {
            match (these.next(), those.next()) {
                (Some(this), Some(that)) if this == that => common.push(this),
                (this, that) => {
                    let or_end = |line: Option<String>| line.unwrap_or_else(|| "(the end)".to_owned());
                    let before = common[common.len().saturating_sub(5)..].join("\n");
                    return Some(format!("{before}\nand then once\n{}\nand once\n{}", or_end(this), or_end(that)));
                }
            }
        }
    }

    /// The last of its lines.
    pub(super) fn tail(&self, lines: usize) -> String {
        let all: Vec<_> = self.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    fn lines(&self) -> impl Iterator<Item = String> {
        self.events.iter().map(|event| format!("{:>14} {}", seconds(event.at), Line { event, tasks: &self.tasks }))
    }
}

/// A number of seconds to the nanosecond, without the zeros at its end.
fn seconds(at: Duration) -> String {
    let text = format!("{}.{:09}", at.as_secs(), at.subsec_nanos());
    let kept = text.trim_end_matches('0').len().max(text.len() - 6);
    format!("{}s", &text[..kept])
}

impl Event {
    /// What two equal runs have in common: no ids, no texts, nothing that is there only in a trace.
    pub(super) fn feed(&self, hasher: &mut DefaultHasher) {
        let (kind, number) = match &self.what {
            What::Spawned(task) => (0u8, *task as u64),
            What::Woken(task) => (1, *task as u64),
            What::Polled(task, _) => (2, *task as u64),
            What::Stopped(task, _) => (3, *task as u64),
            What::Ended(task) => (4, *task as u64),
            What::Called(number) => (5, *number),
            What::Drew(value) => (6, *value),
            What::Noted(_) => return,
        };
        (self.at, self.by, kind, number).hash(hasher);
    }
}

/// An event as a text.
struct Line<'a> {
    event: &'a Event,
    tasks: &'a [TaskInfo],
}

impl Line<'_> {
    fn task(&self, number: usize) -> String {
        let Some(task) = self.tasks.get(number) else { return format!("#{number}") };
        match task.name() {
            Some(name) => format!("#{number} \"{name}\""),
            None => {
                // The last part of the path: all of it is where the task is spawned.
                let path = task.type_name().split('<').next().unwrap_or_default();
                let last = path.rsplit("::").find(|part| *part != "{{closure}}").unwrap_or(path);
                format!("#{number} {last}")
            }
        }
    }
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.event.what {
            What::Spawned(task) => {
                let at = self.tasks.get(*task).map(TaskInfo::spawned_at);
                write!(f, "{} is spawned", self.task(*task))?;
                if let Some(at) = at {
                    write!(f, " at {}:{}", at.file(), at.line())?;
                }
            }
            What::Woken(task) => write!(f, "{} is woken", self.task(*task))?,
            What::Polled(task, None) => return write!(f, "{} is polled", self.task(*task)),
            What::Polled(task, Some(reason)) => {
                return write!(f, "{} is polled, cancelled: {reason}", self.task(*task));
            }
            What::Stopped(task, None) => return write!(f, "{} stops", self.task(*task)),
            What::Stopped(task, Some(operation)) => {
                return write!(f, "{} stops in {operation}", self.task(*task));
            }
            What::Ended(task) => return write!(f, "{} has ended", self.task(*task)),
            What::Called(number) => return write!(f, "the closure of call {number} of `blocking` runs"),
            What::Drew(value) => write!(f, "{value} is drawn")?,
            What::Noted(text) => {
                return match self.event.by {
                    Actor::Task(task) => write!(f, "{} notes: {text}", self.task(task)),
                    _ => write!(f, "notes: {text}"),
                };
            }
        }
        match self.event.by {
            Actor::Runtime => Ok(()),
            Actor::Task(task) => write!(f, " by {}", self.task(task)),
            Actor::Blocking(number) => write!(f, " by call {number} of `blocking`"),
            Actor::OtherThread => write!(f, " BY ANOTHER THREAD"),
        }
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "seed {}, schedule {}: {} steps, {} tasks, hash {:016x}",
            self.seed,
            self.schedule,
            self.steps,
            self.tasks.len(),
            self.hash()
        )?;
        self.lines().try_for_each(|line| writeln!(f, "{line}"))
    }
}
