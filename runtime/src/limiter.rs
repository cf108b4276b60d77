//! [`CapacityLimiter`]: so many at once, and who waits is served in order.
//!
//! ```text
//!  acquire ─▶ a token is free and nobody waits ──────────────▶ guard
//!          └▶ the line ◀── to the first in line ── release ◀── guard dropped
//! ```
//!
//! The tokens are permits of a line (`line`), which hands them over. A total that is lowered takes away what is free, and the rest as it comes back.
//!
//! Invariants:
//! - **B1** A token is free, with a guard, or on its way to a wait; it is given up once. So what is not free is borrowed.
//! - **B2** `named` has every borrower that holds a token (`true`) or waits for one (`false`).

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use crate::context;
use crate::line::{self, MOST, Permits, Want};
use crate::primitives::Mutex;
use crate::task::TaskId;

/// Lets a limited number of holders in at a time. The number may change at any time.
///
/// Every [`blocking`](crate::blocking) call borrows a token from a limiter; use your own to limit what a resource can bear. First come, first served: a
/// token that is given back while somebody waits goes to the one who has waited longest, and nobody can snatch it on the way, unless that one is not being polled. After Trio's
/// `CapacityLimiter`.
///
/// ```
/// use trioxide_runtime::{CapacityLimiter, run};
///
/// static CONNECTIONS: CapacityLimiter = CapacityLimiter::new(10);
///
/// run(async {
///     let token = CONNECTIONS.acquire().await;
///     assert_eq!(CONNECTIONS.statistics().borrowed, 1);
///     drop(token);
///     assert_eq!(CONNECTIONS.statistics().borrowed, 0);
/// });
/// ```
pub struct CapacityLimiter {
    permits: Permits,
    state: Mutex<State>,
}

/// Who borrows a token, for limiters that must not lend to the same one twice: a task, or anything with an id of its own.
///
/// ```
/// use trioxide_runtime::{Borrower, CapacityLimiter};
///
/// let limiter = CapacityLimiter::new(2);
/// let borrower = Borrower::new();
/// let token = limiter.try_acquire_for(borrower).unwrap();
/// assert!(limiter.try_acquire_for(borrower).unwrap_err().is_already_borrowing());
/// drop(token);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Borrower(u64);

impl Borrower {
    /// One that nobody else is: no task, and nobody made before.
    #[expect(clippy::new_without_default, reason = "each is another one, so there is no default")]
    pub fn new() -> Self {
        Self(crate::context::worker(crate::scheduler::next_id).0)
    }
}

impl From<TaskId> for Borrower {
    fn from(task: TaskId) -> Self {
        Self(task.0)
    }
}

/// Why [`try_acquire`](CapacityLimiter::try_acquire) has no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TryAcquireError {
    /// All tokens are borrowed, or others have waited longer.
    WouldBlock,
    /// The borrower has a token already, or waits for one.
    AlreadyBorrowing(Borrower),
}

impl TryAcquireError {
    /// Whether a token may come free.
    pub fn is_would_block(&self) -> bool {
        matches!(self, Self::WouldBlock)
    }

    /// Whether the borrower has a token already, or waits for one.
    pub fn is_already_borrowing(&self) -> bool {
        matches!(self, Self::AlreadyBorrowing(_))
    }
}

impl fmt::Display for TryAcquireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WouldBlock => f.write_str("no token is free: all are borrowed, or others have waited longer"),
            Self::AlreadyBorrowing(borrower) => AlreadyBorrowing(*borrower).fmt(f),
        }
    }
}

impl std::error::Error for TryAcquireError {}

/// The borrower has a token of this limiter already, or waits for one: a second one could wait for the first for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlreadyBorrowing(pub Borrower);

impl fmt::Display for AlreadyBorrowing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "borrower #{} has a token of this limiter already, or waits for one; drop that first", self.0.0)
    }
}

impl std::error::Error for AlreadyBorrowing {}

/// What goes on at a [`CapacityLimiter`]; a snapshot, exact when it was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimiterStatistics {
    /// How many tokens there are; [`CapacityLimiter::UNLIMITED`]: as many as are wanted.
    pub total: usize,
    /// How many are borrowed: held, or on their way to who has waited. More than `total` after that was lowered.
    pub borrowed: usize,
    /// Those who have one in their own name, in the order of their ids.
    pub borrowers: Vec<Borrower>,
    /// How many wait for a token.
    pub tasks_waiting: usize,
}

struct State {
    total: usize,
    named: BTreeMap<Borrower, bool>,
}

/// The permits for a total.
const fn permits(total: usize) -> usize {
    if total < MOST { total } else { MOST }
}

impl CapacityLimiter {
    /// A total that is never used up.
    pub const UNLIMITED: usize = usize::MAX;

    /// A limiter with `total` tokens; zero lets nobody in until [`set_total`](Self::set_total) is called.
    #[cfg(not(loom))]
    pub const fn new(total: usize) -> Self {
        Self { permits: Permits::new(permits(total)), state: Mutex::new(State { total, named: BTreeMap::new() }) }
    }

    /// A limiter with `total` tokens.
    #[cfg(loom)]
    pub fn new(total: usize) -> Self {
        Self { permits: Permits::new(permits(total)), state: Mutex::new(State { total, named: BTreeMap::new() }) }
    }

    /// How many tokens there are.
    pub fn total(&self) -> usize {
        self.state.lock().total
    }

    /// Changes how many tokens there are. More of them let those who wait in at once, in order; fewer take nothing from those who have one, and let nobody
    /// in until enough have given theirs back. From any thread, in a run or not.
    pub fn set_total(&self, total: usize) {
        let before = permits(std::mem::replace(&mut self.state.lock().total, total));
        // Two changes at once come out right in either order: what is given pays what was taken away.
        match permits(total).checked_sub(before) {
            Some(more) => self.permits.give(more),
            None => self.permits.withdraw(before - permits(total)),
        }
    }

    /// Waits for a token, which is given back when the guard is dropped.
    ///
    /// A task that holds a token and waits for a second one may wait for ever: see [`acquire_for`](Self::acquire_for).
    ///
    /// A token is handed over for one turn of the task that waits. If it has not taken it by then, because it is not polling this wait at the moment, the token goes to the next who wants it; the wait keeps its place in
    /// line. So nobody waits for a future that nobody polls (*futurelock*).
    ///
    /// # Cancellation
    ///
    /// A checkpoint, also if a token is free. A cancelled wait has taken nothing; a token that was on its way to it goes to the next in line.
    ///
    /// # Panics
    ///
    /// When polled outside a run.
    pub async fn acquire(&self) -> LimiterGuard<'_> {
        self.acquire_named(None, "CapacityLimiter::acquire").await.expect("nobody in particular borrows twice")
    }

    /// As [`acquire`](Self::acquire), in the name of `borrower`, who may have one token at a time.
    ///
    /// # Errors
    ///
    /// If `borrower` has a token already, or waits for one.
    ///
    /// # Cancellation
    ///
    /// As for [`acquire`](Self::acquire).
    ///
    /// # Panics
    ///
    /// When polled outside a run.
    pub async fn acquire_for(&self, borrower: impl Into<Borrower>) -> Result<LimiterGuard<'_>, AlreadyBorrowing> {
        let borrower = Some(borrower.into());
        self.acquire_named(borrower, "CapacityLimiter::acquire_for").await
    }

    /// As [`acquire`](Self::acquire), with a guard that keeps the limiter: it may go anywhere.
    ///
    /// # Cancellation
    ///
    /// As for [`acquire`](Self::acquire).
    ///
    /// # Panics
    ///
    /// When polled outside a run.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use trioxide_runtime::{CapacityLimiter, nursery, run};
    ///
    /// let limiter = Arc::new(CapacityLimiter::new(1));
    /// run(nursery(async |n| {
    ///     let token = Arc::clone(&limiter).acquire_owned().await;
    ///     n.spawn(async move { drop(token) });
    /// }));
    /// assert_eq!(limiter.statistics().borrowed, 0);
    /// ```
    pub async fn acquire_owned(self: Arc<Self>) -> OwnedLimiterGuard {
        self.acquire_owned_in("CapacityLimiter::acquire_owned").await
    }

    pub(crate) async fn acquire_owned_in(self: Arc<Self>, operation: &'static str) -> OwnedLimiterGuard {
        let guard = self.acquire_named(None, operation).await.expect("nobody in particular borrows twice");
        // The token changes hands.
        std::mem::forget(guard);
        OwnedLimiterGuard { limiter: self }
    }

    /// Takes a token if one is free and nobody waits.
    ///
    /// # Errors
    ///
    /// [`TryAcquireError::WouldBlock`].
    pub fn try_acquire(&self) -> Result<LimiterGuard<'_>, TryAcquireError> {
        self.try_named(None)
    }

    /// As [`try_acquire`](Self::try_acquire), in the name of `borrower`.
    ///
    /// # Errors
    ///
    /// Also if `borrower` has a token already, or waits for one.
    pub fn try_acquire_for(&self, borrower: impl Into<Borrower>) -> Result<LimiterGuard<'_>, TryAcquireError> {
        self.try_named(Some(borrower.into()))
    }

    /// As [`try_acquire`](Self::try_acquire), with a guard that keeps the limiter.
    ///
    /// # Errors
    ///
    /// [`TryAcquireError::WouldBlock`].
    pub fn try_acquire_owned(self: Arc<Self>) -> Result<OwnedLimiterGuard, TryAcquireError> {
        let guard = self.try_named(None)?;
        std::mem::forget(guard);
        Ok(OwnedLimiterGuard { limiter: self })
    }

    /// What goes on here at the moment.
    pub fn statistics(&self) -> LimiterStatistics {
        let state = self.state.lock();
        let now = self.permits.snapshot();
        LimiterStatistics {
            total: state.total,
            borrowed: (permits(state.total) + now.debt).saturating_sub(now.free),
            borrowers: state.named.iter().filter(|(_, holds)| **holds).map(|(borrower, _)| *borrower).collect(),
            tasks_waiting: now.waiting,
        }
    }

    fn acquire_named(&self, borrower: Option<Borrower>, operation: &'static str) -> Acquire<'_> {
        Acquire { limiter: self, borrower, operation, stage: Stage::New, permits: self.permits.acquire(1, false) }
    }

    fn try_named(&self, borrower: Option<Borrower>) -> Result<LimiterGuard<'_>, TryAcquireError> {
        let want = Want { permits: 1, holder: None };
        // No owner, who could break the line.
        let taken = || self.permits.try_take(want).map_err(|_| TryAcquireError::WouldBlock);
        match borrower {
            None => taken()?,
            Some(borrower) => {
                let mut state = self.state.lock();
                state
                    .check(borrower)
                    .map_err(|AlreadyBorrowing(borrower)| TryAcquireError::AlreadyBorrowing(borrower))?;
                taken()?;
                state.named.insert(borrower, true);
            }
        }
        Ok(LimiterGuard { limiter: self, borrower })
    }

    /// Gives a token back.
    fn release(&self, borrower: Option<Borrower>) {
        if let Some(borrower) = borrower {
            self.state.lock().named.remove(&borrower);
        }
        self.permits.give(1);
    }
}

impl State {
    fn check(&self, borrower: Borrower) -> Result<(), AlreadyBorrowing> {
        if self.named.contains_key(&borrower) { Err(AlreadyBorrowing(borrower)) } else { Ok(()) }
    }
}

pin_project! {
    struct Acquire<'a> {
        limiter: &'a CapacityLimiter,
        borrower: Option<Borrower>,
        operation: &'static str,
        stage: Stage,
        #[pin]
        permits: line::Acquire<'a>,
    }

    impl PinnedDrop for Acquire<'_> {
        fn drop(this: Pin<&mut Self>) {
            if this.stage == Stage::Waits
                && let Some(borrower) = &this.borrower
            {
                this.limiter.state.lock().named.remove(borrower);
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    New,
    /// Its borrower is among the named (B2).
    Waits,
    Done,
}

impl<'a> Future for Acquire<'a> {
    type Output = Result<LimiterGuard<'a>, AlreadyBorrowing>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let (limiter, borrower) = (*this.limiter, *this.borrower);
        if *this.stage == Stage::New {
            ready!(context::poll_checkpoint(cx, this.operation));
            if let Some(borrower) = borrower {
                let mut state = limiter.state.lock();
                state.check(borrower)?;
                state.named.insert(borrower, false);
            }
            *this.stage = Stage::Waits;
        }
        let _no_owner = ready!(this.permits.poll(cx));
        *this.stage = Stage::Done;
        if let Some(borrower) = borrower {
            limiter.state.lock().named.insert(borrower, true);
        }
        Poll::Ready(Ok(LimiterGuard { limiter, borrower }))
    }
}

/// A borrowed token of a [`CapacityLimiter`]; dropping it gives the token back.
#[must_use = "the token is given back when this is dropped"]
pub struct LimiterGuard<'a> {
    limiter: &'a CapacityLimiter,
    borrower: Option<Borrower>,
}

impl Drop for LimiterGuard<'_> {
    fn drop(&mut self) {
        self.limiter.release(self.borrower);
    }
}

impl fmt::Debug for LimiterGuard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimiterGuard").field("borrower", &self.borrower).finish_non_exhaustive()
    }
}

/// A borrowed token that keeps its [`CapacityLimiter`]; dropping it gives the token back.
#[must_use = "the token is given back when this is dropped"]
pub struct OwnedLimiterGuard {
    limiter: Arc<CapacityLimiter>,
}

impl Drop for OwnedLimiterGuard {
    fn drop(&mut self) {
        self.limiter.release(None);
    }
}

impl fmt::Debug for OwnedLimiterGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedLimiterGuard").finish_non_exhaustive()
    }
}

impl fmt::Debug for CapacityLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let now = self.statistics();
        f.debug_struct("CapacityLimiter")
            .field("total", &now.total)
            .field("borrowed", &now.borrowed)
            .field("tasks_waiting", &now.tasks_waiting)
            .finish()
    }
}
