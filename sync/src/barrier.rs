//! Tasks that wait for each other: [`Barrier`].
//!
//! Invariant **B1**: who waits in the queue has the number of its round in the payload; those of the round that is going on are as many as are there, and fewer than `size`. Those of a round that is over are in front of them,
//! and about to be notified.

use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use trioxide_runtime::lowlevel::{Lot, Waiter, poll_checkpoint};

/// So many tasks wait for each other; then all go on, and it begins anew.
///
/// ```
/// use std::sync::Arc;
/// use trioxide_runtime::{nursery, run};
/// use trioxide_sync::Barrier;
///
/// run(nursery(async |n| {
///     let barrier = Arc::new(Barrier::new(3));
///     for _ in 0..3 {
///         let barrier = Arc::clone(&barrier);
///         n.spawn(async move {
///             // … the first half of the work; then all together:
///             if barrier.wait().await.is_leader() {
///                 println!("all three are here");
///             }
///         });
///     }
/// }));
/// ```
pub struct Barrier {
    size: usize,
    lot: Lot<State, Round, 1>,
}

struct State {
    round: u64,
    /// In this round. Those of rounds that are over may still be in the queue.
    arrived: usize,
}

/// The payload of who waits: the round, counted from one; zero when it is over.
#[derive(Default)]
struct Round(u64);

const WAITERS: usize = 0;

/// What [`Barrier::wait`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BarrierWait {
    leader: bool,
}

impl BarrierWait {
    /// True for one of each round: the one that came last.
    pub fn is_leader(&self) -> bool {
        self.leader
    }
}

/// What goes on at a [`Barrier`]; a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BarrierStatistics {
    /// How many must come.
    pub size: usize,
    /// How many are there.
    pub tasks_waiting: usize,
}

impl Barrier {
    /// A barrier for `size` tasks. One of size zero or one holds nobody up.
    #[cfg(not(loom))]
    pub const fn new(size: usize) -> Self {
        Self { size, lot: Lot::new(State { round: 1, arrived: 0 }) }
    }

    /// A barrier for `size` tasks.
    #[cfg(loom)]
    pub fn new(size: usize) -> Self {
        Self { size, lot: Lot::new(State { round: 1, arrived: 0 }) }
    }

    /// Waits until as many are here as the barrier is for.
    ///
    /// # Cancellation
    ///
    /// A checkpoint, also if it is the last to come. A cancelled wait counts no more, as if it had never come, unless all were there already: then they go on without it.
    ///
    /// # Panics
    ///
    /// When polled outside a run.
    pub fn wait(&self) -> impl Future<Output = BarrierWait> + Send + Sync {
        Waiting { barrier: self, waiter: Waiter::new(&self.lot) }
    }

    /// What goes on here at the moment.
    pub fn statistics(&self) -> BarrierStatistics {
        BarrierStatistics { size: self.size, tasks_waiting: self.lot.lock().arrived }
    }

    /// Those of `round`, which is over, go on. They are in front (B1).
    fn release(&self, round: u64) {
        loop {
            let mut locked = self.lot.lock();
            if locked.front(WAITERS).is_none_or(|front| front.0 > round) {
                return;
            }
            locked.notify_first(WAITERS, |payload| payload.0 = 0);
        }
    }
}

pin_project! {
    struct Waiting<'a> {
        barrier: &'a Barrier,
        #[pin]
        waiter: Waiter<'a, State, Round, 1>,
    }

    impl PinnedDrop for Waiting<'_> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if !this.waiter.has_entered() {
                return;
            }
            let mut locked = this.barrier.lot.lock();
            if let Some(Round(round)) = this.waiter.withdraw_from(&mut locked)
                && round == locked.round
            {
                locked.arrived -= 1;
            }
        }
    }
}

impl Future for Waiting<'_> {
    type Output = BarrierWait;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<BarrierWait> {
        let this = self.project();
        let barrier = *this.barrier;
        if this.waiter.has_entered() {
            return this.waiter.poll(cx).map(|_| BarrierWait { leader: false });
        }
        ready!(poll_checkpoint(cx, "Barrier::wait"));
        let mut locked = barrier.lot.lock();
        let round = locked.round;
        if locked.arrived + 1 < barrier.size {
            locked.arrived += 1;
            this.waiter.enter(&mut locked, WAITERS, Round(round), cx.waker());
            return Poll::Pending;
        }
        (locked.round, locked.arrived) = (round + 1, 0);
        drop(locked);
        barrier.release(round);
        Poll::Ready(BarrierWait { leader: true })
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier").field("statistics", &self.statistics()).finish()
    }
}
