//! The state word of a task: who may run it, who may read its output, who keeps it in memory, what it waits for to end.
//!
//! ```text
//!              start_running                      complete
//!   NOTIFIED ───────────────▶ RUNNING ───────────────────────────▶ COMPLETE
//!      ▲                         │ ▲
//!      │ notify (enqueue)        │ │ notify while running sets NOTIFIED too:
//!      └──────── (idle) ◀────────┘ │ stop_running then says "again", and the
//!                  stop_running    │ worker queues the task itself
//! ```
//!
//! | bit | set | cleared | meaning |
//! | --- | --- | --- | --- |
//! | `RUNNING` | by the worker that took the task from a queue | when its poll has left it suspended, or at completion | the exclusive right to the future |
//! | `NOTIFIED` | at spawn, and by the first `notify` since the last poll began | when a poll begins | the task is in exactly one queue, or will be queued when its poll ends |
//! | `COMPLETE` | once | never | the task has ended and its output is stored; excludes `RUNNING` |
//! | `HANDLE` | at spawn | when the `Task` handle is dropped before the end | somebody may still ask for the output |
//! | `JOIN_WAKER` | by the handle after it has stored a waker | by the handle before it replaces the waker | the waker slot may be read by the one who completes the task |
//! | 30 bits | | | number of references |
//! | 29 bits | | | number of tokens, but for one (`task` T5) |
//!
//! Rules:
//! 1. Only the holder of `RUNNING` touches the future. After its end the right stays set until `complete`, wherever that is called.
//! 2. A task that is not complete owns one reference to itself, given up by whoever completes it. So a queue entry needs
//!    no reference of its own: a task in a queue cannot complete before its entry is taken.
//! 3. The handle writes the waker slot only while `JOIN_WAKER` is unset and `COMPLETE` was not seen; the completer reads it only
//!    after it has set `COMPLETE` and found `JOIN_WAKER` set. The last reference drops what is in the slot.
//! 4. The output belongs to the handle once `COMPLETE` is set while `HANDLE` is; otherwise to the completer, who drops it.
//! 5. References are made from references (or from the right to run), so whoever has the only one is alone: nobody can change the word or
//!    reach the task until he lets somebody, unless the task stands in a list (`task` T3). Then he needs no read-modify-write.
//! 6. A task that wakes itself while it is polled need not say so to others, who could only say it again: it is noted on the thread
//!    (`context`), and comes into the word with the end of the poll. So until then the holder of `RUNNING` asks for both.
//! 7. A task with tokens out has not ended, so it has its own reference: where only the last reference matters, the tokens need not be masked out. Nor is it alone: who has
//!    a token may give it back at any time.
#![allow(unreachable_pub)] // The loom models use it.

use crate::primitives::atomic::AtomicU64;
use crate::primitives::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

const RUNNING: u64 = 1;
const NOTIFIED: u64 = 1 << 1;
const COMPLETE: u64 = 1 << 2;
const HANDLE: u64 = 1 << 3;
const JOIN_WAKER: u64 = 1 << 4;
const REFERENCE: u64 = 1 << 5;
const TOKEN: u64 = 1 << 35;
/// The highest bits of the two counts. One that has come so far (half a billion references, a quarter of that in tokens, each of which stands for an allocation) has plainly run away:
/// abort rather than wrap.
const TOO_MANY_REFERENCES: u64 = TOKEN >> 1;
const TOO_MANY_TOKENS: u64 = 1 << 63;

/// See the module.
pub struct State(AtomicU64);

/// What `notify` leaves to its caller.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub enum Notify {
    /// The caller now owns the task's queue entry and must enqueue it.
    Enqueue,
    /// Somebody else sees to it, or the task has ended.
    Nothing,
}

/// What `notify_and_drop` leaves to its caller.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub enum LastNotify {
    /// As of `Notify`.
    Enqueue,
    /// Nothing: the task is not to be touched again.
    Nothing,
    /// The task has ended, and the reference is still the caller's.
    Ended,
}

/// What the end of a poll leaves to the worker.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub enum Stopped {
    /// The task sleeps until it is notified; it may be running elsewhere already.
    Idle,
    /// It was notified meanwhile: the worker owns its queue entry and must enqueue it.
    Again,
}

/// What completion found.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub struct Completed {
    /// The handle is alive and owns the output now.
    pub has_handle: bool,
    /// The waker slot holds the waker to wake.
    pub has_waker: bool,
}

/// What the handle leaves to itself when it goes.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub enum HandleGoes {
    /// Nothing: its reference is given up, and the task is not to be touched again.
    Entirely,
    /// The waker slot is its own to empty; then it gives up its reference.
    WithWaker,
    /// The task has completed first: the output is its own to drop, if nobody has taken it; then it gives up its reference.
    WithOutput,
}

/// What the handle's wish to store a waker met.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub enum HandleStep {
    /// Granted.
    Done,
    /// The task has completed first.
    TooLate,
}

impl State {
    /// A task that is about to be queued for the first time, referenced by itself and by its handle.
    pub fn new() -> Self {
        Self(AtomicU64::new(NOTIFIED | HANDLE | (2 * REFERENCE)))
    }

    /// Begins a poll of a task taken from a queue. `listed`: it can be found without a reference.
    #[inline]
    pub fn start_running(&self, listed: bool) {
        if !listed && self.is_alone() {
            // Rule 5: nobody can change the word meanwhile. What others have done before was acquired.
            return self.0.store(RUNNING | REFERENCE, Relaxed);
        }
        // Acquire pairs with the release in `notify` and `stop_running`: the poll sees what happened before the wake.
        let before = self.0.fetch_sub(NOTIFIED - RUNNING, Acquire);
        debug_assert!(before & NOTIFIED != 0 && before & (RUNNING | COMPLETE) == 0);
    }

    /// Whether the task's own reference is the only one. Called by the owner of its queue entry or of `RUNNING` (rule 5).
    #[inline]
    pub fn is_alone(&self) -> bool {
        // Acquire pairs with the release of those who have given up the others.
        self.0.load(Acquire) & !(RUNNING | NOTIFIED) == REFERENCE
    }

    /// Ends a poll that has left the future suspended. `listed`: the task can be found without a reference; `woken`: it has woken itself (rule 6).
    #[inline]
    pub fn stop_running(&self, listed: bool, woken: bool) -> Stopped {
        if woken {
            return self.stop_woken(listed);
        }
        // Release pairs with `start_running` of the next worker, which also acquires what a `notify` during this poll has released.
        let before = self.0.fetch_sub(RUNNING, Release);
        debug_assert!(before & RUNNING != 0 && before & COMPLETE == 0);
        if before & NOTIFIED == 0 { Stopped::Idle } else { Stopped::Again }
    }

    #[inline]
    fn stop_woken(&self, listed: bool) -> Stopped {
        // Acquire and release, as in `stop_running`.
        let mut state = self.0.load(Acquire);
        if !listed && state & !NOTIFIED == RUNNING | REFERENCE {
            // Nobody else refers to it (rule 5).
            self.0.store(NOTIFIED | REFERENCE, Release);
            return Stopped::Again;
        }
        loop {
            debug_assert!(state & RUNNING != 0 && state & COMPLETE == 0);
            match self.0.compare_exchange_weak(state, (state | NOTIFIED) & !RUNNING, AcqRel, Acquire) {
                Ok(_) => return Stopped::Again,
                Err(now) => state = now,
            }
        }
    }

    /// Asks for a poll. A read-modify-write even if nothing changes, so that the next poll sees the caller's writes.
    pub fn notify(&self) -> Notify {
        let before = self.0.fetch_or(NOTIFIED, AcqRel);
        if before & (NOTIFIED | RUNNING | COMPLETE) == 0 { Notify::Enqueue } else { Notify::Nothing }
    }

    /// Asks for a poll, and gives up the reference with which it does, if the task has not ended.
    #[inline]
    pub fn notify_and_drop(&self) -> LastNotify {
        // Acquire pairs with `complete`, for `Ended`.
        let mut state = self.0.load(Acquire);
        // A task that is not complete has a reference of its own, so the caller's is not the last.
        while state & COMPLETE == 0 {
            // Acquire and release, as in `notify` and `drop_reference`.
            match self.0.compare_exchange_weak(state, (state | NOTIFIED) - REFERENCE, AcqRel, Acquire) {
                Ok(_) if state & (NOTIFIED | RUNNING) == 0 => return LastNotify::Enqueue,
                Ok(_) => return LastNotify::Nothing,
                Err(now) => state = now,
            }
        }
        LastNotify::Ended
    }

    /// Whether a poll is owed after the present one.
    pub fn is_notified(&self) -> bool {
        self.0.load(Relaxed) & NOTIFIED != 0
    }

    /// Whether a worker is at it, or its future has ended.
    pub fn is_running(&self) -> bool {
        self.0.load(Relaxed) & RUNNING != 0
    }

    /// Whether the task has ended; its output may then be read by the handle.
    pub fn is_complete(&self) -> bool {
        // Acquire pairs with `complete`.
        self.0.load(Acquire) & COMPLETE != 0
    }

    /// Marks the end and gives up the task's own reference, if a handle that does not wait owns the output now, and nobody has woken the task since its last
    /// turn began (then there may be something to tell, `after` A2): then the caller may not touch the task again. Otherwise nothing has changed, and `complete` is to be called. The caller holds `RUNNING` and has stored the output.
    #[inline]
    #[must_use]
    pub fn complete_for_handle(&self) -> bool {
        let mut state = self.0.load(Relaxed);
        while state & (HANDLE | JOIN_WAKER | NOTIFIED) == HANDLE {
            debug_assert!(state & RUNNING != 0 && state & COMPLETE == 0);
            // As in `complete` and `drop_reference`. The handle's reference is another one, so this is not the last.
            match self.0.compare_exchange_weak(state, state + COMPLETE - RUNNING - REFERENCE, AcqRel, Relaxed) {
                Ok(_) => return true,
                Err(now) => state = now,
            }
        }
        false
    }

    /// Marks the end. The caller holds `RUNNING` and has stored the output.
    pub fn complete(&self) -> Completed {
        // Release publishes the output to `is_complete`; acquire pairs with `set_join_waker`, whose slot is read next.
        let before = self.0.fetch_add(COMPLETE - RUNNING, AcqRel);
        debug_assert!(before & RUNNING != 0 && before & COMPLETE == 0);
        Completed { has_handle: before & HANDLE != 0, has_waker: before & JOIN_WAKER != 0 }
    }

    /// Whether the slot holds a waker of the handle.
    pub fn has_join_waker(&self) -> bool {
        self.0.load(Relaxed) & JOIN_WAKER != 0
    }

    /// Publishes the waker that the handle has just written into the slot.
    pub fn set_join_waker(&self) -> HandleStep {
        // Release pairs with the acquire in `complete`.
        self.unless_complete(|state| state | JOIN_WAKER)
    }

    /// Takes the slot back, to write another waker.
    pub fn unset_join_waker(&self) -> HandleStep {
        self.unless_complete(|state| state & !JOIN_WAKER)
    }

    /// The handle goes, and with it its waker.
    #[inline]
    pub fn drop_handle(&self) -> HandleGoes {
        let mut state = self.0.load(Relaxed);
        loop {
            if state & COMPLETE != 0 {
                // Acquire pairs with `complete`: the caller goes on to the output.
                self.0.load(Acquire);
                return HandleGoes::WithOutput;
            }
            let waits = state & JOIN_WAKER != 0;
            // A task that is not complete has a reference of its own, so the handle's is not the last.
            let next = if waits { state & !(HANDLE | JOIN_WAKER) } else { (state & !HANDLE) - REFERENCE };
            // Acquire and release, as in `unless_complete` and `drop_reference`.
            match self.0.compare_exchange_weak(state, next, AcqRel, Relaxed) {
                Ok(_) if waits => return HandleGoes::WithWaker,
                Ok(_) => return HandleGoes::Entirely,
                Err(now) => state = now,
            }
        }
    }

    /// Whether the handle still is there; it never comes back. Called by the holder of `RUNNING`.
    #[inline]
    pub(crate) fn has_handle(&self) -> bool {
        self.0.load(Relaxed) & HANDLE != 0
    }

    fn unless_complete(&self, change: impl Fn(u64) -> u64) -> HandleStep {
        let mut state = self.0.load(Relaxed);
        loop {
            if state & COMPLETE != 0 {
                // Acquire pairs with `complete`: the caller goes on to the output.
                self.0.load(Acquire);
                return HandleStep::TooLate;
            }
            match self.0.compare_exchange_weak(state, change(state), AcqRel, Relaxed) {
                Ok(_) => return HandleStep::Done,
                Err(now) => state = now,
            }
        }
    }

    /// One more reference; the caller has one already, or a task that cannot end under it.
    pub fn add_reference(&self) {
        // Relaxed: a reference is made from another, which orders it already.
        if self.0.fetch_add(REFERENCE, Relaxed) & TOO_MANY_REFERENCES != 0 {
            std::process::abort();
        }
    }

    /// One token more. The caller is being polled as this task, or holds a token.
    pub fn add_token(&self) {
        // Relaxed: the caller's own token or poll keeps the task from ending.
        if self.0.fetch_add(TOKEN, Relaxed) & TOO_MANY_TOKENS != 0 {
            std::process::abort();
        }
    }

    /// Gives one token back; true for the last: the caller ends the task.
    #[inline]
    #[must_use]
    pub fn give_token_back(&self) -> bool {
        // Acquire, as below. If the caller's is the only one, nobody can make others (`task` T5), and nobody will ask for the count again.
        let mut state = self.0.load(Acquire);
        while state >= TOKEN {
            // Release and acquire: the one who ends the task sees what all the others have done. (The stores of rule 5 do not come between: there is no token then, and what was done before was acquired.)
            match self.0.compare_exchange_weak(state, state - TOKEN, AcqRel, Acquire) {
                Ok(_) => return false,
                Err(now) => state = now,
            }
        }
        true
    }

    /// One reference less; true for the last, whose owner frees the task.
    #[inline]
    #[must_use]
    pub fn drop_reference(&self) -> bool {
        // Acquire, as below. With the last reference the caller is alone (rule 5); the word is of no use any more.
        if self.0.load(Acquire) < 2 * REFERENCE {
            return true;
        }
        // Release pairs with the acquire below: every use of the task comes before it is freed.
        let before = self.0.fetch_sub(REFERENCE, Release);
        debug_assert!(before >= REFERENCE);
        if before >= 2 * REFERENCE {
            return false;
        }
        self.0.load(Acquire);
        true
    }
}

impl Default for State {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_wake_while_running_is_kept_for_the_end_of_the_poll() {
        let state = State::new();
        state.start_running(false);
        assert!(!state.is_notified());
        assert_eq!(state.notify(), Notify::Nothing);
        assert_eq!(state.notify(), Notify::Nothing);
        assert_eq!(state.stop_running(false, false), Stopped::Again);
        state.start_running(false);
        assert_eq!(state.stop_running(false, false), Stopped::Idle);
        assert_eq!(state.notify(), Notify::Enqueue);
        assert_eq!(state.notify(), Notify::Nothing);
    }

    #[test]
    fn a_waker_that_is_used_up_notifies_and_goes() {
        let state = State::new();
        assert_eq!(state.drop_handle(), HandleGoes::Entirely);
        (0..3).for_each(|_| state.add_reference());
        state.start_running(false);
        assert_eq!(state.stop_running(false, false), Stopped::Idle);
        assert_eq!(state.notify_and_drop(), LastNotify::Enqueue);
        assert_eq!(state.notify_and_drop(), LastNotify::Nothing);
        state.start_running(false);
        assert_eq!(state.complete(), Completed { has_handle: false, has_waker: false });
        assert_eq!(state.notify_and_drop(), LastNotify::Ended);
        assert!(!state.drop_reference());
        assert_eq!(state.notify_and_drop(), LastNotify::Ended);
        assert!(state.drop_reference());
    }

    #[test]
    fn the_last_token_ends_the_task_and_none_of_them_is_taken_for_a_reference() {
        let state = State::new();
        state.start_running(false);
        assert_eq!(state.drop_handle(), HandleGoes::Entirely);
        (0..2).for_each(|_| state.add_token());
        assert!(!state.is_alone(), "others may give tokens back");
        assert!(!state.give_token_back());
        assert_eq!(state.stop_running(false, true), Stopped::Again);
        state.start_running(false);
        assert!(!state.give_token_back());
        assert!(state.is_alone());
        assert!(state.give_token_back());
        assert!(state.is_alone() && state.drop_reference());
    }

    #[test]
    fn after_the_end_nothing_is_queued_and_the_handle_owns_the_output() {
        let state = State::new();
        state.start_running(false);
        assert_eq!(state.set_join_waker(), HandleStep::Done);
        assert_eq!(state.complete(), Completed { has_handle: true, has_waker: true });
        assert_eq!(state.notify(), Notify::Nothing);
        assert_eq!(state.drop_handle(), HandleGoes::WithOutput);
        assert!(!state.drop_reference());
        assert!(state.drop_reference());
    }

    #[test]
    fn a_handle_that_goes_first_leaves_the_output_to_the_completer() {
        let state = State::new();
        state.start_running(false);
        assert_eq!(state.set_join_waker(), HandleStep::Done);
        assert!(!state.is_alone());
        assert_eq!(state.drop_handle(), HandleGoes::WithWaker);
        assert!(!state.drop_reference());
        assert!(state.is_alone());
        assert!(!state.complete_for_handle());
        assert_eq!(state.complete(), Completed { has_handle: false, has_waker: false });
        assert!(state.drop_reference());
    }

    #[test]
    fn a_handle_that_does_not_wait_goes_or_gets_the_output_in_one_step() {
        let (dropped, kept) = (State::new(), State::new());
        assert_eq!(dropped.drop_handle(), HandleGoes::Entirely);
        assert!(dropped.is_alone() && !kept.is_alone());
        for state in [&dropped, &kept] {
            state.start_running(false);
        }
        assert_eq!((dropped.complete_for_handle(), kept.complete_for_handle()), (false, true));
        assert!(kept.is_complete());
        assert_eq!(kept.drop_handle(), HandleGoes::WithOutput);
        assert!(kept.drop_reference() && dropped.drop_reference());
    }
}
