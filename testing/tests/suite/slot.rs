//! For tests that cut futures.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};

/// Something that a future borrows for as long as it lives, however that ends.
pub(crate) struct Slot<T>(Cell<Option<T>>);

impl<T> Slot<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Cell::new(Some(value)))
    }

    pub(crate) fn lend(&self) -> Lent<'_, T> {
        Lent { value: self.0.take(), slot: self }
    }
}

pub(crate) struct Lent<'a, T> {
    value: Option<T>,
    slot: &'a Slot<T>,
}

impl<T> Drop for Lent<'_, T> {
    fn drop(&mut self) {
        self.slot.0.set(self.value.take());
    }
}

impl<T> Deref for Lent<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_ref().expect("one borrows at a time")
    }
}

impl<T> DerefMut for Lent<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().expect("one borrows at a time")
    }
}
