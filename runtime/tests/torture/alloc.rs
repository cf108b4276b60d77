//! Counts the bytes that are allocated and not yet freed.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, Ordering::Relaxed};

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static LIVE: AtomicIsize = AtomicIsize::new(0);

/// Bytes that are in use now.
pub(crate) fn live() -> isize {
    LIVE.load(Relaxed)
}

fn size(layout: Layout) -> isize {
    layout.size().cast_signed()
}

// SAFETY: the system's allocator does the work; the count changes nothing about it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(size(layout), Relaxed);
        // SAFETY: passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(size(layout), Relaxed);
        // SAFETY: passed on.
        unsafe { System.dealloc(at, layout) }
    }
}
