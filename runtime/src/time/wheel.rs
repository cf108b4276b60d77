//! A hierarchical timer wheel (Varghese and Lauck) with intrusive entries: exact deadlines, constant-time insert and
//! remove, no allocation but one table per level at its first use.
//!
//! Time is nanoseconds since an epoch of the owner's choice. A deadline is read as eleven digits of six bits, and the
//! wheel has a level of 64 slots for each digit. An entry lies on the level of the highest digit in which its deadline
//! differs from the *cursor*, in the slot of that digit (W4). So a slot of level 0 holds a single nanosecond, and a
//! whole level is earlier than the next one: two bit scans find the earliest slot, however far away it is.
//!
//! ```text
//! insert ──► slot of level n ──(the cursor enters that slot)──► slot of a lower level ──► … ──► level 0 ──► fired
//! ```
//!
//! An entry goes down at least one level each time it moves, hence it moves ten times at most (once more if it came
//! while a slot was being moved). One that is due and has its slot to itself fires from there. Firing follows the bit
//! maps and never steps through empty time. Nothing happens between two deadlines: `next` reads the earliest
//! deadline itself, not the moment at which some slot would have to be moved.
//!
//! Entries fire in the order of their deadlines; equal ones, and those already past when they came, in the order in
//! which they were inserted.
//!
//! Invariants:
//! - **W1** A wheel, and the fields of an entry linked in it, are touched only under one lock, which the wheel's owner
//!   names. Having `&Wheel` or `&mut Wheel` is the proof of holding it.
//! - **W2** A linked entry stays alive and at its address until it is unlinked.
//! - **W3** `place` of an entry names the one list it is in; it is `NOWHERE` exactly if the entry is in none. A linked
//!   entry has an action, an unlinked one has none.
//! - **W4** With `d` = the deadline, or the cursor if that was later when the entry was put in: the entry is on the
//!   level of the highest digit in which `d` and the cursor differ (level 0 if they are equal), in the slot of that
//!   digit. The cursor never goes back, never passes an entry, and enters a slot above level 0 only to empty it; until
//!   that is done the slot is `moving`, and may hold any deadline.
//! - **W5** The bit of a slot is set exactly if the slot holds entries, that of a level exactly if one of its slots does.
//!   `earliest` of a slot is the least deadline since the slot was last empty, so it is exact unless entries left.
#![allow(unsafe_code)]

use std::cell::{Cell, UnsafeCell};
use std::marker::PhantomPinned;
use std::mem;
use std::ptr::{self, NonNull};

use crate::list::{Linked, Links, List};

/// Bits per digit.
const DIGIT: u32 = 6;
const SLOTS: usize = 1 << DIGIT;
const LEVELS: usize = u64::BITS.div_ceil(DIGIT) as usize;

/// A slot of the wheel, as `level * SLOTS + index`.
type Place = u16;
/// No slot.
const NOWHERE: Place = Place::MAX;

/// How many entries one call of `fire` moves at most, so that a crowded slot does not hold up the lock. Small in tests,
/// so that they see calls that stop half-way.
const MOVES: usize = if cfg!(test) { 8 } else { 512 };

/// A place in a wheel, part of whatever waits for a moment.
///
/// Every field has interior mutability: the owner may hold shared references to an entry while it is linked.
pub(crate) struct Entry<A> {
    links: Links<Entry<A>>,
    deadline: Cell<u64>,
    place: Cell<Place>,
    action: UnsafeCell<Option<A>>,
    _pinned: PhantomPinned,
}

// SAFETY: an entry has no safe methods; its fields are touched under one lock (W1), so `A` only changes threads.
unsafe impl<A: Send> Send for Entry<A> {}
// SAFETY: as above.
unsafe impl<A: Send> Sync for Entry<A> {}

impl<A> Entry<A> {
    pub(crate) const fn new() -> Self {
        Self {
            links: Links::new(),
            deadline: Cell::new(0),
            place: Cell::new(NOWHERE),
            action: UnsafeCell::new(None),
            _pinned: PhantomPinned,
        }
    }
}

// SAFETY: always the same field, reached through a raw pointer.
unsafe impl<A> Linked for Entry<A> {
    unsafe fn links(element: NonNull<Self>) -> NonNull<Links<Self>> {
        // SAFETY: `element` is live (caller), so the address of its field is neither null nor out of bounds.
        unsafe { NonNull::new_unchecked(ptr::addr_of_mut!((*element.as_ptr()).links)) }
    }
}

/// Entries by deadline. The owner wraps it in a lock.
pub(crate) struct Wheel<A> {
    /// The time up to which every entry has fired or, while a call has stopped at its limit, is being fired.
    cursor: u64,
    len: usize,
    /// One bit per level (W5).
    occupied: u16,
    levels: [Level<A>; LEVELS],
    /// The slot above level 0 which the cursor has entered and whose entries are on their way down. Meanwhile the
    /// cursor stands still, and new entries queue up there too, which keeps the order among equal deadlines.
    moving: Option<Place>,
}

struct Level<A> {
    /// One bit per slot (W5).
    occupied: u64,
    slots: Option<Box<[Slot<A>; SLOTS]>>,
}

struct Slot<A> {
    entries: List<Entry<A>>,
    /// See W5; `u64::MAX` in an empty slot.
    earliest: u64,
}

impl<A> Wheel<A> {
    pub(crate) fn new() -> Self {
        Self {
            cursor: 0,
            len: 0,
            occupied: 0,
            levels: [const { Level { occupied: 0, slots: None } }; LEVELS],
            moving: None,
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Puts `entry` in, to fire at the first `fire` with `now >= deadline`.
    ///
    /// # Safety
    ///
    /// `entry` is live and not linked, and keeps W1 and W2 from now on.
    pub(crate) unsafe fn insert(&mut self, entry: NonNull<Entry<A>>, deadline: u64, action: A) {
        // SAFETY: the entry is live and nobody else uses it now (caller).
        unsafe {
            let entry = entry.as_ref();
            debug_assert_eq!(entry.place.get(), NOWHERE, "a linked entry was inserted again");
            entry.deadline.set(deadline);
            *entry.action.get() = Some(action);
        }
        self.len += 1;
        let place = self.moving.unwrap_or_else(|| place_of(deadline, self.cursor));
        // SAFETY: the entry is live and in no list (caller).
        unsafe { self.link(entry, deadline, place) };
    }

    /// Takes `entry` out and returns its action; `None` if it is not linked, because it has fired for instance.
    ///
    /// # Safety
    ///
    /// `entry` is live, and either linked in this wheel or not linked. No other thread inserts it now.
    pub(crate) unsafe fn remove(&mut self, entry: NonNull<Entry<A>>) -> Option<A> {
        // SAFETY: the entry is live and the lock is held (W1).
        let place = unsafe { entry.as_ref().place.get() };
        // SAFETY: being linked, the entry is linked in this wheel (caller).
        (place != NOWHERE).then(|| unsafe { self.unlink(entry) })
    }

    /// Gives a linked entry another action and returns the old one, or returns `action` if the entry is not linked.
    ///
    /// # Safety
    ///
    /// As for [`Wheel::remove`].
    pub(crate) unsafe fn replace_action(&mut self, entry: NonNull<Entry<A>>, action: A) -> Result<A, A> {
        // SAFETY: the entry is live and the lock is held (W1); `&mut self` excludes a reference from `Wheel::action`.
        let current = unsafe { &mut *entry.as_ref().action.get() };
        match current {
            Some(current) => Ok(mem::replace(current, action)),
            None => Err(action),
        }
    }

    /// The action of a linked entry.
    ///
    /// # Safety
    ///
    /// As for [`Wheel::remove`]. The entry stays alive as long as the reference.
    pub(crate) unsafe fn action(&self, entry: NonNull<Entry<A>>) -> Option<&A> {
        // SAFETY: the entry is live (caller), and while `self` is borrowed nobody changes its action (W1).
        unsafe { (*entry.as_ref().action.get()).as_ref() }
    }

    /// Never later than the earliest deadline, and equal to it unless entries have been removed; `None` if the wheel is
    /// empty. What is overdue while a `fire` is unfinished may be given a still earlier moment.
    pub(crate) fn next(&self) -> Option<u64> {
        let first = self.earliest(self.first()?);
        Some(self.moving.map_or(first, |moving| first.min(self.earliest(moving))))
    }

    /// Takes out entries whose deadline is at or before `now`, `limit` of them at most, and hands their actions to
    /// `fired`. Returns whether `next` is still due: then call again, at once or after a pause without the lock.
    ///
    /// A call may return true with fewer than `limit` fired, or none at all, as the work of moving entries from level
    /// to level is limited too. Each such call makes progress, unless `limit` is 0. An earlier `now` than that of a
    /// previous call is taken for the moment which the wheel has already reached. If `fired` panics, the action it had
    /// got is lost and the wheel is intact.
    pub(crate) fn fire(&mut self, now: u64, limit: usize, mut fired: impl FnMut(A)) -> bool {
        let now = now.max(self.cursor);
        let (mut left, mut moves) = (limit, MOVES);
        while left > 0 && self.settle(&mut moves) {
            let Some(place) = self.first().filter(|&place| self.start(place) <= now) else {
                self.cursor = now;
                break;
            };
            // As far as W4 allows, so that what moves or comes next gets a low level. A deadline on level 0 may be
            // older than the cursor; those above are later.
            self.cursor = self.cursor.max(self.earliest(place).min(now));
            let Some(entry) = self.ready(place, now) else {
                self.moving = Some(place);
                continue;
            };
            // SAFETY: the entry is linked in this wheel.
            fired(unsafe { self.unlink(entry) });
            left -= 1;
        }
        self.next().is_some_and(|next| next <= now)
    }

    /// The entry that fires next, from the first slot; `None` if that slot has to be moved down to find out.
    fn ready(&self, place: Place, now: u64) -> Option<NonNull<Entry<A>>> {
        let slot = &self.levels[level_of(place)].slots.as_ref()?[index_of(place)];
        let front = slot.entries.front()?;
        // Above level 0 a due entry that has the slot to itself needs no order among others.
        // SAFETY: the entry is in this list, hence live (W2).
        let alone = || unsafe { slot.entries.next(front).is_none() && front.as_ref().deadline.get() <= now };
        (level_of(place) == 0 || alone()).then_some(front)
    }

    /// Moves the entries of the `moving` slot down, as long as `moves` lasts. Returns whether that is done.
    #[must_use]
    fn settle(&mut self, moves: &mut usize) -> bool {
        let Some(from) = self.moving else { return true };
        while let Some(entry) = self.slot(from).entries.front() {
            if *moves == 0 {
                return false;
            }
            *moves -= 1;
            // SAFETY: the entry is in that slot, hence live (W2), and then in no list.
            unsafe {
                let deadline = entry.as_ref().deadline.get();
                self.leave(entry, from);
                self.link(entry, deadline, place_of(deadline, self.cursor));
            }
        }
        self.moving = None;
        true
    }

    /// The occupied slot with the earliest entries; the `moving` one may have earlier ones.
    fn first(&self) -> Option<Place> {
        if self.occupied == 0 {
            return None;
        }
        let level = self.occupied.trailing_zeros();
        let index = self.levels[level as usize].occupied.trailing_zeros();
        Some((level << DIGIT | index) as Place)
    }

    /// `earliest` of the slot, by W5 a lower bound for its deadlines, and `u64::MAX` if it is empty.
    fn earliest(&self, place: Place) -> u64 {
        self.levels[level_of(place)].slots.as_ref().map_or(u64::MAX, |slots| slots[index_of(place)].earliest)
    }

    /// The moment at which the cursor enters the slot.
    fn start(&self, place: Place) -> u64 {
        let below = level_of(place) as u32 * DIGIT;
        self.earliest(place) >> below << below
    }

    fn slot(&mut self, place: Place) -> &mut Slot<A> {
        let slots = self.levels[level_of(place)].slots.get_or_insert_with(Slot::table);
        &mut slots[index_of(place)]
    }

    /// Adds `entry` to the slot at `place`.
    ///
    /// # Safety
    ///
    /// `entry` is live and in no list, and keeps W1 and W2 from now on.
    unsafe fn link(&mut self, entry: NonNull<Entry<A>>, deadline: u64, place: Place) {
        let slot = self.slot(place);
        slot.earliest = slot.earliest.min(deadline);
        // SAFETY: the entry is live and in no list (caller), and W1 and W2 are what the list asks for.
        unsafe {
            slot.entries.push_back(entry);
            entry.as_ref().place.set(place);
        }
        self.levels[level_of(place)].occupied |= 1 << index_of(place);
        self.occupied |= 1 << level_of(place);
    }

    /// Takes `entry` out of the slot at `place`, which its `place` goes on naming.
    ///
    /// # Safety
    ///
    /// `entry` is in that slot.
    unsafe fn leave(&mut self, entry: NonNull<Entry<A>>, place: Place) {
        let slot = self.slot(place);
        // SAFETY: the entry is in this list (caller).
        unsafe { slot.entries.remove(entry) };
        if slot.entries.is_empty() {
            slot.earliest = u64::MAX;
            let level = &mut self.levels[level_of(place)];
            level.occupied &= !(1 << index_of(place));
            if level.occupied == 0 {
                self.occupied &= !(1 << level_of(place));
            }
        }
    }

    /// Takes `entry` out for good and returns its action.
    ///
    /// # Safety
    ///
    /// `entry` is linked in this wheel.
    unsafe fn unlink(&mut self, entry: NonNull<Entry<A>>) -> A {
        // SAFETY: the entry is live (W2) and in the slot its place names (W3), and the lock is held (W1).
        let action = unsafe {
            let place = entry.as_ref().place.replace(NOWHERE);
            self.leave(entry, place);
            (*entry.as_ref().action.get()).take()
        };
        self.len -= 1;
        action.expect("a linked entry has an action (W3)")
    }
}

impl<A> Slot<A> {
    fn table() -> Box<[Self; SLOTS]> {
        Box::new([const { Self { entries: List::new(), earliest: u64::MAX } }; SLOTS])
    }
}

/// Where W4 puts an entry.
fn place_of(deadline: u64, cursor: u64) -> Place {
    let deadline = deadline.max(cursor);
    // The lowest bit stands in for "no difference", which is level 0 too.
    let level = ((deadline ^ cursor) | 1).ilog2() / DIGIT;
    let index = (deadline >> (level * DIGIT)) as usize % SLOTS;
    (level as usize * SLOTS + index) as Place
}

fn level_of(place: Place) -> usize {
    place as usize / SLOTS
}

fn index_of(place: Place) -> usize {
    place as usize % SLOTS
}

#[cfg(all(test, not(loom)))]
mod tests;
