//! A forced order over tasks: [`Sequencer`].

use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use trioxide_sync::Event;

/// Forces an order over tasks: turn 0 runs first, and turn n + 1 when turn n is over.
///
/// Clones share the order, so each task takes one along. The numbers are given out by hand: that is the point.
///
/// ```
/// use trioxide_runtime::{nursery, run};
/// use trioxide_testing::Sequencer;
///
/// run(async {
///     let order = Sequencer::new();
///     nursery(async |n| {
///         let other = order.clone();
///         n.spawn(async move {
///             let _turn = other.turn(1).await; // after the turn below, wherever this runs
///         });
///         let _turn = order.turn(0).await;
///     })
///     .await;
/// });
/// ```
#[derive(Clone, Default)]
pub struct Sequencer {
    shared: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Whose turn it is.
    current: usize,
    /// All numbers that were ever asked for.
    taken: BTreeSet<usize>,
    /// Those who wait for their turn.
    waiting: BTreeMap<usize, Arc<Event>>,
    /// The turn that will never be taken, because its task was cancelled while it waited.
    missing: Option<usize>,
}

impl Sequencer {
    /// A sequencer that begins with turn 0.
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits until turns 0 to `number` - 1 are over. This turn is over when what comes back is dropped.
    ///
    /// # Cancellation
    ///
    /// A checkpoint, also when it is this turn already. Cancelled while it waits, the turn can never be
    /// taken, which breaks the order: those who wait, and those who come later, panic and say so.
    ///
    /// # Panics
    ///
    /// If `number` was asked for before; if a wait for another turn was cancelled; when polled outside a run.
    pub async fn turn(&self, number: usize) -> Turn {
        let event = self.enter(number);
        let mut waiting = Waiting { sequencer: self, number, has_come: false };
        event.wait().await;
        waiting.has_come = true;
        self.check(number);
        Turn { sequencer: self.clone(), number }
    }

    /// Takes the number; the event that says that its turn has come, or never will.
    fn enter(&self, number: usize) -> Arc<Event> {
        self.check(number);
        let mut state = self.shared.lock();
        let is_new = state.taken.insert(number);
        let event = Arc::new(Event::new());
        if is_new && state.current == number {
            event.set();
        } else if is_new {
            state.waiting.insert(number, event.clone());
        }
        drop(state);
        assert!(is_new, "trioxide: turn {number} of a `Sequencer` was asked for twice; each number is one turn");
        event
    }

    fn check(&self, number: usize) {
        let missing = self.shared.lock().missing;
        if let Some(missing) = missing {
            panic!(
                "trioxide: turn {number} of a `Sequencer` cannot come: the order is broken, \
                 because turn {missing} was cancelled while it waited"
            );
        }
    }

    fn end_turn(&self, number: usize) {
        let mut state = self.shared.lock();
        state.current = number + 1;
        let next = state.waiting.remove(&(number + 1));
        drop(state);
        if let Some(next) = next {
            next.set();
        }
    }

    fn give_up(&self, number: usize) {
        let mut state = self.shared.lock();
        state.missing.get_or_insert(number);
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        for event in waiting.into_values() {
            event.set();
        }
    }
}

/// Breaks the sequencer if the wait for a turn is dropped.
struct Waiting<'a> {
    sequencer: &'a Sequencer,
    number: usize,
    has_come: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.has_come {
            self.sequencer.give_up(self.number);
        }
    }
}

/// A turn that has come; dropping it lets the next one begin.
#[must_use = "the turn is over as soon as this is dropped"]
pub struct Turn {
    sequencer: Sequencer,
    number: usize,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.sequencer.end_turn(self.number);
    }
}

impl fmt::Debug for Sequencer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared.lock();
        f.debug_struct("Sequencer")
            .field("current", &state.current)
            .field("waiting", &state.waiting.keys())
            .field("missing", &state.missing)
            .finish()
    }
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Turn").field(&self.number).finish()
    }
}
