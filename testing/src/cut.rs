//! Where a future is cut, what came of it, and the future that cuts: what the sweeps share, in a [simulation](crate::cancel_everywhere) and [outside](crate::cancel_everywhere_real).

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use trioxide_runtime::{CancelScope, Cancelled, Nursery, ScopeHandle, nursery};

/// How a future was cut, and what came of it.
#[derive(Clone, Debug)]
pub struct Cut<T> {
    place: Option<Place>,
    outcome: Option<T>,
}

impl<T> Cut<T> {
    /// What it gave, if it came to its end: it was not cut, or what it waited for was complete when it was cancelled.
    pub fn outcome(&self) -> Option<&T> {
        self.outcome.as_ref()
    }

    /// Whether it was cut at all: it is not in the first run of each seed, nor if it came to its end before its cut, which happens
    /// [outside of simulations](crate::cancel_everywhere_real).
    pub fn is_cut(&self) -> bool {
        self.place.is_some()
    }

    /// Whether it was dropped, and not cancelled.
    pub fn is_drop(&self) -> bool {
        self.place.is_some_and(|place| place.by == By::Drop)
    }

    /// After how many suspensions it was cut; 0: before its first poll.
    pub fn suspensions(&self) -> usize {
        self.place.map_or(0, |place| place.suspension)
    }
}

impl<T> fmt::Display for Cut<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Place::told(self.place))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    suspension: usize,
    moment: Moment,
    by: By,
}

impl Place {
    /// All that there are after so many suspensions.
    pub(crate) fn all(suspension: usize) -> impl Iterator<Item = Place> {
        [By::Cancel, By::Drop].into_iter().flat_map(move |by| {
            let woken = Place { suspension, moment: Moment::Woken, by };
            let suspended = Place { suspension, moment: Moment::Suspended, by };
            [Some(woken), (suspension > 0).then_some(suspended)].into_iter().flatten()
        })
    }

    /// As text, for the run that is not cut, too.
    pub(crate) fn told(place: Option<Place>) -> String {
        place.map_or_else(|| "not cut".to_owned(), |place| place.to_string())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// At once, when it has been suspended.
    Suspended,
    /// When it has been woken, before it is polled.
    Woken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Cancel,
    Drop,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = match self.by {
            By::Cancel => "cancelled",
            By::Drop => "dropped",
        };
        match (self.suspension, self.moment) {
            (0, _) => write!(f, "{how} before its first poll"),
            (suspension, Moment::Suspended) => write!(f, "{how} at suspension {suspension}"),
            (suspension, Moment::Woken) => write!(f, "{how} when woken from suspension {suspension}"),
        }
    }
}

/// A run of a sweep, when all of its tasks have ended; the check is still to come.
pub(crate) struct Ended<S, T> {
    pub(crate) state: S,
    pub(crate) cut: Cut<T>,
    /// How often the body was suspended.
    pub(crate) suspensions: usize,
}

/// Runs `body` up to `place` and no further, or to its end; and then who works beside it, to theirs.
pub(crate) async fn cut<S, T>(
    setup: &impl AsyncFn(&Nursery<Infallible>) -> S,
    body: &impl AsyncFn(&S) -> T,
    place: Option<Place>,
) -> Ended<S, T> {
    let mut ended = None;
    nursery(async |n| {
        let state = setup(&n).await;
        let scope = CancelScope::new();
        let handle = scope.handle();
        let cutting = {
            let body = Some(Box::pin(scope.run(body(&state))));
            Cutting { body, handle, place, reached: false, suspensions: 0 }.await
        };
        let place = place.filter(|_| cutting.reached);
        ended = Some(Ended { state, cut: Cut { place, outcome: cutting.outcome }, suspensions: cutting.suspensions });
    })
    .await;
    ended.expect("the nursery's body has ended")
}

/// Cuts a future at its place.
struct Cutting<F> {
    body: Option<Pin<Box<F>>>,
    handle: ScopeHandle,
    place: Option<Place>,
    reached: bool,
    suspensions: usize,
}

impl<F> Cutting<F> {
    /// Whether the body is gone.
    fn cut(&mut self, at: Moment) -> bool {
        let place = self.place.filter(|place| (place.suspension, place.moment) == (self.suspensions, at));
        self.reached |= place.is_some();
        match place.map(|place| place.by) {
            Some(By::Cancel) => self.handle.cancel("everywhere"),
            Some(By::Drop) => self.body = None,
            None => {}
        }
        self.body.is_none()
    }

    fn end<T>(&mut self, outcome: Option<T>) -> Poll<HasEnded<T>> {
        self.body = None;
        Poll::Ready(HasEnded { reached: self.reached, suspensions: self.suspensions, outcome })
    }
}

struct HasEnded<T> {
    reached: bool,
    suspensions: usize,
    outcome: Option<T>,
}

impl<F, T> Future for Cutting<F>
where
    F: Future<Output = Result<T, Cancelled>>,
{
    type Output = HasEnded<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.cut(Moment::Woken) {
            return self.end(None);
        }
        let body = self.body.as_mut().expect("it is not polled after its end");
        if let Poll::Ready(outcome) = body.as_mut().poll(cx) {
            return self.end(outcome.ok());
        }
        self.suspensions += 1;
        if self.cut(Moment::Suspended) {
            return self.end(None);
        }
        Poll::Pending
    }
}
