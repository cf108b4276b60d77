//! Cancelling everywhere finds what is lost by it, wherever that is, and cuts at each suspension.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use trioxide_runtime::{finally, nursery, shield, sleep};
use trioxide_sync::Event;
use trioxide_testing::{CancelSweep, Simulation, cancel_everywhere, cancel_everywhere_real, pending_once};

#[test]
fn each_suspension_is_cut_in_each_way() {
    let cuts = RefCell::new(vec![]);
    let runs = CancelSweep::new().seeds(3..4).run(
        async |_| Cell::new(0),
        async |reached| {
            pending_once().await;
            reached.set(1);
            pending_once().await;
            reached.set(2);
        },
        async |reached, cut| cuts.borrow_mut().push((cut.to_string(), reached.get(), cut.outcome().is_some())),
    );
    let cut = |how: &str, reached| (how.to_owned(), reached, false);
    let expected = [
        ("not cut".to_owned(), 2, true),
        cut("cancelled before its first poll", 0),
        cut("dropped before its first poll", 0),
        cut("cancelled when woken from suspension 1", 1), // It comes as far as it can without waiting again.
        cut("cancelled at suspension 1", 1),
        cut("dropped when woken from suspension 1", 0),
        cut("dropped at suspension 1", 0),
        // What was woken before the cancel is delivered.
        ("cancelled when woken from suspension 2".to_owned(), 2, true),
        ("cancelled at suspension 2".to_owned(), 2, true),
        cut("dropped when woken from suspension 2", 1),
        cut("dropped at suspension 2", 1),
    ];
    assert_eq!(*cuts.borrow(), expected);
    assert_eq!(runs, expected.len());
}

/// A lock that is given back only by who comes to the end.
#[test]
fn a_lock_without_a_guard_is_found() {
    let told = catch_unwind(|| {
        cancel_everywhere(
            async |_| Arc::new(AtomicBool::new(false)),
            async |locked| {
                locked.store(true, Relaxed);
                sleep(Duration::from_secs(1)).await;
                locked.store(false, Relaxed);
            },
            async |locked, cut| assert!(!locked.load(Relaxed), "locked for ever: {cut}"),
        )
    });
    let told = told.unwrap_err();
    assert!(
        told.downcast_ref::<String>().unwrap().contains("locked for ever: cancelled before its first poll"),
        "{told:?}"
    );
}

/// Its end is told by the last line, and others wait for that.
#[test]
fn who_makes_others_hang_is_found() {
    let told = catch_unwind(|| {
        cancel_everywhere(
            async |n| {
                let done = Arc::new(Event::new());
                let waited_for = done.clone();
                n.task("hangs").spawn(async move { waited_for.wait().await });
                done
            },
            async |done| {
                sleep(Duration::from_secs(1)).await;
                done.set();
            },
            async |_, _| {},
        )
    });
    let told = told.unwrap_err();
    let told = told.downcast_ref::<String>().unwrap();
    assert!(told.contains("deadlock") && told.contains("\"hangs\""), "{told}");
}

#[test]
fn clean_up_and_children_are_waited_for_before_the_check() {
    let ended = AtomicUsize::new(0);
    cancel_everywhere(
        async |_| (Cell::new(0), Arc::new(AtomicUsize::new(0))),
        async |(cleaned, alive)| {
            let body = nursery(async |n| {
                for _ in 0..2 {
                    let alive = alive.clone();
                    n.spawn(async move {
                        let _alive = Alive::new(alive);
                        shield(sleep(Duration::from_secs(1))).await;
                    });
                }
                pending_once().await;
            });
            finally(body, async {
                sleep(Duration::from_secs(1)).await;
                cleaned.set(cleaned.get() + 1);
            })
            .await;
        },
        async |(cleaned, alive), cut| {
            assert_eq!(alive.load(Relaxed), 0, "{cut}");
            if !cut.is_drop() && cut.suspensions() > 0 {
                assert_eq!(cleaned.get(), 1, "{cut}");
                ended.fetch_add(1, Relaxed);
            }
        },
    );
    assert!(ended.load(Relaxed) > 0);
}

struct Alive(Arc<AtomicUsize>);

impl Alive {
    fn new(count: Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Relaxed);
        Self(count)
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[test]
fn other_seeds_make_other_runs_up_to_the_cut() {
    let orders = RefCell::new(BTreeSet::new());
    CancelSweep::new().seeds(0..30).simulation(Simulation::new().poll_time(Duration::from_micros(1))).run(
        async |n| {
            let order = Arc::new(std::sync::Mutex::new(vec![]));
            for task in 0..2 {
                let order = order.clone();
                n.spawn(async move { order.lock().unwrap().push(task) });
            }
            order
        },
        async |order| {
            pending_once().await;
            order.lock().unwrap().push(2);
        },
        async |order, cut| {
            if !cut.is_cut() {
                orders.borrow_mut().insert(order.lock().unwrap().clone());
            }
        },
    );
    assert_eq!(orders.borrow().len(), 6);
}

#[test]
fn a_panic_of_the_body_comes_out() {
    let told = catch_unwind(AssertUnwindSafe(|| {
        cancel_everywhere(async |_| (), async |()| panic!("of the body"), async |(), _| {})
    }));
    assert_eq!(*told.unwrap_err().downcast_ref::<&str>().unwrap(), "of the body");
}

/// As in a simulation, and then once more behind the end, where nothing is cut.
#[test]
fn outside_of_simulations_each_suspension_is_cut_in_each_way() {
    let cuts = RefCell::new(vec![]);
    let runs = cancel_everywhere_real(
        async |_| Cell::new(0),
        async |reached| {
            pending_once().await;
            reached.set(1);
        },
        async |reached, cut| cuts.borrow_mut().push((cut.to_string(), reached.get(), cut.outcome().is_some())),
    );
    let cut = |how: &str, reached, ended| (how.to_owned(), reached, ended);
    let not_cut = cut("not cut", 1, true);
    let expected = [
        not_cut.clone(),
        cut("cancelled before its first poll", 0, false),
        cut("dropped before its first poll", 0, false),
        cut("cancelled when woken from suspension 1", 1, true),
        cut("cancelled at suspension 1", 1, true),
        cut("dropped when woken from suspension 1", 0, false),
        cut("dropped at suspension 1", 0, false),
        not_cut.clone(),
        not_cut.clone(),
        not_cut.clone(),
        not_cut,
    ];
    assert_eq!(*cuts.borrow(), expected);
    assert_eq!(runs, expected.len());
}

/// The first run, which counts, has one suspension, and each after it one more, up to four.
#[test]
fn outside_of_simulations_more_suspensions_than_were_counted_are_cut_too() {
    let (run, cut_at) = (Cell::new(0), RefCell::new(BTreeSet::new()));
    cancel_everywhere_real(
        async |_| run.set(run.get() + 1),
        async |()| {
            for _ in 0..run.get().min(4) {
                pending_once().await;
            }
        },
        async |(), cut| {
            if cut.is_cut() {
                cut_at.borrow_mut().insert(cut.suspensions());
            }
        },
    );
    assert_eq!(*cut_at.borrow(), BTreeSet::from([0, 1, 2, 3, 4]));
}

#[test]
fn outside_of_simulations_a_check_that_fails_comes_out() {
    let told = catch_unwind(|| {
        cancel_everywhere_real(
            async |_| Arc::new(AtomicBool::new(false)),
            async |locked| {
                locked.store(true, Relaxed);
                pending_once().await;
                pending_once().await;
                locked.store(false, Relaxed);
            },
            async |locked, cut| assert!(!locked.load(Relaxed), "locked for ever: {cut}"),
        )
    });
    let told = told.unwrap_err();
    assert_eq!(*told.downcast_ref::<String>().unwrap(), "locked for ever: cancelled before its first poll");
}
