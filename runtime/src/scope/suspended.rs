//! The suspended tasks of a node: one list under the node's own lock; and if workers fight over that, a list for each of them.
//!
//! Every child of a nursery that stays suspended joins such a list, and leaves it at its end. With one list for all, each of these steps takes the line of
//! the lock, and those of the neighbours in the list, from the core that has used them last. So once a task has found the lock taken `ENOUGH` times, the
//! node gets *shards*: lists with a lock each, one for each worker. From then on a task joins that of the worker on which it suspends, and leaves it
//! from wherever it ends. A node of which nobody has shards pays for a pointer.
//!
//! **Why no cancel is missed** (`node` N3). A task looks whether the node is effectively cancelled after it has taken the lock of the list that it wants to
//! join, and joins under the same hold. Who cancels sets `EFFECTIVE`, under the node's lock, and after that takes the lock of each list, the node's own
//! first. Of the two holds of that one lock one comes first. If it is the task's, the canceller finds the task in the list. If it is the canceller's, the task
//! sees the mark. The canceller finds the list itself: the shards are made under the node's lock; if that is before he has taken it, he sees them, and if it is after,
//! whoever uses them sees the mark.
//!
//! A mark that is taken back (`shield`) is none of the lists' business: nobody is taken out of them for that. A task that joins meanwhile has seen the mark, and
//! counts as cancelled (`task::cell`), or has not, and is found by the next cancel: that sets the mark anew, and goes through all lists after it. A cancel that
//! was under way goes through them all, too: it may wake a task that is not cancelled any more, which then suspends again, as it may with one list.
//!
//! Invariants:
//! - **S1** A list, and the links of the tasks in it, are used under the lock that guards it: the node's, or the shard's. Which list a task is in is said by its
//!   `linked`, which is changed under that lock; only the holder of `RUNNING` makes it anything but `NOWHERE`.
//! - **S2** The shards are made once, under the node's lock, and freed with the node, when no task has it as its base any more.
//! - **S3** A shard's lock may be taken under the node's lock, and no lock under a shard's.
#![allow(unsafe_code)]

use std::ptr;

use crossbeam_utils::CachePadded;

use super::node::{Inner, Node};
use crate::list::List;
use crate::primitives::atomic::AtomicPtr;
use crate::primitives::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::primitives::{Mutex, MutexGuard};
use crate::task::Header;

/// How often the lock was taken when a task wanted it, before there are shards: one nursery of a connection must not have a list for each of many workers because
/// two of its children have met once. In the models they come at once, for workers other than the first that find a task in the list.
const ENOUGH: u8 = if cfg!(loom) { 1 } else { 8 };

/// In place of a list: the task is in none.
pub(crate) const NOWHERE: u8 = 0;
/// The list under the node's lock. The shards follow.
const OWN: u8 = 1;
const FIRST_SHARD: u8 = 2;
/// More workers than this share some.
const MOST_SHARDS: usize = 128;

type Shard = CachePadded<Mutex<List<Header>>>;

/// The shards of a node, or none yet.
pub(super) struct Shards(AtomicPtr<Box<[Shard]>>);

impl Shards {
    pub(super) fn none() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    #[inline]
    pub(super) fn all(&self) -> &[Shard] {
        // Acquire pairs with the release in `made`.
        let made = self.0.load(Acquire);
        // SAFETY: S2: what was made stays there as long as this.
        unsafe { made.as_ref() }.map_or(&[], |shards| shards)
    }

    /// Makes them, if they are not there. `_inner`: the node's lock is held.
    fn made(&self, count: usize, _inner: &mut Inner) -> &[Shard] {
        let mut made = self.0.load(Relaxed); // Made under this lock.
        if made.is_null() {
            let shards: Box<[Shard]> = (0..count).map(|_| CachePadded::new(Mutex::new(List::new()))).collect();
            made = Box::into_raw(Box::new(shards));
            // Release pairs with the acquire in `all`.
            self.0.store(made, Release);
        }
        // SAFETY: S2.
        unsafe { &*made }
    }
}

impl Drop for Shards {
    fn drop(&mut self) {
        let made = self.0.load(Acquire);
        if !made.is_null() {
            // SAFETY: S2: made by `Box::into_raw` in `made`; nobody else has the node.
            drop(unsafe { Box::from_raw(made) });
        }
    }
}

/// A list of suspended tasks, with its lock held.
pub(crate) enum Locked<'a> {
    Own(MutexGuard<'a, Inner>),
    Shard(u8, MutexGuard<'a, List<Header>>),
}

impl Locked<'_> {
    /// What a task in this list has as its `linked`.
    pub(crate) fn number(&self) -> u8 {
        match self {
            Locked::Own(_) => OWN,
            Locked::Shard(index, _) => FIRST_SHARD + index,
        }
    }

    pub(crate) fn list(&mut self) -> &mut List<Header> {
        match self {
            Locked::Own(inner) => &mut inner.tasks,
            Locked::Shard(_, list) => list,
        }
    }
}

impl Node {
    /// The list that a task joins which suspends on the worker numbered `worker`, of so many.
    #[inline]
    pub(crate) fn list_to_join(&self, worker: usize, workers: usize) -> Locked<'_> {
        let shards = self.shards.all();
        if !shards.is_empty() {
            let index = worker % shards.len();
            return Locked::Shard(index as u8, shards[index].lock());
        }
        let free = if cfg!(loom) {
            // Who would find the lock taken: fewer steps to explore.
            Some(self.inner.lock()).filter(|inner| worker == 0 || inner.tasks.is_empty())
        } else {
            self.inner.try_lock()
        };
        free.map_or_else(|| self.list_fought_over(worker, workers), Locked::Own)
    }

    #[cold]
    fn list_fought_over(&self, worker: usize, workers: usize) -> Locked<'_> {
        let mut inner = self.inner.lock();
        inner.fought_over = inner.fought_over.saturating_add(1);
        if workers < 2 || inner.fought_over < ENOUGH {
            return Locked::Own(inner);
        }
        let shards = self.shards.made(workers.min(MOST_SHARDS), &mut inner);
        drop(inner);
        let index = worker % shards.len();
        Locked::Shard(index as u8, shards[index].lock())
    }

    /// The list which a task is in whose `linked` was `number`.
    pub(crate) fn list_numbered(&self, number: u8) -> Locked<'_> {
        debug_assert!(number != NOWHERE);
        match number.checked_sub(FIRST_SHARD) {
            None => Locked::Own(self.inner.lock()),
            Some(index) => Locked::Shard(index, self.shards.all()[usize::from(index)].lock()),
        }
    }

    /// Visits the suspended tasks that have this node as their base, whose lock is held.
    pub(crate) fn each_task(&self, inner: &Inner, mut visit: impl FnMut(&Header)) {
        let mut each = |list: &List<Header>| {
            let mut at = list.front();
            while let Some(task) = at {
                // SAFETY: S1: the list's lock is held, so the task is linked and has not ended (`task` T3).
                unsafe {
                    visit(task.as_ref());
                    at = list.next(task);
                }
            }
        };
        each(&inner.tasks);
        self.shards.all().iter().for_each(|shard| each(&shard.lock()));
    }
}
