//! The memory of task cells, used again: for a runtime that spawns much, a general allocator is a third of what a task costs.
//!
//! ```text
//!  Shelves: of a worker, one for each size          Depot: of the runtime
//!  ┌ in use ─────────┐ ┌ spare ──────────┐          ┌ batch ┬ batch ┬ … at most `DEPOT_BYTES`
//!  │ up to one batch │ │ a batch or none │ ◀──────▶ └───────┴───────┘
//!  └─────────────────┘ └─────────────────┘  batches          ▲▼ batches
//!      ▲▼ blocks                                          the allocator
//! ```
//!
//! A worker takes blocks from its own shelves and puts them there, without an atomic step, whichever worker they came from. One that puts down more
//! than it takes passes whole batches on to the depot, and one that takes more gets them there; so the lock is met once per batch. Threads that are no
//! workers use the allocator. The bounds: two batches of each size per worker, and `DEPOT_BYTES`; what is beyond goes back to the allocator, the rest
//! with the runtime. After the magazines of Bonwick's vmem.
//!
//! Invariants:
//! - **B1** A block of size class `c` is memory from the allocator with the layout `layout(c)`, wherever it lies and whoever gets it. So it may go
//!   from one runtime to another, and back to the allocator from anywhere.
//! - **B2** A free block belongs to the shelf or batch that it is linked in, and to nobody else. Its first two words are links, the rest is garbage.
//! - **B3** Shelves are used by the worker's thread alone (`scheduler::worker` K1), and call nothing foreign. Others only read how much lies there.
//!
//! Under the model checker every block comes from the allocator: there a leak must show.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::Cell;
use std::ptr::{self, NonNull};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64};

use crate::primitives::Mutex;
use crate::scheduler::Worker;

/// Sizes differ by so much. Small, so that a task takes up little more than it needs.
const STEP: usize = 16;
/// Blocks are this much larger than a multiple of `STEP`: glibc's malloc puts eight bytes of its own before each block, and rounds up to sixteen.
const OVER: usize = 8;
const CLASSES: usize = 40; // At most 64: `Depot::filled`.
/// How many bytes a batch has, about.
const BATCH_BYTES: usize = 8 << 10;
/// How many bytes lie in a depot at most.
const DEPOT_BYTES: usize = 4 << 20;
/// Whether blocks are used again at all.
const RECYCLED: bool = cfg!(not(loom));

/// The size class of a cell; `None`: the allocator alone knows its kind.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Class(Option<u8>);

impl Class {
    /// The class of blocks for cells with this layout.
    pub(super) const fn of(cell: Layout) -> Self {
        let class = cell.size().saturating_sub(OVER).div_ceil(STEP);
        // A free block holds two links.
        let fits = class < CLASSES && cell.align() <= align_of::<Free>() && cell.size() >= size_of::<Free>();
        Self(if fits && RECYCLED { Some(class as u8) } else { None })
    }
}

const fn size(class: u8) -> usize {
    class as usize * STEP + OVER
}

const fn layout(class: u8) -> Layout {
    match Layout::from_size_align(size(class), align_of::<Free>()) {
        Ok(layout) => layout,
        Err(_) => unreachable!(),
    }
}

const fn per_batch(class: u8) -> u32 {
    (BATCH_BYTES / size(class)) as u32
}

/// What a free block begins with.
struct Free {
    next: *mut Free,
    /// In the depot, of the first block of a batch: that of the next one.
    next_batch: *mut Free,
}

/// Memory for a cell with `layout`, whose class is `class`.
#[inline]
pub(super) fn take(class: Class, layout_of_cell: Layout, worker: Option<&Worker>) -> NonNull<u8> {
    match (class.0, worker) {
        (Some(class), Some(worker)) => worker.shelves.take(class, &worker.shared().depot),
        (Some(class), None) => from_allocator(layout(class)),
        (None, _) => from_allocator(layout_of_cell),
    }
}

/// Gives it back.
///
/// # Safety
///
/// `block` came from `take` with the same class and layout, and nobody uses it any more.
#[inline]
pub(super) unsafe fn put(block: NonNull<u8>, class: Class, layout_of_cell: Layout, worker: Option<&Worker>) {
    // SAFETY: B1: a block of a class has the layout of the class, another that of its cell.
    unsafe {
        match (class.0, worker) {
            (Some(class), Some(worker)) => worker.shelves.put(class, block.cast(), &worker.shared().depot),
            (Some(class), None) => dealloc(block.as_ptr(), layout(class)),
            (None, _) => dealloc(block.as_ptr(), layout_of_cell),
        }
    }
}

fn from_allocator(layout: Layout) -> NonNull<u8> {
    // SAFETY: a cell has a header, so no layout here is empty.
    NonNull::new(unsafe { alloc(layout) }).unwrap_or_else(|| handle_alloc_error(layout))
}

/// The free blocks of a worker. See the module.
pub(crate) struct Shelves([Shelf; CLASSES]);

struct Shelf {
    /// The blocks in use, linked.
    top: Cell<*mut Free>,
    /// How many these are. (A standard atomic, as is `spare`: nothing hangs on their order.)
    count: AtomicU32,
    /// A full batch, or null.
    spare: AtomicPtr<Free>,
}

// SAFETY: B2: the blocks belong to the shelves, and move with them.
unsafe impl Send for Shelves {}
// SAFETY: B3.
unsafe impl Sync for Shelves {}

impl Shelves {
    pub(crate) fn new() -> Self {
        Self(std::array::from_fn(|_| Shelf {
            top: Cell::new(ptr::null_mut()),
            count: AtomicU32::new(0),
            spare: AtomicPtr::new(ptr::null_mut()),
        }))
    }

    /// How many bytes lie here. A snapshot.
    pub(crate) fn bytes(&self) -> usize {
        let blocks = |shelf: &Shelf, class| {
            let spare = if shelf.spare.load(Relaxed).is_null() { 0 } else { per_batch(class) };
            (shelf.count.load(Relaxed) + spare) as usize
        };
        (0..CLASSES as u8).map(|class| blocks(&self.0[class as usize], class) * size(class)).sum()
    }

    #[inline]
    fn take(&self, class: u8, depot: &Depot) -> NonNull<u8> {
        let shelf = &self.0[class as usize];
        let Some(top) = NonNull::new(shelf.top.get()) else { return shelf.refill(class, depot) };
        // SAFETY: B2.
        shelf.top.set(unsafe { top.as_ref() }.next);
        shelf.add(u32::MAX); // One less.
        top.cast()
    }

    /// # Safety
    ///
    /// `block` is of `class` (B1), and nobody's.
    #[inline]
    unsafe fn put(&self, class: u8, block: NonNull<Free>, depot: &Depot) {
        let shelf = &self.0[class as usize];
        if shelf.count.load(Relaxed) == per_batch(class) {
            shelf.make_room(class, depot);
        }
        // SAFETY: the block is ours (caller), and large enough.
        unsafe { block.write(Free { next: shelf.top.get(), next_batch: ptr::null_mut() }) };
        shelf.top.set(block.as_ptr());
        shelf.add(1);
    }
}

impl Drop for Shelves {
    fn drop(&mut self) {
        for (class, shelf) in self.0.iter().enumerate() {
            // SAFETY: B1, B2: the blocks are the shelf's, and it goes.
            unsafe {
                free_all(shelf.top.get(), class as u8);
                free_all(shelf.spare.load(Relaxed), class as u8);
            }
        }
    }
}

impl Shelf {
    /// Only the worker writes (B3).
    #[inline]
    fn add(&self, blocks: u32) {
        self.count.store(self.count.load(Relaxed).wrapping_add(blocks), Relaxed);
    }

    fn put_spare(&self, spare: *mut Free) -> *mut Free {
        let old = self.spare.load(Relaxed);
        self.spare.store(spare, Relaxed);
        old
    }

    /// The shelf is empty: a block from the spare batch, the depot, or the allocator.
    #[cold]
    fn refill(&self, class: u8, depot: &Depot) -> NonNull<u8> {
        let spare = self.put_spare(ptr::null_mut());
        let batch = if spare.is_null() { depot.take(class) } else { spare };
        let Some(top) = NonNull::new(batch) else { return from_allocator(layout(class)) };
        // SAFETY: B2: the batch is ours now.
        self.top.set(unsafe { top.as_ref() }.next);
        self.count.store(per_batch(class) - 1, Relaxed);
        top.cast()
    }

    /// The shelf is full.
    #[cold]
    fn make_room(&self, class: u8, depot: &Depot) {
        let spare = self.put_spare(self.top.replace(ptr::null_mut()));
        self.count.store(0, Relaxed);
        if let Some(spare) = NonNull::new(spare) {
            depot.put(class, spare);
        }
    }
}

/// The batches that no worker has. See the module.
pub(crate) struct Depot {
    batches: Mutex<Batches>,
    /// A bit for each class of which there is a batch: who finds none does not lock. Changed under the lock. (A standard atomic: to find a batch too late costs nothing.)
    filled: AtomicU64,
}

struct Batches {
    first: [*mut Free; CLASSES],
    bytes: usize,
}

// SAFETY: B2: the blocks belong to the depot.
unsafe impl Send for Batches {}

impl Depot {
    pub(crate) fn new() -> Self {
        let batches = Batches { first: [ptr::null_mut(); CLASSES], bytes: 0 };
        Self { batches: Mutex::new(batches), filled: AtomicU64::new(0) }
    }

    /// How many bytes lie here.
    pub(crate) fn bytes(&self) -> usize {
        self.batches.lock().bytes
    }

    /// A full batch, or null.
    fn take(&self, class: u8) -> *mut Free {
        if self.filled.load(Relaxed) & (1 << class) == 0 {
            return ptr::null_mut();
        }
        let mut batches = self.batches.lock();
        let first = batches.first[class as usize];
        if !first.is_null() {
            // SAFETY: B2, under the lock.
            let next = unsafe { (*first).next_batch };
            batches.first[class as usize] = next;
            batches.bytes -= size(class) * per_batch(class) as usize;
            if next.is_null() {
                self.filled.fetch_and(!(1 << class), Relaxed);
            }
        }
        first
    }

    /// Keeps a full batch, or frees it.
    fn put(&self, class: u8, batch: NonNull<Free>) {
        let bytes = size(class) * per_batch(class) as usize;
        {
            let mut batches = self.batches.lock();
            if batches.bytes + bytes <= DEPOT_BYTES {
                batches.bytes += bytes;
                // SAFETY: B2: the batch is ours, and the depot's from here on.
                unsafe { (*batch.as_ptr()).next_batch = batches.first[class as usize] };
                batches.first[class as usize] = batch.as_ptr();
                self.filled.fetch_or(1 << class, Relaxed);
                return;
            }
        }
        // SAFETY: B1, B2: the batch is ours, and of this class.
        unsafe { free_all(batch.as_ptr(), class) };
    }
}

impl Drop for Depot {
    fn drop(&mut self) {
        for class in 0..CLASSES as u8 {
            loop {
                let batch = self.take(class);
                if batch.is_null() {
                    break;
                }
                // SAFETY: B1, B2: the batch is ours, and of this class.
                unsafe { free_all(batch, class) };
            }
        }
    }
}

/// Gives linked blocks back to the allocator.
///
/// # Safety
///
/// They are of `class`, and the caller's.
unsafe fn free_all(mut block: *mut Free, class: u8) {
    while !block.is_null() {
        // SAFETY: as promised; B1.
        unsafe {
            let next = (*block).next;
            dealloc(block.cast(), layout(class));
            block = next;
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const CLASS: u8 = 9;

    fn put(shelves: &Shelves, block: NonNull<u8>, depot: &Depot) {
        // SAFETY: the block was taken for this class by the test, which uses it no more.
        unsafe { shelves.put(CLASS, block.cast(), depot) };
    }

    #[test]
    fn a_cell_fits_its_class_and_odd_ones_have_none() {
        for bytes in [16, 24, 25, 104, 120, 121, 632] {
            let Class(Some(class)) = Class::of(Layout::from_size_align(bytes, 8).unwrap()) else { panic!("{bytes}") };
            assert!((bytes..bytes + STEP).contains(&size(class)), "{bytes} bytes get {}", size(class));
        }
        for (bytes, align) in [(8, 8), (633, 8), (128, 16)] {
            assert!(Class::of(Layout::from_size_align(bytes, align).unwrap()) == Class(None), "{bytes}, {align}");
        }
    }

    #[test]
    fn the_block_that_was_put_down_last_is_taken_first() {
        let (shelves, depot) = (Shelves::new(), Depot::new());
        let (first, second) = (shelves.take(CLASS, &depot), shelves.take(CLASS, &depot));
        put(&shelves, first, &depot);
        put(&shelves, second, &depot);
        assert_eq!(shelves.bytes(), 2 * size(CLASS));
        assert_eq!([shelves.take(CLASS, &depot), shelves.take(CLASS, &depot)], [second, first]);
        assert_eq!(shelves.bytes(), 0);
        put(&shelves, first, &depot);
        put(&shelves, second, &depot);
    }

    /// One worker only takes, another only puts down: what there is goes round, and no more is kept than the bounds say.
    #[test]
    fn blocks_go_round_through_the_depot_and_the_rest_goes_back() {
        let (taker, putter, depot) = (Shelves::new(), Shelves::new(), Depot::new());
        let many = 2 * DEPOT_BYTES / size(CLASS);
        let blocks: Vec<_> = (0..many).map(|_| taker.take(CLASS, &depot)).collect();
        blocks.into_iter().for_each(|block| put(&putter, block, &depot));
        assert!(putter.bytes() <= 2 * BATCH_BYTES, "{} bytes", putter.bytes());
        let kept = depot.bytes();
        assert!((DEPOT_BYTES - BATCH_BYTES..=DEPOT_BYTES).contains(&kept), "{kept} bytes");
        let again: Vec<_> = (0..many / 4).map(|_| taker.take(CLASS, &depot)).collect();
        assert!(depot.bytes() < kept);
        again.into_iter().for_each(|block| put(&taker, block, &depot));
    }
}
