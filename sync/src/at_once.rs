//! Operations that nearly always are done at once: [`at_once`].

use crate::apart::Apart;
use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

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
