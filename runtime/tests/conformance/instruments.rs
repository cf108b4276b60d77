//! 127 to 131: instruments.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use trioxide_runtime::lowlevel::in_run;
use trioxide_runtime::{
    Instrument, Moment, Nursery, Observer, Runtime, TaskId, TaskInfo, checkpoint, current_task, now, nursery, sleep,
};
use trioxide_testing::MockClock;

use crate::common::{ALL, Count, Flag, Gate, Never, a_while, panic_in};

/// What was called, for which task, on which worker, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hook {
    BeforeRun,
    AfterRun,
    Spawned,
    Scheduled,
    BeforeStep,
    AfterStep,
    Exited,
    BeforeWait,
    AfterWait,
}
use Hook::*;

type Event = (Hook, Option<TaskId>, Option<usize>, Instant);

#[derive(Default)]
struct Record(Mutex<Vec<Event>>);

impl Record {
    fn add(&self, hook: Hook, at: &Moment, task: Option<&TaskInfo>) {
        self.0.lock().unwrap().push((hook, task.map(TaskInfo::id), at.worker(), at.time()));
    }

    fn of(&self, task: TaskId) -> Vec<Hook> {
        let events = self.0.lock().unwrap();
        events.iter().filter(|event| event.1 == Some(task)).map(|event| event.0).collect()
    }

    fn count(&self, hook: Hook) -> usize {
        self.0.lock().unwrap().iter().filter(|event| event.0 == hook).count()
    }
}

impl Instrument for Record {
    fn before_run(&self, at: &Moment) {
        self.add(BeforeRun, at, None);
    }
    fn after_run(&self, at: &Moment) {
        self.add(AfterRun, at, None);
    }
    fn task_spawned(&self, at: &Moment, task: &TaskInfo) {
        self.add(Spawned, at, Some(task));
    }
    fn task_scheduled(&self, at: &Moment, task: &TaskInfo) {
        self.add(Scheduled, at, Some(task));
    }
    fn before_task_step(&self, at: &Moment, task: &TaskInfo) {
        self.add(BeforeStep, at, Some(task));
    }
    fn after_task_step(&self, at: &Moment, task: &TaskInfo) {
        self.add(AfterStep, at, Some(task));
    }
    fn task_exited(&self, at: &Moment, task: &TaskInfo) {
        self.add(Exited, at, Some(task));
    }
    fn before_io_wait(&self, at: &Moment, _timeout: Option<Duration>) {
        self.add(BeforeWait, at, None);
    }
    fn after_io_wait(&self, at: &Moment) {
        self.add(AfterWait, at, None);
    }
}

fn with_record(workers: usize) -> (Runtime, Arc<Record>) {
    let record = Arc::new(Record::default());
    let clock = MockClock::autojump();
    (Runtime::builder().workers(workers).clock(clock).instrument(Arc::clone(&record)).build().unwrap(), record)
}

#[test]
fn c127_events_of_a_task_come_in_order() {
    for &workers in ALL {
        let (runtime, record) = with_record(workers);
        let task = runtime.run(async {
            let mut id = None;
            nursery(async |n: Nursery<Never>| {
                let child = n.spawn(async {
                    checkpoint().await;
                    sleep(Duration::from_secs(1)).await; // virtual time: `with_record` gives a mock clock
                });
                id = Some(child.id());
            })
            .await;
            id.unwrap()
        });
        // A task that yields is put back by its worker, after the step. The wake for that may come from anywhere in the step.
        let expected = [
            Spawned, Scheduled, BeforeStep, AfterStep, // up to the checkpoint
            Scheduled, BeforeStep, AfterStep, // up to the sleep
            Scheduled, BeforeStep, AfterStep, Exited,
        ];
        assert_eq!(record.of(task), expected, "{workers} worker(s)");
    }
}

#[test]
fn c127_instruments_come_and_go_while_the_program_runs() {
    for &workers in ALL {
        let runtime = Runtime::builder().workers(workers).build().unwrap();
        let (record, again) = (Arc::new(Record::default()), Arc::new(Record::default()));
        runtime.run(async {
            let me = current_task().id();
            let observer = Observer::current();
            checkpoint().await;
            assert!(observer.add_instrument(Arc::clone(&record)));
            assert!(!observer.add_instrument(Arc::clone(&record)), "once is enough");
            checkpoint().await;
            assert!(observer.add_instrument(Arc::clone(&again)), "another instrument, though of the same type");
            assert!(observer.remove_instrument(&record));
            assert!(!observer.remove_instrument(&record), "it is not there any more");
            checkpoint().await;
            // Its step had begun when it was added.
            assert_eq!(record.of(me), [Scheduled, BeforeStep]);
        });
        assert_eq!(again.count(Exited), 1);
        assert!(runtime.observer().remove_instrument(&again));
        runtime.run(checkpoint());
        assert_eq!(again.count(BeforeRun), 0);
    }
}

#[test]
fn c128_on_one_worker_the_steps_of_two_tasks_alternate() {
    let (runtime, record) = with_record(1);
    let ids = runtime.run(async {
        let mut ids = [None; 2];
        nursery(async |n: Nursery<Never>| {
            for id in &mut ids {
                let child = n.spawn(async {
                    for _ in 0..4 {
                        checkpoint().await;
                    }
                });
                *id = Some(child.id());
            }
        })
        .await;
        ids
    });
    let events = record.0.lock().unwrap();
    let steps: Vec<_> =
        events.iter().filter(|event| event.0 == BeforeStep && ids.contains(&event.1)).map(|event| event.1).collect();
    assert_eq!(steps.len(), 10);
    assert!(steps.chunks(2).all(|round| round[0] != round[1]), "one step each, then the next: {steps:?}");
}

#[test]
fn c128_on_each_worker_steps_follow_each_other_and_time_goes_on() {
    for &workers in ALL {
        let (runtime, record) = with_record(workers);
        runtime.run(nursery(async |n: Nursery<Never>| {
            for _ in 0..50 {
                n.spawn(async {
                    for _ in 0..4 {
                        checkpoint().await;
                    }
                });
            }
        }));
        let mut of_worker = HashMap::<usize, Vec<_>>::new();
        for event in record.0.lock().unwrap().iter().filter(|event| matches!(event.0, BeforeStep | AfterStep)) {
            of_worker.entry(event.2.expect("a worker makes the steps")).or_default().push(*event);
        }
        for (worker, events) in of_worker {
            assert!(worker < workers);
            assert!(events.is_sorted_by_key(|event| event.3), "time goes back on worker {worker}");
            for step in events.chunks(2) {
                assert_eq!((step[0].0, step[1].0, step[0].1), (BeforeStep, AfterStep, step[1].1));
            }
        }
    }
}

#[test]
fn c129_a_run_begins_and_ends_once_and_main_is_a_task_like_others() {
    for &workers in ALL {
        let (runtime, record) = with_record(workers);
        for run in 1..=3 {
            let main = runtime.run(async {
                checkpoint().await;
                current_task().id()
            });
            assert_eq!((record.count(BeforeRun), record.count(AfterRun)), (run, run));
            let events = record.of(main);
            assert_eq!(events[..3], [Spawned, Scheduled, BeforeStep]);
            assert_eq!(events[events.len() - 2..], [AfterStep, Exited]);
        }
        let order: Vec<_> = record.0.lock().unwrap().iter().map(|event| event.0).collect();
        let at = |hook| order.iter().position(|&other| other == hook).unwrap();
        assert!(at(BeforeRun) < at(Spawned) && at(Exited) < at(AfterRun));
    }
}

/// Panics in one hook.
struct Faulty(Hook, Count);

impl Faulty {
    fn meet(&self, hook: Hook) {
        if hook == self.0 {
            self.1.add();
            panic!("from a hook");
        }
    }
}

impl Instrument for Faulty {
    fn before_run(&self, _: &Moment) {
        self.meet(BeforeRun);
    }
    fn after_run(&self, _: &Moment) {
        self.meet(AfterRun);
    }
    fn task_spawned(&self, _: &Moment, _: &TaskInfo) {
        self.meet(Spawned);
    }
    fn task_scheduled(&self, _: &Moment, _: &TaskInfo) {
        self.meet(Scheduled);
    }
    fn before_task_step(&self, _: &Moment, _: &TaskInfo) {
        self.meet(BeforeStep);
    }
    fn after_task_step(&self, _: &Moment, _: &TaskInfo) {
        self.meet(AfterStep);
    }
    fn task_exited(&self, _: &Moment, _: &TaskInfo) {
        self.meet(Exited);
    }
    fn before_io_wait(&self, _: &Moment, _: Option<Duration>) {
        self.meet(BeforeWait);
    }
    fn after_io_wait(&self, _: &Moment) {
        self.meet(AfterWait);
    }
}

#[test]
fn c130_an_instrument_that_panics_is_removed_and_everything_else_goes_on() {
    for &workers in ALL {
        for hook in [BeforeRun, Spawned, Scheduled, BeforeStep, AfterStep, Exited, BeforeWait, AfterWait, AfterRun] {
            let (calls, record) = (Count::default(), Arc::new(Record::default()));
            let faulty = Arc::new(Faulty(hook, calls.clone()));
            let runtime = Runtime::builder()
                .workers(workers)
                .clock(MockClock::autojump())
                .instrument(Arc::clone(&faulty))
                .instrument(Arc::clone(&record))
                .build()
                .unwrap();
            let value = runtime.run(async {
                nursery(async |n: Nursery<Never>| {
                    n.spawn(sleep(Duration::from_secs(1)));
                })
                .await;
                7
            });
            assert_eq!(value, 7, "{hook:?}");
            // More than once only if other workers were in the hook when it was removed.
            assert!((1..=workers).contains(&calls.get()), "{hook:?}: {} calls", calls.get());
            assert!(!runtime.observer().remove_instrument(&faulty), "{hook:?}: it is still there");
            assert_eq!((record.count(BeforeRun), record.count(Spawned), record.count(AfterRun)), (1, 2, 1));
        }
    }
}

#[test]
fn c131_hooks_that_are_not_there_are_skipped() {
    struct Nothing;
    impl Instrument for Nothing {}
    for &workers in ALL {
        let runtime = Runtime::builder().workers(workers).instrument(Arc::new(Nothing)).build().unwrap();
        assert_eq!(
            runtime.run(async {
                checkpoint().await;
                3
            }),
            3
        );
    }
}

/// Asks the context in each hook.
#[derive(Default)]
struct Asking(Mutex<Vec<(Hook, bool)>>);

impl Asking {
    fn ask(&self, hook: Hook) {
        self.0.lock().unwrap().push((hook, in_run()));
    }
}

impl Instrument for Asking {
    fn before_run(&self, _: &Moment) {
        self.ask(BeforeRun);
        let text = panic_in(current_task);
        assert!(text.starts_with("trioxide: `current_task` was called outside a run"), "{text}");
    }
    fn after_run(&self, _: &Moment) {
        self.ask(AfterRun);
    }
    fn before_task_step(&self, _: &Moment, task: &TaskInfo) {
        self.ask(BeforeStep);
        assert_eq!(current_task().id(), task.id());
        let _ = now();
    }
    fn after_task_step(&self, _: &Moment, task: &TaskInfo) {
        self.ask(AfterStep);
        assert_eq!(current_task().id(), task.id());
    }
    fn before_io_wait(&self, _: &Moment, _: Option<Duration>) {
        self.ask(BeforeWait);
    }
}

#[test]
fn c131_hooks_know_where_they_stand() {
    for &workers in ALL {
        let asking = Arc::new(Asking::default());
        let runtime =
            Runtime::builder().workers(workers).clock(MockClock::autojump()).instrument(Arc::clone(&asking)).build();
        let runtime = runtime.unwrap();
        runtime.run(sleep(Duration::from_secs(1)));
        assert!(runtime.observer().remove_instrument(&asking), "none of its questions panicked");
        let answers = asking.0.lock().unwrap();
        for hook in [BeforeRun, BeforeStep, AfterStep, BeforeWait, AfterRun] {
            assert!(answers.iter().any(|answer| answer.0 == hook), "{hook:?} was not called");
        }
        let wrong: Vec<_> =
            answers.iter().filter(|(hook, in_run)| *in_run != matches!(hook, BeforeStep | AfterStep)).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }
}

/// Wakes whoever waits at the gate, as soon as a worker has nothing to do.
struct Opens(Gate, Flag);

impl Instrument for Opens {
    fn before_io_wait(&self, _: &Moment, _: Option<Duration>) {
        if self.1.is_set() {
            self.0.open();
        }
    }
}

#[test]
fn c131_what_a_hook_wakes_runs() {
    for &workers in ALL {
        let (gate, ready) = (Gate::default(), Flag::default());
        let opens = Arc::new(Opens(gate.clone(), ready.clone()));
        let runtime = Runtime::builder().workers(workers).instrument(opens).build().unwrap();
        runtime.run(nursery(async |n: Nursery<Never>| {
            let inner = gate.clone();
            n.spawn(async move { inner.pass().await });
            a_while().await;
            ready.set();
        }));
    }
}

/// Looks at the task that is scheduled, also while a cancel wakes it.
struct Cancels(Count);

impl Instrument for Cancels {
    fn task_scheduled(&self, _: &Moment, task: &TaskInfo) {
        assert!(task.parent().is_some() || task.type_name().contains("conformance"));
        self.0.add();
    }
}

#[test]
fn c131_a_hook_holds_no_lock_up_while_a_nursery_is_cancelled() {
    for &workers in ALL {
        let count = Count::default();
        let runtime = Runtime::builder().workers(workers).instrument(Arc::new(Cancels(count.clone()))).build().unwrap();
        runtime.run(nursery(async |n: Nursery<Never>| {
            for number in 0..200 {
                n.task(format!("child {number}")).spawn(std::future::pending::<()>());
                n.spawn(std::future::pending::<()>());
            }
            a_while().await;
            n.cancel("enough");
        }));
        assert!(count.get() > 800, "each was woken by the cancel: {}", count.get());
    }
}
