//! A queue of suspended tasks to build primitives of one's own on: [`ParkingLot`].
//!
//! Those of this crate stand on `lowlevel::Lot`, which allocates nothing, keeps a state under the same lock, and does not let a wait out of its lot. Here a wait may be moved from lot to lot, so it is shared between the lot and
//! the future, and stands on an [`Event`].
//!
//! Invariants:
//! - **L1** A parker whose end is not decided is in the queue of the lot that its `place` names, by its number there. Both change under the lock of that lot (of both, lower address first, when it moves).
//! - **L2** An end is decided once, by who takes the parker out of its queue.

use crate::Event;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use trioxide_runtime::TaskId;
use trioxide_runtime::lowlevel::TaskRef;

/// A queue of suspended tasks: the tool for primitives that are not there yet. After Trio's `ParkingLot`.
///
/// A clone is the same lot. Tasks are woken in the order in which they came.
///
/// ```
/// use trioxide_runtime::{checkpoint, nursery, run};
/// use trioxide_sync::ParkingLot;
///
/// run(async {
///     let lot = ParkingLot::new();
///     nursery(async |n| {
///         for _ in 0..3 {
///             let lot = lot.clone();
///             n.spawn(async move { lot.park().await.expect("nobody breaks it") });
///         }
///         while lot.statistics().tasks_waiting < 3 {
///             checkpoint().await;
///         }
///         assert_eq!(lot.unpark(2), 2);
///         assert_eq!(lot.unpark_all(), 1);
///     })
///     .await;
/// });
/// ```
#[derive(Clone, Default)]
pub struct ParkingLot {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    queue: BTreeMap<u64, Arc<Parker>>,
    next: u64,
    broken: Option<LotBroken>,
}

/// One who is parked, or was.
#[derive(Default)]
struct Parker {
    place: Mutex<Option<(ParkingLot, u64)>>,
    end: OnceLock<End>,
    event: Event,
}

#[derive(Clone)]
enum End {
    /// By name, one of so many: if it goes before it has noticed, another one is woken in its place.
    Unparked(ParkingLot),
    /// With everybody.
    All,
    Broken(LotBroken),
}

/// Nobody will wake whoever is parked here: those who would have are gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LotBroken {
    by: Vec<TaskId>,
}

impl LotBroken {
    /// The tasks that have broken it, in the order in which they did.
    pub fn by(&self) -> &[TaskId] {
        &self.by
    }
}

impl fmt::Display for LotBroken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the parking lot is broken")?;
        for (at, task) in self.by.iter().enumerate() {
            write!(f, "{} task {task}", if at == 0 { " by" } else { "," })?;
        }
        Ok(())
    }
}

impl std::error::Error for LotBroken {}

/// What goes on at a [`ParkingLot`]; a snapshot, exact when it was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParkingLotStatistics {
    /// How many are parked.
    pub tasks_waiting: usize,
    /// Whether it is broken, and by whom.
    pub broken: Option<LotBroken>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ParkingLot {
    /// An empty lot.
    pub fn new() -> Self {
        Self::default()
    }

    /// Suspends the task until it is unparked.
    ///
    /// # Errors
    ///
    /// [`LotBroken`], when the lot is broken, or the one that it was moved to.
    ///
    /// # Cancellation
    ///
    /// A checkpoint. A cancelled wait is out of the lot that it is in at that moment. One that is dropped after it was unparked by [`unpark`](Self::unpark) and before it has noticed wakes the next in its place.
    ///
    /// # Panics
    ///
    /// When polled outside a run.
    pub async fn park(&self) -> Result<(), LotBroken> {
        std::future::poll_fn(|cx| trioxide_runtime::lowlevel::poll_checkpoint(cx, "ParkingLot::park")).await;
        let parked = Parked { parker: self.enter()?, over: false };
        parked.parker.event.wait().await;
        parked.unparked()
    }

    /// Wakes up to `count` of those who have been here longest; how many.
    pub fn unpark(&self, count: usize) -> usize {
        let ended: Vec<_> = {
            let mut inner = locked(&self.inner);
            std::iter::from_fn(|| inner.queue.pop_first()).take(count).collect()
        };
        ended.iter().for_each(|(_, parker)| parker.decide(End::Unparked(self.clone())));
        ended.len()
    }

    /// Wakes all; how many.
    pub fn unpark_all(&self) -> usize {
        let ended = std::mem::take(&mut locked(&self.inner).queue);
        ended.values().for_each(|parker| parker.decide(End::All));
        ended.len()
    }

    /// Moves up to `count` of those who have been here longest to the end of `other`, in order, without waking them; how many. To the same lot: nothing moves. To a broken one: they are told.
    pub fn repark(&self, other: &Self, count: usize) -> usize {
        let (here, there) = (Arc::as_ptr(&self.inner), Arc::as_ptr(&other.inner));
        if here == there {
            return 0;
        }
        // L1: the lower address first.
        let (mut from, mut to);
        if here < there {
            from = locked(&self.inner);
            to = locked(&other.inner);
        } else {
            to = locked(&other.inner);
            from = locked(&self.inner);
        }
        let mut told = Vec::new();
        let mut moved = 0;
        while moved < count
            && let Some((_, parker)) = from.queue.pop_first()
        {
            moved += 1;
            match &to.broken {
                Some(broken) => told.push((parker, broken.clone())),
                None => to.insert(other, parker),
            }
        }
        drop((from, to));
        told.into_iter().for_each(|(parker, broken)| parker.decide(End::Broken(broken)));
        moved
    }

    /// Moves all, as [`repark`](Self::repark).
    pub fn repark_all(&self, other: &Self) -> usize {
        self.repark(other, usize::MAX)
    }

    /// Breaks the lot in the name of the running task: all who are parked, and who come, get [`LotBroken`]. A second one adds its name.
    pub fn break_lot(&self) {
        self.break_by(TaskRef::current().map(|task| task.id()));
    }

    fn break_by(&self, task: Option<TaskId>) {
        let (ended, broken) = {
            let mut inner = locked(&self.inner);
            let broken = inner.broken.get_or_insert_with(|| LotBroken { by: Vec::new() });
            broken.by.extend(task);
            let broken = broken.clone();
            (std::mem::take(&mut inner.queue), broken)
        };
        ended.values().for_each(|parker| parker.decide(End::Broken(broken.clone())));
    }

    /// As long as this is held somebody is there to unpark. Dropped without [`remove`](Breaker::remove), with the task that holds it or otherwise, it breaks the lot in the name of the task that has made it.
    ///
    /// A task may have several: the lot breaks with the first that is dropped.
    ///
    /// # Panics
    ///
    /// Outside a run.
    #[track_caller]
    pub fn breaker(&self) -> Breaker {
        let task = TaskRef::current().unwrap_or_else(|| {
            panic!("trioxide: `ParkingLot::breaker` was called outside a run; call it in the task that is to unpark")
        });
        Breaker { lot: Some(self.clone()), task: task.id() }
    }

    /// What goes on here at the moment.
    pub fn statistics(&self) -> ParkingLotStatistics {
        let inner = locked(&self.inner);
        ParkingLotStatistics { tasks_waiting: inner.queue.len(), broken: inner.broken.clone() }
    }

    fn enter(&self) -> Result<Arc<Parker>, LotBroken> {
        let mut inner = locked(&self.inner);
        if let Some(broken) = &inner.broken {
            return Err(broken.clone());
        }
        let parker = Arc::new(Parker::default());
        inner.insert(self, Arc::clone(&parker));
        Ok(parker)
    }
}

impl Inner {
    fn insert(&mut self, lot: &ParkingLot, parker: Arc<Parker>) {
        *locked(&parker.place) = Some((lot.clone(), self.next));
        self.queue.insert(self.next, parker);
        self.next += 1;
    }
}

impl Parker {
    /// By who has taken it out of its queue (L2).
    fn decide(&self, end: End) {
        let first = self.end.set(end).is_ok();
        debug_assert!(first);
        self.event.set();
    }

    /// Takes it out of the lot that it is in; false if its end is decided, or about to be.
    fn withdraw(&self) -> bool {
        let mut place = locked(&self.place).clone();
        while let Some((lot, number)) = place {
            if locked(&lot.inner).queue.remove(&number).is_some() {
                return true;
            }
            // Moved meanwhile, or taken out.
            let now = locked(&self.place).clone();
            let same =
                now.as_ref().is_some_and(|(other, there)| Arc::ptr_eq(&other.inner, &lot.inner) && *there == number);
            place = now.filter(|_| !same);
        }
        false
    }
}

/// In the future of [`ParkingLot::park`].
struct Parked {
    parker: Arc<Parker>,
    over: bool,
}

impl Parked {
    fn unparked(mut self) -> Result<(), LotBroken> {
        self.over = true;
        match self.parker.end.get() {
            Some(End::Broken(broken)) => Err(broken.clone()),
            _ => Ok(()),
        }
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        // The one who has taken it out may not have told yet: then it is told of nothing that it could pass on, so it waits for that.
        if self.over || self.parker.withdraw() {
            return;
        }
        if let End::Unparked(lot) = self.parker.end.wait() {
            lot.unpark(1);
        }
    }
}

/// Held by a task that others count on to unpark them; made by [`ParkingLot::breaker`].
#[must_use = "the lot is broken when this is dropped"]
pub struct Breaker {
    lot: Option<ParkingLot>,
    task: TaskId,
}

impl Breaker {
    /// The lot may go on without this one.
    pub fn remove(mut self) {
        self.lot = None;
    }
}

impl Drop for Breaker {
    fn drop(&mut self) {
        if let Some(lot) = self.lot.take() {
            lot.break_by(Some(self.task));
        }
    }
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker").field("task", &self.task).finish_non_exhaustive()
    }
}

impl fmt::Debug for ParkingLot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParkingLot").field("statistics", &self.statistics()).finish()
    }
}
