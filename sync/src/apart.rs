//! What is seldom there, and whose end is not in the way of what is always done: [`Apart`].
//!
//! Invariants:
//! - **A1** What is inside is dropped by the drop of the `Apart`, and by nothing else.
//! - **A2** It is pinned if the `Apart` is: nothing moves it out, or gives a `&mut` to it.
#![allow(unsafe_code)]

use std::mem::ManuallyDrop;
use std::pin::Pin;

/// Drops what is inside by a call, which the compiler does not inline. It would where there is one such place, and then what has a wait in it that hardly ever is there would be too long to be inlined itself.
pub(crate) struct Apart<T>(ManuallyDrop<T>);

impl<T> Apart<T> {
    pub(crate) fn new(inside: T) -> Self {
        Self(ManuallyDrop::new(inside))
    }

    /// What is inside.
    pub(crate) fn get(self: Pin<&mut Self>) -> Pin<&mut T> {
        // SAFETY: A2.
        unsafe { self.map_unchecked_mut(|apart| &mut *apart.0) }
    }
}

impl<T> Drop for Apart<T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: A1: this is its drop.
        unsafe { end(&mut self.0) }
    }
}

/// # Safety
///
/// As for `ManuallyDrop::drop`.
#[cold]
#[inline(never)]
unsafe fn end<T>(inside: &mut ManuallyDrop<T>) {
    // SAFETY: the caller's.
    unsafe { ManuallyDrop::drop(inside) }
}
