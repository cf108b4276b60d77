//! A global allocator that counts allocations while it is told to.
//!
//! Counting is off during the timed repetitions, where it costs one load of a flag that nobody writes. It is on for the one
//! repetition after them that nobody times. Then each thread adds to its own shard, so that threads do not fight over a line.
//!
//! Invariants:
//! - **A1** Every method hands its arguments to [`System`] unchanged and returns what `System` returns.
//! - **A2** The book-keeping neither allocates nor unwinds: the thread's shard is a `Cell` in a `const` thread-local without a
//!   destructor, and a thread whose locals are gone uses shard 0.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

/// The allocator to install with `#[global_allocator]` in a binary that wants [`counted`] to move.
#[derive(Debug, Clone, Copy)]
pub struct Counting;

/// Switches counting on or off for the whole process.
pub fn set_counting(on: bool) {
    ENABLED.store(on, Relaxed);
}

/// Allocations (and reallocations) counted so far. Always 0 in a binary without [`Counting`].
#[must_use]
pub fn counted() -> u64 {
    SHARDS.iter().map(|shard| shard.0.load(Relaxed)).sum()
}

const SHARD_COUNT: usize = 64;
const UNASSIGNED: usize = usize::MAX;

#[repr(align(128))]
struct Shard(AtomicU64);

static ENABLED: AtomicBool = AtomicBool::new(false);
static NEXT_SHARD: AtomicUsize = AtomicUsize::new(0);
static SHARDS: [Shard; SHARD_COUNT] = [const { Shard(AtomicU64::new(0)) }; SHARD_COUNT];

thread_local! {
    static OWN_SHARD: Cell<usize> = const { Cell::new(UNASSIGNED) };
}

fn count_one() {
    if ENABLED.load(Relaxed) {
        SHARDS[own_shard()].0.fetch_add(1, Relaxed);
    }
}

fn own_shard() -> usize {
    OWN_SHARD
        .try_with(|own| {
            if own.get() == UNASSIGNED {
                own.set(NEXT_SHARD.fetch_add(1, Relaxed) % SHARD_COUNT);
            }
            own.get()
        })
        .unwrap_or(0)
}

// SAFETY: by A1 this is `System`, which fulfils the contract of the trait; by A2 what is added cannot re-enter or unwind.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count_one();
        // SAFETY: A1, the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count_one();
        // SAFETY: A1, the caller's promise about `layout` is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count_one();
        // SAFETY: A1, the block came from `System` and the caller's promises are passed on.
        unsafe { System.realloc(block, layout, new_size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: A1, the block came from `System` with this layout.
        unsafe { System.dealloc(block, layout) }
    }
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use super::*;

    #[global_allocator]
    static ALLOCATOR: Counting = Counting;

    #[test]
    fn counts_on_every_thread_while_it_is_told_to() {
        const BOXES: u64 = 1_000;
        let allocate = || (0..BOXES).for_each(|i| drop(black_box(Box::new(i))));

        allocate();
        assert_eq!(counted(), 0);

        set_counting(true);
        allocate();
        std::thread::spawn(allocate).join().unwrap();
        set_counting(false);
        let total = counted();
        assert!(total >= 2 * BOXES, "{total}");

        allocate();
        // Other tests that saw the flag may still be adding theirs; these thousand are not among them.
        assert!(counted() < total + BOXES);
    }
}
