//! Wakes of the children of local nurseries: who is woken is polled, and nobody else.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};

use crate::common::{ALL, Count, Flag, Gate, Never, a_few, all_wait, until};
use trioxide_runtime::{LocalNursery, checkpoint, local_nursery, nursery, run};
use trioxide_testing::on_each;

#[test]
fn only_woken_children_are_polled() {
    on_each(ALL, async || {
        let polls = Cell::new(0);
        let gates: Vec<_> = (0..100).map(|_| Gate::default()).collect();
        local_nursery(async |n: LocalNursery<Never>| {
            for gate in &gates {
                let polls = &polls;
                n.spawn(async move {
                    let mut pass = Box::pin(gate.pass());
                    poll_fn(|cx| {
                        polls.set(polls.get() + 1);
                        pass.as_mut().poll(cx)
                    })
                    .await;
                });
            }
            all_wait().await;
            assert_eq!(polls.get(), 100);
            for gate in &gates {
                gate.open();
                a_few().await;
            }
        })
        .await;
        assert_eq!(polls.get(), 200, "once to begin, once when woken");
    });
}

#[test]
fn a_child_that_is_always_ready_starves_neither_siblings_nor_other_tasks() {
    on_each(&[1], async || {
        nursery(async |outer| {
            let (other, done) = (Count::default(), Flag::default());
            let (count, over) = (other.clone(), done.clone());
            outer.spawn(async move {
                while !over.is_set() {
                    count.add();
                    checkpoint().await;
                }
            });
            let turns = [const { Cell::new(0_u32) }; 3];
            local_nursery(async |n: LocalNursery<Never>| {
                for turn in &turns {
                    // A leaf that is always ready: only the task's budget ends its polls.
                    n.spawn(async move {
                        while turn.get() < 10_000 {
                            poll_fn(|cx| trioxide_runtime::lowlevel::poll_checkpoint(cx, "test")).await;
                            turn.set(turn.get() + 1);
                        }
                    });
                }
                // Foreign: wakes itself in every poll.
                n.spawn(async {
                    poll_fn(|cx| {
                        if turns.iter().all(|turn| turn.get() == 10_000) {
                            return Poll::Ready(());
                        }
                        cx.waker().wake_by_ref();
                        Poll::Pending
                    })
                    .await;
                });
                until(|| turns.iter().all(|turn| turn.get() >= 1_000)).await;
                assert!(turns.iter().all(|turn| turn.get() < 10_000), "they go on side by side");
            })
            .await;
            assert!(other.get() > 10, "other tasks had their turns");
            done.set();
            Ok::<_, Never>(())
        })
        .await
        .unwrap();
    });
}

#[test]
fn a_wake_after_the_end_of_a_child_or_of_the_nursery_leads_nowhere() {
    on_each(ALL, async || {
        let kept = RefCell::new(Vec::<Waker>::new());
        local_nursery(async |n: LocalNursery<Never>| {
            for _ in 0..3 {
                n.spawn(poll_fn(|cx| {
                    kept.borrow_mut().push(cx.waker().clone());
                    Poll::Ready(())
                }));
            }
            checkpoint().await;
            kept.borrow().iter().for_each(Waker::wake_by_ref);
            n.spawn(checkpoint());
            checkpoint().await;
        })
        .await;
        kept.borrow().iter().for_each(Waker::wake_by_ref);
    });
}

#[test]
fn wakes_from_other_threads_and_tasks_come_through() {
    on_each(ALL, async || {
        nursery(async |outer: trioxide_runtime::Nursery<Never>| {
            let gates: Vec<_> = (0..50).map(|_| Gate::default()).collect();
            for gate in gates.clone() {
                outer.spawn(async move {
                    checkpoint().await;
                    gate.open();
                });
            }
            let passed = Cell::new(0);
            local_nursery(async |n: LocalNursery<Never>| {
                for gate in &gates {
                    n.spawn(async {
                        gate.pass().await;
                        passed.set(passed.get() + 1);
                    });
                }
            })
            .await;
            assert_eq!(passed.get(), 50);
        })
        .await;
    });
}

#[test]
fn ten_thousand_children_and_one_wake_at_a_time() {
    run(async {
        let gates: Vec<_> = (0..10_000).map(|_| Gate::default()).collect();
        let next = Cell::new(0);
        local_nursery(async |n: LocalNursery<Never>| {
            for gate in &gates {
                n.spawn(async {
                    gate.pass().await;
                    next.set(next.get() + 1);
                    if let Some(gate) = gates.get(next.get()) {
                        gate.open();
                    }
                });
            }
            gates[0].open();
        })
        .await;
        assert_eq!(next.get(), 10_000);
    });
}
