//! A run in which nothing can run any more fails at once, if it was asked for: the deadlock of a test.
//!
//! Unlike `stall`, which waits for a while because other threads may wake something, and only reports, this takes the run for a closed world: its report is the
//! panic of the run, and everything in it is cancelled. Who finds it is `scheduler::quiet`.
//!
//! Invariant **D1**: a run is cancelled for its first deadlock. If that leads to another (something shielded waits for ever), nothing here can end it, and the process is
//! aborted: a hang would tell nobody anything.

use std::io::Write;
use std::sync::atomic::Ordering::Relaxed;

use super::{TaskTree, Watch};
use crate::nursery;
use crate::scheduler::Shared;

impl Watch {
    /// Whether a run that is found in a deadlock fails.
    #[inline]
    pub(crate) fn fails_on_deadlock(&self) -> bool {
        self.fails_on_deadlock.load(Relaxed)
    }

    /// From now on it does. Before the first run.
    pub(crate) fn fail_on_deadlock(&self) {
        self.fails_on_deadlock.store(true, Relaxed);
    }
}

impl Shared {
    /// Everything is blocked, for good: the run fails. By a worker that is up, under no lock.
    pub(crate) fn fail_in_deadlock(&self) {
        let Some((root, tree)) = self.present.root().zip(TaskTree::of(self)) else { return };
        let text = report(&tree);
        if self.watch.deadlock_was_told.swap(true, Relaxed) {
            let text = format!(
                "{text}\nThis is what is left after the run was cancelled for a deadlock: it cannot be ended, so the process is.\n"
            );
            let _ = std::io::stderr().write_all(text.as_bytes()); // Past what captures the output of tests, for that is lost now.
            std::process::abort();
        }
        eprintln!("{text}"); // What comes out of the run is resumed, so no hook prints it.
        nursery::report_panic(&root, Box::new(text));
    }
}

fn report(tree: &TaskTree) -> String {
    let mut text = format!(
        "trioxide: deadlock: every task waits, and nothing in this run can wake one any more: no timer, no I/O, no blocking call, nobody with its token. What waits:\n{tree}"
    );
    if tree.tasks().all(|task| task.waits_for().is_none()) {
        text += "(`Builder::track_tasks(true)` shows what each task waits for.)\n";
    }
    text += "If another thread was to wake a task, let it hold a `RunToken` meanwhile, or wait for it in `blocking`.";
    text
}
