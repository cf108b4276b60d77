//! What is seldom there, and whose end is not in the way of what is always done: [`Apart`], [`WaitApart`].
//!
//! Invariants:
//! - **A1** What is inside is dropped by the drop of what is around it, and by nothing else. (A wait that is over is not dropped: nobody knows where it lies, and it has nothing.)
//! - **A2** It is pinned if what is around it is: nothing moves it out, or gives a `&mut` to it.
#![allow(unsafe_code)]

use std::mem::ManuallyDrop;
use std::pin::Pin;
use trioxide_runtime::lowlevel::line::Acquire;

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

/// As [`Apart`], of a wait for permits, of which nothing is left to drop where it is over. (That is asked in the call, too: even the question would be in the way.)
pub(crate) struct WaitApart<'a>(ManuallyDrop<Acquire<'a>>);

impl<'a> WaitApart<'a> {
    #[inline]
    pub(crate) fn new(inside: Acquire<'a>) -> Self {
        Self(ManuallyDrop::new(inside))
    }

    /// What is inside.
    #[inline]
    pub(crate) fn get(self: Pin<&mut Self>) -> Pin<&mut Acquire<'a>> {
        // SAFETY: A2.
        unsafe { self.map_unchecked_mut(|apart| &mut *apart.0) }
    }
}

impl Drop for WaitApart<'_> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: A1: this is its drop.
        unsafe { end_wait(&mut self.0) }
    }
}

/// # Safety
///
/// As for `ManuallyDrop::drop`.
#[cold]
#[inline(never)]
unsafe fn end_wait(inside: &mut ManuallyDrop<Acquire<'_>>) {
    if inside.waits() {
        // SAFETY: the caller's.
        unsafe { ManuallyDrop::drop(inside) }
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
