//! What is to be said of a task in one bit each.

use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering::Relaxed;

/// It is the main task of its run.
pub(super) const MAIN: u8 = 1;
/// It counts in its nursery as a service.
pub(super) const SERVICE: u8 = 1 << 1;
/// Has been in a list of its base.
pub(super) const REGISTERED: u8 = 1 << 2;
/// The future has ended, and is gone.
pub(super) const FUTURE_ENDED: u8 = 1 << 3;
/// What is bound to locals for it lies behind the stage (`cell`).
pub(super) const LOCALS: u8 = 1 << 4;
/// The stage holds a value.
pub(super) const VALUE: u8 = 1 << 5;
/// The stage holds the reason why there is no value.
pub(super) const NO_VALUE: u8 = 1 << 6;

/// It has held more locks at once than are counted (`after`): whether it holds some at its end is looked for, perhaps in vain.
pub(super) const HOLDS_MANY: u8 = 1 << 7;

/// The marks of a task.
///
/// At any time one may change them: who makes the task, then the holder of `RUNNING`, then the owner of the output (T4); the state word orders these. So a change is no read-modify-write, and
/// this is a standard atomic in the models, too. Who only looks on may find it old.
pub(super) struct Marks(AtomicU8);

impl Marks {
    #[inline]
    pub(super) fn new(marks: u8) -> Self {
        Self(AtomicU8::new(marks))
    }

    #[inline]
    pub(super) fn has(&self, mark: u8) -> bool {
        self.0.load(Relaxed) & mark != 0
    }

    /// Whoever may change them.
    #[inline]
    pub(super) fn set(&self, mark: u8) {
        self.0.store(self.0.load(Relaxed) | mark, Relaxed);
    }

    /// As `set`.
    #[inline]
    pub(super) fn clear(&self, mark: u8) {
        self.0.store(self.0.load(Relaxed) & !mark, Relaxed);
    }
}
