//! An intrusive doubly linked list: the elements hold the links, so joining and leaving allocates nothing.
//!
//! Invariants:
//! - **L1** A list and the links of its elements are touched only under one lock, which the list's owner names.
//! - **L2** An element is in at most one list at a time, and stays at its address until it has left that list.
//! - **L3** The links of an element outside a list are both `None`, and it is neither head nor tail.
//!
//! The list does not own its elements. Whoever takes one out decides what that means.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::ptr::NonNull;

/// The two links of an element.
pub(crate) struct Links<T> {
    previous: Cell<Option<NonNull<T>>>,
    next: Cell<Option<NonNull<T>>>,
}

impl<T> Links<T> {
    pub(crate) const fn new() -> Self {
        Self { previous: Cell::new(None), next: Cell::new(None) }
    }
}

/// A type that holds links for a list of its own kind.
///
/// # Safety
///
/// `links` returns the same field of `element` each time, without creating a reference to the whole of it.
pub(crate) unsafe trait Linked: Sized {
    /// # Safety
    ///
    /// `element` points to a live `Self`.
    unsafe fn links(element: NonNull<Self>) -> NonNull<Links<Self>>;
}

/// A list of `T`s, in the order in which they came.
pub(crate) struct List<T> {
    head: Option<NonNull<T>>,
    tail: Option<NonNull<T>>,
}

// SAFETY: by L1 a list is used under its owner's lock; the list itself never touches an element's data.
unsafe impl<T: Send + Sync> Send for List<T> {}

impl<T: Linked> List<T> {
    pub(crate) const fn new() -> Self {
        Self { head: None, tail: None }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.head.is_none()
    }

    pub(crate) fn front(&self) -> Option<NonNull<T>> {
        self.head
    }

    /// Adds `element` at the end.
    ///
    /// # Safety
    ///
    /// `element` is live, in no list, and keeps L1 and L2 while it is in this one.
    pub(crate) unsafe fn push_back(&mut self, element: NonNull<T>) {
        // SAFETY: `element` is live (caller), so are the elements of the list (L2), and the lock is held (L1).
        unsafe {
            let links = T::links(element).as_ref();
            debug_assert!(links.previous.get().is_none() && links.next.get().is_none());
            links.previous.set(self.tail);
            match self.tail {
                Some(tail) => T::links(tail).as_ref().next.set(Some(element)),
                None => self.head = Some(element),
            }
        }
        self.tail = Some(element);
    }

    /// Takes `element` out.
    ///
    /// # Safety
    ///
    /// `element` is in this list.
    pub(crate) unsafe fn remove(&mut self, element: NonNull<T>) {
        // SAFETY: `element` and its neighbours are in this list, so they are live (L2) and guarded (L1).
        unsafe {
            let links = T::links(element).as_ref();
            let (previous, next) = (links.previous.take(), links.next.take());
            match previous {
                Some(previous) => T::links(previous).as_ref().next.set(next),
                None => self.head = next,
            }
            match next {
                Some(next) => T::links(next).as_ref().previous.set(previous),
                None => self.tail = previous,
            }
        }
    }

    /// The element behind `element`.
    ///
    /// # Safety
    ///
    /// `element` is in this list.
    pub(crate) unsafe fn next(&self, element: NonNull<T>) -> Option<NonNull<T>> {
        // SAFETY: `element` is in this list, so it is live (L2) and guarded (L1).
        unsafe { T::links(element).as_ref().next.get() }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    struct Item {
        links: Links<Item>,
        value: u32,
    }

    // SAFETY: always the same field, reached through a raw pointer.
    unsafe impl Linked for Item {
        unsafe fn links(element: NonNull<Self>) -> NonNull<Links<Self>> {
            // SAFETY: `element` is live (caller).
            unsafe { NonNull::from(&(*element.as_ptr()).links) }
        }
    }

    fn item(value: u32) -> Box<Item> {
        Box::new(Item { links: Links::new(), value })
    }

    fn values(list: &List<Item>) -> Vec<u32> {
        let mut found = Vec::new();
        let mut at = list.front();
        while let Some(element) = at {
            // SAFETY: every element outlives the list of each test below.
            unsafe {
                found.push(element.as_ref().value);
                at = list.next(element);
            }
        }
        found
    }

    #[test]
    fn keeps_arrival_order_and_lets_any_element_leave() {
        let items: Vec<_> = (0..5).map(item).collect();
        let mut list = List::new();
        for item in &items {
            // SAFETY: the items are live and in no list.
            unsafe { list.push_back(NonNull::from(&**item)) };
        }
        assert_eq!(values(&list), [0, 1, 2, 3, 4]);
        for (index, left) in [(2, vec![0, 1, 3, 4]), (0, vec![1, 3, 4]), (4, vec![1, 3])] {
            // SAFETY: each of the three is still in the list.
            unsafe { list.remove(NonNull::from(&*items[index])) };
            assert_eq!(values(&list), left);
        }
        // SAFETY: item 2 has left the list, so it may join again.
        unsafe { list.push_back(NonNull::from(&*items[2])) };
        assert_eq!(values(&list), [1, 3, 2]);
        while let Some(first) = list.front() {
            // SAFETY: the front is in the list.
            unsafe { list.remove(first) };
        }
        assert!(list.is_empty());
    }
}
