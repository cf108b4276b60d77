//! Makes the choices of a simulation, and notes what comes of them.

use std::any::Any;
use std::hash::DefaultHasher;
use std::thread::{self, ThreadId};
use std::time::Duration;

use fastrand::Rng;
use parking_lot::Mutex;
use trioxide_runtime::lowlevel::{Candidate, Choose, current_operation};
use trioxide_runtime::{Instrument, Moment, TaskId, TaskInfo, TaskTree, current_cancel_reason};

use super::quick::QuickMap;
use super::schedule::{Schedule, Strategy};
use super::trace::{Actor, Event, Trace, What};
use super::{blame, seed};
use crate::MockClock;

/// How a simulation is set up.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) seed: u64,
    pub(super) schedule: Schedule,
    pub(super) poll_time: Duration,
    pub(super) max_steps: u64,
    pub(super) traced: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { seed: 0, schedule: Schedule::BySeed, poll_time: Duration::ZERO, max_steps: 10_000_000, traced: false }
    }
}

impl Settings {
    pub(super) fn replay(&self) -> seed::Replay {
        seed::Replay::new(self.seed, self.schedule)
    }
}

/// See the module.
pub(super) struct Director {
    settings: Settings,
    clock: MockClock,
    thread: ThreadId,
    /// Held for moments, and never while anything is called: the program may draw at any time.
    state: Mutex<State>,
}

struct State {
    /// Of the scheduler, and of the program: what one draws does not move what the other gets.
    scheduling: Rng,
    program: Rng,
    strategy: Strategy,
    steps: u64,
    actor: Actor,
    numbers: QuickMap<TaskId, usize>,
    tasks: Vec<TaskInfo>,
    events: Vec<Event>,
    hasher: DefaultHasher,
    leak: Option<&'static str>,
}

impl Director {
    pub(super) fn new(settings: Settings, clock: MockClock) -> Self {
        let mut scheduling = Rng::with_seed(settings.seed);
        let program = scheduling.fork();
        let strategy = Strategy::new(settings.schedule.resolve(settings.seed), &mut scheduling);
        let state = State {
            scheduling,
            program,
            strategy,
            steps: 0,
            actor: Actor::Runtime,
            numbers: QuickMap::default(),
            tasks: Vec::new(),
            events: Vec::new(),
            hasher: DefaultHasher::new(),
            leak: None,
        };
        Self { settings, clock, thread: thread::current().id(), state: Mutex::new(state) }
    }

    pub(super) fn clock(&self) -> &MockClock {
        &self.clock
    }

    pub(super) fn traces(&self) -> bool {
        self.settings.traced
    }

    /// A number up to `most`, for the program.
    pub(super) fn draw(&self, most: u64) -> u64 {
        let drawn = self.state.lock().program.u64(..=most);
        self.note(What::Drew(drawn));
        drawn
    }

    /// A line for the trace.
    pub(super) fn note_text(&self, text: String) {
        self.note(What::Noted(text));
    }

    /// What took part though it must not, as a text.
    pub(super) fn leak(&self) -> Option<String> {
        self.state.lock().leak.map(blame::leaked)
    }

    /// What happened. Leaves nothing.
    pub(super) fn take_trace(&self) -> Trace {
        let mut state = self.state.lock();
        Trace {
            seed: self.settings.seed,
            schedule: self.settings.schedule.resolve(self.settings.seed),
            steps: state.steps,
            tasks: std::mem::take(&mut state.tasks),
            events: std::mem::take(&mut state.events),
            hasher: state.hasher.clone(),
        }
    }

    fn note(&self, what: What) {
        let foreign = thread::current().id() != self.thread;
        let at = self.clock.elapsed();
        let mut state = self.state.lock();
        let by = if foreign { Actor::OtherThread } else { state.actor };
        if foreign {
            state.leak.get_or_insert("another thread has woken a task");
        }
        let event = Event { at, by, what };
        event.feed(&mut state.hasher);
        if self.settings.traced {
            state.events.push(event);
        }
    }

    fn number(&self, task: &TaskInfo) -> usize {
        let mut state = self.state.lock();
        let next = state.tasks.len();
        let number = *state.numbers.entry(task.id()).or_insert(next);
        if number == next {
            state.tasks.push(task.clone());
        }
        number
    }

    fn acts(&self, actor: Actor) {
        self.state.lock().actor = actor;
    }
}

impl Choose for Director {
    fn next(&self, ready: &[Candidate]) -> usize {
        let (index, steps) = {
            let mut state = self.state.lock();
            let State { strategy, scheduling, steps, actor, .. } = &mut *state;
            *steps += 1;
            let index = strategy.next(ready, scheduling);
            *actor = match ready[index] {
                Candidate::Task(_) => Actor::Runtime,
                Candidate::Blocking(number) => Actor::Blocking(number),
            };
            (index, *steps)
        };
        if let Candidate::Blocking(number) = ready[index] {
            self.note(What::Called(number));
        }
        // Once: the panic cancels the run, which takes some more steps to end.
        if steps == self.settings.max_steps {
            std::panic::resume_unwind(Box::new(blame::endless(steps)));
        }
        index
    }

    fn timer(&self, due: usize) -> usize {
        let mut state = self.state.lock();
        state.actor = Actor::Runtime;
        state.scheduling.usize(..due)
    }

    fn branch(&self, branches: usize) -> usize {
        self.state.lock().scheduling.usize(..branches)
    }

    fn budget(&self, usual: u32) -> u32 {
        let (budget, takes) = {
            let mut state = self.state.lock();
            let State { strategy, scheduling, .. } = &mut *state;
            let budget = strategy.budget(usual, scheduling);
            let most = u64::try_from(self.settings.poll_time.as_nanos()).unwrap_or(u64::MAX);
            (budget, if most == 0 { 0 } else { scheduling.u64(..most) })
        };
        if takes > 0 {
            self.clock.jump(Duration::from_nanos(takes));
        }
        budget
    }

    fn stuck(&self, tree: &TaskTree) -> Box<dyn Any + Send> {
        Box::new(blame::stuck(tree, self.traces()))
    }

    fn hopeless(&self, tree: &TaskTree) {
        let trace = self.take_trace();
        eprintln!("{}", blame::hopeless(&self.settings, tree, &trace));
    }

    fn waits_outside(&self) {
        self.state.lock().leak.get_or_insert("it has waited for a real socket");
    }
}

impl Instrument for Director {
    fn task_spawned(&self, _at: &Moment, task: &TaskInfo) {
        let number = self.number(task);
        self.note(What::Spawned(number));
    }

    fn task_scheduled(&self, _at: &Moment, task: &TaskInfo) {
        let number = self.number(task);
        self.note(What::Woken(number));
    }

    fn before_task_step(&self, _at: &Moment, task: &TaskInfo) {
        let number = self.number(task);
        let reason = self.traces().then(current_cancel_reason).flatten();
        self.note(What::Polled(number, reason));
        self.acts(Actor::Task(number));
    }

    fn after_task_step(&self, _at: &Moment, task: &TaskInfo) {
        let number = self.number(task);
        self.acts(Actor::Runtime);
        self.note(What::Stopped(number, current_operation()));
    }

    fn task_exited(&self, _at: &Moment, task: &TaskInfo) {
        let number = self.number(task);
        self.note(What::Ended(number));
    }
}
