//! Plays trees by the thousand, and says what went wrong with which.

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Once};
use std::time::Duration;

use futures_util::FutureExt;
use trioxide_runtime::{Runtime, checkpoint, move_on_after, nursery};
use trioxide_testing::MockClock;

use crate::plan::{self, Op};
use crate::play::{CLOSED, DOCUMENTED, Place, World, play, text};
use crate::record::{Boom, Frame, TaskRecord};
use crate::{alloc, helpers, shrink, watchdog};

/// How many trees one runtime plays.
const BATCH: u64 = 250;

/// More than any tree takes by itself; then it is cancelled from the top.
const END: Duration = Duration::from_secs(100 * 3600);

/// Plays the trees of `seeds` with so many workers. Panics with a report of the first that breaks a rule.
pub(crate) fn drive(seeds: std::ops::Range<u64>, workers: usize) {
    quiet();
    let mut progress = Progress::new(&seeds, workers);
    let mut at = seeds.start;
    while at < seeds.end {
        let batch = at..seeds.end.min(at + BATCH);
        at = batch.end;
        let before = alloc::live();
        let runtime = runtime(workers);
        for seed in batch.clone() {
            let tree = plan::tree(seed);
            let broken = watchdog::watched(seed, workers, &tree, || play_on(&runtime, &tree));
            if !broken.is_empty() {
                drop(runtime);
                report(seed, workers, &tree, &broken, Fault::Rule);
            }
        }
        drop(runtime);
        if is_more_left(before) {
            hunt_leak(batch.clone(), workers);
        }
        progress.show(&batch);
    }
}

pub(crate) fn runtime(workers: usize) -> Runtime {
    let runtime = Runtime::builder().workers(workers).signals(false).clock(MockClock::autojump()).build();
    runtime.expect("a runtime can be built")
}

/// Plays `tree` once: the rules that it broke.
pub(crate) fn play_on(runtime: &Runtime, tree: &Op) -> Vec<String> {
    let _on = watchdog::on(runtime);
    let world = Arc::new(World::default());
    let task = Arc::new(TaskRecord::default());
    let root = Place::root(&world, &Frame::root(), &task);
    let main = async {
        let _living = task.begin();
        let played = AssertUnwindSafe(play(root.below("main"), tree.clone())).catch_unwind();
        match move_on_after(END, played).await {
            Some(Ok(Ok(()))) | None => {}
            Some(Ok(Err(bad))) => bad.tell(),
            Some(Err(payload)) => root.told(payload),
        }
    };
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| runtime.run(main))) {
        root.told(payload);
    }
    helpers::settle();
    if !task.has_ended() {
        world.record.broken("a run has ended before a task below it");
    }
    loop {
        let forgotten = std::mem::take(&mut *world.morgue.lock().unwrap());
        if forgotten.is_empty() {
            break;
        }
        for played in forgotten {
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(played))) {
                root.told(payload);
            }
        }
    }
    runtime.run(nursery(async |n| {
        for _ in 0..runtime.workers() {
            n.spawn(checkpoint());
        }
    }));
    let record = Arc::clone(&world.record);
    drop((root, world)); // and with them handles and wakers, which keep nodes
    record.check()
}

/// Some tree of these leaves something behind, or a thread that has ended has left something to be collected later. Finds the tree.
fn hunt_leak(seeds: std::ops::Range<u64>, workers: usize) {
    let trees: Vec<_> = seeds.map(|seed| (seed, plan::tree(seed))).collect();
    if !leak(&trees, workers) {
        return;
    }
    let (mut from, mut to) = (0, trees.len());
    while to - from > 1 {
        let half = from + (to - from) / 2;
        (from, to) = if leak(&trees[from..half], workers) { (from, half) } else { (half, to) };
    }
    let (seed, tree) = &trees[from];
    report(*seed, workers, tree, &[LEFT.to_owned()], Fault::Leak);
}

/// How many plays make a window, in which a leak of some bytes for each is more than the noise.
const WINDOW: usize = 300;
/// What comes and goes in a runtime, in bytes: blocks of queues, threads of the pool.
const NOISE: isize = 2048;

/// Whether more and more memory is in use, the more often `trees` are played on one runtime. What each worker makes once takes a window or two; a leak
/// is in each.
fn leak(trees: &[(u64, Op)], workers: usize) -> bool {
    let runtime = runtime(workers);
    // Memory of tasks that waits for the next ones, on many workers for long, is no leak.
    let spare = || {
        let statistics = runtime.observer().statistics().expect("the runtime is there");
        statistics.spare_task_memory.cast_signed()
    };
    let grows = |plays: usize| {
        let before = alloc::live() - spare();
        for (seed, tree) in trees.iter().cycle().take(plays.max(trees.len() * 2)) {
            drop(watchdog::watched(*seed, workers, tree, || play_on(&runtime, tree)));
        }
        is_more_left(before + spare() + NOISE)
    };
    grows(WINDOW / 2); // the threads of an earlier runtime end meanwhile, and what they free is not ours
    (0..6).all(|_| grows(WINDOW))
}

/// Whether more memory is in use than `before`, when everything has settled: the threads of the pool end by themselves after their runtime.
fn is_more_left(before: isize) -> bool {
    helpers::settle();
    for _ in 0..5_000 {
        if alloc::live() <= before {
            return false;
        }
        std::thread::yield_now(); // retry: the threads of the pool are nobody's, so nobody hears of their end
    }
    true
}

/// What is looked for in a tree that is played often: what it breaks, or what it leaves.
#[derive(Clone, Copy)]
pub(crate) enum Fault {
    Rule,
    Leak,
}

/// What goes wrong in some of many plays of `tree`, which is that of `seed`, or what is left of it.
pub(crate) fn try_often(seed: u64, tree: &Op, workers: usize, fault: Fault) -> Option<Vec<String>> {
    match fault {
        Fault::Rule => {
            let runtime = runtime(workers);
            let mut plays = (0..40).map(|_| watchdog::watched(seed, workers, tree, || play_on(&runtime, tree)));
            plays.find(|broken| !broken.is_empty())
        }
        Fault::Leak => leak(&[(seed, tree.clone())], workers).then(|| vec![LEFT.to_owned()]),
    }
}

const LEFT: &str = "memory is left";

fn report(seed: u64, workers: usize, tree: &Op, broken: &[String], fault: Fault) -> ! {
    let mut text = format!("seed {seed}, {workers} worker(s):\n  {}\n{tree}", broken.join("\n  "));
    eprintln!("{text}\nshrinking …");
    let (small, cuts) = shrink::shrink(tree, |tree| try_often(seed, tree, workers, fault).is_some());
    let broken =
        try_often(seed, &small, workers, fault).unwrap_or_else(|| vec!["(not in 40 further plays)".to_owned()]);
    let _ = write!(text, "\nshrunk to:\n  {}\n{small}\n{}", broken.join("\n  "), command(seed, workers, &cuts));
    panic!("{text}");
}

/// How to play it again.
pub(crate) fn command(seed: u64, workers: usize, cuts: &[usize]) -> String {
    let cuts = match cuts {
        [] => String::new(),
        cuts => format!(" TORTURE_CUTS={}", cuts.iter().map(usize::to_string).collect::<Vec<_>>().join(",")),
    };
    format!(
        "again: TORTURE_SEED={seed}{cuts} TORTURE_WORKERS={workers} cargo test -p trioxide-runtime --test torture replay -- --nocapture"
    )
}

/// The panics of the trees, and those that they may bring about, are not told on standard error.
pub(crate) fn quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let known = |text: &str| text.contains(CLOSED) || DOCUMENTED.iter().any(|known| text.contains(known));
            if !info.payload().is::<Boom>() && !known(text(info.payload())) {
                hook(info);
            }
        }));
    });
}

/// A line now and then, for soaks.
struct Progress {
    shown: bool,
    done: u64,
    of: u64,
    workers: usize,
}

impl Progress {
    fn new(seeds: &std::ops::Range<u64>, workers: usize) -> Self {
        let shown = std::env::var_os("TORTURE_TREES").is_some();
        Self { shown, done: 0, of: seeds.end - seeds.start, workers }
    }

    fn show(&mut self, batch: &std::ops::Range<u64>) {
        self.done += batch.end - batch.start;
        if self.shown && ((self.done / BATCH).is_multiple_of(20) || self.done == self.of) {
            eprintln!("{} of {} trees, {} worker(s), up to seed {}", self.done, self.of, self.workers, batch.end);
        }
    }
}
