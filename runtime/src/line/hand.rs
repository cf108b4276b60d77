//! Handing permits over: a note in the task of the one who has stood in line longest, and what becomes of it. P1 to P7 are the invariants of the module above.

use super::{Answer, LINE, Line, QuietLine, State, Who, holders};
use crate::primitives::atomic::Ordering;
use crate::task::Header;
use crate::task::after::{AfterTurn, TaskRef};
use std::sync::Arc;

impl Line {
    /// Whether notes are under way (P7).
    #[inline]
    pub(super) fn has_notes(&self, state: &State) -> bool {
        // Acquire pairs with the release of `claims`: what its task did before is seen by who finds that it has claimed.
        state.handed != self.claimed.load(Ordering::Acquire)
    }

    /// The owner, if its task has ended and has not given all back; the caller has just noted that somebody waits for it (G1).
    pub(super) fn gone_owner(&self, state: &State) -> Option<u64> {
        state.owner.filter(|owner| state.broken.is_none() && !self.has_notes(state) && holders::is_gone(*owner))
    }

    /// In the poll of a wait that was handed so many permits: takes the note, if it is there.
    #[inline]
    pub(super) fn claims(self: &Arc<Self>, task: Option<&Header>, permits: usize) -> bool {
        let claims = task.is_some_and(|task| task.claims(self, permits as u64));
        if claims {
            // Release pairs with the acquire of `has_notes`.
            self.claimed.fetch_add(1, Ordering::Release);
        }
        claims
    }

    /// Hands permits to the first in line, as long as there are enough, and unlocks for each; the lock comes back if it ends with one for whom there are not enough, or with nobody.
    #[inline(always)]
    pub(super) fn serve<'a>(self: &'a Arc<Self>, mut quiet: QuietLine<'a>) -> Option<QuietLine<'a>> {
        loop {
            let free = quiet.free;
            let first = quiet.front(LINE).map(|ask| (ask.permits, matches!(ask.who, Who::Woken)));
            let Some((permits, is_woken)) = first.filter(|(permits, _)| *permits <= free) else { return Some(quiet) };
            if quiet.broken.is_some() {
                return Some(quiet); // All are being told that.
            }
            if !is_woken {
                self.hand_elsewhere(quiet, permits);
                quiet = self.lot.lock_quietly();
                continue;
            }
            let task = self.hand_to_task(&mut quiet, permits);
            let free = quiet.free;
            let more = quiet.front(LINE).is_some_and(|next| next.permits <= free);
            drop(quiet);
            if let Some(task) = task {
                task.wake_and_drop();
            }
            if !more {
                return None;
            }
            quiet = self.lot.lock_quietly();
        }
    }

    /// Hands so many permits, which are free, to the first in line, which is woken by its task's own waker: that task, to be woken without the lock.
    #[inline(always)]
    fn hand_to_task(self: &Arc<Self>, quiet: &mut QuietLine<'_>, permits: usize) -> Option<TaskRef> {
        let (ask, waker) = quiet.first(LINE)?;
        ask.answer = Answer::Handed;
        let (task, owns) = (TaskRef::of(waker.take()?), ask.owns);
        if task.has_ended() {
            quiet.passed_over.add(permits);
        } else {
            task.arm(self, permits as u64);
            quiet.hand(permits, owns.then(|| task.holder()));
            quiet.handed = quiet.handed.wrapping_add(1);
        }
        quiet.notify_first(LINE);
        Some(task)
    }

    /// As `hand_to_task`, for another one: a thread, or a part of a task with a waker that says which. Unlocks, and wakes.
    #[cold]
    fn hand_elsewhere(self: &Arc<Self>, mut quiet: QuietLine<'_>, permits: usize) {
        let first = quiet.take_first(LINE, |ask| {
            let who = std::mem::take(&mut ask.who);
            ask.answer = if matches!(who, Who::Thread) { Answer::Given } else { Answer::Handed };
            let is_gone = matches!(&who, Who::Task(task) if task.has_ended());
            if let (Who::Task(task), false) = (&who, is_gone) {
                task.arm_uncounted(self, permits as u64);
            }
            (who, ask.owns, is_gone)
        });
        let Some(((who, owns, is_gone), waker)) = first else { return };
        match &who {
            Who::Task(_) if is_gone => quiet.passed_over.add(permits),
            Who::Task(task) => {
                quiet.hand(permits, owns.then(|| task.holder()));
                quiet.handed = quiet.handed.wrapping_add(1);
            }
            Who::Thread | Who::Woken => quiet.hand(permits, owns.then_some(0)),
        }
        drop(quiet);
        // First: a turn that begins before that knows nothing of the hand-over, and would not poll this wait.
        if let Some(waker) = waker {
            waker.wake();
        }
        if let Who::Task(task) = who {
            task.count_turns(self, permits as u64);
            task.wake_and_drop();
        }
    }
}

impl AfterTurn for Line {
    fn turn_ended(self: Arc<Self>, number: u64) {
        let mut quiet = self.lot.lock_quietly();
        quiet.take_back(number as usize);
        quiet.passed_over.add(number as usize);
        // The word is out of reach, and stays `BUSY`: whoever comes next settles it.
        drop(self.serve(quiet));
    }
}
