//! Operations that nearly always are done at once: [`at_once`], [`acquire_at_once`].

use crate::apart::{Apart, WaitApart};
use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use trioxide_runtime::lowlevel::line::{Acquire, Broken};

/// An operation `on` something that `quick` does, nearly always: it is polled first, and is ready with what comes out, or with `None`. Then the future that `begin` makes goes on, in the same poll.
///
/// Polled again after `quick` has done it, it does it once more: to note the end would cost a third of what an operation costs.
///
/// Not an `async` function with both in it: its body would be too long to be inlined where it is awaited. Of this, what is quick is inlined, and the rest is a call.
#[inline]
pub(crate) fn at_once<C, S: Future>(
    on: C,
    quick: impl Fn(&C, &mut Context<'_>) -> Poll<Option<S::Output>>,
    begin: impl FnOnce(C) -> S,
) -> impl Future<Output = S::Output> {
    AtOnce::Beginning { on, quick, begin }
}

pin_project! {
    #[project = Stage]
    #[project_replace = Was]
    enum AtOnce<C, Q, B, S> {
        Beginning { on: C, quick: Q, begin: B },
        GoingOn,
        Slow { #[pin] slow: Apart<S> },
    }
}

impl<C, Q, B, S> Future for AtOnce<C, Q, B, S>
where
    Q: Fn(&C, &mut Context<'_>) -> Poll<Option<S::Output>>,
    B: FnOnce(C) -> S,
    S: Future,
{
    type Output = S::Output;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<S::Output> {
        if let Stage::Beginning { on, quick, .. } = self.as_mut().project()
            && let Some(result) = ready!(quick(on, cx))
        {
            return Poll::Ready(result);
        }
        self.poll_slow(cx)
    }
}

impl<C, Q, B, S> AtOnce<C, Q, B, S>
where
    B: FnOnce(C) -> S,
    S: Future,
{
    #[inline(never)]
    fn poll_slow(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<S::Output> {
        if let Stage::Slow { slow } = self.as_mut().project() {
            return slow.get().poll(cx);
        }
        let Was::Beginning { on, begin, .. } = self.as_mut().project_replace(Self::GoingOn) else {
            unreachable!("`begin` has not panicked: it makes an `async` block")
        };
        self.set(Self::Slow { slow: Apart::new(begin(on)) });
        self.poll_slow(cx)
    }
}

/// As [`at_once`], of an operation that waits for permits where `quick` has not done it: `begin` says which, and `done` makes its result of what came of that.
///
/// With an `async` block in the middle a wait would go through one call more in each poll.
#[inline]
pub(crate) fn acquire_at_once<'a, C, O>(
    on: C,
    quick: impl Fn(&C, &mut Context<'_>) -> Poll<Option<O>>,
    begin: impl Fn(&C) -> Acquire<'a>,
    done: impl Fn(&C, Result<u64, Broken>) -> O,
) -> impl Future<Output = O> {
    AcquireAtOnce { on, quick, begin, done, slow: None }
}

pin_project! {
    struct AcquireAtOnce<'a, C, Q, B, D> {
        on: C,
        quick: Q,
        begin: B,
        done: D,
        #[pin]
        slow: Option<WaitApart<'a>>,
    }
}

impl<'a, C, Q, B, D, O> Future for AcquireAtOnce<'a, C, Q, B, D>
where
    Q: Fn(&C, &mut Context<'_>) -> Poll<Option<O>>,
    B: Fn(&C) -> Acquire<'a>,
    D: Fn(&C, Result<u64, Broken>) -> O,
{
    type Output = O;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<O> {
        let this = self.as_mut().project();
        if this.slow.is_none()
            && let Some(result) = ready!((this.quick)(this.on, cx))
        {
            return Poll::Ready(result);
        }
        self.poll_slow(cx)
    }
}

impl<'a, C, Q, B, D, O> AcquireAtOnce<'a, C, Q, B, D>
where
    B: Fn(&C) -> Acquire<'a>,
    D: Fn(&C, Result<u64, Broken>) -> O,
{
    #[inline(never)]
    fn poll_slow(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<O> {
        let mut this = self.project();
        let acquired = ready!(match this.slow.as_mut().as_pin_mut() {
            Some(slow) => slow.get().poll_again(cx),
            None => {
                this.slow.set(Some(WaitApart::new((this.begin)(this.on))));
                this.slow.as_pin_mut().expect("just set").get().poll_line(cx)
            }
        });
        Poll::Ready((this.done)(this.on, acquired))
    }
}

/// What came of a wait for permits that nobody owns: they are not broken by anybody.
#[inline]
pub(crate) fn unbroken<T>(acquired: Result<T, Broken>) {
    debug_assert!(acquired.is_ok());
}
