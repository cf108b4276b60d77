//! What a task may have besides its future, and seldom has more than one of: a node of its own, a request to cancel it, the waker of its handle, something to tell at the end of a turn.
//!
//! ```text
//!  nothing ─┬─▶ node ◀── request ─┬─▶ several: { node or request, waker, what is armed }
//!           ├─▶ waker (⇄ nothing) ┘
//!           └─▶ … one of each: several
//! ```
//!
//! Each alone is a pointer, and the lowest bits say of what: one word in the header of each of a million tasks. With the second comes a place that has a field for each.
//!
//! Invariants:
//! - **E1** The word owns what it says. It is changed by a compare-and-exchange with what it was seen to be, and what it owned then is owned by the new word, or by who has made the exchange.
//! - **E2** `Several`, once there, stays until the task is freed. So does a node, here or there: to move it leaves it where it lies.
//! - **E3** Only the holder of `RUNNING` puts a node, when there is none. A request is put where neither is, by anyone with a reference.
//! - **E4** The waker is put and taken by the handle only, and read by the completer, as rule 3 of `state` says; in `Several` that is all that guards it. In the word an exchange by another moves it to
//!   `Several`, which changes nothing for those two: whoever reads it here knows from rule 3 that nobody drops it meanwhile.
#![allow(unsafe_code)]

use std::alloc::Layout;
use std::cell::UnsafeCell;
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::task::Waker;

use super::after::{After, Notes};
use super::memory;
use super::waker::OneWord;
use crate::primitives::atomic::AtomicPtr;
use crate::primitives::atomic::Ordering::{AcqRel, Acquire};
use crate::scope::{CancelReason, Node};
use crate::{contain, context};

/// See the module.
pub(crate) struct Extras(AtomicPtr<()>);

/// What the word is, by its lowest bits. A word that is null is a node that is not there.
const NODE: usize = 0;
const REQUEST: usize = 1;
const WAKER: usize = 2;
const SEVERAL: usize = 3;
const KIND: usize = 3;

/// So no address has these bits. (`OneWord` says so of itself.)
const _: () = assert!(align_of::<Node>() > KIND && align_of::<CancelReason>() > KIND && align_of::<Several>() > KIND);

struct Several {
    /// Null, a node, or a request.
    own: AtomicPtr<()>,
    join_waker: UnsafeCell<Option<OneWord>>,
    after: After,
}

/// What became of a request.
#[must_use]
pub(crate) enum Requested {
    /// It is there, for the next poll to find.
    Noted,
    /// Another one was there.
    Before,
    /// There is a node, to be cancelled.
    HasNode(CancelReason),
}

fn kind(word: *mut ()) -> usize {
    word.addr() & KIND
}

fn tagged(pointer: *mut (), kind: usize) -> *mut () {
    pointer.map_addr(|address| address | kind)
}

fn untagged(word: *mut ()) -> *mut () {
    word.map_addr(|address| address & !KIND)
}

/// A request, as a word.
fn request(reason: CancelReason) -> *mut () {
    tagged(Box::into_raw(Box::new(reason)).cast(), REQUEST)
}

/// # Safety
///
/// `word` is a request, and the caller owns it.
unsafe fn take_request(word: *mut ()) -> CancelReason {
    // SAFETY: made by `request` (E1).
    *unsafe { Box::from_raw(untagged(word).cast::<CancelReason>()) }
}

/// # Safety
///
/// `word` is a waker. It is the caller's, or he does not drop what this gives.
unsafe fn waker_in(word: *mut ()) -> OneWord {
    // SAFETY: E1: the word was made of one.
    unsafe { OneWord::from_raw(NonNull::new_unchecked(untagged(word))) }
}

impl Extras {
    pub(crate) fn none() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    /// Acquire pairs with the release of `exchange`: what the word owns is seen.
    #[inline]
    fn word(&self) -> *mut () {
        self.0.load(Acquire)
    }

    fn exchange(&self, seen: *mut (), new: *mut ()) -> bool {
        self.0.compare_exchange(seen, new, AcqRel, Acquire).is_ok()
    }

    #[inline]
    fn several(&self) -> Option<&Several> {
        let word = self.word();
        // SAFETY: E2.
        (kind(word) == SEVERAL).then(|| unsafe { several(word) })
    }

    /// Null, a node, or a request.
    #[cfg(loom)]
    fn own(&self) -> *mut () {
        let word = self.word();
        match kind(word) {
            NODE | REQUEST => word,
            WAKER => ptr::null_mut(),
            // SAFETY: E2.
            _ => unsafe { several(word) }.own.load(Acquire),
        }
    }

    /// The task's own node, if it has one.
    #[inline]
    pub(crate) fn node(&self) -> Option<&Node> {
        let word = self.word();
        if kind(word) != NODE {
            // SAFETY: E2.
            return unsafe { node_besides(word).as_ref() };
        }
        // SAFETY: E2.
        unsafe { word.cast::<Node>().as_ref() }
    }

    /// What a poll begins with, in one look: the task's own node, if it has one or is to have one, and what is told after a turn. The caller holds `RUNNING`. `make`: makes the node, for a request that has none.
    #[inline]
    pub(crate) fn at_poll(&self, make: impl FnOnce() -> *const Node) -> (*const Node, Option<&Notes>) {
        let word = self.word();
        // One look: a request may come at any time, where there was nothing.
        let (own, notes) = match kind(word) {
            WAKER => (ptr::null_mut(), None),
            SEVERAL => {
                // SAFETY: E2.
                let several = unsafe { several(word) };
                (several.own.load(Acquire), several.after.notes())
            }
            _ => (word, None),
        };
        let own = if kind(own) == REQUEST { make() } else { own.cast::<Node>().cast_const() };
        (own, notes)
    }

    /// Whether somebody has asked to cancel this task before it had a node.
    #[cfg(loom)]
    pub(crate) fn has_request(&self) -> bool {
        kind(self.own()) == REQUEST
    }

    /// Puts the task's own node, and gives the request that was there. The caller holds `RUNNING` (E3).
    pub(crate) fn put_node(&self, node: Arc<Node>) -> Option<CancelReason> {
        let node = Arc::into_raw(node).cast_mut().cast::<()>();
        let before = loop {
            let word = self.word();
            match kind(word) {
                SEVERAL => {
                    // SAFETY: E2. Acquire and release, as in `exchange`.
                    break unsafe { several(word) }.own.swap(node, AcqRel);
                }
                WAKER => self.make_several(word),
                _ if self.exchange(word, node) => break word,
                _ => {}
            }
        };
        debug_assert!(before.is_null() || kind(before) == REQUEST, "E3");
        // SAFETY: E1: the exchange has made it ours.
        (!before.is_null()).then(|| unsafe { take_request(before) })
    }

    /// Asks for a cancel, unless there is a node to do it with.
    pub(crate) fn ask(&self, reason: CancelReason) -> Requested {
        let request = request(reason);
        loop {
            let word = self.word();
            let own = match kind(word) {
                NODE if word.is_null() && self.exchange(word, request) => return Requested::Noted,
                NODE if word.is_null() => continue,
                WAKER => {
                    self.make_several(word);
                    continue;
                }
                SEVERAL => {
                    // SAFETY: E2.
                    let own = unsafe { &several(word).own };
                    // Acquire and release, as in `exchange`.
                    match own.compare_exchange(ptr::null_mut(), request, AcqRel, Acquire) {
                        Ok(_) => return Requested::Noted,
                        Err(own) => own,
                    }
                }
                _ => word,
            };
            // SAFETY: it has not become anybody else's.
            let reason = unsafe { take_request(request) };
            return if kind(own) == NODE { Requested::HasNode(reason) } else { Requested::Before };
        }
    }

    /// What is told at the end of a turn, if there is a place for it.
    #[inline]
    pub(crate) fn after(&self) -> Option<&After> {
        self.several().map(|several| &several.after)
    }

    pub(crate) fn after_or_make(&self) -> &After {
        loop {
            match self.after() {
                Some(after) => return after,
                None => self.make_several(self.word()),
            }
        }
    }

    /// Whether the handle's waker is as good as `waker`. Called by the handle, which has put one.
    #[inline]
    pub(crate) fn has_waker(&self, waker: &Waker) -> bool {
        self.with_waker(|ours| ours.will_wake(waker)).unwrap_or(false)
    }

    /// Wakes the handle's waker. Called by the completer, if rule 3 of `state` lets him.
    pub(crate) fn wake_waker(&self) {
        self.with_waker(OneWord::wake_by_ref);
    }

    /// The caller may read the waker by rule 3 of `state`.
    #[inline]
    fn with_waker<R>(&self, f: impl FnOnce(&OneWord) -> R) -> Option<R> {
        let word = self.word();
        match kind(word) {
            // SAFETY: E4: whoever may move it does not drop it. Nor does this.
            WAKER => Some(f(&ManuallyDrop::new(unsafe { waker_in(word) }))),
            // SAFETY: E2, E4.
            SEVERAL => unsafe { (*several(word).join_waker.get()).as_ref() }.map(f),
            _ => None,
        }
    }

    /// Puts the handle's waker, in place of the one that was there. The handle may write, by rule 3 of `state`.
    pub(crate) fn put_waker(&self, waker: OneWord) {
        let new = tagged(waker.into_raw().as_ptr(), WAKER);
        loop {
            let word = self.word();
            match kind(word) {
                SEVERAL => {
                    // SAFETY: E2, E4; the waker has not become anybody else's.
                    unsafe { *several(word).join_waker.get() = Some(waker_in(new)) };
                    return;
                }
                WAKER if self.exchange(word, new) => {
                    // SAFETY: E1: the exchange has made it ours.
                    return drop(unsafe { waker_in(word) });
                }
                NODE if word.is_null() && self.exchange(word, new) => return,
                NODE | REQUEST if !word.is_null() => self.make_several(word),
                _ => {}
            }
        }
    }

    /// Takes it out again. As for `put_waker`.
    pub(crate) fn take_waker(&self) -> Option<OneWord> {
        loop {
            let word = self.word();
            match kind(word) {
                // SAFETY: E2, E4.
                SEVERAL => return unsafe { (*several(word).join_waker.get()).take() },
                // SAFETY: E1: the exchange has made it ours.
                WAKER if self.exchange(word, ptr::null_mut()) => return Some(unsafe { waker_in(word) }),
                WAKER => {}
                _ => return None,
            }
        }
    }

    /// Moves what the word was `seen` to be to a new `Several`, unless it has changed meanwhile.
    #[cold]
    fn make_several(&self, seen: *mut ()) {
        let several = match kind(seen) {
            SEVERAL => return,
            // SAFETY: E1: the waker is the new place's if the exchange succeeds, and forgotten otherwise.
            WAKER => Several::of(ptr::null_mut(), Some(unsafe { waker_in(seen) })),
            _ => Several::of(seen, None),
        };
        let made = several.into_block();
        if !self.exchange(seen, tagged(made.as_ptr().cast(), SEVERAL)) {
            // SAFETY: the block was made just now, and nobody else has seen it. What is in it is not ours, so it is not dropped.
            unsafe { put_block(made) };
        }
    }

    /// Drops everything. The last reference to the task is gone, and with it all who might read the word.
    ///
    /// # Safety
    ///
    /// Once, and nothing is called after it.
    #[inline]
    pub(crate) unsafe fn drop_all(&self) {
        let word = self.word();
        if !word.is_null() {
            // SAFETY: passed on.
            unsafe { drop_word(word) };
        }
    }
}

/// # Safety
///
/// `word` is a `Several`.
#[inline]
unsafe fn several<'a>(word: *mut ()) -> &'a Several {
    // SAFETY: E2; it is made by `into_block`, and used by reference only.
    unsafe { &*untagged(word).cast::<Several>() }
}

/// The node of a task that has, or may have, something besides it; null: none.
///
/// # Safety
///
/// `word` is not a node.
#[inline]
unsafe fn node_besides(word: *mut ()) -> *const Node {
    if kind(word) != SEVERAL {
        return ptr::null();
    }
    // SAFETY: it is a `Several`.
    let own = unsafe { several(word) }.own.load(Acquire);
    if kind(own) == NODE { own.cast::<Node>() } else { ptr::null() }
}

/// # Safety
///
/// The caller owns what the word says.
#[cold]
unsafe fn drop_word(word: *mut ()) {
    // SAFETY: passed on (E1).
    unsafe {
        match kind(word) {
            NODE if word.is_null() => {}
            NODE => drop(Arc::from_raw(word.cast::<Node>().cast_const())),
            REQUEST => drop(take_request(word)),
            WAKER => contain::drop_value(waker_in(word)),
            _ => {
                let block = NonNull::new_unchecked(untagged(word).cast::<Several>());
                let Several { own, join_waker, after } = block.read();
                put_block(block);
                drop_word(own.load(Acquire));
                contain::drop_value(join_waker);
                contain::drop_value(after);
            }
        }
    }
}

const LAYOUT: Layout = Layout::new::<Several>();
const CLASS: memory::Class = memory::Class::of(LAYOUT);

impl Several {
    fn of(own: *mut (), waker: Option<OneWord>) -> Self {
        Self { own: AtomicPtr::new(own), join_waker: UnsafeCell::new(waker), after: After::new() }
    }

    /// A task that is awaited and has scopes of its own has this, too; so it lies where tasks do.
    fn into_block(self) -> NonNull<Self> {
        let block = context::worker(|worker| memory::take(CLASS, LAYOUT, worker)).cast::<Self>();
        // SAFETY: the block is ours, and made for this layout.
        unsafe { block.write(self) };
        block
    }
}

/// # Safety
///
/// The block was made by `into_block`, what was in it is gone, and nobody uses it any more.
unsafe fn put_block(block: NonNull<Several>) {
    // SAFETY: passed on.
    context::worker(|worker| unsafe { memory::put(block.cast(), CLASS, LAYOUT, worker) });
}
