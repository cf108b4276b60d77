//! The wait for permits.

use super::{
    Ask, CONDITION, HANDED, LINE, Line, LockedLine, PASSED, Permits, QUEUES, Refusal, State, Want, Who, holders, take,
    take_new,
};
use crate::context;
use crate::line::Broken;
use crate::task::after::{self, TaskRef};
use crate::task::{Header, waker};
use crate::wait_list::Waiter;
use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

pin_project! {
    /// Ready when the permits are the caller's; if it owns all, with the number of the task that is their holder.
    pub struct Acquire<'a> {
        permits: &'a Permits,
        wanted: usize,
        owns: bool,
        // Until it waits for that one; the caller has all permits.
        condition: Option<u64>,
        // From when it has to wait.
        #[pin]
        waiter: Option<Waiter<'a, State, Ask, QUEUES>>,
    }

    impl PinnedDrop for Acquire<'_> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if let Some(waiter) = this.waiter.as_pin_mut()
                && waiter.has_entered()
            {
                this.permits.leave(waiter);
            }
        }
    }
}

impl<'a> Acquire<'a> {
    #[inline]
    pub(super) fn new(permits: &'a Permits, wanted: usize, owns: bool) -> Self {
        Self { permits, wanted, owns, condition: None, waiter: None }
    }

    /// Of one who owns all of `permits`, so many: its first poll gives them back and waits for the condition with that number.
    pub fn after_condition(permits: &'a Permits, wanted: usize, condition: u64) -> Self {
        Self { permits, wanted, owns: true, condition: Some(condition), waiter: None }
    }
}

impl Future for Acquire<'_> {
    type Output = Result<u64, Broken>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let permits = *this.permits;
        context::with_task_if_any(|task| {
            let holder = if *this.owns { task.map_or(0, Header::holder) } else { 0 };
            let want = Want { permits: *this.wanted, holder: this.owns.then_some(holder) };
            let by = By { waker: cx.waker(), task };
            let acquired = if let Some(waiter) = this.waiter.as_mut().as_pin_mut() {
                ready!(permits.poll_waiting(waiter, want, by))
            } else if this.condition.is_none() && permits.fast(want).is_some() {
                Ok(())
            } else {
                let line = permits.line();
                this.waiter.set(Some(Waiter::new(&line.lot)));
                let waiter = this.waiter.as_mut().as_pin_mut().expect("just set");
                if let Some(condition) = this.condition.take() {
                    permits.wait_for(condition, line, waiter, want, by);
                    return Poll::Pending;
                }
                ready!(permits.begin(line, waiter, want, by))
            };
            if acquired.is_ok()
                && *this.owns
                && let Some(task) = task
            {
                task.hold();
            }
            Poll::Ready(acquired.map(|()| holder))
        })
    }
}

type Standing<'w, 'a> = Pin<&'w mut Waiter<'a, State, Ask, QUEUES>>;

/// Who polls: the task that is running, if it is one, and with which waker.
#[derive(Clone, Copy)]
struct By<'a> {
    waker: &'a Waker,
    task: Option<&'a Header>,
}

impl By<'_> {
    /// Who it is, and a waker to wake it by.
    #[inline]
    fn stand(self) -> (Who, Waker) {
        match self.task {
            // The vtable's clone does the same.
            Some(task) if waker::is_of(self.waker, task) => (Who::Woken, waker::waker(task)),
            Some(task) => (Who::Task(TaskRef::to(task)), self.waker.clone()),
            None => (Who::Thread, self.waker.clone()),
        }
    }

    fn who(self) -> Who {
        self.stand().0
    }
}

impl Permits {
    /// Takes what is wanted, or gets in line.
    #[inline]
    fn begin(&self, line: &Arc<Line>, waiter: Standing<'_, '_>, want: Want, by: By<'_>) -> Poll<Result<(), Broken>> {
        let mut quiet = line.lot.lock_quietly();
        self.busy(&mut quiet);
        if want.holder.is_some() || quiet.owner.is_some() {
            line.may_be_owned(&mut quiet);
        }
        // G1: the owner stands in the line now, which is known.
        if let Some(owner) = quiet.owner.filter(|owner| quiet.broken.is_none() && holders::is_gone(*owner)) {
            quiet.broken = Some(Broken { holder: after::holder_id(owner), panicked: false });
        }
        match take_new(&mut quiet, want) {
            Ok(()) => {
                self.settle(&mut quiet);
                Poll::Ready(Ok(()))
            }
            Err(Refusal::Broken(broken)) => Poll::Ready(Err(broken)),
            Err(Refusal::WouldBlock) => {
                let number = quiet.next_number;
                quiet.next_number += 1;
                let (who, waker) = by.stand();
                let ask = Ask { permits: want.permits, number, who, ..Ask::default() };
                waiter.enter_quietly(&mut quiet, LINE, ask, waker);
                drop(quiet);
                context::note_held(line);
                Poll::Pending
            }
        }
    }

    /// Gives back all, and waits for the condition, in one.
    fn wait_for(&self, condition: u64, line: &Arc<Line>, waiter: Standing<'_, '_>, want: Want, by: By<'_>) {
        let mut quiet = line.lot.lock_quietly();
        self.busy(&mut quiet);
        line.may_be_owned(&mut quiet);
        let (who, waker) = by.stand();
        let ask = Ask { permits: want.permits, who, condition, ..Ask::default() };
        waiter.enter_quietly(&mut quiet, CONDITION, ask, waker);
        (quiet.free, quiet.owner) = (want.permits, None);
        self.serve_and_settle(line, quiet);
    }

    /// Up to `count` of those who wait for the condition get in line; how many. The caller owns all.
    pub fn notify(&self, condition: u64, count: usize) -> usize {
        let Some(line) = self.line.get() else { return 0 };
        let mut locked = line.lot.lock_quietly();
        let mut notified = 0;
        while notified < count {
            let number = locked.next_number;
            let moved = locked.relocate(CONDITION, LINE, |ask| {
                let picked = ask.condition == condition;
                if picked {
                    ask.number = number;
                }
                picked
            });
            if !moved {
                break;
            }
            locked.next_number += 1;
            notified += 1;
        }
        notified
    }

    /// How many wait for the condition.
    pub fn waiting_for(&self, condition: u64) -> usize {
        let Some(line) = self.line.get() else { return 0 };
        let mut count = 0;
        line.lot.lock_quietly().each(CONDITION, |ask| count += usize::from(ask.condition == condition));
        count
    }

    /// Polled again while it waits: claims what it was handed, or takes its old place if it was passed over.
    fn poll_waiting(&self, mut waiter: Standing<'_, '_>, want: Want, by: By<'_>) -> Poll<Result<(), Broken>> {
        let line: &Arc<Line> = self.line();
        if let Some(ask) = waiter.as_mut().take_notified() {
            return told(line, &ask);
        }
        let mut quiet = line.lot.lock_quietly();
        if let Some(Ask { number, .. }) = waiter.as_mut().claim(&mut quiet, HANDED) {
            quiet.owner = want.holder.or(quiet.owner);
            self.settle(&mut quiet);
            drop(quiet);
            if let Some(task) = by.task {
                task.claimed(line, number);
            }
            return Poll::Ready(Ok(()));
        }
        self.poll_unclaimed(line, waiter, want, by, quiet.into_locked())
    }

    #[cold]
    fn poll_unclaimed(
        &self,
        line: &Line,
        mut waiter: Standing<'_, '_>,
        want: Want,
        by: By<'_>,
        mut locked: LockedLine<'_>,
    ) -> Poll<Result<(), Broken>> {
        match waiter.queue(&locked) {
            Some(PASSED) => {
                // Its task was taken when it was handed what it did not claim.
                let mut who = by.who();
                let number = waiter.as_mut().renew(&mut locked, by.waker, |ask| {
                    ask.over = false;
                    std::mem::swap(&mut ask.who, &mut who);
                    ask.number
                });
                let number = number.expect("it waits, and the lock is held");
                let is_first = locked.front(LINE).is_none_or(|first| first.number > number);
                let is_let_in = number < locked.let_in_below;
                let outcome = if is_let_in || (is_first && take(locked.as_quiet(), want)) {
                    who = waiter.withdraw_from(&mut locked).expect("it waits").who;
                    self.settle(locked.as_quiet());
                    Poll::Ready(Ok(()))
                } else {
                    waiter.move_before(&mut locked, LINE, |ask| ask.number > number);
                    Poll::Pending
                };
                drop(locked);
                drop(who); // Not under the lock: with it may go a task.
                outcome
            }
            Some(_) => {
                let replaced = waiter.renew(&mut locked, by.waker, |ask| {
                    // It may have moved to another task.
                    std::mem::replace(&mut ask.who, by.who())
                });
                drop(locked);
                drop(replaced);
                Poll::Pending
            }
            None => {
                drop(locked);
                told(line, &waiter.take_notified().expect("it waits no more"))
            }
        }
    }

    /// The wait is given up: what it was handed goes on.
    #[cold]
    fn leave(&self, mut waiter: Standing<'_, '_>) {
        let line = self.line();
        let mut quiet = line.lot.lock_quietly();
        if let Some(Ask { permits, .. }) = waiter.as_mut().claim(&mut quiet, HANDED) {
            quiet.put_back(permits);
            return self.serve_and_settle(line, quiet);
        }
        let Some(gone) = waiter.as_mut().take_out(&mut quiet) else {
            // It was told that the lock is broken.
            drop(quiet);
            let _told = waiter.leave();
            return;
        };
        self.serve_and_settle(line, quiet);
        drop(gone); // Not under the lock: with it may go a task.
    }
}

/// It was notified: let in, or told that the line is broken.
#[inline]
fn told(line: &Line, ask: &Ask) -> Poll<Result<(), Broken>> {
    if ask.is_let_in {
        return Poll::Ready(Ok(()));
    }
    // That may have been repaired since, but it has been.
    let broken = line.lot.lock_quietly().broken;
    Poll::Ready(Err(broken.unwrap_or(Broken { holder: None, panicked: true })))
}
