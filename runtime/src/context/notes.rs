//! What a task is doing, noted in it for the tree of tasks, if the runtime notes that.
#![allow(unsafe_code)]

use std::sync::Arc;

use super::{task, tracks, with_current_task, worker};
use crate::scope::node::Doing;
use crate::watch::Held;

/// Notes what the task is doing, if the runtime notes that.
pub(super) fn note(operation: &'static str) {
    if tracks() {
        note_now(operation);
    }
}

/// Notes that the task waits for `held` in the operation that it has begun last, if the runtime notes that: the task tree says who has it. Keeps nothing alive.
#[inline]
pub(crate) fn note_held<H: Held + 'static>(held: &Arc<H>) {
    if tracks() {
        let held: Arc<dyn Held> = Arc::<H>::clone(held);
        with_current_task(|task| task.note_held(Arc::downgrade(&held)));
    }
}

#[cold]
pub(super) fn note_now(operation: &'static str) {
    let since = worker(|worker| worker.expect("set with `tracks`").shared().time.now());
    // SAFETY: C1 of `context`: the task is being polled further up this stack.
    unsafe { task(operation).as_ref() }.note(Doing { operation, since, held: None });
}
