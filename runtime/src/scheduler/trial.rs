//! Whether a worker pays: tasks that do little at a time, and talk to each other all the time, are done sooner by one worker than by two.
//!
//! A poll of a hundred nanoseconds that needs a lock, or a queue, that another core has just written waits for the cache line for longer than it computes, and then so does the other. Nothing about a
//! task tells beforehand whether it is so. So it is tried: where *steps* are short, each worker but the first goes *aside* now and then for a moment, and compares how many steps there were without it and with it. If all
//! together did fewer, it stays aside for a while, and tries again. A step is a poll, and each operation in it that takes a unit of the task's budget.
//!
//! ```text
//!            a term is over, and steps are short              measured
//!   WORKING ──────────────────────────────────────▶ ASIDE ────────────▶ TOGETHER
//!      ▲                                            ▲   │                │   │
//!      │                  without it there were more│   │                │   │
//!      │                  (twice, to begin with)    └───│────────────────┘   │
//!      ├──────── tasks wait, or nothing is left ────────┘                    │
//!      └──────────────────────── it pays, or cannot be told ─────────────────┘
//! ```
//!
//! What bounds the harm of a wrong verdict:
//! - Who is aside looks every `LOOK` (some 100 µs, as systems sleep), and is back at once where a task waits behind steps that are not short, or where nothing runs any more.
//! - Only where steps are short is anybody aside; what waits behind a few of them is not late.
//! - It takes two measurements in a row to send a worker aside for longer, and one that it passes puts off the next.
//!
//! After the hill climbing of .NET's thread pool, which varies the number of its threads and looks what becomes of the throughput (Hellerstein, Morrison and Eilebrecht, "Applying Control Theory in the Real World", 2009).

use std::cell::Cell;
use std::time::Duration;

/// A step that takes less is short, on the average over all workers.
const SHORT: Duration = Duration::from_micros(1);
/// So long is measured at least.
const PROBE: Duration = Duration::from_micros(100);
/// When all work together again, the first of it is not measured: tasks have to spread.
const SETTLE: Duration = Duration::from_micros(50);
/// A measurement that took so long says nothing: nobody was there to end it, so nothing ran.
const STALE: Duration = Duration::from_millis(2);
/// The first trial of a worker comes after so long, and each that it has passed puts off the next.
const FIRST_TERM: Duration = Duration::from_micros(200);
const LONGEST_TERM: Duration = Duration::from_millis(100);
/// So long a worker stays aside that has failed, and twice as long if it fails again.
const FIRST_REST: Duration = Duration::from_millis(2);
const LONGEST_REST: Duration = Duration::from_millis(32);
/// How often who is aside looks around.
pub(super) const LOOK: Duration = Duration::from_micros(50);

/// What there was up to some moment.
#[derive(Clone, Copy, Default)]
pub(super) struct Reading {
    /// Since any moment, always the same.
    pub(super) at: Duration,
    /// How many steps all workers have done.
    pub(super) done: u64,
    /// And by this one.
    pub(super) own: u64,
}

/// What a worker does, in steps. They are not counted one by one: each poll begins with the same budget, and what all polls of a thread have left of theirs is summed up where a poll ends.
pub(super) struct Account {
    /// What the others on its thread had left before, and what it had done on others.
    offset: Cell<u64>,
    looked_at: Cell<u64>,
}

/// After so many steps a worker looks whether it is time to step aside.
const LOOK_AFTER: u64 = 256;

impl Account {
    pub(super) fn new() -> Self {
        Self { offset: Cell::new(0), looked_at: Cell::new(0) }
    }

    /// On a thread whose polls have `left` so much, all in all; so many were done before, and there can have been so many at `most`.
    pub(super) fn begin(&self, done: u64, most: u64, left: u64) {
        self.offset.set(done.wrapping_sub(most).wrapping_add(left));
    }

    /// How many steps there were.
    #[inline]
    pub(super) fn done(&self, most: u64, left: u64) -> u64 {
        most.wrapping_add(self.offset.get()).wrapping_sub(left)
    }

    /// Whether there were enough of them since the last look, which this one is, then.
    #[inline]
    pub(super) fn is_enough(&self, done: u64) -> bool {
        let enough = done.wrapping_sub(self.looked_at.get()) >= LOOK_AFTER;
        if enough {
            self.looked_at.set(done);
        }
        enough
    }
}

/// What a worker knows of itself.
pub(super) struct Trial {
    stage: Cell<Stage>,
    /// From when on is measured.
    start: Cell<Reading>,
    term: Cell<Duration>,
    rest: Cell<Duration>,
    /// Steps per microsecond without it.
    alone: Cell<f64>,
    /// There were more without it once.
    doubted: Cell<bool>,
}

#[derive(Clone, Copy)]
enum Stage {
    Working,
    /// Until then at least.
    Aside {
        until: Duration,
    },
    /// What all do together is measured, once that has settled.
    Together {
        settled: bool,
    },
}

impl Reading {
    fn done_since(self, start: Self) -> f64 {
        self.done.saturating_sub(start.done) as f64
    }

    fn own_since(self, start: Self) -> f64 {
        self.own.saturating_sub(start.own) as f64
    }

    fn time_since(self, start: Self) -> Duration {
        self.at.saturating_sub(start.at)
    }

    fn rate_since(self, start: Self) -> f64 {
        self.done_since(start) / self.time_since(start).as_secs_f64() / 1e6
    }
}

/// What one who is aside sees of the others.
pub(super) struct Seen {
    /// When; as in [`Reading`].
    pub(super) at: Duration,
    /// Of each worker, itself among them: how many steps there were, and whether tasks wait in its queues.
    pub(super) workers: Vec<(u64, bool)>,
    /// Tasks wait in the inject queue.
    pub(super) injected: bool,
}

/// Whether one who is aside is wanted, as tasks wait behind steps that are not short, or as nothing runs any more.
pub(super) fn is_wanted(before: &Seen, now: &Seen) -> bool {
    let passed = now.at.saturating_sub(before.at);
    let steps = |index: usize| now.workers[index].0.saturating_sub(before.workers[index].0);
    let all: u64 = (0..now.workers.len()).map(steps).sum();
    let waits = |index: usize| now.workers[index].1 && !are_short(steps(index) as f64, 1, passed);
    all == 0 || (now.injected && !are_short(all as f64, 1, passed)) || (0..now.workers.len()).any(waits)
}

/// Whether so many steps by so many workers in that time were short ones.
fn are_short(steps: f64, workers: usize, time: Duration) -> bool {
    SHORT.as_secs_f64() * steps >= time.as_secs_f64() * workers as f64
}

/// So much the throughput must grow by the last of so many workers. Of two, by a little, or the second core is better left to others; of many, each adds so little that it cannot be measured, so they only must not do harm.
fn least_gain(workers: usize) -> f64 {
    0.9 + 0.3 / workers as f64
}

impl Trial {
    pub(super) fn new() -> Self {
        Self {
            stage: Cell::new(Stage::Working),
            start: Cell::new(Reading::default()),
            term: Cell::new(FIRST_TERM),
            rest: Cell::new(FIRST_REST),
            alone: Cell::new(0.0),
            doubted: Cell::new(false),
        }
    }

    /// When it wants to know what there was.
    pub(super) fn is_due(&self, at: Duration) -> bool {
        let after = match self.stage.get() {
            Stage::Working => self.term.get(),
            Stage::Together { settled: false } => SETTLE,
            Stage::Aside { .. } | Stage::Together { settled: true } => PROBE,
        };
        at.saturating_sub(self.start.get().at) >= after
    }

    /// Now and then while it works, when it is due; whether it is to step aside. There are so many workers in all.
    pub(super) fn goes_aside(&self, now: Reading, workers: usize) -> bool {
        let start = self.start.replace(now);
        match self.stage.get() {
            Stage::Working => {
                let (all, own) = (now.done_since(start), now.own_since(start));
                // Also only where others have done a part of it.
                let worth_it = are_short(all, workers, now.time_since(start)) && (all - own) * 8.0 >= all;
                if worth_it {
                    self.stage.set(Stage::Aside { until: now.at });
                } else {
                    self.term.set(FIRST_TERM);
                }
                worth_it
            }
            Stage::Together { settled: false } => {
                self.stage.set(Stage::Together { settled: true });
                false
            }
            Stage::Together { settled: true } => self.fails(now, start, workers),
            Stage::Aside { .. } => unreachable!("it does not work"),
        }
    }

    /// What all do together was measured.
    fn fails(&self, now: Reading, start: Reading, workers: usize) -> bool {
        let is_told = now.time_since(start) < STALE;
        if is_told && now.rate_since(start) < self.alone.get() * least_gain(workers) {
            let mut until = now.at;
            if self.doubted.replace(true) {
                until += self.rest.get();
                self.rest.set((self.rest.get() * 2).min(LONGEST_REST));
            }
            self.stage.set(Stage::Aside { until });
            return true;
        }
        if is_told {
            self.term.set((self.term.get() * 8).min(LONGEST_TERM));
        }
        self.doubted.set(false);
        self.rest.set(FIRST_REST);
        self.stage.set(Stage::Working);
        false
    }

    /// It has stepped aside, and nothing of what it had to run is with it any more: from here on the others are measured.
    pub(super) fn is_aside(&self, now: Reading) {
        self.start.set(now);
    }

    /// While it is aside: whether it is back, to be compared.
    pub(super) fn comes_back(&self, now: Reading) -> bool {
        let (Stage::Aside { until }, start) = (self.stage.get(), self.start.get()) else { return true };
        let back = now.at >= until && now.time_since(start) >= PROBE;
        if back {
            self.alone.set(now.rate_since(start));
            self.start.set(now);
            self.stage.set(Stage::Together { settled: false });
        }
        back
    }

    /// It is wanted, or nothing is left to do: it works from now on.
    pub(super) fn works(&self, now: Reading) {
        self.start.set(now);
        self.term.set(FIRST_TERM);
        self.stage.set(Stage::Working);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// A worker of two, and what both have done.
    struct World {
        trial: Trial,
        now: Reading,
        workers: usize,
        /// Steps per microsecond, alone and together.
        alone: u64,
        together: u64,
        aside: bool,
    }

    impl World {
        fn new(alone: u64, together: u64) -> Self {
            Self { workers: 2, trial: Trial::new(), now: Reading::default(), alone, together, aside: false }
        }

        /// The share of the time that it is aside.
        fn aside_in(&mut self, time: Duration) -> f64 {
            let step = Duration::from_micros(10);
            let (steps, mut aside) = (time.as_micros() / 10, 0);
            for _ in 0..steps {
                aside += u32::from(self.aside);
                self.now.at += step;
                let done = 10 * if self.aside { self.alone } else { self.together };
                self.now.done += done;
                self.now.own += if self.aside { 0 } else { done / 2 };
                if self.aside {
                    self.aside = !self.trial.comes_back(self.now);
                } else if self.trial.is_due(self.now.at) {
                    self.aside = self.trial.goes_aside(self.now, self.workers);
                    if self.aside {
                        self.trial.is_aside(self.now);
                    }
                }
            }
            f64::from(aside) / steps as f64
        }
    }

    #[test]
    fn the_account_of_a_worker_goes_on_on_another_thread_and_leaves_out_what_was_there_before() {
        let account = Account::new();
        let begin = 5_000; // left by others on the first thread
        account.begin(0, 0, begin);
        assert_eq!(account.done(0, begin), 0);
        assert_eq!(
            account.done(3 * 129, begin + 3 * 100),
            3 * 29,
            "three polls, each with 128 units, of which 28 were used"
        );
        account.begin(3 * 29, 3 * 129, 7);
        assert_eq!(account.done(4 * 129, 7 + 128), 3 * 29 + 1, "a fourth one, elsewhere, which used none");
        assert!(!account.is_enough(LOOK_AFTER - 1) && account.is_enough(LOOK_AFTER) && !account.is_enough(LOOK_AFTER));
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn who_hinders_the_others_is_aside_nearly_always() {
        let mut world = World::new(9, 3);
        assert!(world.aside_in(SECOND) > 0.97);
    }

    #[test]
    fn who_pays_is_tried_seldom() {
        let mut world = World::new(9, 17);
        assert!(world.aside_in(SECOND) < 0.01);
    }

    #[test]
    fn of_many_each_adds_so_little_that_in_doubt_it_works() {
        let mut world = World { workers: 16, ..World::new(20, 19) };
        assert!(world.aside_in(SECOND) < 0.01);
    }

    #[test]
    fn steps_that_are_not_short_are_not_tried() {
        let mut world = World::new(9, 0);
        assert!(world.aside_in(SECOND) < f64::EPSILON, "none is done, all the time");
    }

    #[test]
    fn what_changes_is_noticed() {
        let mut world = World::new(9, 3);
        world.aside_in(SECOND);
        world.together = 17;
        world.aside_in(2 * LONGEST_REST);
        assert!(world.aside_in(SECOND) < 0.01, "now it pays");
        world.together = 3;
        world.aside_in(2 * LONGEST_TERM);
        assert!(world.aside_in(SECOND) > 0.97, "and now it does not");
    }

    /// A hundred microseconds later, after so many steps of the first of two workers; it has more in its queue, or there is something for all.
    fn wanted_after(steps: u64, queued: bool, injected: bool) -> bool {
        let seen =
            |at, polls| Seen { at: Duration::from_micros(at), workers: vec![(polls, queued), (7, false)], injected };
        is_wanted(&seen(50, 1000), &seen(150, 1000 + steps))
    }

    #[test]
    fn who_is_aside_is_wanted_if_something_waits_behind_long_steps_or_nothing_runs() {
        assert!(!wanted_after(500, true, true), "what waits does not wait for long");
        assert!(wanted_after(10, true, false));
        assert!(wanted_after(10, false, true));
        assert!(!wanted_after(10, false, false), "nothing waits");
        assert!(wanted_after(0, false, false), "all rest");
    }

    #[test]
    fn who_is_wanted_is_back_at_once_and_tried_again_soon() {
        let mut world = World::new(9, 3);
        world.aside_in(SECOND);
        assert!(world.aside, "it fails");
        world.trial.works(world.now);
        world.aside = false;
        assert!(world.aside_in(10 * FIRST_TERM) > 0.5);
    }
}
