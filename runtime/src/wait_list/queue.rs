//! The nodes of waiters, and the lists of those that wait. W1 to W6 are the invariants of the module above.
#![allow(unsafe_code)]

use crate::primitives::UnsafeCell;
use crate::primitives::atomic::{AtomicU8, Ordering};
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::task::Waker;

// The states of a node, see the module above.
pub(super) const OUTSIDE: u8 = 0;
pub(super) const NOTIFIED: u8 = 1;
/// In queue number zero; the others follow.
const WAITING: u8 = 2;
/// More than these have no state.
pub(super) const MOST_QUEUES: usize = (u8::MAX - WAITING) as usize + 1;

/// The state of a node in that queue.
#[inline]
pub(super) const fn waiting_in(queue: usize) -> u8 {
    WAITING + queue as u8
}

/// In which queue a node with that state waits, if it does.
#[inline]
pub(super) const fn queue_of(state: u8) -> Option<usize> {
    match state.checked_sub(WAITING) {
        Some(queue) => Some(queue as usize),
        None => None,
    }
}

/// A million tasks may wait for one event: so which queue it is has no word of its own.
pub(super) struct Node<P> {
    pub(super) state: AtomicU8,
    pub(super) fields: UnsafeCell<MaybeUninit<Fields<P>>>,
}

/// The part of a node that W3 and W4 guard, and that is there while the state is not Outside (W6).
pub(super) struct Fields<P> {
    pub(super) previous: Option<NonNull<Node<P>>>,
    pub(super) next: Option<NonNull<Node<P>>>,
    pub(super) waker: Option<Waker>,
    pub(super) payload: P,
}

impl<P> Node<P> {
    #[inline]
    pub(super) fn new() -> Self {
        Self { state: AtomicU8::new(OUTSIDE), fields: UnsafeCell::new(MaybeUninit::uninit()) }
    }

    /// Puts the fields.
    ///
    /// # Safety
    ///
    /// The state is Outside, and the node the caller's alone.
    #[inline]
    pub(super) unsafe fn put(&self, payload: P, waker: Waker) {
        let new = Fields { previous: None, next: None, waker: Some(waker), payload };
        self.fields.with_mut(|fields| {
            // SAFETY: nobody else touches them (W4), and nothing is there (W6).
            unsafe { fields.write(MaybeUninit::new(new)) }
        });
    }

    /// Takes the fields out, and makes the state Outside.
    ///
    /// # Safety
    ///
    /// The state is not Outside, the node is in no queue any more, and nobody else touches it: by the lock, or as it is Notified (W3, W4).
    #[inline]
    pub(super) unsafe fn take(&self) -> Fields<P> {
        let taken = self.fields.with_mut(|fields| {
            // SAFETY: they are there (W6), and from now on the caller's.
            unsafe { (*fields).assume_init_read() }
        });
        self.state.store(OUTSIDE, Ordering::Relaxed);
        taken
    }

    /// Gives `f` the payload.
    ///
    /// # Safety
    ///
    /// As for `take`.
    #[inline]
    pub(super) unsafe fn with_payload<R>(&self, f: impl FnOnce(&P) -> R) -> R {
        self.fields.with_mut(|fields| {
            // SAFETY: they are there (W6), and nobody else touches them.
            f(unsafe { &(*fields).assume_init_ref().payload })
        })
    }

    /// Drops the fields where they lie, and makes the state Outside.
    ///
    /// # Safety
    ///
    /// As for `take`.
    #[inline]
    pub(super) unsafe fn end(&self) {
        // First: they are not there any more, whatever dropping them does.
        self.state.store(OUTSIDE, Ordering::Relaxed);
        self.fields.with_mut(|fields| {
            // SAFETY: they were there (W6), and are nobody else's.
            unsafe { (*fields).assume_init_drop() }
        });
    }
}

/// A doubly linked list of waiting nodes. It does not own them (W2).
pub(super) struct Queue<P> {
    pub(super) head: Option<NonNull<Node<P>>>,
    tail: Option<NonNull<Node<P>>>,
    pub(super) len: usize,
}

// SAFETY: a queue is used under its lot's lock (W5), and so are the fields of the nodes in it (W3); it
// gives access to their payloads, which are `Send`.
unsafe impl<P: Send> Send for Queue<P> {}

impl<P> Queue<P> {
    pub(super) const fn new() -> Self {
        Self { head: None, tail: None, len: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.head.is_none()
    }

    /// Gives the payload of the front node to `hand`, takes the node out, and marks it as notified. The
    /// waker is the caller's to call, without the lock.
    #[inline]
    pub(super) fn notify_front<R>(&mut self, hand: impl FnOnce(&mut P) -> R) -> Option<(R, Option<Waker>)> {
        let front = self.head?;
        // SAFETY: it is in the queue, so it is live (W2), and remains so at least until Notified is
        // stored: its owner has to take the lock, which is held, to take it out (W3).
        let node = unsafe { front.as_ref() };
        let notified = node.fields.with_mut(|fields| {
            // SAFETY: the state is Waiting and the lock is held (W3, W6).
            let fields = unsafe { (*fields).assume_init_mut() };
            (hand(&mut fields.payload), fields.waker.take())
        });
        // SAFETY: the head is in this queue.
        unsafe { self.remove(front) };
        // The last touch (W4): from here on the owner may take the result and be gone.
        node.state.store(NOTIFIED, Ordering::Release);
        Some(notified)
    }

    /// Adds `node` at the back.
    ///
    /// # Safety
    ///
    /// `node` is in no queue, this queue's lot is locked, and W2 holds for it from now on.
    pub(super) unsafe fn push_back(&mut self, node: NonNull<Node<P>>) {
        // SAFETY: of the node and of the tail: live (W2) and Waiting under the lock (W3).
        unsafe {
            with_links(node, |previous, _| *previous = self.tail);
            match self.tail {
                Some(tail) => with_links(tail, |_, next| *next = Some(node)),
                None => self.head = Some(node),
            }
        }
        self.tail = Some(node);
        self.len += 1;
    }

    /// Adds `node` before `next`.
    ///
    /// # Safety
    ///
    /// As for `push_back`; `next` is in this queue.
    pub(super) unsafe fn insert_before(&mut self, next: NonNull<Node<P>>, node: NonNull<Node<P>>) {
        // SAFETY: of the node and of its neighbours: live (W2) and Waiting under the lock (W3).
        unsafe {
            let previous = with_links(next, |previous, _| previous.replace(node));
            with_links(node, |link, after| (*link, *after) = (previous, Some(next)));
            match previous {
                Some(previous) => with_links(previous, |_, link| *link = Some(node)),
                None => self.head = Some(node),
            }
        }
        self.len += 1;
    }

    /// The first node whose payload `pick` is true for.
    ///
    /// # Safety
    ///
    /// This queue's lot is locked.
    pub(super) unsafe fn find(&self, mut pick: impl FnMut(&mut P) -> bool) -> Option<NonNull<Node<P>>> {
        let mut next = self.head;
        while let Some(node) = next {
            // SAFETY: in this queue, hence live (W2) and Waiting under the lock (W3).
            unsafe {
                if pick(payload_of(node)) {
                    break;
                }
                next = with_links(node, |_, next| *next);
            }
        }
        next
    }

    /// Takes `node` out.
    ///
    /// # Safety
    ///
    /// `node` is in this queue, whose lot is locked.
    pub(super) unsafe fn remove(&mut self, node: NonNull<Node<P>>) {
        // SAFETY: of the node and of its neighbours: in this queue, hence live (W2) and Waiting under
        // the lock (W3).
        unsafe {
            let (previous, next) = with_links(node, |previous, next| (previous.take(), next.take()));
            match previous {
                Some(previous) => with_links(previous, |_, link| *link = next),
                None => self.head = next,
            }
            match next {
                Some(next) => with_links(next, |link, _| *link = previous),
                None => self.tail = previous,
            }
        }
        self.len -= 1;
    }
}

type Link<P> = Option<NonNull<Node<P>>>;

/// Gives `change` the links of `node`: the previous and the next.
///
/// # Safety
///
/// `node` is live, and Waiting under the lock of its lot.
#[inline]
unsafe fn with_links<P, R>(node: NonNull<Node<P>>, change: impl FnOnce(&mut Link<P>, &mut Link<P>) -> R) -> R {
    // SAFETY: passed on.
    unsafe { with_fields(node, |fields| change(&mut fields.previous, &mut fields.next)) }
}

/// Gives `change` the fields of `node`.
///
/// # Safety
///
/// `node` is live, and Waiting under the lock of its lot.
#[inline]
pub(super) unsafe fn with_fields<P, R>(node: NonNull<Node<P>>, change: impl FnOnce(&mut Fields<P>) -> R) -> R {
    // SAFETY: live (caller); no reference to the fields is formed here.
    let node = unsafe { node.as_ref() };
    node.fields.with_mut(|fields| {
        // SAFETY: Waiting under the lock (caller, W3, W6): they are there, and nobody else touches them.
        change(unsafe { (*fields).assume_init_mut() })
    })
}

/// The payload of `node`.
///
/// # Safety
///
/// `node` is live, and Waiting under the lock of its lot as long as the reference lasts; no other to its fields is there.
#[inline]
pub(super) unsafe fn payload_of<'a, P>(node: NonNull<Node<P>>) -> &'a mut P {
    // SAFETY: live (caller).
    let node = unsafe { node.as_ref() };
    node.fields.with_mut(|fields| {
        // SAFETY: they are there, and nobody else touches them (caller, W3, W6).
        unsafe { &mut (*fields).assume_init_mut().payload }
    })
}

/// As `payload_of`, with the waker.
///
/// # Safety
///
/// As for `payload_of`.
#[inline]
pub(super) unsafe fn payload_and_waker_of<'a, P>(node: NonNull<Node<P>>) -> (&'a mut P, &'a mut Option<Waker>) {
    // SAFETY: live (caller).
    let node = unsafe { node.as_ref() };
    node.fields.with_mut(|fields| {
        // SAFETY: they are there, and nobody else touches them (caller, W3, W6).
        let fields = unsafe { (*fields).assume_init_mut() };
        (&mut fields.payload, &mut fields.waker)
    })
}
