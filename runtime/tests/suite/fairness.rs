//! In which order a worker runs what is queued, and how long something waits at most: counted in polls, on one worker.
//!
//! The bounds are written out here as they stand in `docs/semantics.md`, which is held to the code by a test of its own.

use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::thread;

use crate::common::{Flag, Gate};
use trioxide_runtime::{Nursery, checkpoint, nursery};
use trioxide_testing::on_each;

const MAINTENANCE: usize = 61;
const LIFO_RUNS: usize = 3;
const MAIN_WAITS: usize = 8;

const TASKS: usize = 20;

/// The last of `TASKS`, and then the others in order.
fn last_first_and_then_in_order() -> Vec<usize> {
    [TASKS - 1].into_iter().chain(0..TASKS - 1).collect()
}

#[test]
fn spawned_tasks_run_in_order_but_for_the_last() {
    on_each(&[1], async || {
        let order = Arc::new(Mutex::new(Vec::new()));
        nursery(async |n| {
            let (group, order, gate) = (n.clone(), Arc::clone(&order), Gate::default());
            let opened = gate.clone();
            // From a task that has waited: `main` is not in the queues, and the children of one that has not are forks.
            n.spawn(async move {
                gate.pass().await;
                for at in 0..TASKS {
                    let order = Arc::clone(&order);
                    group.spawn(async move { order.lock().unwrap().push(at) });
                }
            });
            checkpoint().await;
            opened.open();
        })
        .await;
        assert_eq!(*order.lock().unwrap(), last_first_and_then_in_order());
    });
}

/// But for the turns of the oldest, of which one may fall into these.
#[test]
fn forks_run_newest_first() {
    on_each(&[1], async || {
        let order = Arc::new(Mutex::new(Vec::new()));
        nursery(async |n| {
            let (group, order) = (n.clone(), Arc::clone(&order));
            n.spawn(async move {
                for at in 0..TASKS {
                    let order = Arc::clone(&order);
                    group.spawn(async move { order.lock().unwrap().push(at) });
                }
            });
        })
        .await;
        let mut order = std::mem::take(&mut *order.lock().unwrap());
        if let Some(early) = order.iter().position(|&at| at == 0) {
            order.remove(early);
        }
        assert_eq!(order, (1..TASKS).rev().collect::<Vec<_>>());
    });
}

/// A tree of forks that grows for ever does not keep out its oldest branch.
#[test]
fn the_oldest_fork_waits_for_so_many_polls_and_no_more() {
    fn grow(n: &Nursery<Infallible>, polls: &Arc<AtomicUsize>, oldest_ran: &Flag) {
        for _ in 0..2 {
            let (group, polls, oldest_ran) = (n.clone(), Arc::clone(polls), oldest_ran.clone());
            n.spawn(async move {
                polls.fetch_add(1, Ordering::SeqCst);
                if !oldest_ran.is_set() {
                    grow(&group, &polls, &oldest_ran);
                }
            });
        }
    }
    on_each(&[1], async || {
        let polls = Arc::new(AtomicUsize::new(0));
        let (oldest_ran, waited) = (Flag::default(), Arc::new(AtomicUsize::new(0)));
        nursery(async |n: Nursery<Infallible>| {
            let (group, polls, ran, waited) = (n.clone(), Arc::clone(&polls), oldest_ran.clone(), Arc::clone(&waited));
            n.spawn(async move {
                let (seen, set) = (Arc::clone(&polls), ran.clone());
                group.spawn(async move {
                    waited.store(seen.load(Ordering::SeqCst), Ordering::SeqCst);
                    set.set();
                });
                grow(&group, &polls, &ran);
            });
        })
        .await;
        let waited = waited.load(Ordering::SeqCst);
        assert!(waited > 2 && waited <= MAINTENANCE, "it has waited for {waited} polls");
    });
}

/// A tree of forks does not keep out what was woken.
#[test]
fn forks_and_the_queue_take_turns() {
    on_each(&[1], async || {
        let (forks, turns) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
        nursery(async |n: Nursery<Infallible>| {
            let (group, counted, seen) = (n.clone(), Arc::clone(&forks), Arc::clone(&turns));
            n.spawn(async move {
                for _ in 0..8 * TASKS {
                    let counted = Arc::clone(&counted);
                    group.spawn(async move {
                        counted.fetch_add(1, Ordering::SeqCst);
                    });
                }
                // It has not waited, and goes to the end of the queue each time.
                for _ in 0..TASKS {
                    checkpoint().await;
                    seen.lock().unwrap().push(counted.load(Ordering::SeqCst));
                }
            });
        })
        .await;
        let turns = turns.lock().unwrap();
        let most = turns.windows(2).map(|two| two[1] - two[0]).max().expect("it had its turns");
        // One from the forks, and once the oldest in between.
        assert!(most <= 2, "{most} forks have run between two turns of a task in the queue");
    });
}

/// Neither does the main future keep out the others by being due, nor they it.
#[test]
fn main_waits_for_so_many_polls_and_no_more() {
    on_each(&[1], async || {
        let (polls, ended) = (Arc::new(AtomicUsize::new(0)), Flag::default());
        nursery(async |n: Nursery<Infallible>| {
            for _ in 0..TASKS {
                let (polls, ended) = (Arc::clone(&polls), ended.clone());
                n.spawn(async move {
                    while !ended.is_set() {
                        polls.fetch_add(1, Ordering::SeqCst);
                        checkpoint().await;
                    }
                });
            }
            for _ in 0..TASKS {
                let before = polls.load(Ordering::SeqCst);
                checkpoint().await;
                assert_eq!(polls.load(Ordering::SeqCst) - before, MAIN_WAITS);
            }
            ended.set();
        })
        .await;
    });
}

#[test]
fn woken_tasks_run_in_the_order_of_their_wakes_but_for_the_last() {
    on_each(&[1], async || {
        let order = Arc::new(Mutex::new(Vec::new()));
        nursery(async |n| {
            let gates: Vec<Gate> = (0..TASKS).map(|_| Gate::default()).collect();
            for (at, gate) in gates.iter().enumerate() {
                let (gate, order) = (gate.clone(), Arc::clone(&order));
                n.spawn(async move {
                    gate.pass().await;
                    order.lock().unwrap().push(at);
                });
            }
            n.spawn(async move {
                // A turn for each of them: now they wait.
                checkpoint().await;
                checkpoint().await;
                gates.iter().for_each(Gate::open);
            });
        })
        .await;
        assert_eq!(*order.lock().unwrap(), last_first_and_then_in_order());
    });
}

/// Two tasks that wake each other pass the queue `LIFO_RUNS` times, and then who was queued before has his turn.
#[test]
fn the_slot_passes_the_queue_so_often_and_no_more() {
    for begin_at in 0..3 * LIFO_RUNS {
        on_each(&[1], async move || {
            let polls = Arc::new(AtomicUsize::new(0));
            let (queued_at, ran_at) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let third_ran = Flag::default();
            let wakers: Arc<[Mutex<Option<Waker>>; 2]> = Arc::default();
            nursery(async |n| {
                for me in 0..2 {
                    let (polls, wakers, third_ran) = (Arc::clone(&polls), Arc::clone(&wakers), third_ran.clone());
                    let (queued_at, ran_at) = (Arc::clone(&queued_at), Arc::clone(&ran_at));
                    let group = n.clone();
                    n.spawn(poll_fn(move |cx| {
                        let before = polls.fetch_add(1, Ordering::SeqCst);
                        *wakers[me].lock().unwrap() = Some(cx.waker().clone());
                        let other = wakers[1 - me].lock().unwrap().clone();
                        if before == 10 + begin_at {
                            let (polls, third_ran, ran_at) =
                                (Arc::clone(&polls), third_ran.clone(), Arc::clone(&ran_at));
                            queued_at.store(before + 1, Ordering::SeqCst);
                            group.spawn(async move {
                                ran_at.store(polls.load(Ordering::SeqCst), Ordering::SeqCst);
                                third_ran.set();
                            });
                        }
                        // It displaces the third from the slot into the queue.
                        if let Some(other) = other {
                            other.wake();
                        } else {
                            cx.waker().wake_by_ref();
                        }
                        if third_ran.is_set() { Poll::Ready(()) } else { Poll::Pending }
                    }));
                }
            })
            .await;
            let passed = ran_at.load(Ordering::SeqCst) - queued_at.load(Ordering::SeqCst);
            assert!(passed <= LIFO_RUNS, "{passed} tasks from the slot have passed one in the queue");
        });
    }
}

/// What another thread has woken waits for at most `MAINTENANCE` polls, whatever the worker is doing.
#[test]
fn what_comes_from_outside_waits_for_so_many_polls_and_no_more() {
    for begin_at in (0..2 * MAINTENANCE).step_by(7) {
        on_each(&[1], async move || {
            let polls = Arc::new(AtomicUsize::new(0));
            let (opened_at, passed_at) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let (gate, passed) = (Gate::default(), Flag::default());
            nursery(async |n| {
                let outsider = (gate.clone(), passed.clone(), Arc::clone(&polls), Arc::clone(&passed_at));
                n.spawn(async move {
                    let (gate, passed, polls, passed_at) = outsider;
                    gate.pass().await;
                    passed_at.store(polls.load(Ordering::SeqCst), Ordering::SeqCst);
                    passed.set();
                });
                for me in 0..3 {
                    let (polls, opened_at) = (Arc::clone(&polls), Arc::clone(&opened_at));
                    let (gate, passed) = (gate.clone(), passed.clone());
                    n.spawn(async move {
                        while !passed.is_set() {
                            let before = polls.fetch_add(1, Ordering::SeqCst);
                            if me == 0 && before / 3 == begin_at {
                                let gate = gate.clone();
                                opened_at.store(before + 1, Ordering::SeqCst);
                                thread::spawn(move || gate.open()).join().unwrap();
                            }
                            checkpoint().await;
                        }
                    });
                }
            })
            .await;
            let waited = passed_at.load(Ordering::SeqCst) - opened_at.load(Ordering::SeqCst);
            assert!(waited <= MAINTENANCE, "it has waited for {waited} polls");
        });
    }
}
