//! The wait for permits.

use super::{Ask, CONDITION, HANDED, LINE, Line, PASSED, Permits, QUEUES, Refusal, State, Want, Who, holders, take};
use crate::context;
use crate::line::Broken;
use crate::task::after::{self, TaskRef};
use crate::wait_list::{Left, Waiter};
use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

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
            if let Some(waiter) = this.waiter.as_pin_mut() {
                this.permits.leave(waiter);
            }
        }
    }
}

impl<'a> Acquire<'a> {
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

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let holder = if *this.owns { after::holder() } else { 0 };
        let want = Want { permits: *this.wanted, holder: this.owns.then_some(holder) };
        let acquired = match this.waiter.as_mut().as_pin_mut() {
            Some(waiter) => {
                let outcome = ready!(this.permits.poll_waiting(waiter, want, cx));
                this.waiter.set(None);
                outcome
            }
            None if this.condition.is_none() && this.permits.fast(want).is_some() => Ok(()),
            None => {
                this.waiter.set(Some(Waiter::new(&this.permits.line().lot)));
                let waiter = this.waiter.as_mut().as_pin_mut().expect("just set");
                if let Some(condition) = this.condition.take() {
                    this.permits.wait_for(condition, waiter, want, cx);
                    return Poll::Pending;
                }
                let outcome = ready!(this.permits.begin(waiter, want, cx));
                this.waiter.set(None);
                outcome
            }
        };
        if acquired.is_ok() && *this.owns {
            after::hold();
        }
        Poll::Ready(acquired.map(|()| holder))
    }
}

type Standing<'w, 'a> = Pin<&'w mut Waiter<'a, State, Ask, QUEUES>>;

impl Permits {
    /// Takes what is wanted, or gets in line.
    #[cold]
    fn begin(&self, waiter: Standing<'_, '_>, want: Want, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let line: &Arc<Line> = self.line();
        let mut locked = line.lot.lock();
        self.busy(&mut locked);
        if want.holder.is_some() || locked.owner.is_some() {
            line.may_be_owned(&mut locked);
        }
        // G1: the owner stands in the line now, which is known.
        if let Some(owner) = locked.owner.filter(|owner| locked.broken.is_none() && holders::is_gone(*owner)) {
            locked.broken = Some(Broken { holder: after::holder_id(owner), panicked: false });
        }
        match line.take_new(&mut locked, want) {
            Ok(()) => {
                self.settle(&mut locked);
                Poll::Ready(Ok(()))
            }
            Err(Refusal::Broken(broken)) => Poll::Ready(Err(broken)),
            Err(Refusal::WouldBlock) => {
                let number = locked.next_number;
                locked.next_number += 1;
                let ask = Ask { permits: want.permits, number, who: Who::polls(cx.waker()), ..Ask::default() };
                waiter.enter(&mut locked, LINE, ask, cx.waker());
                drop(locked);
                context::note_held(line);
                Poll::Pending
            }
        }
    }

    /// Gives back all, and waits for the condition, in one.
    fn wait_for(&self, condition: u64, waiter: Standing<'_, '_>, want: Want, cx: &mut Context<'_>) {
        let line = self.line();
        let mut locked = line.lot.lock();
        self.busy(&mut locked);
        line.may_be_owned(&mut locked);
        let ask = Ask { permits: want.permits, who: Who::polls(cx.waker()), condition, ..Ask::default() };
        waiter.enter(&mut locked, CONDITION, ask, cx.waker());
        (locked.free, locked.owner) = (want.permits, None);
        self.serve_and_settle(locked);
    }

    /// Up to `count` of those who wait for the condition get in line; how many. The caller owns all.
    pub fn notify(&self, condition: u64, count: usize) -> usize {
        let Some(line) = self.line.get() else { return 0 };
        let mut locked = line.lot.lock();
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
        line.lot.lock().each(CONDITION, |ask| count += usize::from(ask.condition == condition));
        count
    }

    /// Polled again while it waits: claims what it was handed, or takes its old place if it was passed over.
    fn poll_waiting(&self, mut waiter: Standing<'_, '_>, want: Want, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let line: &Arc<Line> = self.line();
        let mut quiet = line.lot.lock_quietly();
        if let Some(number) = waiter.as_mut().claim(&mut quiet, HANDED, |ask| ask.number) {
            quiet.owner = want.holder.or(quiet.owner);
            let is_alone = (0..QUEUES).all(|queue| quiet.waiting(queue) == 0);
            self.settle_state(&mut quiet, is_alone);
            drop(quiet);
            TaskRef::claimed(line, number);
            return Poll::Ready(Ok(()));
        }
        let mut locked = quiet.into_locked();
        match waiter.queue(&locked) {
            Some(PASSED) => {
                // Its task was taken when it was handed what it did not claim.
                let mut who = Who::polls(cx.waker());
                let number = waiter.as_mut().renew(&mut locked, cx.waker(), |ask| {
                    ask.over = false;
                    std::mem::swap(&mut ask.who, &mut who);
                    ask.number
                });
                let number = number.expect("it waits, and the lock is held");
                let is_first = locked.front(LINE).is_none_or(|first| first.number > number);
                let is_let_in = number < locked.let_in_below;
                let outcome = if is_let_in || (is_first && take(&mut locked, want)) {
                    who = waiter.withdraw_from(&mut locked).expect("it waits").who;
                    self.settle(&mut locked);
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
                let replaced = waiter.renew(&mut locked, cx.waker(), |ask| {
                    // It may have moved to another task.
                    std::mem::replace(&mut ask.who, Who::polls(cx.waker()))
                });
                drop(locked);
                drop(replaced);
                Poll::Pending
            }
            None => {
                let (let_in_below, broken) = (locked.let_in_below, locked.broken);
                drop(locked);
                if let Some(Left::Notified(ask)) = waiter.leave()
                    && ask.number < let_in_below
                {
                    return Poll::Ready(Ok(()));
                }
                // Told that it is broken. That may have been repaired since, but it has been.
                Poll::Ready(Err(broken.unwrap_or(Broken { holder: None, panicked: true })))
            }
        }
    }

    /// The wait is given up: what it was handed goes on.
    fn leave(&self, mut waiter: Standing<'_, '_>) {
        let mut locked = self.line().lot.lock();
        let was_handed = waiter.queue(&locked) == Some(HANDED);
        let Some(ask) = waiter.as_mut().withdraw_from(&mut locked) else {
            // It never waited, or was told that the lock is broken.
            drop(locked);
            let _told = waiter.leave();
            return;
        };
        if was_handed {
            locked.put_back(ask.permits);
        }
        self.serve_and_settle(locked);
        drop(ask); // Not under the lock: with it may go a task.
    }
}
