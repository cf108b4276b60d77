//! How tasks prove that they ran, at the smallest cost that is the same on every runtime.
//!
//! A counter that all tasks add to would be fought over and would hide the differences that a row is to show. So task `i`
//! adds to slot `i` of a static table with a plain load and store: no allocation, and no shared write but that of the line's
//! neighbours.
//! Only one row runs at a time in a process, and each takes its marks away at the end.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How many slots there are: the largest number of tasks in a row that uses them.
pub const SLOTS: u64 = 1 << 17;

static TABLE: [AtomicU64; SLOTS as usize] = [const { AtomicU64::new(0) }; SLOTS as usize];
static STARTED: AtomicU64 = AtomicU64::new(0);

/// Adds `value` to `slot`. Not one atomic step: a slot belongs to one task at a time.
///
/// # Panics
///
/// If `slot` is not below [`SLOTS`].
pub fn add(slot: u64, value: u64) {
    let slot = &TABLE[slot as usize];
    slot.store(slot.load(Relaxed) + value, Relaxed);
}

/// Takes the sum of the first `slots` values and clears them. To be called when the tasks that left them have been joined.
#[must_use]
pub fn take_sum(slots: u64) -> u64 {
    TABLE[..slots as usize].iter().map(|slot| slot.swap(0, Relaxed)).sum()
}

/// Takes the marks of a row in which `rounds` times `tasks` tasks each [`add`] a one.
///
/// # Panics
///
/// If not every task has run: the row's figure would be worth nothing.
pub fn assert_all_ran(tasks: u64, rounds: u64) {
    assert_eq!(take_sum(tasks), tasks * rounds, "some tasks of this repetition were not run, or not ended");
}

/// Counts one task that is about to suspend for good.
pub fn start() {
    STARTED.fetch_add(1, Relaxed);
}

/// How many tasks have called [`start`] since [`reset_started`].
#[must_use]
pub fn started() -> u64 {
    STARTED.load(Relaxed)
}

/// Sets the count of [`started`] tasks to zero.
pub fn reset_started() {
    STARTED.store(0, Relaxed);
}
