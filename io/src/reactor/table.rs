//! The registered descriptors by key.
//!
//! A key is an index into a slab and, above it, a generation. A descriptor that was closed may still be heard
//! of: its event was already fetched, or a duplicate of it lives on. Such a key finds either nothing or an
//! entry of another generation, and is harmless. The highest generation is never given out, so no key equals
//! `usize::MAX`, which is `polling`'s, or `usize::MAX - 1`, which is the wake-up's.

use std::sync::Arc;

use slab::Slab;

use super::source::Source;

const INDEX_BITS: u32 = if usize::BITS == 64 { 32 } else { 20 };
const INDEX_MASK: usize = (1 << INDEX_BITS) - 1;
const GENERATIONS: usize = usize::MAX >> INDEX_BITS;

#[derive(Debug)]
pub(crate) struct Table {
    entries: Slab<Entry>,
    generation: usize,
}

#[derive(Debug)]
struct Entry {
    generation: usize,
    source: Arc<Source>,
}

impl Table {
    pub(crate) fn new() -> Table {
        Table { entries: Slab::new(), generation: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Enters a source; `None` when the table is full (2^20 entries on a 32-bit system).
    pub(crate) fn insert(&mut self, source: Arc<Source>) -> Option<usize> {
        if self.entries.vacant_key() > INDEX_MASK {
            return None;
        }
        let generation = self.generation;
        self.generation = (generation + 1) % GENERATIONS;
        let index = self.entries.insert(Entry { generation, source });
        Some(generation << INDEX_BITS | index)
    }

    pub(crate) fn get(&self, key: usize) -> Option<&Arc<Source>> {
        let entry = self.entries.get(key & INDEX_MASK)?;
        (entry.generation == key >> INDEX_BITS).then_some(&entry.source)
    }

    /// The source is given back so that it (and any waker in it) is dropped outside the table's lock.
    #[must_use]
    pub(crate) fn remove(&mut self, key: usize) -> Option<Arc<Source>> {
        self.get(key)?;
        Some(self.entries.remove(key & INDEX_MASK).source)
    }
}

#[cfg(test)]
mod tests {
    use super::super::readiness::Ready;
    use super::*;

    fn source() -> Arc<Source> {
        Arc::new(Source::new(Ready::NONE))
    }

    #[test]
    fn a_stale_key_finds_nothing() {
        let mut table = Table::new();
        let old = table.insert(source()).unwrap();
        assert!(table.remove(old).is_some());
        assert!(table.get(old).is_none());
        let new = table.insert(source()).unwrap();
        assert_eq!(old & INDEX_MASK, new & INDEX_MASK);
        assert!(table.get(old).is_none());
        assert!(table.remove(old).is_none());
        assert!(table.get(new).is_some());
    }

    #[test]
    fn the_last_generation_is_not_a_reserved_key() {
        let mut table = Table::new();
        table.generation = GENERATIONS - 1;
        let last = table.insert(source()).unwrap();
        assert!(last | INDEX_MASK < usize::MAX - 1);
        assert_eq!(table.insert(source()).unwrap() >> INDEX_BITS, 0);
        for reserved in [usize::MAX - 1, usize::MAX] {
            assert!(table.get(reserved).is_none());
        }
    }
}
