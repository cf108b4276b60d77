//! Loom models of trioxide: every interleaving of a few threads, within a bound of preemptions, with the real types.
//!
//! The models are the tests of this package; README.md says what each proves, and how to run them. They exist under `--cfg loom` only;
//! without it this package is empty.
//!
//! | file | models |
//! | --- | --- |
//! | `tests/models/state.rs` | the state word of a task |
//! | `tests/models/idle.rs` | idle and park |
//! | `tests/models/sentry.rs` | who watches the workers that run |
//! | `tests/models/nursery.rs` | the counts behind a nursery's join |
//! | `tests/models/start.rs` | starting a child against cancels of either side |
//! | `tests/models/cancel.rs` | cancel against suspension, attaching and guards |
//! | `tests/models/timer.rs` | timer against completion |
//! | `tests/models/limiter.rs` | the capacity limiter |
//! | `tests/models/token.rs` | what other threads send into a run, against its shutdown |
//! | `tests/models/portal.rs` | calls into a portal's run, against its close and its drop |
//! | `tests/models/shield.rs` | shields that are switched |
//! | `tests/models/sync.rs` | events and channels |
//! | `tests/models/whole.rs` | the whole runtime, through its public interface |
#![cfg(loom)]

mod baton;

pub use baton::Baton;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

/// Explores `model`, and prints how many executions that took.
///
/// The bound on preemptions is that of `LOOM_MAX_PREEMPTIONS`, but never above `most`.
pub fn explore(name: &str, most: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    let bound = builder.preemption_bound.unwrap_or(most).min(most);
    builder.preemption_bound = Some(bound);
    builder.max_branches = 20_000;
    let executions = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&executions);
    let start = Instant::now();
    builder.check(move || {
        counter.fetch_add(1, Relaxed);
        model();
    });
    println!("| {name} | {} | {bound} | {:.1} s |", executions.load(Relaxed), start.elapsed().as_secs_f64());
}
