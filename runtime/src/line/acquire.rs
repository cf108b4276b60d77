//! The wait for permits.

use super::{
    Answer, Ask, CONDITION, LINE, Line, Permits, QUEUES, QuietLine, Refusal, State, Want, Who, take, take_new,
};
use crate::context;
use crate::line::Broken;
use crate::task::after::TaskRef;
use crate::task::{Header, waker};
use crate::wait_list::Waiter;
use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

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
        if self.waiter.is_some() {
            return self.poll_again(cx);
        }
        let taken = context::with_task_if_any(|task| {
            let want = Want::of(self.wanted, self.owns, task);
            (self.condition.is_none() && self.permits.fast(want).is_some()).then(|| want.acquired(task))
        });
        taken.map_or_else(|| self.poll_line(cx), |holder| Poll::Ready(Ok(holder)))
    }
}

// Two calls, for who knows which of them it is: what a wait costs is to a good part what these two save and restore, and neither needs what the other does.
impl Acquire<'_> {
    /// Whether it waits, or has been told something that it has not been polled for. If not, dropping it does nothing.
    #[inline]
    pub fn waits(&self) -> bool {
        self.waiter.as_ref().is_some_and(Waiter::has_entered)
    }

    /// The first poll of one who has tried already to take it without the line.
    #[inline(never)]
    pub fn poll_line(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<u64, Broken>> {
        let mut this = self.project();
        let permits = *this.permits;
        context::with_task_if_any(|task| {
            let want = Want::of(*this.wanted, *this.owns, task);
            let by = By { waker: cx.waker(), task };
            let line = permits.line();
            this.waiter.set(Some(Waiter::new(&line.lot)));
            let waiter = this.waiter.as_pin_mut().expect("just set");
            if let Some(condition) = this.condition.take() {
                permits.wait_for(condition, line, waiter, want, by);
                return Poll::Pending;
            }
            permits.begin(line, waiter, want, by).map_ok(|()| want.acquired(task))
        })
    }

    /// Each poll after it.
    ///
    /// # Panics
    ///
    /// If there was none, or it was ready.
    #[inline(never)]
    pub fn poll_again(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<u64, Broken>> {
        let this = self.project();
        let (permits, waiter) = (*this.permits, this.waiter.as_pin_mut().expect("polled before"));
        context::with_task_if_any(|task| {
            let want = Want::of(*this.wanted, *this.owns, task);
            let by = By { waker: cx.waker(), task };
            permits.poll_waiting(waiter, want, by).map_ok(|()| want.acquired(task))
        })
    }
}

impl Want {
    /// What `task` wants, which is running, if it is one.
    #[inline]
    fn of(permits: usize, owns: bool, task: Option<&Header>) -> Self {
        Self { permits, holder: owns.then(|| task.map_or(0, Header::holder)) }
    }

    /// `task` has it: the holder.
    #[inline]
    fn acquired(self, task: Option<&Header>) -> u64 {
        if self.holder.is_some()
            && let Some(task) = task
        {
            task.hold();
        }
        self.holder.unwrap_or(0)
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
}

impl Ask {
    /// Of one who gets in line, with the waker to wake it by.
    #[inline]
    fn new(want: Want, number: u64, by: By<'_>) -> (Self, Waker) {
        let (who, waker) = by.stand();
        let owns = want.holder.is_some();
        (Self { permits: want.permits, number, owns, answer: Answer::Broken, who }, waker)
    }
}

impl Permits {
    /// Takes what is wanted, or gets in line.
    #[inline]
    fn begin(&self, line: &Arc<Line>, waiter: Standing<'_, '_>, want: Want, by: By<'_>) -> Poll<Result<(), Broken>> {
        let mut quiet = line.lot.lock_quietly();
        self.come(line, &mut quiet, want);
        match take_new(&mut quiet, want) {
            Ok(()) => {
                self.settle(&mut quiet);
                Poll::Ready(Ok(()))
            }
            Err(Refusal::Broken(broken)) => Poll::Ready(Err(broken)),
            Err(Refusal::WouldBlock) => {
                let number = quiet.next_number;
                quiet.next_number += 1;
                let (ask, waker) = Ask::new(want, number, by);
                waiter.enter_quietly(&mut quiet, LINE, ask, waker);
                drop(quiet);
                context::note_held(line);
                Poll::Pending
            }
        }
    }

    /// Somebody comes to the line, which is locked, to take what is wanted or to stand in it.
    #[inline]
    fn come(&self, line: &Arc<Line>, quiet: &mut QuietLine<'_>, want: Want) {
        self.busy(quiet);
        if want.holder.is_some() || quiet.owner.is_some() {
            line.may_be_owned(quiet);
        }
        if let Some(owner) = line.gone_owner(quiet) {
            quiet.broken = Some(Broken::by_end(owner));
        }
    }

    /// Gives back all, and waits for the condition, in one.
    fn wait_for(&self, condition: u64, line: &Arc<Line>, waiter: Standing<'_, '_>, want: Want, by: By<'_>) {
        let mut quiet = line.lot.lock_quietly();
        self.busy(&mut quiet);
        line.may_be_owned(&mut quiet);
        let (ask, waker) = Ask::new(want, condition, by);
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
                let picked = ask.number == condition;
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
        line.lot.lock_quietly().each(CONDITION, |ask| count += usize::from(ask.number == condition));
        count
    }

    /// Polled again while it waits: claims what it was handed, or takes its old place if it was passed over.
    #[inline]
    fn poll_waiting(&self, mut waiter: Standing<'_, '_>, want: Want, by: By<'_>) -> Poll<Result<(), Broken>> {
        let line: &Arc<Line> = self.line();
        let goes_on = |ask: &Ask| match ask.answer {
            Answer::Handed => line.claims(by.task, ask.permits),
            Answer::LetIn => true,
            Answer::Given | Answer::Broken => false,
        };
        if waiter.as_mut().settle_notified(goes_on) {
            return Poll::Ready(Ok(()));
        }
        self.poll_unclaimed(line, waiter, want, by)
    }

    #[cold]
    #[inline(never)]
    fn poll_unclaimed(
        &self,
        line: &Arc<Line>,
        mut waiter: Standing<'_, '_>,
        want: Want,
        by: By<'_>,
    ) -> Poll<Result<(), Broken>> {
        if let Some(ask) = waiter.as_mut().take_notified() {
            return self.poll_told(line, waiter, &ask, want, by);
        }
        let mut locked = line.lot.lock();
        // It may have moved to another task.
        let replaced =
            waiter.as_mut().renew(&mut locked, by.waker, |ask| std::mem::replace(&mut ask.who, by.stand().0));
        drop(locked);
        if replaced.is_some() {
            return Poll::Pending;
        }
        let ask = waiter.as_mut().take_notified().expect("not polled again after it was ready");
        if ask.answer == Answer::Handed && line.claims(by.task, ask.permits) {
            return Poll::Ready(Ok(()));
        }
        self.poll_told(line, waiter, &ask, want, by)
    }

    /// It was told something else than that it was handed what it finds in a note.
    fn poll_told(
        &self,
        line: &Arc<Line>,
        waiter: Standing<'_, '_>,
        ask: &Ask,
        want: Want,
        by: By<'_>,
    ) -> Poll<Result<(), Broken>> {
        match ask.answer {
            Answer::LetIn => Poll::Ready(Ok(())),
            Answer::Handed => self.poll_passed_over(line, waiter, ask.number, want, by),
            Answer::Given => {
                // A task may go on with what a thread has begun.
                if let Some(holder) = want.holder.filter(|holder| *holder != 0) {
                    self.change_owner(0, holder);
                }
                Poll::Ready(Ok(()))
            }
            Answer::Broken => {
                // That may have been repaired since, but it has been.
                let broken = line.lot.lock_quietly().broken;
                Poll::Ready(Err(broken.unwrap_or(Broken::by_panic(0))))
            }
        }
    }

    /// Back to its old place, or it takes what there is if that is the first, or it has been let in meanwhile.
    fn poll_passed_over(
        &self,
        line: &Arc<Line>,
        waiter: Standing<'_, '_>,
        number: u64,
        want: Want,
        by: By<'_>,
    ) -> Poll<Result<(), Broken>> {
        let mut quiet = line.lot.lock_quietly();
        quiet.passed_over.remove(want.permits);
        self.come(line, &mut quiet, want);
        if let Some(broken) = quiet.broken {
            return Poll::Ready(Err(broken));
        }
        let is_first = quiet.front(LINE).is_none_or(|first| first.number > number);
        if number < quiet.let_in_below || (is_first && take(&mut quiet, want)) {
            self.settle(&mut quiet);
            return Poll::Ready(Ok(()));
        }
        let (ask, waker) = Ask::new(want, number, by);
        waiter.enter_before(&mut quiet, LINE, ask, waker, |other| other.number > number);
        Poll::Pending
    }

    /// The wait is given up: what it was handed goes on.
    #[cold]
    fn leave(&self, mut waiter: Standing<'_, '_>) {
        let line = self.line();
        if let Some(ask) = waiter.as_mut().take_notified() {
            return self.leave_told(line, &ask);
        }
        let mut quiet = line.lot.lock_quietly();
        match waiter.as_mut().take_out(&mut quiet) {
            Some(gone) => {
                self.serve_and_settle(line, quiet);
                drop(gone); // Not under the lock: with it may go a task.
            }
            None => {
                drop(quiet);
                let told = waiter.take_notified();
                self.leave_told(line, &told.expect("it waits no more"));
            }
        }
    }

    fn leave_told(&self, line: &Arc<Line>, ask: &Ask) {
        let claims = match ask.answer {
            Answer::LetIn | Answer::Broken => return,
            Answer::Given => false,
            Answer::Handed => context::with_task_if_any(|task| line.claims(task, ask.permits)),
        };
        let mut quiet = line.lot.lock_quietly();
        if ask.answer == Answer::Handed && !claims {
            // It comes back when the turn has ended, or has.
            quiet.passed_over.remove(ask.permits);
            return;
        }
        self.busy(&mut quiet);
        quiet.put_back(ask.permits);
        quiet.owner = None;
        self.serve_and_settle(line, quiet);
    }
}
