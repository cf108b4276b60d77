//! Any number of branches, of any types: a list that is known when it is compiled.

use std::future::{Future, IntoFuture};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Poll, Waker};

use pin_project_lite::pin_project;

use super::Round;
use super::branch::{Branch, Ended, discard};
use crate::held_panic::HeldPanic;
use crate::scope::CancelReason;

/// What is made of the output of a branch.
pub trait Judge<O> {
    /// What is kept of it for the end.
    type Value;

    /// The value to keep; `None`: that decides, and the other branches are stopped.
    fn judge(&mut self, output: O) -> Option<Self::Value>;
}

/// Branches, polled in the same way.
pub trait List<K> {
    /// The values of all branches: `(first, (second, ()))`.
    type Values;
    const LEN: usize;

    /// Polls the branches whose place is in `those`, until one decides.
    fn poll_those(self: Pin<&mut Self>, those: &Range<usize>, round: &mut Round<'_, '_, K>);

    /// Stops what still runs. The first panic is kept.
    fn stop(self: Pin<&mut Self>, reason: &CancelReason, panic: &mut HeldPanic);

    fn is_running(self: Pin<&mut Self>) -> bool;

    fn set_owner(self: Pin<&mut Self>, waker: &Waker);

    /// The values, if every branch has one.
    fn take(self: Pin<&mut Self>) -> Option<Self::Values>;
}

/// The end of the list.
pub struct Nil;

pin_project! {
    /// A branch, and the rest of the list.
    pub struct Cons<F, V, R> {
        #[pin]
        branch: Branch<F>,
        value: Option<V>,
        #[pin]
        rest: R,
    }
}

impl<F: Future, V, R> Cons<F, V, R> {
    pub fn new<I: IntoFuture<IntoFuture = F>>(future: I, rest: R) -> Self {
        Self { branch: Branch::new(future.into_future()), value: None, rest }
    }
}

impl<K> List<K> for Nil {
    type Values = ();
    const LEN: usize = 0;

    fn poll_those(self: Pin<&mut Self>, _those: &Range<usize>, _round: &mut Round<'_, '_, K>) {}
    fn stop(self: Pin<&mut Self>, _reason: &CancelReason, _panic: &mut HeldPanic) {}
    fn set_owner(self: Pin<&mut Self>, _waker: &Waker) {}

    fn is_running(self: Pin<&mut Self>) -> bool {
        false
    }

    fn take(self: Pin<&mut Self>) -> Option<()> {
        Some(())
    }
}

impl<K, F, R> List<K> for Cons<F, K::Value, R>
where
    F: Future,
    K: Judge<F::Output>,
    R: List<K>,
{
    type Values = (K::Value, R::Values);
    const LEN: usize = 1 + R::LEN;

    fn poll_those(self: Pin<&mut Self>, those: &Range<usize>, round: &mut Round<'_, '_, K>) {
        let this = self.project();
        if those.contains(&0) && (round.unwinding || !*round.decided) {
            match this.branch.poll(round.cx) {
                Poll::Pending | Poll::Ready(Ended::Cut) => {}
                Poll::Ready(Ended::Panicked(panic)) => round.panicked(panic),
                Poll::Ready(Ended::Value(output)) => round.judge(output, this.value),
            }
        }
        let rest = those.start.saturating_sub(1)..those.end.saturating_sub(1);
        if !rest.is_empty() {
            this.rest.poll_those(&rest, round);
        }
    }

    fn stop(self: Pin<&mut Self>, reason: &CancelReason, panic: &mut HeldPanic) {
        let this = self.project();
        if let Some(worse) = this.branch.stop(reason) {
            panic.keep(worse);
        }
        this.rest.stop(reason, panic);
    }

    fn is_running(self: Pin<&mut Self>) -> bool {
        let this = self.project();
        this.branch.is_running() || this.rest.is_running()
    }

    fn set_owner(self: Pin<&mut Self>, waker: &Waker) {
        let this = self.project();
        this.branch.set_owner(waker);
        this.rest.set_owner(waker);
    }

    fn take(self: Pin<&mut Self>) -> Option<Self::Values> {
        let this = self.project();
        match (this.value.take(), this.rest.take()) {
            (Some(value), Some(rest)) => Some((value, rest)),
            lone => {
                discard(lone);
                None
            }
        }
    }
}

impl<K> Round<'_, '_, K> {
    fn judge<O>(&mut self, output: O, to: &mut Option<K::Value>)
    where
        K: Judge<O>,
    {
        // What is not wanted is dropped in there, and that may panic.
        match catch_unwind(AssertUnwindSafe(|| self.kind.judge(output))) {
            Ok(Some(value)) => *to = Some(value),
            Ok(None) => *self.decided = true,
            Err(panic) => self.panicked(panic),
        }
    }

    fn panicked(&mut self, panic: Box<dyn std::any::Any + Send>) {
        *self.decided = true;
        self.panic.keep(panic);
    }
}
