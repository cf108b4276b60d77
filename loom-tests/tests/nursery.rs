//! The counts behind a nursery's join: `Live`, and the tokens of the task that opened it.
#![cfg(loom)]
#![allow(unsafe_code)] // `loom::cell::UnsafeCell` hands out raw pointers, and checks each access itself.
#![allow(clippy::arc_with_non_send_sync)] // The threads of a model take turns.

use std::sync::Arc;

use loom::cell::UnsafeCell;
use loom::sync::atomic::AtomicU32;
use loom::sync::atomic::Ordering::{AcqRel, Relaxed};
use loom::thread;
use trioxide_loom::explore;
use trioxide_runtime::models::Live;

const PARTS: usize = 3;

/// A nursery and the task that opened it.
struct Nursery {
    live: Live,
    /// What each part leaves behind, and whoever closes the nursery reads.
    traces: [UnsafeCell<bool>; PARTS],
    closed: AtomicU32,
    /// As `Header::joins`: one token of the task's future, one of the nursery.
    joins: AtomicU32,
    ended: AtomicU32,
}

impl Nursery {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            live: Live::with_body(),
            traces: std::array::from_fn(|_| UnsafeCell::new(false)),
            closed: AtomicU32::new(0),
            joins: AtomicU32::new(2),
            ended: AtomicU32::new(0),
        })
    }

    /// The part numbered `part` works, and leaves.
    fn work_and_leave(&self, part: usize) {
        // SAFETY: loom checks the access.
        self.traces[part].with_mut(|trace| unsafe { *trace = true });
        if self.live.leave() {
            self.closed.fetch_add(1, AcqRel);
            self.traces.iter().for_each(|trace| trace.with(|_| ()));
            self.give_token_back();
        }
    }

    /// As `task::leave`.
    fn give_token_back(&self) {
        if self.joins.fetch_sub(1, AcqRel) == 1 {
            self.ended.fetch_add(1, AcqRel);
            self.traces.iter().for_each(|trace| trace.with_mut(|_| ()));
        }
    }

    /// Somebody with a handle to the nursery, who counts nowhere, spawns; the child is run at once.
    fn spawn_and_run(&self, part: usize) -> bool {
        let entered = self.live.enter();
        if entered {
            assert_eq!(self.closed.load(Relaxed), 0, "entered a closed nursery");
            self.work_and_leave(part);
        }
        entered
    }

    fn is_over(&self) {
        assert_eq!(self.live.count(), 0);
        assert_eq!(self.closed.load(Relaxed), 1, "closed exactly once");
        assert_eq!(self.ended.load(Relaxed), 1, "the task ended exactly once");
        assert!(!self.live.enter(), "zero is final");
    }
}

fn on_thread<T: 'static>(nursery: &Arc<Nursery>, act: impl FnOnce(&Nursery) -> T + 'static) -> thread::JoinHandle<T> {
    let nursery = Arc::clone(nursery);
    thread::spawn(move || act(&nursery))
}

/// The body and a child leave while a third party spawns: the nursery is closed once, by the last, who sees what all have done.
#[test]
fn spawn_against_the_last_leave() {
    explore("nursery: spawn against the last leave", 5, || {
        let nursery = Nursery::new();
        assert!(nursery.live.enter(), "the body is there");
        let child = on_thread(&nursery, |nursery| nursery.work_and_leave(1));
        let spawner = on_thread(&nursery, |nursery| nursery.spawn_and_run(2));
        nursery.work_and_leave(0);
        nursery.give_token_back();
        child.join().unwrap();
        spawner.join().unwrap();
        nursery.is_over();
    });
}

/// A child that counts spawns a sibling while the body leaves: it always may.
#[test]
fn a_child_spawns_while_the_body_leaves() {
    explore("nursery: a child spawns while the body leaves", 5, || {
        let nursery = Nursery::new();
        assert!(nursery.live.enter());
        let child = on_thread(&nursery, |nursery| {
            assert!(nursery.spawn_and_run(2), "a part that counts may spawn");
            nursery.work_and_leave(1);
        });
        nursery.work_and_leave(0);
        nursery.give_token_back();
        child.join().unwrap();
        nursery.is_over();
    });
}

/// The task's future ends while the last child does: the opener's token is given back once, and the task ends once.
#[test]
fn the_openers_token() {
    explore("nursery: the opener's token", 5, || {
        let nursery = Nursery::new();
        assert!(nursery.live.enter());
        let child = on_thread(&nursery, |nursery| nursery.work_and_leave(1));
        let body = on_thread(&nursery, |nursery| nursery.work_and_leave(0));
        nursery.give_token_back();
        child.join().unwrap();
        body.join().unwrap();
        nursery.is_over();
    });
}
