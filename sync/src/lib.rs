//! Events, locks, semaphores and channels of trioxide.
//!
//! | type | what it is for |
//! | --- | --- |
//! | [`Event`] | something happens once, and any number of tasks wait for it |
//! | [`Notify`] | something happens again and again: one who waits, or the next who comes, is to look |
//! | [`Mutex`], [`RwLock`] | a value that one at a time changes, across `.await`s |
//! | [`Condition`] | waiting until what a mutex guards has changed |
//! | [`Semaphore`] | so many at once; several permits for one |
//! | [`CapacityLimiter`] | so many at once; the number may change, and it matters who has a token |
//! | [`Barrier`] | so many tasks wait for each other |
//! | [`OnceCell`], [`Lazy`] | a value that is made once, by whoever needs it first |
//! | [`ParkingLot`] | a queue of suspended tasks, for primitives of one's own |
//! | [`channel::bounded`] | messages from many tasks to many tasks, with back-pressure |
//! | [`channel::oneshot()`] | one message from one task to another |
//! | [`channel::generate`] | an iterator with an `.await` in it |
//!
//! What all of them promise:
//!
//! - **Every wait is a checkpoint**, also when it need not wait: it notices a cancelled scope before
//!   it takes anything, and yields when the budget of its task is used up. What gives nothing to await
//!   is no checkpoint, and never blocks, unless its name begins with `blocking_`: those are for plain threads.
//! - **Nothing is lost.** A wait that is cancelled has changed nothing. What was handed to a wait that
//!   is then dropped before it could deliver goes on to the next in line.
//! - **First come, first served.** What is sent while somebody waits belongs to the one who has waited
//!   longest; nobody can snatch it on the way.
//! - **No wait allocates**: a wait queue is linked through the futures that wait. (A lock allocates its line when somebody has to wait for the first time. Waits in a `ParkingLot` allocate.)
//! - **A future that nobody polls holds nobody up**, at locks and semaphores: see [`Mutex`](Mutex#fairness).
//!
//! Handles and events may be used from any thread; what is awaited works in a run only, and
//! panic outside of one.

mod apart;
mod at_once;
mod barrier;
pub mod channel;
mod condition;
pub mod event;
mod guards;
#[cfg(loom)]
#[doc(hidden)]
pub mod models;
pub mod mutex;
mod notify;
mod once_cell;
mod parking_lot;
pub mod rw_lock;
pub mod semaphore;
mod thread;

pub use barrier::{Barrier, BarrierStatistics, BarrierWait};
pub use condition::{Condition, ConditionStatistics};
pub use event::Event;
pub use mutex::{
    MappedMutexGuard, Mutex, MutexGuard, MutexStatistics, OwnedMappedMutexGuard, OwnedMutexGuard, TryLockError,
};
pub use notify::{Notify, NotifyStatistics};
pub use once_cell::{Lazy, OnceCell, OnceCellStatistics, SetError};
pub use parking_lot::{Breaker, LotBroken, ParkingLot, ParkingLotStatistics};
pub use rw_lock::{
    MappedRwLockWriteGuard, OwnedMappedRwLockWriteGuard, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock,
    RwLockReadGuard, RwLockStatistics, RwLockWriteGuard,
};
pub use semaphore::{NoPermits, OwnedSemaphorePermit, Semaphore, SemaphorePermit, SemaphoreStatistics, TooManyPermits};
pub use trioxide_runtime::lowlevel::line::Broken;
pub use trioxide_runtime::{
    AlreadyBorrowing, Borrower, CapacityLimiter, LimiterGuard, LimiterStatistics, OwnedLimiterGuard, TryAcquireError,
};
