use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use fastrand::Rng;

use super::*;

const SECOND: u64 = 1_000_000_000;
const HOUR: u64 = 3600 * SECOND;

/// A wheel together with its entries, which live as long as it does and do not move: that makes its methods safe.
struct Rig {
    wheel: Wheel<usize>,
    entries: Box<[Entry<usize>]>,
}

impl Rig {
    fn new(entries: usize) -> Self {
        Self { wheel: Wheel::new(), entries: (0..entries).map(|_| Entry::new()).collect() }
    }

    fn entry(&self, id: usize) -> NonNull<Entry<usize>> {
        NonNull::from(&self.entries[id])
    }

    fn linked(&self, id: usize) -> bool {
        self.entries[id].place.get() != NOWHERE
    }

    /// The action of an entry is its index.
    fn insert(&mut self, id: usize, deadline: u64) {
        assert!(!self.linked(id));
        // SAFETY: the entry is live, pinned in its box, and not linked.
        unsafe { self.wheel.insert(self.entry(id), deadline, id) };
    }

    fn insert_all(&mut self, deadlines: &[u64]) {
        for (id, &deadline) in deadlines.iter().enumerate() {
            self.insert(id, deadline);
        }
    }

    fn remove(&mut self, id: usize) -> Option<usize> {
        // SAFETY: the entry belongs to this wheel.
        unsafe { self.wheel.remove(self.entry(id)) }
    }

    /// One call.
    fn fire(&mut self, now: u64, limit: usize) -> (Vec<usize>, bool) {
        let mut fired = Vec::new();
        let more = self.wheel.fire(now, limit, |id| fired.push(id));
        assert!(fired.len() <= limit);
        assert_eq!(more, self.wheel.next().is_some_and(|next| next <= now));
        self.check();
        (fired, more)
    }

    /// As many calls as it takes.
    fn fire_all(&mut self, now: u64) -> Vec<usize> {
        let mut all = Vec::new();
        loop {
            let (fired, more) = self.fire(now, 3);
            all.extend(fired);
            if !more {
                return all;
            }
        }
    }

    /// Invariants W3 to W5.
    fn check(&self) {
        let wheel = &self.wheel;
        let mut found = 0;
        for (at, level) in wheel.levels.iter().enumerate() {
            assert_eq!(wheel.occupied >> at & 1 == 1, level.occupied != 0);
            let Some(slots) = &level.slots else {
                assert_eq!(level.occupied, 0);
                continue;
            };
            for (index, slot) in slots.iter().enumerate() {
                let place = (at * SLOTS + index) as Place;
                assert_eq!(level.occupied >> index & 1 == 0, slot.entries.is_empty());
                assert!(!slot.entries.is_empty() || slot.earliest == u64::MAX);
                let mut next = slot.entries.front();
                while let Some(entry) = next {
                    // SAFETY: the entries live as long as the wheel.
                    let entry = unsafe {
                        next = slot.entries.next(entry);
                        entry.as_ref()
                    };
                    let deadline = entry.deadline.get();
                    assert_eq!(entry.place.get(), place);
                    assert!(slot.earliest <= deadline);
                    assert!(wheel.moving == Some(place) || place_of(deadline, wheel.cursor) == place);
                    found += 1;
                }
            }
        }
        assert_eq!((found, found == 0), (wheel.len(), wheel.is_empty()));
        assert_eq!(self.entries.iter().filter(|entry| entry.place.get() != NOWHERE).count(), found);
    }
}

#[test]
fn fires_at_the_deadline_and_not_a_nanosecond_earlier() {
    for deadline in [1, 63, 64, 65, 4095, 4096, SECOND, HOUR, 1 << 60, u64::MAX - 1, u64::MAX] {
        let mut rig = Rig::new(1);
        rig.insert(0, deadline);
        assert_eq!(rig.wheel.next(), Some(deadline));
        assert_eq!(rig.fire(deadline - 1, 9), (vec![], false));
        assert_eq!(rig.wheel.next(), Some(deadline));
        assert_eq!(rig.fire(deadline, 9), (vec![0], false));
        assert_eq!(rig.wheel.next(), None);
    }
}

#[test]
fn a_past_deadline_is_due_at_once() {
    let mut rig = Rig::new(3);
    rig.fire_all(HOUR);
    rig.insert_all(&[HOUR - 1, 0, HOUR]);
    assert_eq!(rig.wheel.next(), Some(0));
    assert_eq!(rig.fire_all(HOUR), [0, 1, 2]);
}

#[test]
fn equal_deadlines_fire_in_order_of_insertion() {
    let mut rig = Rig::new(300);
    for id in 0..300 {
        rig.insert(id, HOUR);
        // Later entries come in on lower levels, and some while a slot is half moved.
        let before = HOUR >> (id / 8);
        assert_eq!(rig.fire(HOUR - before, 1), (vec![], false));
    }
    assert_eq!(rig.fire_all(HOUR), Vec::from_iter(0..300));
}

#[test]
fn entries_that_come_while_a_slot_is_moved_keep_the_order() {
    let mut rig = Rig::new(4 * MOVES);
    for id in 0..2 * MOVES {
        rig.insert(id, HOUR);
    }
    assert_eq!(rig.fire(HOUR, 1), (vec![], true), "the limit of moves ends the call");
    assert!(rig.wheel.moving.is_some());
    for id in 2 * MOVES..4 * MOVES {
        rig.insert(id, HOUR);
    }
    assert_eq!(rig.remove(2 * MOVES - 1), Some(2 * MOVES - 1));
    let expected: Vec<_> = (0..4 * MOVES).filter(|&id| id != 2 * MOVES - 1).collect();
    assert_eq!(rig.fire_all(HOUR), expected);
}

#[test]
fn a_slot_that_is_emptied_while_it_is_moved_can_be_filled_again() {
    let mut rig = Rig::new(2 * MOVES);
    for id in 0..2 * MOVES {
        rig.insert(id, HOUR);
    }
    assert_eq!(rig.fire(HOUR, 1), (vec![], true));
    for id in 0..2 * MOVES {
        assert_eq!(rig.remove(id), Some(id));
    }
    rig.check();
    assert_eq!(rig.wheel.next(), None);
    rig.insert_all(&[2 * HOUR, u64::MAX, 1]);
    rig.check();
    assert_eq!(rig.wheel.next(), Some(1));
    assert_eq!(rig.fire_all(HOUR), [2]);
    assert_eq!(rig.wheel.next(), Some(2 * HOUR));
    assert_eq!(rig.fire_all(u64::MAX), [0, 1]);
}

#[test]
fn one_jump_of_the_clock_fires_in_deadline_order() {
    let mut rig = Rig::new(6);
    rig.insert_all(&[24 * HOUR, SECOND, u64::MAX, 3, SECOND + 1, 2]);
    assert_eq!(rig.fire_all(1000 * HOUR), [5, 3, 1, 4, 0]);
    assert_eq!(rig.wheel.next(), Some(u64::MAX));
    assert_eq!(rig.fire_all(u64::MAX), [2]);
}

#[test]
fn a_far_timer_needs_a_single_call_even_with_near_ones_coming_and_going() {
    let mut rig = Rig::new(2);
    rig.insert(0, HOUR);
    for now in (0..HOUR - SECOND).step_by(SECOND as usize / 2) {
        rig.insert(1, now + 1);
        assert_eq!(rig.wheel.next(), Some(now + 1));
        assert_eq!(rig.fire(now + 1, 9), (vec![1], false));
        assert_eq!(rig.wheel.next(), Some(HOUR));
    }
    assert_eq!(rig.fire(HOUR, 9), (vec![0], false));
}

#[test]
fn the_limit_ends_a_call() {
    let mut rig = Rig::new(5);
    rig.insert_all(&[10, 10, 20, 30, 40]);
    assert_eq!(rig.fire(30, 0), (vec![], true));
    assert_eq!(rig.fire(30, 1), (vec![0], true));
    assert_eq!(rig.fire(30, 2), (vec![1, 2], true));
    assert_eq!(rig.fire(30, 1), (vec![3], false));
    assert_eq!(rig.wheel.next(), Some(40));
}

#[test]
fn removing_gives_the_action_back_once() {
    let mut rig = Rig::new(3);
    assert_eq!(rig.remove(0), None, "never inserted");
    rig.insert_all(&[5, HOUR, HOUR]);
    assert_eq!(rig.fire_all(5), [0]);
    assert_eq!(rig.remove(0), None, "fired");
    assert_eq!(rig.remove(1), Some(1));
    assert_eq!(rig.remove(1), None, "removed");
    rig.insert(1, 7);
    assert_eq!(rig.fire_all(u64::MAX), [1, 2]);
    assert!(rig.wheel.is_empty());
}

#[test]
fn the_action_of_a_linked_entry_can_be_replaced() {
    let mut rig = Rig::new(1);
    let entry = rig.entry(0);
    // SAFETY: the entry belongs to this wheel and lives as long.
    unsafe {
        assert_eq!(rig.wheel.action(entry), None);
        assert_eq!(rig.wheel.replace_action(entry, 7), Err(7));
        rig.insert(0, 10);
        assert_eq!(rig.wheel.action(entry), Some(&0));
        assert_eq!(rig.wheel.replace_action(entry, 7), Ok(0));
        assert_eq!(rig.wheel.action(entry), Some(&7));
        assert_eq!(rig.fire_all(10), [7]);
        assert_eq!(rig.wheel.action(entry), None);
    }
}

#[test]
fn an_earlier_now_changes_nothing() {
    let mut rig = Rig::new(2);
    rig.insert_all(&[HOUR + 1, HOUR]);
    assert_eq!(rig.fire_all(HOUR), [1]);
    assert_eq!(rig.fire_all(5), [0_usize; 0]);
    rig.insert(1, 7);
    assert_eq!(rig.fire_all(7), [1]);
    assert_eq!(rig.wheel.next(), Some(HOUR + 1));
}

#[test]
fn a_panic_while_firing_loses_one_action_only() {
    let mut rig = Rig::new(3);
    rig.insert_all(&[1, 1, 2]);
    let result = catch_unwind(AssertUnwindSafe(|| rig.wheel.fire(5, 9, |_| panic!("on purpose"))));
    assert!(result.is_err());
    rig.check();
    assert!(!rig.linked(0));
    assert_eq!(rig.fire_all(5), [1, 2]);
}

#[test]
fn tables_are_made_when_they_are_needed() {
    let mut rig = Rig::new(2);
    assert!(rig.wheel.levels.iter().all(|level| level.slots.is_none()));
    rig.fire_all(HOUR);
    rig.insert_all(&[HOUR + 1, HOUR + 2]);
    assert_eq!(rig.wheel.levels.iter().filter(|level| level.slots.is_some()).count(), 1);
}

/// The same operations on a wheel and on a map that is right by inspection.
struct Model {
    rig: Rig,
    rng: Rng,
    now: u64,
    /// By the moment which gives an entry its turn (its deadline, or the cursor's if that is later), then by insertion.
    order: BTreeMap<(u64, u64), usize>,
    keys: Vec<Option<(u64, u64)>>,
    deadlines: Vec<u64>,
    inserted: u64,
    /// Whether an entry was removed since the wheel was empty: `next` need not be exact then.
    removed: bool,
}

impl Model {
    fn new(seed: u64, entries: usize) -> Self {
        Self {
            rig: Rig::new(entries),
            rng: Rng::with_seed(seed),
            now: 0,
            order: BTreeMap::new(),
            keys: vec![None; entries],
            deadlines: vec![0; entries],
            inserted: 0,
            removed: false,
        }
    }

    /// A span of any magnitude from a nanosecond to thirteen days.
    fn span(&mut self) -> u64 {
        let magnitude = self.rng.u32(0..=50);
        self.rng.u64(0..=1 << magnitude)
    }

    fn deadline(&mut self) -> u64 {
        let span = self.span();
        match self.rng.u32(0..20) {
            0 => u64::MAX - self.rng.u64(0..3),
            1..3 => self.now.saturating_sub(span),
            3..8 => *self.rng.choice(&self.deadlines).unwrap(),
            8..11 => self.now + self.rng.u64(0..100),
            _ => self.now + span,
        }
    }

    fn insert_or_remove(&mut self, may_remove: bool) {
        let id = self.rng.usize(..self.keys.len());
        match self.keys[id].take() {
            None => {
                let deadline = self.deadline();
                let key = (deadline.max(self.rig.wheel.cursor), self.inserted);
                self.inserted += 1;
                self.rig.insert(id, deadline);
                self.order.insert(key, id);
                (self.keys[id], self.deadlines[id]) = (Some(key), deadline);
            }
            Some(key) if may_remove => {
                assert_eq!(self.rig.remove(id), Some(id));
                assert_eq!(self.order.remove(&key), Some(id));
                self.removed = true;
            }
            linked => self.keys[id] = linked,
        }
        self.check_next();
    }

    fn advance(&mut self, may_remove: bool) {
        self.now = match (self.rng.u32(0..4), self.rig.wheel.next()) {
            (0, Some(next)) if next < 1 << 60 => next.max(self.now),
            (1, Some(next)) if next < 1 << 60 => next.saturating_sub(1).max(self.now),
            _ => self.now + self.span(),
        };
        for calls in 1.. {
            let limit = self.rng.usize(1..20);
            let (fired, more) = self.rig.fire(self.now, limit);
            for id in fired {
                let (key, expected) = self.order.pop_first().unwrap();
                assert_eq!(id, expected, "out of turn");
                assert_eq!(self.keys[id].take(), Some(key));
                assert!(self.deadlines[id] <= self.now, "too early");
                assert_eq!(self.rig.remove(id), None);
            }
            self.check_next();
            if !more {
                break;
            }
            assert!(calls < 20 * self.keys.len(), "no progress");
            if self.rng.u32(0..4) == 0 {
                self.insert_or_remove(may_remove);
            }
        }
        assert!(self.order.values().all(|&id| self.deadlines[id] > self.now), "too late");
    }

    fn check_next(&mut self) {
        let earliest = self.order.values().map(|&id| self.deadlines[id]).min();
        self.removed &= earliest.is_some();
        let next = self.rig.wheel.next();
        assert_eq!(next.is_some(), earliest.is_some());
        assert!(next <= earliest, "late");
        let reached = self.rig.wheel.cursor;
        let exact = next.map(|at| at.max(reached)) == earliest.map(|at| at.max(reached));
        assert!(self.removed || exact, "not exact");
    }
}

#[test]
fn behaves_like_an_ordered_map() {
    for seed in 0..60 {
        // Crowded and sparse wheels, with and without removals.
        let entries = [3, 20, 150][seed as usize % 3];
        let may_remove = seed % 2 == 0;
        let mut model = Model::new(seed, entries);
        for _ in 0..2000 {
            if model.rng.u32(0..5) == 0 { model.advance(may_remove) } else { model.insert_or_remove(may_remove) }
        }
        let left = model.rig.fire_all(u64::MAX);
        assert_eq!(left, Vec::from_iter(model.order.into_values()));
    }
}
