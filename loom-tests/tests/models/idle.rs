//! Idle and park: the real `Idle` and `Parker`, driven as `scheduler::worker` drives them, over queues that are as weak as they may be.
//!
//! A task that is left in a queue while everybody sleeps is a deadlock here. Tasks that wait for each other find more: one that is left
//! in a queue while *one* worker sleeps, and the other is busy.

use std::sync::Arc;

use loom::sync::Notify;
use loom::sync::atomic::Ordering::{AcqRel, Acquire, Release, SeqCst};
use loom::sync::atomic::{AtomicBool, AtomicUsize, fence};
use loom::thread;
use trioxide_loom::explore;
use trioxide_runtime::models::{Idle, Parker, Risen};

/// A queue of tasks by number, one bit each. To look at it orders nothing that a real queue would not.
struct Queue(AtomicUsize);

impl Queue {
    fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    fn push(&self, task: usize) {
        self.0.fetch_or(1 << task, Release);
    }

    fn len(&self) -> u32 {
        self.0.load(Acquire).count_ones()
    }

    fn is_empty(&self) -> bool {
        self.0.load(Acquire) == 0
    }

    fn take(&self) -> Option<usize> {
        loop {
            let tasks = self.0.load(Acquire);
            if tasks == 0 {
                return None;
            }
            let bit = tasks & tasks.wrapping_neg();
            if self.0.fetch_and(!bit, AcqRel) & bit != 0 {
                return Some(bit.trailing_zeros() as usize);
            }
        }
    }

    /// One task to run; the others go to `to`, and are in no queue on the way.
    fn take_batch(&self, to: &Queue) -> Option<usize> {
        if self.is_empty() {
            return None;
        }
        let tasks = self.0.swap(0, AcqRel);
        if tasks == 0 {
            return None;
        }
        let first = tasks & tasks.wrapping_neg();
        if tasks != first {
            to.0.fetch_or(tasks & !first, Release);
        }
        Some(first.trailing_zeros() as usize)
    }
}

/// What a task does.
#[derive(Clone, Copy)]
enum Do {
    Nothing,
    /// Blocks its worker until the other task that does so runs, too.
    Meet,
    /// Queues two tasks on its worker.
    Spawn(usize, usize),
    /// Queues three.
    SpawnThree(usize, usize, usize),
    /// Yields, and has that number when its next turn comes: behind more than one other nobody is looked for.
    Yield(usize),
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Running,
    Searching,
}

struct Scheduler {
    tasks: &'static [Do],
    idle: Idle,
    inject: Queue,
    own: Vec<Queue>,
    parkers: Vec<Parker>,
    /// Work that only worker 0 may do.
    bound: AtomicBool,
    left: AtomicUsize,
    closed: AtomicBool,
    met: AtomicUsize,
    meeting: Notify,
}

impl Scheduler {
    /// `bound`: whether bound work will come, too.
    fn new(workers: usize, tasks: &'static [Do], bound: bool) -> Arc<Self> {
        Arc::new(Self {
            tasks,
            idle: Idle::new(workers),
            inject: Queue::new(),
            own: (0..workers).map(|_| Queue::new()).collect(),
            parkers: (0..workers).map(|_| Parker::new()).collect(),
            bound: AtomicBool::new(false),
            left: AtomicUsize::new(tasks.len() + usize::from(bound)),
            closed: AtomicBool::new(false),
            met: AtomicUsize::new(0),
            meeting: Notify::new(),
        })
    }

    fn inject(&self, task: usize) {
        self.inject.push(task);
        self.notify();
    }

    fn notify(&self) {
        if self.idle.wants_waking()
            && let Some(index) = self.idle.claim(None)
        {
            self.parkers[index].unpark(None);
        }
    }

    fn wake_worker(&self, index: usize) {
        fence(SeqCst);
        if self.idle.claim_this(index) {
            self.parkers[index].unpark(None);
        }
    }

    fn give_bound(&self) {
        self.bound.store(true, Release);
        self.wake_worker(0);
    }

    fn has_queued(&self) -> bool {
        !self.inject.is_empty() || self.own.iter().any(|queue| !queue.is_empty())
    }

    fn has_bound(&self, index: usize) -> bool {
        self.is_closed() || (index == 0 && self.bound.load(Acquire))
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Acquire)
    }

    fn done(&self) {
        if self.left.fetch_sub(1, AcqRel) == 1 {
            loom::skip_branch(); // What follows is the model's own end.
            self.closed.store(true, Release);
            for index in 0..self.parkers.len() {
                self.wake_worker(index);
            }
        }
    }

    /// As `Worker::work`.
    fn work(&self, index: usize) {
        self.parkers[index].bind();
        let mut mode = Mode::Running;
        while !self.is_closed() {
            if index == 0 && self.bound.load(Acquire) && self.bound.swap(false, AcqRel) {
                mode = self.found(mode);
                self.done();
            }
            if let Some(task) = self.search(index, &mut mode) {
                mode = self.found(mode);
                self.run(index, task);
            } else if !self.is_closed() {
                mode = self.sleep(index, mode);
            }
        }
        let _ = self.found(mode);
    }

    fn run(&self, index: usize, task: usize) {
        match self.tasks[task] {
            Do::Nothing => {}
            Do::Meet => match self.met.fetch_add(1, AcqRel) {
                0 => {
                    while self.met.load(Acquire) != 2 {
                        self.meeting.wait();
                    }
                }
                _ => {
                    loom::skip_branch(); // Both were found; the rest is the model's own end.
                    self.meeting.notify();
                }
            },
            Do::Spawn(one, other) => {
                for task in [one, other] {
                    self.own[index].push(task);
                    self.notify();
                }
            }
            Do::SpawnThree(one, two, three) => {
                for task in [one, two, three] {
                    self.own[index].push(task);
                    self.notify();
                }
            }
            Do::Yield(next) => {
                let unsaid = self.own[index].len() > 1;
                self.own[index].push(next);
                if !unsaid {
                    self.notify();
                }
            }
        }
        self.done();
    }

    fn search(&self, index: usize, mode: &mut Mode) -> Option<usize> {
        let own = &self.own[index];
        if let Some(task) = own.take().or_else(|| self.take_injected(index)) {
            return Some(task);
        }
        if *mode == Mode::Running {
            if !self.idle.start_searching() {
                return None;
            }
            *mode = Mode::Searching;
        }
        (0..self.own.len()).filter(|&victim| victim != index).find_map(|victim| self.own[victim].take_batch(own))
    }

    fn take_injected(&self, index: usize) -> Option<usize> {
        let task = self.inject.take_batch(&self.own[index])?;
        if !self.own[index].is_empty() {
            self.notify();
        }
        Some(task)
    }

    fn found(&self, mode: Mode) -> Mode {
        if mode == Mode::Searching && self.idle.stop_searching() && self.has_queued() {
            self.notify();
        }
        Mode::Running
    }

    fn sleep(&self, index: usize, mode: Mode) -> Mode {
        let queued = self.idle.lie_down(index, mode == Mode::Searching) && self.has_queued();
        let unparked = !queued && !self.has_bound(index) && self.parkers[index].park(None);
        match self.idle.rise(index) {
            Risen::ByItself => Mode::Running,
            Risen::Claimed => {
                if !unparked {
                    self.parkers[index].park(None);
                }
                Mode::Searching
            }
        }
    }
}

type Producer = fn(&Scheduler);

/// Runs `workers` workers, the first on this thread, against a thread for each of `producers`.
fn model(name: &str, workers: usize, tasks: &'static [Do], bound: bool, producers: &'static [Producer]) {
    explore(name, if workers == 1 { 3 } else { 2 }, move || {
        let scheduler = Scheduler::new(workers, tasks, bound);
        let mut threads = Vec::new();
        for index in 1..workers {
            let scheduler = Arc::clone(&scheduler);
            threads.push(thread::spawn(move || scheduler.work(index)));
        }
        for produce in producers {
            let scheduler = Arc::clone(&scheduler);
            threads.push(thread::spawn(move || produce(&scheduler)));
        }
        scheduler.work(0);
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(!scheduler.has_queued());
    });
}

/// Two producers, one worker that goes to sleep between their tasks, or not.
#[test]
fn two_producers_one_worker() {
    const PRODUCERS: &[Producer] = &[|scheduler| scheduler.inject(0), |scheduler| scheduler.inject(1)];
    model("idle: 2 producers, 1 worker", 1, &[Do::Nothing; 2], false, PRODUCERS);
}

/// Two workers, one producer.
#[test]
fn one_producer_two_workers() {
    model("idle: 1 producer, 2 workers", 2, &[Do::Nothing], false, &[|scheduler| scheduler.inject(0)]);
}

/// Two tasks that need a worker each: whoever finds the first sees to it that somebody finds the second.
#[test]
fn the_last_searcher_looks_for_more() {
    const BOTH: Producer = |scheduler| {
        scheduler.inject(0);
        scheduler.inject(1);
    };
    model("idle: the last searcher looks for more", 2, &[Do::Meet; 2], false, &[BOTH]);
}

/// The first worker runs a task that spawns two, which need a worker each, while the second one looks round or lies down.
#[test]
fn a_worker_is_a_producer() {
    const TASKS: &[Do] = &[Do::Meet, Do::Meet, Do::Spawn(0, 1)];
    explore("idle: a worker as producer", 3, || {
        let scheduler = Scheduler::new(2, TASKS, false);
        scheduler.own[0].push(2);
        let other = Arc::clone(&scheduler);
        let other = thread::spawn(move || other.work(1));
        scheduler.work(0);
        other.join().unwrap();
    });
}

/// A task yields behind two others without a look for sleepers, and needs a worker of its own, as the last of the two does: a worker that lies down meanwhile has seen those two.
#[test]
fn a_yield_behind_others_is_not_left() {
    const TASKS: &[Do] = &[Do::Yield(3), Do::Nothing, Do::Meet, Do::Meet, Do::SpawnThree(0, 1, 2)];
    explore("idle: a yield behind others", 3, || {
        let scheduler = Scheduler::new(2, TASKS, false);
        scheduler.own[0].push(4);
        let other = Arc::clone(&scheduler);
        let other = thread::spawn(move || other.work(1));
        scheduler.work(0);
        other.join().unwrap();
    });
}

/// Work for worker 0 alone, beside a task for anybody, with one worker and with two.
#[test]
fn bound_work() {
    const EACH: &[Producer] = &[Scheduler::give_bound, |scheduler| scheduler.inject(0)];
    const BOTH: Producer = |scheduler| {
        scheduler.give_bound();
        scheduler.inject(0);
    };
    model("idle: bound work and a task, 1 worker", 1, &[Do::Nothing], true, EACH);
    model("idle: bound work and a task, 2 workers", 2, &[Do::Nothing], true, &[BOTH]);
}
