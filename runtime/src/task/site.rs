//! Where a task was spawned, in four bytes: for there may be millions of tasks, and only an error or a tree of them asks.
//!
//! A `Location` is made by the compiler and lies among the constants of the program, never far from others. So its distance from one that is known here
//! does. One that lies elsewhere (the program has loaded a library that spawns) is entered in a table, once, and its number there is kept.
#![allow(unsafe_code)]

use std::collections::HashMap;
use std::panic::Location;
use std::ptr;
use std::sync::{Mutex, PoisonError};

/// The distance in bytes, which is even, or twice the number in the table and one.
#[derive(Clone, Copy)]
pub(super) struct Site(i32);

/// What distances are measured from.
static HERE: &Location<'static> = Location::caller();

const NUMBERED: i32 = 1;

static ELSEWHERE: Mutex<Option<Table>> = Mutex::new(None);

#[derive(Default)]
struct Table {
    sites: Vec<&'static Location<'static>>,
    numbers: HashMap<usize, i32>,
}

impl Site {
    #[inline]
    pub(super) fn of(site: &'static Location<'static>) -> Self {
        let distance = ptr::from_ref(site).expose_provenance().wrapping_sub(ptr::from_ref(HERE).addr()).cast_signed();
        match i32::try_from(distance) {
            Ok(distance) if distance & NUMBERED == 0 => Self(distance),
            _ => Self::numbered(site),
        }
    }

    #[cold]
    fn numbered(site: &'static Location<'static>) -> Self {
        let mut table = ELSEWHERE.lock().unwrap_or_else(PoisonError::into_inner);
        let Table { sites, numbers } = table.get_or_insert_default();
        let number = *numbers.entry(ptr::from_ref(site).addr()).or_insert_with(|| {
            sites.push(site);
            (sites.len() - 1) as i32 // A program has fewer lines.
        });
        Self(number << 1 | NUMBERED)
    }

    pub(super) fn get(self) -> &'static Location<'static> {
        if self.0 & NUMBERED == 0 {
            let address = ptr::from_ref(HERE).addr().wrapping_add_signed(self.0 as isize);
            // SAFETY: that is the address of the location that `of` was called with, a reference for ever, whose provenance was exposed there.
            return unsafe { &*ptr::with_exposed_provenance(address) };
        }
        let table = ELSEWHERE.lock().unwrap_or_else(PoisonError::into_inner);
        table.as_ref().expect("entered by `numbered`").sites[(self.0 >> 1) as usize]
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_site_of_the_program_is_told_by_its_distance() {
        let (one, other) = (Location::caller(), Location::caller());
        let (first, second) = (Site::of(one), Site::of(other));
        assert_eq!((first.0 & NUMBERED, second.0 & NUMBERED), (0, 0), "they lie among the constants");
        assert!(ptr::eq(first.get(), one) && ptr::eq(second.get(), other));
    }

    #[test]
    fn a_site_elsewhere_is_told_by_its_number_and_has_one() {
        let sites: Vec<&'static Location<'static>> =
            (0..3).map(|_| &*Box::leak(Box::new(*Location::caller()))).collect();
        let numbered: Vec<_> = sites.iter().map(|site| Site::numbered(site)).collect();
        assert!(numbered.iter().all(|site| site.0 & NUMBERED != 0));
        assert!(sites.iter().zip(&numbered).all(|(site, numbered)| ptr::eq(*site, numbered.get())));
        assert_eq!(Site::numbered(sites[1]).0, numbered[1].0);
    }
}
