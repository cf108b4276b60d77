//! 1 to 13 and 101: runs, the current task, names, taking turns.

use std::num::ParseIntError;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use trioxide_runtime::{
    Clock, Nursery, NurseryError, Runtime, blocking, checkpoint, current_task, lowlevel, move_on_after, now, nursery,
    run, sleep,
};
use trioxide_testing::on_each;

use crate::common::{ALL, Never, panic_in, panic_of};

#[test]
fn c001_run_gives_the_value_of_main() {
    let argument = String::from("passed on");
    assert_eq!(run(async { argument.len() }), 9);
}

#[test]
fn c002_an_error_of_main_comes_out_as_it_is() {
    let outcome: Result<u32, ParseIntError> = run(async { "no number".parse() });
    assert_eq!(outcome.unwrap_err().to_string(), "invalid digit found in string");
    assert_eq!(panic_in(|| run(async { panic!("a panic, too") })), "a panic, too");
}

#[test]
fn c003_a_run_inside_a_run_says_so() {
    on_each(ALL, async || {
        let text = panic_in(|| run(async {}));
        assert!(text.starts_with("trioxide: `run` was called inside a run; await the future there"), "{text}");
        checkpoint().await; // The run around is none the worse.
    });
}

#[test]
fn c004_outside_a_run_there_is_no_task_and_no_time() {
    for text in [panic_in(current_task), panic_in(now)] {
        assert!(text.contains("was called outside a run; call it from a future that"), "{text}");
    }
}

#[test]
fn c005_the_parent_of_a_child_opened_its_nursery() {
    on_each(ALL, async || {
        let main = current_task();
        assert_eq!(main.parent(), None);
        nursery(async |n: Nursery<Never>| {
            let outer = n.clone();
            n.spawn(async move {
                let child = current_task();
                assert_eq!(child.parent(), Some(main.id()));
                // Spawned by the child, but into the nursery of main.
                outer.spawn(async move { assert_eq!(current_task().parent(), Some(main.id())) });
                let inner = nursery(async |n: Nursery<Never>| {
                    n.spawn(async move { assert_eq!(current_task().parent(), Some(child.id())) });
                });
                inner.await;
            });
        })
        .await;
    });
}

#[test]
fn c008_a_second_of_sleep_is_a_second() {
    let began = Instant::now();
    run(sleep(Duration::from_secs(1))); // real time: that the clock of a run is the system's is what is asserted
    let slept = began.elapsed();
    assert!((Duration::from_secs(1)..Duration::from_secs(2)).contains(&slept), "{slept:?}");
}

/// What two tasks do that yield three times each, on `workers`.
fn steps(workers: usize) -> Vec<(char, u32)> {
    let runtime = Runtime::builder().workers(workers).build().unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    runtime.run(nursery(async |n: Nursery<Never>| {
        for name in ['a', 'b'] {
            let order = Arc::clone(&order);
            n.spawn(async move {
                for step in 0..3 {
                    order.lock().unwrap().push((name, step));
                    checkpoint().await;
                }
            });
        }
    }));
    Arc::into_inner(order).unwrap().into_inner().unwrap()
}

#[test]
fn c009_tasks_that_checkpoint_take_turns() {
    // On many workers each task goes at its own pace; on one, none gets a step ahead of the other.
    for &workers in ALL {
        let steps = steps(workers);
        for name in ['a', 'b'] {
            let own: Vec<_> = steps.iter().filter(|step| step.0 == name).map(|step| step.1).collect();
            assert_eq!(own, [0, 1, 2]);
        }
        if workers == 1 {
            let rounds: Vec<_> = steps.iter().map(|step| step.1).collect();
            assert_eq!(rounds, [0, 0, 1, 1, 2, 2]);
        }
    }
}

#[test]
fn c010_tasks_have_the_name_of_their_function_or_one_that_was_given() {
    async fn works_hard() {
        let task = current_task();
        assert!(task.name().is_some() || task.type_name().ends_with("works_hard"), "{task}");
    }
    on_each(ALL, async || {
        nursery(async |n: Nursery<Never>| {
            n.spawn(works_hard());
            n.task("by text").spawn(async { assert_eq!(current_task().name(), Some("by text")) });
            let name = format!("by number {}", 7);
            n.task(name).spawn(async { assert_eq!(current_task().name(), Some("by number 7")) });
        })
        .await;
    });
}

#[test]
fn c012_whether_this_is_a_task_is_answered_everywhere() {
    fn helper() -> bool {
        lowlevel::in_run()
    }
    assert!(!helper());
    on_each(ALL, async || {
        assert!(helper());
        assert!(!blocking(helper).await, "a thread of the pool is no task");
        assert!(!std::thread::spawn(helper).join().unwrap());
        struct OnDrop;
        impl Drop for OnDrop {
            fn drop(&mut self) {
                assert!(helper(), "what is cut is dropped in its task");
            }
        }
        let dropped = OnDrop;
        let cut = async move {
            let _dropped = dropped;
            std::future::pending::<()>().await;
        };
        assert_eq!(move_on_after(Duration::ZERO, cut).await, None);
    });
}

/// Stops working.
struct Broken(Instant);

impl Clock for Broken {
    fn now(&self) -> Instant {
        self.0
    }

    fn sleep_time(&self, _deadline: Instant) -> Option<Duration> {
        panic!("the clock has stopped");
    }
}

#[test]
fn c013_a_fault_below_the_tasks_is_the_panic_of_the_run() {
    for &workers in ALL {
        let clock = Broken(Instant::now());
        let runtime = Runtime::builder().workers(workers).clock(clock).build().unwrap();
        let text = panic_in(|| runtime.run(sleep(Duration::from_secs(3600))));
        assert_eq!(text, "the clock has stopped", "on {workers}");
        assert_eq!(runtime.run(async { 7 }), 7, "the next run works");
    }
    // And a fault in a child is that of whoever waits for it.
    let joined = async {
        let joined: Result<(), NurseryError<Never>> = nursery(async |n| {
            n.spawn(async { panic!("below") });
            Ok(())
        })
        .await;
        drop(joined);
    };
    assert_eq!(run(panic_of(joined)), "below");
}

#[test]
fn c101_order_is_fixed_on_one_worker_and_nowhere_else() {
    // No seed is needed: one worker has one queue. On several, only each task's own steps have an order, which 9 asserts.
    let first = steps(1);
    for &workers in ALL {
        for _ in 0..20 {
            let mut steps = steps(workers);
            if workers == 1 {
                assert_eq!(steps, first);
            }
            steps.sort_unstable();
            assert_eq!(steps, [('a', 0), ('a', 1), ('a', 2), ('b', 0), ('b', 1), ('b', 2)]);
        }
    }
}
