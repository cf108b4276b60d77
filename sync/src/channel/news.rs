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
    /// Ready when there is a newer version than `seen`, or will be none.
    pub(super) struct Newer<'a, S> {
        seen: u64,
        // Until it has been one.
        checkpoint: Option<&'static str>,
        #[pin]
        waiter: Waiter<'a, S, Seen, 1>,
    }
}

impl<'a, S: News> Newer<'a, S> {
    pub(super) fn than(seen: u64, lot: &'a NewsLot<S>, checkpoint: Option<&'static str>) -> Self {
        Self { seen, checkpoint, waiter: Waiter::new(lot) }
    }
}

impl<S: News> Future for Newer<'_, S> {
    type Output = Result<(), RecvError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(operation) = *this.checkpoint {
            ready!(poll_checkpoint(cx, operation));
            *this.checkpoint = None;
        }
        if this.waiter.has_entered() {
            ready!(this.waiter.as_mut().poll(cx));
        }
        let mut locked = this.waiter.lot().lock();
        if locked.version() > *this.seen {
            return Poll::Ready(Ok(()));
        }
        if !locked.is_open() {
            return Poll::Ready(Err(RecvError));
        }
        this.waiter.enter(&mut locked, WAITERS, Seen(*this.seen), cx.waker());
        Poll::Pending
    }
}
