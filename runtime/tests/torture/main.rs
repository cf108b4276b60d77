//! Random trees of everything that the core has, played by the thousand on 1, 2 and 8 workers.
//!
//! After each tree is checked: every task has ended before its nursery and its handle's result; every clean-up ran once; every error and every panic
//! came out once, or something else in its place by the documented rules; what completed was delivered; what a nursery lends lived as long as it was
//! borrowed; the runtime still runs something; and no memory is left.
//!
//! ```text
//! TORTURE_BASE=1000000 TORTURE_TREES=500000 cargo test -p trioxide-runtime --test torture one_worker -- --nocapture    a soak: other trees, and more
//! TORTURE_SEED=… TORTURE_WORKERS=… cargo test -p trioxide-runtime --test torture replay -- --nocapture                  one tree, often
//! ```
//!
//! `TORTURE_PATIENCE` is for how many seconds a tree may go on before it is said to hang (100).
//!
//! | file | duty |
//! | --- | --- |
//! | `plan` | the trees |
//! | `play`, `ours`, `foreign`, `helpers` | what each node does |
//! | `record` | what is observed, and the checks |
//! | `drive`, `alloc`, `watchdog` | many trees; leaks and hangs |
//! | `shrink` | a small tree that still fails |
//! | `sabotage` | each check can fail |

#[path = "../common/mod.rs"]
mod common;
#[cfg(unix)]
#[path = "../common/process.rs"]
mod process;

mod alloc;
mod drive;
mod foreign;
mod helpers;
mod ours;
mod plan;
mod play;
mod record;
mod sabotage;
mod shrink;
mod watchdog;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// One at a time: memory is counted for the whole process.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} must be a number, is {text:?}")))
}

fn trees(workers: usize) {
    let _alone = alone();
    let base = number("TORTURE_BASE").unwrap_or(0);
    drive::drive(base..base + number("TORTURE_TREES").unwrap_or(7_000), workers);
}

#[test]
fn trees_on_one_worker() {
    trees(1);
}

#[test]
fn trees_on_two_workers() {
    trees(2);
}

#[test]
fn trees_on_eight_workers() {
    trees(8);
}

/// Plays the tree of `TORTURE_SEED`, less `TORTURE_CUTS`, again and again; without them it does nothing.
#[test]
fn replay() {
    let Some(seed) = number("TORTURE_SEED") else { return };
    let _alone = alone();
    drive::quiet();
    let workers = usize::try_from(number("TORTURE_WORKERS").unwrap_or(2)).unwrap();
    let cuts = std::env::var("TORTURE_CUTS").unwrap_or_default();
    let cuts = cuts.split_terminator(',').map(|cut| cut.parse().expect("TORTURE_CUTS are numbers with commas between"));
    let tree = shrink::cut(plan::tree(seed), cuts);
    println!("{tree}");
    for _ in 0..20 {
        for fault in [drive::Fault::Rule, drive::Fault::Leak] {
            if let Some(broken) = drive::try_often(seed, &tree, workers, fault) {
                panic!("{}", broken.join("\n"));
            }
        }
    }
}
