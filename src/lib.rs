//! Structured concurrency on every core.
//!
//! Tasks run in *nurseries* and end before their nursery does. An error in one cancels its siblings and comes out of the
//! nursery. Time-outs and cancellation are scopes round any code, and clean-up may await. Children run in parallel on a
//! work-stealing scheduler, and may still borrow ([`nursery_with`]).
//!
//! ```
//! use trioxide::prelude::*;
//!
//! #[trioxide::main]
//! async fn main() {
//!     let outcome = nursery(async |n| {
//!         n.spawn(sleep_forever()); // would never end
//!         n.task("parser").spawn(async { "12x".parse::<u32>() });
//!         Ok::<_, std::num::ParseIntError>(()) // the nursery waits for both children
//!     })
//!     .await;
//!     // The error has cancelled the sleeper, and came out here.
//!     assert!(matches!(outcome, Err(NurseryError::Failed(_))));
//! }
//! ```
//!
//! # Where to look
//!
//! | for | look at |
//! | --- | --- |
//! | starting a program | [`macro@main`], [`macro@test`], [`run`], [`Runtime::builder`] |
//! | starting tasks | [`nursery()`], [`nursery_with`], [`Nursery::spawn`], [`Task`] |
//! | waiting until a task is ready; tasks that serve the others | [`Nursery::start`], [`Nursery::service`] |
//! | so many tasks at once | [`Nursery::limit`] |
//! | tasks that borrow, or are not `Send` | [`nursery_with`], [`local_nursery`] |
//! | errors of tasks | [`NurseryError`], [`ErrorGroup`], [`AnyError`] |
//! | time-outs | [`move_on_after`], [`fail_after`], [`CancelScope`] |
//! | cancelling | [`CancelScope`], [`ScopeHandle`], [`CancelGroup`], [`move_on_when`], [`CancelReason`] |
//! | clean-up | [`finally`], [`finally_within`], [`shield`] |
//! | stopping a server | [`Nursery::stop`], [`until_stopping`], [`stopping`] |
//! | several futures in one task | [`join!`], [`try_join!`], [`race!`] |
//! | many futures on all workers, with a limit | [`parallel`] |
//! | time | [`sleep`], [`sleep_until`], [`now`], [`Clock`] |
//! | code that blocks | [`blocking`], [`Blocking`]; and back from it: [`from_thread`] |
//! | closures on threads that borrow | [`blocking_scope`] |
//! | a run, from other threads | [`RunToken`] |
//! | a run, from a program that is not async | [`Portal`] |
//! | so many at once | [`CapacityLimiter`] |
//! | values that belong to a task, a run, a place in the tree | [`task_local!`], [`RunVar`], [`TreeVar`] |
//! | tasks that talk to each other | [`sync`] |
//! | sockets, servers | [`io`]: [`io::connect`], [`io::serve`], streams, lines and frames; signals of the system: [`signal`] |
//! | child processes | [`process`] |
//! | tests without a sleep | [`macro@test`], `testing` |
//! | seeing what goes on | [`task_tree`], [`statistics`], [`current_task`], [`Instrument`], [`Observer`] |
//! | who keeps a worker busy, and who hangs | [`Builder::watchdog`], [`Builder::on_stall`] |
//! | leaf operations and drivers of your own | [`lowlevel`] |
//!
//! # Features
//!
//! All of them only add.
//! - `macros` (default): [`macro@main`] and [`macro@test`].
//! - `testing`: the module of that name, which [`macro@test`] needs; for the `dev-dependencies`.
//! - `criterion`: `testing::CriterionRuntime`, on which criterion's async benches run; for the `dev-dependencies` too.
//! - `hyper`: hyper's `rt` traits for [`io::TcpStream`]; its executor and timer in `io::hyper_rt`.
//! - `tokio-compat`: the context of a tokio runtime for libraries that insist on one: `io::tokio_compat`.
//! - `tower`: tower's time-out, as a scope: `io::TimeoutLayer`; deadlines that cross machines: `io::deadline`.
//! - `hickory`: DNS by hickory, whose tasks are a nursery's: `io::HickoryProvider`.
//! - `quinn`: QUIC by quinn, whose tasks are a nursery's: `io::QuinnRuntime`.
//! - `tracing`: a span of the crate tracing for each task: `io::TaskSpans`.
//! - `tls`: TLS over any stream, with rustls, in `io::tls`.
//! - `tokio-io`: tokio's `AsyncRead` and `AsyncWrite` for [`io::TcpStream`]. Only the traits; no tokio runtime is there.

#[doc(inline)]
pub use trioxide_runtime::*;

#[cfg(feature = "macros")]
#[doc(inline)]
pub use trioxide_macros::{main, test};

/// Sockets, and what other libraries want of them. Everything of the crate `trioxide-io`.
pub mod io {
    #[doc(inline)]
    pub use trioxide_io::*;
}

/// Events, locks, semaphores and channels: tasks that talk to each other. Everything of the crate `trioxide-sync`.
pub mod sync {
    #[doc(inline)]
    pub use trioxide_sync::*;
}

/// Tests without a sleep: a mock clock, forced orders, fixtures. Everything of the crate `trioxide-testing`.
#[cfg(feature = "testing")]
pub mod testing {
    #[doc(inline)]
    pub use trioxide_testing::*;
}

#[cfg(unix)]
#[doc(inline)]
pub use trioxide_io::{process, signal};

pub mod prelude;

/// The programs of the texts beside the code, as doc tests.
#[cfg(doctest)]
mod texts {
    #[doc = include_str!("../README.md")]
    struct Readme;

    #[doc = include_str!("../docs/from-tokio.md")]
    struct FromTokio;

    #[doc = include_str!("../docs/cancellation.md")]
    struct Cancellation;

    #[doc = include_str!("../docs/debugging.md")]
    struct Debugging;

    #[doc = include_str!("../docs/locks.md")]
    struct Locks;

    #[doc = include_str!("../docs/hazards.md")]
    struct Hazards;

    #[cfg(feature = "tokio-compat")]
    #[doc = include_str!("../docs/no-reactor.md")]
    struct NoReactor;

    #[doc = include_str!("../docs/testing.md")]
    struct Testing;
}
