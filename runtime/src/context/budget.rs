//! What the task that is being polled may still do before it must yield.

use super::CONTEXT;

/// Whether the task that is being polled may do more before it must yield.
pub(crate) fn has_budget() -> bool {
    CONTEXT.with(|context| context.budget.get() != 0)
}

/// A unit of the budget that was taken is not needed.
pub(crate) fn give_back_unit() {
    CONTEXT.with(|context| context.budget.set(context.budget.get().saturating_add(1)));
}

/// Takes a unit of the budget, if one is left.
pub(crate) fn take_unit() {
    CONTEXT.with(|context| context.budget.set(context.budget.get().saturating_sub(1)));
}

/// What all polls on this thread have left of their budgets; it wraps round.
#[inline]
pub(crate) fn left_of_budgets() -> u64 {
    CONTEXT.with(|context| context.left.get())
}

/// See `lowlevel::use_up_budget`.
pub(crate) fn use_up_budget() {
    CONTEXT.with(|context| context.budget.set(0));
}
