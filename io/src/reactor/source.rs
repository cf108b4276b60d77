//! One registered descriptor: what is known of it, and who waits for more.
//!
//! # Who waits where
//! - **A slot for each direction** serves the poll-style traits (`poll_read`, `poll_write`): the waker of the
//!   last poll counts, as those traits say.
//! - **A list** serves the futures of `&self` methods (`accept`, `read`, …): each has a place of its own, from
//!   its first wait until it is dropped, so several tasks may wait at once.
//!
//! # Invariants
//! 1. The word is set before the lock is taken to collect wakers, and looked at again under that lock before
//!    a waker is stored. So either the event finds the waker or the waiter finds the event.
//! 2. An event wakes *everyone* who waits for its direction. Nobody is handed the event, so nobody can take it
//!    along: a task that is woken and then dropped before it looks leaves the word as it was, and the
//!    others have been woken too. With many tasks in `accept` on one listener a connection wakes them all; those that
//!    find nothing wait again.
//! 3. Closing is an event, too: for both directions, and it stays.
//! 4. No waker is woken or dropped under the lock: its task may end there, and drop a future that takes this lock.

use std::io;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use slab::Slab;

use super::readiness::{Clear, Direction, Look, Readiness, Ready, Seen};

#[derive(Debug)]
pub(crate) struct Source {
    readiness: Readiness,
    waiters: Mutex<Waiters>,
}

#[derive(Debug, Default)]
struct Waiters {
    /// By which key the reactor knows the descriptor; none before it is registered.
    key: Option<usize>,
    reader: Option<Waker>,
    writer: Option<Waker>,
    listed: Slab<Listed>,
}

#[derive(Debug)]
struct Listed {
    direction: Direction,
    waker: Option<Waker>,
}

/// Where a waiter leaves its waker.
#[derive(Debug)]
pub(crate) enum Place {
    /// The slot of the direction.
    Slot,
    /// The list; the key is filled in by the first wait, and given back by [`Source::leave`].
    Listed(Option<usize>),
}

impl Source {
    pub(crate) fn new(ready: Ready) -> Source {
        Source { readiness: Readiness::new(ready), waiters: Mutex::new(Waiters::default()) }
    }

    /// Ready if there is something to look at; otherwise the waker is stored, and `arm` is called under the
    /// lock with the descriptor's key and with everything that is now waited for (a one-shot system has to be asked each time).
    pub(crate) fn poll_ready(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        place: &mut Place,
        arm: impl FnOnce(&mut Option<usize>, Ready) -> io::Result<()>,
    ) -> Poll<io::Result<()>> {
        let mut waiters = self.waiters.lock();
        if !matches!(self.readiness.look(direction, true), Look::NotYet) {
            return Poll::Ready(Ok(()));
        }
        let replaced = waiters.store(direction, place, cx.waker());
        let wanted = waiters.wanted();
        let armed = arm(&mut waiters.key, wanted);
        drop(waiters);
        drop(replaced);
        match armed {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// Notes the key of a descriptor that is registered before anybody waits.
    pub(crate) fn set_key(&self, key: usize) {
        self.waiters.lock().key = Some(key);
    }

    /// The key, if the descriptor is registered; it is to be taken out.
    pub(crate) fn take_key(&self) -> Option<usize> {
        self.waiters.lock().key.take()
    }

    /// See [`Readiness::look`].
    pub(crate) fn look(&self, direction: Direction, mine: bool) -> Look {
        self.readiness.look(direction, mine)
    }

    /// See [`Readiness::hold`].
    #[must_use]
    pub(crate) fn hold(&self, direction: Direction) -> bool {
        self.readiness.hold(direction)
    }

    /// See [`Readiness::let_go`].
    pub(crate) fn let_go(&self, direction: Direction) {
        self.readiness.let_go(direction);
    }

    /// Says that the direction is not ready any more. See [`Readiness::clear`].
    pub(crate) fn clear(&self, direction: Direction, seen: Seen, why: Clear) {
        self.readiness.clear(direction, seen, why);
    }

    /// Takes in an event, and moves the wakers that it is for to `wakers`. `disarmed`: the system reports
    /// nothing more until it is asked again, so those who wait for the other direction must come and ask.
    pub(crate) fn event(&self, ready: Ready, disarmed: bool, wakers: &mut Vec<Waker>) {
        self.readiness.set(ready);
        let mut waiters = self.waiters.lock();
        for direction in [Direction::Read, Direction::Write] {
            if disarmed || ready.is(direction) {
                waiters.collect(direction, wakers);
            }
        }
    }

    /// Takes a waiter out of the list. (One in a slot stays: whoever polls next replaces it.)
    pub(crate) fn leave(&self, place: &mut Place) {
        if let Place::Listed(key) = place
            && let Some(key) = key.take()
        {
            let left = self.waiters.lock().listed.remove(key);
            drop(left);
        }
    }
}

impl Waiters {
    /// Stores the waker; gives the one it replaces, to be dropped outside the lock.
    fn store(&mut self, direction: Direction, place: &mut Place, waker: &Waker) -> Option<Waker> {
        let slot = match place {
            Place::Slot => match direction {
                Direction::Read => &mut self.reader,
                Direction::Write => &mut self.writer,
            },
            Place::Listed(key) => {
                let key = *key.get_or_insert_with(|| self.listed.insert(Listed { direction, waker: None }));
                &mut self.listed[key].waker
            }
        };
        match slot {
            Some(old) if old.will_wake(waker) => None,
            _ => slot.replace(waker.clone()),
        }
    }

    fn wanted(&self) -> Ready {
        let mut wanted = Ready::NONE;
        if self.reader.is_some() {
            wanted = wanted.and(Ready::READ);
        }
        if self.writer.is_some() {
            wanted = wanted.and(Ready::WRITE);
        }
        for (_, listed) in &self.listed {
            if listed.waker.is_some() {
                wanted = wanted.and(match listed.direction {
                    Direction::Read => Ready::READ,
                    Direction::Write => Ready::WRITE,
                });
            }
        }
        wanted
    }

    fn collect(&mut self, direction: Direction, wakers: &mut Vec<Waker>) {
        wakers.extend(match direction {
            Direction::Read => self.reader.take(),
            Direction::Write => self.writer.take(),
        });
        if self.listed.is_empty() {
            return;
        }
        for (_, listed) in &mut self.listed {
            if listed.direction == direction {
                wakers.extend(listed.waker.take());
            }
        }
    }
}
