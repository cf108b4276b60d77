//! In place of the threads, in a simulation: a closure is laid out until it is its turn (`scheduler::choose`), and then runs to its end on the one thread.
//!
//! So it must not wait for what a task does; `from_thread` and the like refuse. What a closure submits by itself (`blocking_scope`) runs at once, for it may wait for that.

use std::sync::Arc;

use super::name::ThreadName;
use super::pool::{Inner, Job, Pool};
use crate::contain;

/// The closures that wait for their turn.
#[derive(Default)]
pub(super) struct LaidOut {
    jobs: Vec<(u64, Arc<dyn Job>)>,
    submitted: u64,
    /// A closure runs.
    running: bool,
}

impl Pool {
    /// Those that wait for their turn, in the order in which they were submitted, by number.
    pub(crate) fn laid_out(&self) -> impl Iterator<Item = u64> + use<> {
        let numbers: Vec<_> = self.inner.laid_out.lock().jobs.iter().map(|(number, _)| *number).collect();
        numbers.into_iter()
    }

    /// Runs one of them.
    pub(crate) fn run_laid_out(&self, number: u64) {
        let found = {
            let mut laid_out = self.inner.laid_out.lock();
            let at = laid_out.jobs.iter().position(|(of, _)| *of == number);
            laid_out.running = at.is_some();
            at.map(|at| laid_out.jobs.remove(at))
        };
        if let Some((_, job)) = found {
            run(job);
            self.inner.laid_out.lock().running = false;
        }
    }
}

impl Inner {
    pub(super) fn is_simulated(&self) -> bool {
        self.limits.simulated
    }

    pub(super) fn lay_out(&self, job: Arc<dyn Job>) {
        let at_once = {
            let mut laid_out = self.laid_out.lock();
            laid_out.submitted += 1;
            match laid_out.running {
                true => Some(job),
                false => {
                    let number = laid_out.submitted;
                    laid_out.jobs.push((number, job));
                    None
                }
            }
        };
        if let Some(job) = at_once {
            run(job);
        }
    }
}

fn run(job: Arc<dyn Job>) {
    let own_name = ThreadName::new(""); // Never shown: see `call::start`.
    if let Some(rest) = contain::call(|| Arc::clone(&job).run(&own_name, &mut || ())).flatten() {
        contain::call(rest);
    }
    job.ticket().settle();
}
