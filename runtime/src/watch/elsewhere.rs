//! What other runtimes in this process have spawned. It is in no nursery and in no scope, so the tree can only say how much there is.

use std::sync::{Mutex, PoisonError};

/// A runtime, and what counts its tasks.
type Elsewhere = (&'static str, fn() -> usize);

static COUNTS: Mutex<Vec<Elsewhere>> = Mutex::new(Vec::new());

/// From now on each [task tree](crate::task_tree) has an entry for the tasks of another runtime, `name`, while `count` gives some of them. For those who bring such
/// a runtime along, once in the life of the process. `count` is called whenever a tree is made, by any thread, and must neither block nor panic.
pub fn count_elsewhere(name: &'static str, count: fn() -> usize) {
    COUNTS.lock().unwrap_or_else(PoisonError::into_inner).push((name, count));
}

/// Those of which there are some. No lock is held where a count is made: it is foreign code (W2).
pub(super) fn counted() -> Vec<(&'static str, usize)> {
    let counts = COUNTS.lock().unwrap_or_else(PoisonError::into_inner).clone();
    counts.into_iter().map(|(name, count)| (name, count())).filter(|(_, count)| *count > 0).collect()
}
