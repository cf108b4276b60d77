//! Waiting for what is newer than what one has seen: the wait of [`watch()`](super::watch()) and [`broadcast()`](super::broadcast()).
//!
//! Nothing is handed over here: who is woken looks for itself. So there is nothing to lose, and a future that nobody polls keeps nothing from others.
//!
//! Invariant **V1**: the payload of who waits is the version that it has seen, which was the newest when it began to wait. Versions only grow, so those who wait for a change that has been made are in front of those
//! who wait for the next.

use super::RecvError;
use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use trioxide_runtime::lowlevel::{Lot, Waiter, poll_checkpoint};

/// What changes, as the wait sees it.
pub(super) trait News {
    fn version(&self) -> u64;

    /// Whether there may be more.
    fn is_open(&self) -> bool;
}

/// The version that who waits has seen.
#[derive(Default)]
pub(super) struct Seen(u64);

pub(super) type NewsLot<S> = Lot<S, Seen, 1>;

pub(super) const WAITERS: usize = 0;

/// So many are woken between two looks at the lock.
const BATCH: usize = if cfg!(loom) { 2 } else { 8 };

/// Wakes those who have seen an older version than `version`.
pub(super) fn tell<S>(lot: &NewsLot<S>, version: u64) {
    let mut finished = false;
    while !finished {
        let mut wakers = [const { None::<Waker> }; BATCH];
        let mut locked = lot.lock();
        for slot in &mut wakers {
            finished = locked.front(WAITERS).is_none_or(|seen| seen.0 >= version);
            if finished {
                break;
            }
            *slot = locked.take_first(WAITERS, |_| ()).and_then(|((), waker)| waker);
        }
        drop(locked);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}

pin_project! {
    /// A wait for something to be found under the lock.
    pub(super) struct Search<'a, S> {
        // Until it has been one.
        checkpoint: Option<&'static str>,
        #[pin]
        waiter: Waiter<'a, S, Seen, 1>,
    }
}

impl<'a, S> Search<'a, S> {
    #[inline]
    pub(super) fn new(lot: &'a NewsLot<S>, checkpoint: Option<&'static str>) -> Self {
        Self { checkpoint, waiter: Waiter::new(lot) }
    }

    /// Ready with what `look` finds under the lock; as long as it finds nothing, it says which version it has seen, and is called anew when there is a newer one. Afterwards another search can begin.
    #[inline]
    pub(super) fn poll_for<R>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        look: impl FnOnce(&mut S) -> Result<R, u64>,
    ) -> Poll<R> {
        let mut this = self.project();
        if let Some(operation) = *this.checkpoint {
            ready!(poll_checkpoint(cx, operation));
            *this.checkpoint = None;
        }
        if this.waiter.has_entered() {
            ready!(this.waiter.as_mut().poll(cx));
        }
        let mut quiet = this.waiter.lot().lock_quietly();
        match look(&mut quiet) {
            Ok(found) => Poll::Ready(found),
            Err(seen) => {
                this.waiter.enter(&mut quiet.into_locked(), WAITERS, Seen(seen), cx.waker());
                Poll::Pending
            }
        }
    }
}

pin_project! {
    /// Ready when there is a newer version than `seen`, or will be none.
    pub(super) struct Newer<'a, S> {
        seen: u64,
        #[pin]
        search: Search<'a, S>,
    }
}

impl<'a, S: News> Newer<'a, S> {
    pub(super) fn than(seen: u64, lot: &'a NewsLot<S>, checkpoint: Option<&'static str>) -> Self {
        Self { seen, search: Search::new(lot, checkpoint) }
    }
}

impl<S: News> Future for Newer<'_, S> {
    type Output = Result<(), RecvError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let seen = *this.seen;
        this.search.poll_for(cx, |state| match state.version() > seen {
            true => Ok(Ok(())),
            false if !state.is_open() => Ok(Err(RecvError)),
            false => Err(seen),
        })
    }
}
