//! The runtime of trioxide: tasks, scheduler, scopes, nurseries, timers and the thread pool.
//!
//! Five flows, each readable in one direction:
//! - wake → queue → worker → poll → park: [`task`], [`scheduler`]
//! - spawn → nursery → scheduler: [`nursery`](mod@nursery)
//! - cancel → scope tree → waiters → poll → drop: [`scope`]
//! - deadline → timer → scope: [`time`]
//! - readiness → driver → waker: [`lowlevel`]
//!
//! Users take all of this from the crate `trioxide`.
#![allow(rustdoc::private_intra_doc_links)]

mod blocking;
mod checkpoint;
#[doc(hidden)]
pub mod combine;
mod contain;
mod context;
pub mod from_thread;
mod held_panic;
mod limiter;
mod line;
mod list;
mod local;
pub mod lowlevel;
#[cfg(loom)]
#[doc(hidden)]
pub mod models;
mod nursery;
pub mod parallel;
mod portal;
mod primitives;
mod runtime;
mod scheduler;
mod scope;
#[cfg(all(unix, not(loom)))]
mod signals;
#[cfg(not(all(unix, not(loom))))]
#[path = "sys/none.rs"]
mod signals;
mod sys;
mod task;
mod time;
mod token;
mod wait_list;
mod watch;

pub use blocking::{Blocking, BlockingScope, ScopedCall, blocking, blocking_limiter, blocking_scope};
pub use checkpoint::checkpoint;
pub use limiter::{
    AlreadyBorrowing, Borrower, CapacityLimiter, LimiterGuard, LimiterStatistics, OwnedLimiterGuard, TryAcquireError,
};
pub use local::{LocalKey, LocalScope, RunVar, RunVarToken, TreeScope, TreeVar};
pub use nursery::{
    AnyError, BodyOutput, Closed, ErrorGroup, Failure, Leaf, Leaves, Limited, LocalNursery, LocalNurserySend,
    LocalTask, LocalTaskBuilder, Nursery, NurseryError, NurseryStatistics, Origin, Scope, ScopedTaskBuilder,
    StartError, Started, TaskBuilder, TaskOutput, TrySpawnError, local_nursery, local_nursery_send, nursery,
    nursery_with,
};
pub use portal::{Portal, PortalTask};
pub use runtime::{Builder, Runtime, run};
pub use scope::{
    CancelGroup, CancelReason, CancelScope, CancelSource, Cancelled, CancelledBy, EffectiveDeadline, ScopeHandle,
    TooSlow, current_cancel_reason, current_effective_deadline, fail_after, fail_at, finally, finally_within,
    move_on_after, move_on_at, move_on_when, shield, stopping, until_stopping,
};
pub use task::{Task, TaskId, TaskState};
pub use time::{Clock, Sleep, now, sleep, sleep_forever, sleep_until};
pub use token::{Callback, RunFinished, RunToken, RunTokenError};
pub use watch::{
    BlockingStatistics, Hogging, Instrument, Moment, Observer, Statistics, TaskInfo, TaskTree, TreeEntry, TreeKind,
    WorkerStatistics, current_task, statistics, task_tree,
};
