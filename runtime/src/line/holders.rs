//! Tasks that have ended and not given back what they owned.
//!
//! The runtime counts what a task holds (`after::hold`), and tells of one that ends with a count. That is rare, so finding out which line it was may take its time:
//! all lines in which anybody has waited for an owner, or to be one, are known here. Who comes later finds the task among those that are gone.
//!
//! Invariant **G1**: a task is put among the gone before the lines are looked through, and who begins to wait makes the line known, notes the owner in it, and then looks among the gone; both the note and the
//! look through are under the line's lock. So one of the two sees the other.

use super::Line;
use crate::task::TaskId;
use crate::task::after;
use crate::watch::Held;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

static LINES: Mutex<Vec<Weak<Line>>> = Mutex::new(Vec::new());
static GONE: Mutex<Option<HashSet<TaskId>>> = Mutex::new(None);

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A line whose permits somebody owns, or waits to own. The caller has its lock, under which this one is a leaf.
pub(super) fn remember(line: &Arc<Line>) {
    let mut lines = locked(&LINES);
    if lines.len() == lines.capacity() {
        lines.retain(|line| line.strong_count() > 0);
    }
    lines.push(Arc::downgrade(line));
}

/// What `holder` owned is given back.
#[inline]
pub(super) fn release(holder: u64) {
    if !after::release(holder) {
        release_elsewhere(holder);
    }
}

/// The one who gives it back is not the one who took it.
#[cold]
fn release_elsewhere(holder: u64) {
    if let Some(task) = after::holder_id(holder)
        && let Some(gone) = &mut *locked(&GONE)
    {
        gone.remove(&task);
    }
}

/// Whether that task has ended, and has not given back all that it owned.
pub(super) fn is_gone(holder: u64) -> bool {
    let task = after::holder_id(holder);
    task.is_some_and(|task| locked(&GONE).as_ref().is_some_and(|gone| gone.contains(&task)))
}

/// `task` has ended, and has not given back all that it owned.
pub(crate) fn ended(task: TaskId) {
    locked(&GONE).get_or_insert_default().insert(task);
    let holder = after::holder_of(task);
    let lines: Vec<_> = locked(&LINES).iter().filter_map(Weak::upgrade).collect();
    lines.iter().for_each(|line| line.holder_ended(holder));
}

/// For those who ask what a task waits for.
impl Held for Line {
    fn holder(&self) -> Option<TaskId> {
        // While anybody waits, the line stands for the word (P1).
        self.lot.lock().owner.and_then(after::holder_id)
    }
}
