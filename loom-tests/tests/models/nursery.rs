//! The counts behind a nursery's join: `Live`, and the tokens of the task that opened it.
#![allow(unsafe_code)] // `loom::cell::UnsafeCell` hands out raw pointers, and checks each access itself.

use std::sync::{Arc, Weak};

use loom::cell::UnsafeCell;
use loom::sync::atomic::AtomicU32;
use loom::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use loom::thread;
use trioxide_loom::explore;
use trioxide_runtime::models::{Kept, Left, Live, State, not_ended};

const PARTS: usize = 3;

/// A nursery and the task that opened it.
struct Nursery {
    this: Weak<Nursery>,
    live: Live,
    /// What each part leaves behind, and whoever closes the nursery reads.
    traces: [UnsafeCell<bool>; PARTS],
    closed: AtomicU32,
    /// How often the services were sent home.
    sent_home: AtomicU32,
    /// With two tokens: one of the task's future, one of the nursery.
    task: State,
    ended: AtomicU32,
}

impl Nursery {
    fn new() -> Arc<Self> {
        let task = State::new();
        task.add_token();
        Arc::new_cyclic(|this| Self {
            this: this.clone(),
            live: Live::with_body(),
            traces: std::array::from_fn(|_| UnsafeCell::new(false)),
            closed: AtomicU32::new(0),
            sent_home: AtomicU32::new(0),
            task,
            ended: AtomicU32::new(0),
        })
    }

    /// The part numbered `part` works, and leaves.
    fn work_and_leave(&self, part: usize) {
        // SAFETY: loom checks the access.
        self.traces[part].with_mut(|trace| unsafe { *trace = true });
        if self.live.leave(1) == Left::Nothing {
            self.close();
        }
    }

    fn close(&self) {
        self.closed.fetch_add(1, AcqRel);
        self.traces.iter().for_each(|trace| trace.with(|_| ()));
        self.give_token_back();
    }

    /// The ordinary part numbered `part` leaves a nursery that has services; the last sends them home.
    fn leave_services(&self, part: usize) {
        // SAFETY: loom checks the access.
        self.traces[part].with_mut(|trace| unsafe { *trace = true });
        match self.live.leave(1) {
            Left::Open => {}
            Left::Nothing => self.close(),
            Left::Services => {
                assert_eq!(self.closed.load(Relaxed), 0, "the caretaker's count keeps the nursery");
                self.sent_home.fetch_add(1, AcqRel);
                self.leave_as_service(None);
            }
        }
    }

    fn leave_as_service(&self, part: Option<usize>) {
        if let Some(part) = part {
            // SAFETY: loom checks the access.
            self.traces[part].with_mut(|trace| unsafe { *trace = true });
        }
        if self.live.leave_service() {
            self.close();
        }
    }

    /// As `task::leave`.
    fn give_token_back(&self) {
        if self.task.give_token_back() {
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
        assert_eq!((self.live.ordinary(), self.live.services()), (0, 0));
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

/// A service ends, and a child, and the body; whoever is the last ordinary part sends home what services there are, and one closes.
#[test]
fn services_are_sent_home_once() {
    explore("nursery: services are sent home", 5, || {
        let nursery = Nursery::new();
        assert!(nursery.live.enter_service() && nursery.live.enter());
        let service = on_thread(&nursery, |nursery| nursery.leave_as_service(Some(1)));
        let child = on_thread(&nursery, |nursery| nursery.leave_services(2));
        nursery.leave_services(0);
        nursery.give_token_back();
        service.join().unwrap();
        child.join().unwrap();
        assert!(nursery.sent_home.load(Relaxed) <= 1);
        nursery.is_over();
    });
}

/// A worker keeps the count of a child that has ended, spends it on a child that another worker runs, and gives up a second one, while the body
/// leaves (`nursery::kept`): closed once, by one who sees what all have done.
#[test]
fn kept_counts_are_spent_and_given_up() {
    explore("nursery: kept counts", 5, || {
        let nursery = Nursery::new();
        assert!(nursery.live.enter() && nursery.live.enter());
        let worker = on_thread(&nursery, |nursery| {
            // Two children end here; their counts are kept. They leave their traces together.
            // SAFETY: loom checks the access.
            nursery.traces[1].with_mut(|trace| unsafe { *trace = true });
            // The first count goes with a new child to another worker; the queue orders it, here the start of the thread.
            assert_eq!(nursery.closed.load(Relaxed), 0, "a kept count keeps the nursery open");
            let nursery = nursery.this.upgrade().expect("it is there");
            let child = on_thread(&nursery, |nursery| nursery.work_and_leave(2));
            if nursery.live.leave(1) == Left::Nothing {
                nursery.close();
            }
            child.join().unwrap();
        });
        nursery.work_and_leave(0);
        nursery.give_token_back();
        worker.join().unwrap();
        nursery.is_over();
    });
}

/// Somebody who counts nowhere adds a service while the last ordinary part leaves: it is in and sent home, or stays out.
#[test]
fn a_service_joins_while_the_last_part_leaves() {
    explore("nursery: a service joins while the last part leaves", 5, || {
        let nursery = Nursery::new();
        let joiner = on_thread(&nursery, |nursery| {
            let joined = nursery.live.enter_service();
            if joined {
                nursery.leave_as_service(Some(1));
            }
            joined
        });
        nursery.leave_services(0);
        nursery.give_token_back();
        joiner.join().unwrap();
        nursery.is_over();
    });
}

/// The future of the nursery is forgotten: the end of the opener's future gives up the body's count, while a child ends. The task ends once, after both,
/// and whoever ends it sees what all have done.
#[test]
fn the_join_count_against_forget() {
    explore("nursery: the join count against forget", 5, || {
        let nursery = Nursery::new();
        assert!(nursery.live.enter());
        let body_open = Arc::new(AtomicU32::new(1));
        let child = on_thread(&nursery, |nursery| nursery.work_and_leave(1));
        // A late drop of the future, on another thread, and the end of the task's future: one of the two gives up the body's count.
        let flag = Arc::clone(&body_open);
        let body_gone = move |nursery: &Nursery| {
            if flag.swap(0, AcqRel) == 1 {
                nursery.work_and_leave(0);
            }
        };
        let late = on_thread(&nursery, body_gone.clone());
        body_gone(&nursery);
        nursery.give_token_back();
        child.join().unwrap();
        late.join().unwrap();
        nursery.is_over();
    });
}

/// A worker keeps the count of a child that has ended, then that of another, and gives both up. Whoever has heard of the first end does not count that child any
/// more, whatever is on its way meanwhile (`nursery::kept`).
#[test]
fn a_child_that_has_ended_is_not_counted() {
    explore("nursery: a child that has ended is not counted", 5, || {
        let nursery = Nursery::new();
        assert!(nursery.live.enter() && nursery.live.enter());
        let (kept, told) = (Arc::new(Kept::new()), Arc::new(AtomicU32::new(0)));
        let (its_kept, tell) = (Arc::clone(&kept), Arc::clone(&told));
        let worker = on_thread(&nursery, move |nursery| {
            its_kept.add(&nursery.live);
            tell.fetch_add(1, AcqRel);
            its_kept.add(&nursery.live);
            assert_eq!(its_kept.move_to(&nursery.live), Left::Open);
            tell.fetch_add(1, AcqRel);
        });
        let ended = told.load(Acquire) as usize;
        let left = not_ended(&nursery.live, || Box::new(std::iter::once(&*kept)));
        assert!((1..=3 - ended).contains(&left), "{left} are left after {ended} were told of");
        worker.join().unwrap();
        assert_eq!(not_ended(&nursery.live, || Box::new(std::iter::once(&*kept))), 1);
    });
}
