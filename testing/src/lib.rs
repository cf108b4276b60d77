//! Concurrent code tested without a sleep.
//!
//! - [`MockClock`]: time that moves when the test says so, or by itself as soon as everything waits for it.
//! - [`wait_all_tasks_blocked`]: goes on when nothing else can.
//! - [`Sequencer`]: forces an order over tasks.
//! - [`simulate`](mod@simulate): the same program on one thread, where every choice comes from a seed; [`sweep`] tries many.
//! - [`cancel_everywhere`]: a future, cancelled and dropped at each of its suspensions; [`cancel_everywhere_real`] does so outside of simulations.
//! - [`assert_checkpoints`], [`assert_no_checkpoints`]: whether something notices cancellation and yields.
//! - [`Harness`]: what `#[trioxide::test]` is, with its [`Fixture`]s.
//! - [`network`]: hosts, links and faults behind the sockets that the program uses anyhow.
//! - [`stream`]: streams in memory, and suites that check streams.
//! - [`OutOfWork`]: a plain thread acts when the run waits for it.
//! - [`on_each`], [`on_each_with_clock`]: the same test on one worker, on two, on more than there are cores.
//! - [`CountDrops`], [`pending_once`]: what tests of cancellation need all the time.
//! - `CriterionRuntime` (feature `criterion`): what criterion's async benches run on.
//!
//! ```
//! use std::time::Duration;
//! use trioxide_runtime::sleep;
//! use trioxide_testing::on_each_with_clock;
//!
//! // An hour passes in no time, and ends at exactly 3600 s.
//! on_each_with_clock(&[1, 2, 8], async |clock| {
//!     sleep(Duration::from_secs(3600)).await;
//!     assert_eq!(clock.elapsed(), Duration::from_secs(3600));
//! });
//! ```

mod checkpoints;
mod clock;
#[cfg(feature = "criterion")]
mod criterion_rt;
mod cut;
mod drops;
mod harness;
pub mod network;
mod out_of_work;
mod real;
mod sequencer;
pub mod simulate;
pub mod stream;
mod workers;

pub use checkpoints::{assert_checkpoints, assert_no_checkpoints};
pub use clock::MockClock;
#[cfg(feature = "criterion")]
pub use criterion_rt::CriterionRuntime;
pub use cut::Cut;
pub use drops::{CountDrops, DropGuard};
#[doc(hidden)]
pub use harness::with_fixture;
pub use harness::{Bench, Fixture, Harness, Outcome, Seeded, Workers};
pub use out_of_work::OutOfWork;
pub use real::cancel_everywhere_real;
pub use sequencer::{Sequencer, Turn};
pub use simulate::{CancelSweep, Schedule, Simulated, Simulation, Sweep, cancel_everywhere, simulate, sweep};
#[doc(inline)]
pub use trioxide_runtime::lowlevel::wait_all_tasks_blocked;
pub use workers::{on_each, on_each_with_clock, pending_once};
