//! The one wait queue: under the limiter of this crate and under everything in the sync crate, which takes it from [`lowlevel`](crate::lowlevel).
//!
//! A [`Lot`] is a lock, the state that it guards, and `N` queues of those who wait for that state
//! to change. A [`Waiter`] lives in the pinned future that waits and carries the links, the waker
//! and a payload `P`, so a wait allocates nothing. The payload is the hand-over: who notifies a
//! waiter first puts a result into it, or takes an offer out of it.
//!
//! ```text
//!             enter                  notify
//!   Outside ---------> Waiting -----------------> Notified
//!      ^                  |                          |
//!      +---- leave -------+        poll, leave       |
//!      +---------------------------------------------+
//! ```
//!
//! Every queue is first in, first out: a waiter enters at the back, `notify` takes the front; unless it enters at the place that it had before (`enter_before`). A waiter that waits can be moved to another queue of its lot,
//! by who holds the lock.
//!
//! Invariants:
//! - **W1** A waiter's node is in a queue exactly while its state is Waiting; the state says which of
//!   the waiter's own lot.
//! - **W2** A node in a queue is live and stays where it is: `enter` takes the waiter pinned, and a
//!   waiter that is dropped leaves its queue first.
//! - **W3** While the state is Waiting, the fields of the node, and the state itself, are touched
//!   only under the lot's lock.
//! - **W4** While the state is Outside or Notified, the fields are touched only by the owner, who
//!   proves to be alone with `&mut`. Notifying ends with storing Notified (Release) and does not
//!   touch the node after that; the owner reads it with Acquire before it touches the fields. So a
//!   woken waiter takes its result without the lock.
//! - **W5** The links of a queue and its length are touched only under the lot's lock.
//! - **W6** The fields are there exactly while the state is not Outside: `enter` puts them, and who makes the state Outside takes them out. So a waiter that never waits costs next to nothing.
//!
//! No waker is called, nor dropped, under the lock: what a critical section takes out leaves with
//! [`Locked`], which unlocks first. (A waker is cloned under it: for that, `RawWaker`'s clone only
//! has to count.)
#![allow(unsafe_code)]

mod queue;

use crate::primitives::atomic::Ordering;
use crate::primitives::{Mutex, MutexGuard};
use queue::{MOST_QUEUES, NOTIFIED, Node, OUTSIDE, Queue, payload_of, queue_of, waiting_in, with_fields};
use std::marker::PhantomPinned;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context, Poll, Waker};

/// How many wakers [`Lot::notify_all`] collects before it lets go of the lock to call them.
const BATCH: usize = if cfg!(loom) { 2 } else { 32 };

/// A lock, the state `G` that it guards, and `N` queues of waiters with payload `P`.
pub struct Lot<G, P, const N: usize> {
    inner: Mutex<Inner<G, P, N>>,
}

struct Inner<G, P, const N: usize> {
    state: G,
    queues: [Queue<P>; N],
}

impl<G, P: Default, const N: usize> Lot<G, P, N> {
    /// A lot with empty queues.
    #[cfg(not(loom))]
    pub const fn new(state: G) -> Self {
        const { assert!(N <= MOST_QUEUES) };
        let queues = [const { Queue::new() }; N];
        Self { inner: Mutex::new(Inner { state, queues }) }
    }

    /// A lot with empty queues.
    #[cfg(loom)]
    pub fn new(state: G) -> Self {
        const { assert!(N <= MOST_QUEUES) };
        let queues = [const { Queue::new() }; N];
        Self { inner: Mutex::new(Inner { state, queues }) }
    }

    /// Locks the state and the queues. The lock is for a few steps, and is not held across an `.await`.
    #[inline]
    pub fn lock(&self) -> Locked<'_, G, P, N> {
        self.lock_quietly().into_locked()
    }

    /// As [`lock`](Self::lock), for who will hardly ever have somebody to wake.
    #[inline]
    pub fn lock_quietly(&self) -> Quiet<'_, G, P, N> {
        Quiet { inner: self.inner.lock(), lot: self }
    }

    /// Notifies everyone in `queue`, their payloads as they are.
    ///
    /// The lock is let go of after each small batch to call the wakers. So the caller has changed
    /// the state before, in such a way that nobody enters the queue any more.
    pub fn notify_all(&self, queue: usize) {
        self.lock().notify_all(queue);
    }
}

/// A [`Lot`] while it is locked, for a change of the state that concerns nobody who waits; derefs to the state. Nothing leaves with it but the lock, so it costs less than [`Locked`], which it becomes where
/// somebody waits after all.
pub struct Quiet<'a, G, P, const N: usize> {
    inner: MutexGuard<'a, Inner<G, P, N>>,
    lot: &'a Lot<G, P, N>,
}

impl<'a, G, P, const N: usize> Quiet<'a, G, P, N> {
    /// How many wait in `queue`.
    #[inline]
    pub fn waiting(&self, queue: usize) -> usize {
        self.inner.queues[queue].len
    }

    /// The payload of the first in `queue`.
    #[inline]
    pub fn front(&mut self, queue: usize) -> Option<&mut P> {
        let front = self.inner.queues[queue].head?;
        // SAFETY: it is in the queue, so it is live (W2) and Waiting; the lock is held as long as the reference lasts (W3).
        Some(unsafe { payload_of(front) })
    }

    /// Moves the first in `from` for which `pick` is true to the end of `to`; whether there was one. Its waker stays with it.
    pub fn relocate(&mut self, from: usize, to: usize, mut pick: impl FnMut(&mut P) -> bool) -> bool {
        // SAFETY: what is in the queue is live and Waiting, and the lock is held (W2, W3).
        let Some(node) = (unsafe { self.inner.queues[from].find(|payload| pick(payload)) }) else { return false };
        // SAFETY: it is in `from`.
        unsafe { self.inner.shift(node, from, to) };
        true
    }

    /// Calls `f` with the payload of each in `queue`, first to last.
    pub fn each(&mut self, queue: usize, mut f: impl FnMut(&mut P)) {
        // SAFETY: as in `relocate`.
        let _ = unsafe {
            self.inner.queues[queue].find(|payload| {
                f(payload);
                false
            })
        };
    }

    /// Notifies the first in `queue`, after `hand` has had its payload; the waker is the caller's to call, without the lock.
    #[inline]
    pub fn take_first<R>(&mut self, queue: usize, hand: impl FnOnce(&mut P) -> R) -> Option<(R, Option<Waker>)> {
        self.inner.queues[queue].notify_front(hand)
    }

    /// The payload of the first in `queue` and its waker, for who hands it something and then calls [`notify_first`](Self::notify_first). What is taken out is dropped without the lock.
    #[inline]
    pub(crate) fn first(&mut self, queue: usize) -> Option<(&mut P, &mut Option<Waker>)> {
        let front = self.inner.queues[queue].head?;
        // SAFETY: as in `front`.
        Some(unsafe { queue::payload_and_waker_of(front) })
    }

    /// Notifies the first in `queue`, if there is one, whose waker the caller has taken.
    #[inline]
    pub(crate) fn notify_first(&mut self, queue: usize) {
        let _nobody = self.inner.queues[queue].notify_front(|_| ());
    }

    /// The lock stays held all along.
    #[inline]
    pub fn into_locked(self) -> Locked<'a, G, P, N> {
        Locked { quiet: self, outgoing: Outgoing { wake: None, renewed: None, withdrawn: None } }
    }
}

/// A [`Lot`] while it is locked; derefs to the state. Dropping it unlocks, then calls the waker of
/// whom it has notified: the fields are dropped in this order.
pub struct Locked<'a, G, P, const N: usize> {
    quiet: Quiet<'a, G, P, N>,
    outgoing: Outgoing,
}

/// Wakers on their way out of the lock: one to be called, and two to be dropped, as a waiter may be renewed and withdrawn under one locking. One of each: a second would drop the first under the lock.
struct Outgoing {
    wake: Option<Waker>,
    renewed: Option<Waker>,
    withdrawn: Option<Waker>,
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        if let Some(waker) = self.wake.take() {
            waker.wake();
        }
    }
}

impl<'a, G, P: Default, const N: usize> Locked<'a, G, P, N> {
    /// How many wait in `queue`.
    #[inline]
    pub fn waiting(&self, queue: usize) -> usize {
        self.quiet.inner.queues[queue].len
    }

    /// Notifies the first in `queue`, after `hand` has had its payload; `None` if nobody waits.
    ///
    /// # Panics
    ///
    /// If this locking has notified someone already: it carries one waker out.
    #[inline]
    pub fn notify_first<R>(&mut self, queue: usize, hand: impl FnOnce(&mut P) -> R) -> Option<R> {
        assert!(self.outgoing.wake.is_none(), "one notification per locking");
        let (result, waker) = self.quiet.take_first(queue, hand)?;
        self.outgoing.wake = waker;
        Some(result)
    }

    /// As [`Quiet::take_first`].
    pub fn take_first<R>(&mut self, queue: usize, hand: impl FnOnce(&mut P) -> R) -> Option<(R, Option<Waker>)> {
        self.quiet.take_first(queue, hand)
    }

    /// As [`Lot::notify_all`], with the change of the state under this same lock.
    pub fn notify_all(mut self, queue: usize) {
        if self.waiting(queue) <= 1 {
            // No batch, which takes longer to prepare than one to wake.
            self.notify_first(queue, |_| ());
            return;
        }
        let Locked { quiet: Quiet { mut inner, lot }, outgoing: _outgoing } = self;
        loop {
            let mut wakers = [const { None::<Waker> }; BATCH];
            for slot in &mut wakers {
                match inner.queues[queue].notify_front(|_| ()) {
                    Some(((), waker)) => *slot = waker,
                    None => break,
                }
            }
            let finished = inner.queues[queue].is_empty();
            drop(inner);
            wakers.into_iter().flatten().for_each(Waker::wake);
            if finished {
                return;
            }
            inner = lot.inner.lock();
        }
    }

    /// The payload of the first in `queue`.
    #[inline]
    pub fn front(&mut self, queue: usize) -> Option<&mut P> {
        self.quiet.front(queue)
    }
}

impl<G, P, const N: usize> Inner<G, P, N> {
    /// Moves a node from one queue to the end of another.
    ///
    /// # Safety
    ///
    /// `node` is in queue `from`, and the lock is held.
    unsafe fn shift(&mut self, node: NonNull<Node<P>>, from: usize, to: usize) {
        // SAFETY: passed on; between the two the node is in no queue, and the lock is held all along (W1).
        unsafe {
            self.queues[from].remove(node);
            node.as_ref().state.store(waiting_in(to), Ordering::Relaxed); // W3: under the lock.
            self.queues[to].push_back(node);
        }
    }
}

impl<G, P, const N: usize> Deref for Quiet<'_, G, P, N> {
    type Target = G;

    #[inline]
    fn deref(&self) -> &G {
        &self.inner.state
    }
}

impl<G, P, const N: usize> DerefMut for Quiet<'_, G, P, N> {
    #[inline]
    fn deref_mut(&mut self) -> &mut G {
        &mut self.inner.state
    }
}

impl<G, P, const N: usize> Deref for Locked<'_, G, P, N> {
    type Target = G;

    fn deref(&self) -> &G {
        &self.quiet.inner.state
    }
}

impl<G, P, const N: usize> DerefMut for Locked<'_, G, P, N> {
    fn deref_mut(&mut self) -> &mut G {
        &mut self.quiet.inner.state
    }
}

/// One who waits, or may come to wait, in a queue of `lot`. Lives in the future that waits.
pub struct Waiter<'a, G, P: Default, const N: usize> {
    lot: &'a Lot<G, P, N>,
    node: Node<P>,
    /// W2: what points to the node needs it to stay.
    _pinned: PhantomPinned,
}

/// What [`Waiter::leave`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Left<P> {
    /// It was waiting; now it is not, and nobody has touched the payload.
    Waiting(P),
    /// It had been notified and had not been polled since: what it was given has to go on to
    /// someone else.
    Notified(P),
}

// SAFETY: by W3 and W4 the fields are touched under the lock or by the one owner; the payload and the
// waker may go to another thread (`P: Send`; a waker is Send), and so may the state in the lot.
unsafe impl<G: Send, P: Send + Default, const N: usize> Send for Waiter<'_, G, P, N> {}
// SAFETY: a shared waiter gives access to nothing but its atomic state: the owner's methods that touch
// fields take `Pin<&mut Self>` (W4).
unsafe impl<G: Send, P: Send + Default, const N: usize> Sync for Waiter<'_, G, P, N> {}

impl<'a, G, P: Default, const N: usize> Waiter<'a, G, P, N> {
    /// One who has not entered a queue of `lot`.
    #[inline]
    pub fn new(lot: &'a Lot<G, P, N>) -> Self {
        Self { lot, node: Node::new(), _pinned: PhantomPinned }
    }

    /// Where it waits, or will.
    #[inline]
    pub fn lot(&self) -> &'a Lot<G, P, N> {
        self.lot
    }

    #[inline]
    fn assert_own(&self, lot: &Lot<G, P, N>) {
        assert!(std::ptr::eq(self.lot, lot), "another lot's lock");
    }

    /// Whether it has entered a queue and its result has not been taken.
    #[inline]
    pub fn has_entered(&self) -> bool {
        self.node.state.load(Ordering::Relaxed) != OUTSIDE
    }

    /// Enters at the back of `queue` of the lot, which the caller has locked.
    ///
    /// # Panics
    ///
    /// If `locked` is another lot, or if it has entered before and is not out again.
    #[inline]
    pub fn enter(self: Pin<&mut Self>, locked: &mut Locked<'_, G, P, N>, queue: usize, payload: P, waker: &Waker) {
        self.enter_quietly(&mut locked.quiet, queue, payload, waker.clone());
    }

    /// As [`enter`](Self::enter), with a waker that is the caller's, and nothing to take out of the lock.
    #[inline]
    pub(crate) fn enter_quietly(
        self: Pin<&mut Self>,
        locked: &mut Quiet<'_, G, P, N>,
        queue: usize,
        payload: P,
        waker: Waker,
    ) {
        self.put(locked, queue, payload, waker);
        // SAFETY: the node was Outside, so it is in no queue (W1); it is pinned, and `Drop` takes it out
        // (W2); the queue is of the waiter's own lot, which is locked (W1, W5).
        unsafe { locked.inner.queues[queue].push_back(NonNull::from(&self.node)) };
    }

    /// As [`enter_quietly`](Self::enter_quietly), but before the first in the queue for whose payload `before` is true.
    pub(crate) fn enter_before(
        self: Pin<&mut Self>,
        locked: &mut Quiet<'_, G, P, N>,
        queue: usize,
        payload: P,
        waker: Waker,
        mut before: impl FnMut(&P) -> bool,
    ) {
        self.put(locked, queue, payload, waker);
        let queue = &mut locked.inner.queues[queue];
        // SAFETY: what is in a queue is live and Waiting, and the lock is held (W2, W3); for the node, as in `enter_quietly`.
        unsafe {
            match queue.find(|payload| before(payload)) {
                Some(next) => queue.insert_before(next, NonNull::from(&self.node)),
                None => queue.push_back(NonNull::from(&self.node)),
            }
        }
    }

    /// The first half of entering `queue`; the second is putting the node there, under the same locking.
    #[inline]
    fn put(&self, locked: &Quiet<'_, G, P, N>, queue: usize, payload: P, waker: Waker) {
        self.assert_own(locked.lot);
        assert!(!self.has_entered(), "a waiter enters one queue at a time");
        // SAFETY: the state is Outside, and the caller has `&mut self` (W4).
        unsafe { self.node.put(payload, waker) };
        self.node.state.store(waiting_in(queue), Ordering::Relaxed);
    }

    /// The payload once it has been notified. Until then the task of `cx` is the one that is woken.
    ///
    /// # Panics
    ///
    /// If it has not entered a queue.
    pub fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<P> {
        if let Some(payload) = self.as_mut().take_notified() {
            return Poll::Ready(payload);
        }
        assert!(self.has_entered(), "polled a waiter that has not entered");
        let locked = self.lot.lock();
        // Ordering: whoever stored Notified did it under this lock.
        if self.node.state.load(Ordering::Relaxed) == NOTIFIED {
            drop(locked);
            return Poll::Ready(self.take_payload());
        }
        // SAFETY: the state is Waiting and the lock is held (W3).
        let replaced = unsafe {
            with_fields(NonNull::from(&self.node), |fields| match &fields.waker {
                Some(waker) if waker.will_wake(cx.waker()) => None,
                _ => fields.waker.replace(cx.waker().clone()),
            })
        };
        drop(locked);
        drop(replaced);
        Poll::Pending
    }

    /// The payload if it has been notified; no lock is taken.
    #[inline]
    pub(crate) fn take_notified(self: Pin<&mut Self>) -> Option<P> {
        (self.node.state.load(Ordering::Acquire) == NOTIFIED).then(|| self.take_payload())
    }

    /// As [`take_notified`](Self::take_notified), if `settles` says so of the payload, which is dropped then where it lies.
    #[inline]
    pub(crate) fn settle_notified(self: Pin<&mut Self>, settles: impl FnOnce(&P) -> bool) -> bool {
        if self.node.state.load(Ordering::Acquire) != NOTIFIED {
            return false;
        }
        // SAFETY: the state is Notified, seen with Acquire, and `self` is exclusive (W4).
        unsafe {
            let settles = self.node.with_payload(settles);
            if settles {
                self.node.end();
            }
            settles
        }
    }

    /// Gives `f` the payload and has `waker` woken from now on, if it waits.
    ///
    /// # Panics
    ///
    /// If `locked` is another lot, or a waker was replaced under it already.
    pub fn renew<R>(
        self: Pin<&mut Self>,
        locked: &mut Locked<'_, G, P, N>,
        waker: &Waker,
        f: impl FnOnce(&mut P) -> R,
    ) -> Option<R> {
        self.assert_own(locked.quiet.lot);
        // Ordering: as in `poll`.
        queue_of(self.node.state.load(Ordering::Relaxed))?;
        // SAFETY: the state is Waiting and the lock is held (W3).
        let (result, replaced) = unsafe {
            with_fields(NonNull::from(&self.node), |fields| {
                let replaced = match &fields.waker {
                    Some(known) if known.will_wake(waker) => None,
                    _ => fields.waker.replace(waker.clone()),
                };
                (f(&mut fields.payload), replaced)
            })
        };
        if replaced.is_some() {
            assert!(locked.outgoing.renewed.is_none(), "one renewal per locking");
            locked.outgoing.renewed = replaced;
        }
        Some(result)
    }

    /// Stops waiting under the lock; the payload, if it did wait. If it was notified, nothing happens: [`poll`](Self::poll) or [`leave`](Self::leave) takes the result.
    ///
    /// # Panics
    ///
    /// If `locked` is another lot, or one with a waker was withdrawn under it already.
    pub fn withdraw_from(self: Pin<&mut Self>, locked: &mut Locked<'_, G, P, N>) -> Option<P> {
        let (payload, waker) = self.take_out(&mut locked.quiet)?;
        if waker.is_some() {
            assert!(locked.outgoing.withdrawn.is_none(), "one withdrawal per locking");
            locked.outgoing.withdrawn = waker;
        }
        Some(payload)
    }

    /// As [`withdraw_from`](Self::withdraw_from); the waker is the caller's, to drop it without the lock.
    pub(crate) fn take_out(self: Pin<&mut Self>, locked: &mut Quiet<'_, G, P, N>) -> Option<(P, Option<Waker>)> {
        self.assert_own(locked.lot);
        // Ordering: as in `poll`.
        let queue = queue_of(self.node.state.load(Ordering::Relaxed))?;
        // SAFETY: a waiting node is in that queue of its own lot, which is locked (W1, W5), and its fields are under that lock (W3).
        let fields = unsafe {
            locked.inner.queues[queue].remove(NonNull::from(&self.node));
            self.node.take()
        };
        Some((fields.payload, fields.waker))
    }

    /// Stops waiting; `None` if there was nothing to stop.
    #[inline]
    pub fn leave(self: Pin<&mut Self>) -> Option<Left<P>> {
        if !self.has_entered() {
            return None;
        }
        let withdrawn = self.withdraw();
        Some(withdrawn.map_or_else(|| Left::Notified(self.take_payload()), Left::Waiting))
    }

    /// Takes a waiting node out of its queue; its payload, if it was waiting.
    fn withdraw(&self) -> Option<P> {
        // Acquire: as in `poll`, for `take_payload`.
        queue_of(self.node.state.load(Ordering::Acquire))?;
        // Not under the lock: the waker, and what is dropped with the payload.
        let fields = self.withdraw_locked(self.lot.lock_quietly())?;
        Some(fields.payload)
    }

    fn withdraw_locked(&self, mut locked: Quiet<'_, G, P, N>) -> Option<queue::Fields<P>> {
        // Ordering: as in `poll`.
        let queue = queue_of(self.node.state.load(Ordering::Relaxed))?;
        // SAFETY: a waiting node is in that queue of its own lot, which is locked (W1, W5), and its fields are under that lock (W3).
        unsafe {
            locked.inner.queues[queue].remove(NonNull::from(&self.node));
            Some(self.node.take())
        }
    }

    /// The payload of a node that was notified. The node is Outside afterwards.
    fn take_payload(self: Pin<&mut Self>) -> P {
        debug_assert_eq!(self.node.state.load(Ordering::Relaxed), NOTIFIED);
        // SAFETY: the state is Notified, seen with Acquire or under the lock, and `self` is exclusive (W4).
        unsafe { self.node.take() }.payload
    }
}

impl<G, P: Default, const N: usize> Drop for Waiter<'_, G, P, N> {
    #[inline]
    fn drop(&mut self) {
        // W2. Most futures have left by now, or have never entered.
        if self.has_entered() && self.withdraw().is_none() {
            // SAFETY: the state is Notified, seen with Acquire or under the lock, and `self` is exclusive (W4).
            drop(unsafe { self.node.take() });
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
