//! Counting drops: [`CountDrops`].

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts how many of its guards were made and how many were dropped. Clones share the counts.
///
/// ```
/// use trioxide_testing::CountDrops;
///
/// let drops = CountDrops::new();
/// let guard = drops.guard();
/// assert_eq!((drops.made(), drops.dropped()), (1, 0));
/// drop(guard);
/// assert_eq!(drops.dropped(), 1);
/// assert!(drops.all_dropped());
/// ```
#[derive(Clone, Default)]
pub struct CountDrops {
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    made: AtomicUsize,
    dropped: AtomicUsize,
}

impl CountDrops {
    /// Counts from zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// A value whose drop is counted: let a future, a message or a child own it.
    pub fn guard(&self) -> DropGuard {
        self.counts.made.fetch_add(1, Ordering::AcqRel);
        DropGuard { counts: self.counts.clone() }
    }

    /// How many guards were made.
    pub fn made(&self) -> usize {
        self.counts.made.load(Ordering::Acquire)
    }

    /// How many guards were dropped.
    pub fn dropped(&self) -> usize {
        self.counts.dropped.load(Ordering::Acquire)
    }

    /// Whether there were guards and none is left.
    pub fn all_dropped(&self) -> bool {
        let dropped = self.dropped();
        dropped > 0 && dropped == self.made()
    }
}

/// A value whose drop is counted; made by [`CountDrops::guard`].
#[must_use = "it is counted as dropped at once"]
pub struct DropGuard {
    counts: Arc<Counts>,
}

impl Drop for DropGuard {
    fn drop(&mut self) {
        self.counts.dropped.fetch_add(1, Ordering::AcqRel);
    }
}

impl fmt::Debug for CountDrops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CountDrops").field("made", &self.made()).field("dropped", &self.dropped()).finish()
    }
}

impl fmt::Debug for DropGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DropGuard").finish_non_exhaustive()
    }
}
