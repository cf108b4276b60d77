//! What a program may ask of the simulation that it runs in: choices from its seed, and lines for its trace.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use super::director::Director;
use crate::MockClock;

thread_local! {
    static CURRENT: RefCell<Option<Arc<Director>>> = const { RefCell::new(None) };
}

/// While it lives, the thread is in a simulation.
pub(super) struct Current(Option<Arc<Director>>);

impl Current {
    pub(super) fn enter(director: &Arc<Director>) -> Self {
        Self(CURRENT.replace(Some(Arc::clone(director))))
    }
}

impl Drop for Current {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}

/// The clock of the simulation that the caller is in.
pub(crate) fn clock() -> Option<MockClock> {
    CURRENT.with_borrow(|current| Some(current.as_ref()?.clock().clone()))
}

/// Whether the caller is inside a simulation.
pub fn is_simulated() -> bool {
    CURRENT.with_borrow(Option::is_some)
}

/// 64 bits that the seed of the simulation chooses. They are part of the trace.
///
/// # Panics
///
/// Outside a simulation; [`is_simulated`] tells.
///
/// ```
/// use trioxide_testing::simulate::{random, simulate};
///
/// assert_eq!(simulate(1, async || random()), simulate(1, async || random()));
/// assert_ne!(simulate(1, async || random()), simulate(2, async || random()));
/// ```
#[track_caller]
pub fn random() -> u64 {
    drawn("random", |director| director.draw(u64::MAX))
}

/// One of the numbers from 0 to `of` - 1, all with the same chance; the seed of the simulation chooses.
///
/// # Panics
///
/// Outside a simulation; [`is_simulated`] tells. If `of` is zero.
///
/// ```
/// use trioxide_testing::simulate::{choose, simulate};
///
/// let fruit = simulate(1, async || ["apple", "pear", "plum"][choose(3)]);
/// assert_eq!(fruit, simulate(1, async || ["apple", "pear", "plum"][choose(3)]));
/// ```
#[track_caller]
pub fn choose(of: usize) -> usize {
    assert!(of > 0, "trioxide: `simulate::choose` needs at least 1 to choose from, got 0");
    drawn("choose", |director| director.draw(of as u64 - 1)) as usize
}

/// True with this probability; the seed of the simulation chooses. For 0 and less it never is, for 1 and more always.
///
/// # Panics
///
/// Outside a simulation; [`is_simulated`] tells.
///
/// ```
/// use trioxide_testing::simulate::{chance, simulate};
///
/// let lost = simulate(1, async || (0..1000).filter(|_| chance(0.1)).count());
/// assert!((50..150).contains(&lost));
/// ```
#[track_caller]
pub fn chance(probability: f64) -> bool {
    // 53 bits are what a float between 0 and 1 can tell apart.
    drawn("chance", |director| director.draw((1 << 53) - 1)) as f64 / ((1u64 << 53) as f64) < probability
}

/// Puts a line into the trace of the simulation, if it is traced: what happens in terms of the program. Elsewhere it does nothing.
///
/// ```
/// use trioxide_testing::simulate::{Simulation, note};
///
/// let simulated = Simulation::new().traced(true).record(async || note("the cable is cut"));
/// assert!(simulated.trace().to_string().contains("notes: the cable is cut"));
/// ```
pub fn note(text: impl fmt::Display) {
    let director = CURRENT.with_borrow(Clone::clone);
    if let Some(director) = director.filter(|director| director.traces()) {
        director.note_text(text.to_string());
    }
}

#[track_caller]
fn drawn(function: &str, draw: impl FnOnce(&Director) -> u64) -> u64 {
    let director = CURRENT.with_borrow(Clone::clone);
    let Some(director) = director else {
        panic!(
            "trioxide: `simulate::{function}` was called outside a simulation, where there is no seed to choose by; \
             call it from a future that `simulate` runs, or ask `simulate::is_simulated` first"
        )
    };
    draw(&director)
}
