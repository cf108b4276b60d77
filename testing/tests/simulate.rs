//! Simulations: the same seed makes the same run, and different seeds make different ones; what cannot be simulated says so. All of it in virtual time.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use trioxide_runtime::lowlevel::wait_all_tasks_blocked;
use trioxide_runtime::{
    Blocking, RunToken, blocking, blocking_scope, checkpoint, from_thread, join, move_on_after, now, nursery, race,
    shield, sleep, sleep_forever,
};
use trioxide_sync::{Event, channel};
use trioxide_testing::simulate::{What, choose, is_simulated, random};
use trioxide_testing::{Schedule, Simulation, simulate, sweep};

const SCHEDULES: [Schedule; 4] =
    [Schedule::Random, Schedule::Pct { depth: 1 }, Schedule::Pct { depth: 3 }, Schedule::BySeed];

fn text(panic: &(dyn std::any::Any + Send)) -> String {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => panic!("a panic with a text"),
    }
}

/// A bit of everything: channels, timers, locks, calls of `blocking`, cancellation.
async fn medley(tasks: usize) -> usize {
    let done = Arc::new(AtomicUsize::new(0));
    let lock = Arc::new(trioxide_sync::Mutex::new(0));
    let (sender, receiver) = channel::bounded(3);
    nursery(async |n| {
        for task in 0..tasks {
            let (done, lock, sender, receiver) = (done.clone(), lock.clone(), sender.clone(), receiver.clone());
            n.spawn(async move {
                match task % 5 {
                    0 => sleep(Duration::from_millis(choose(20) as u64)).await, // virtual time: in simulations only
                    1 => sender.send(task).await.unwrap(),
                    2 => drop(move_on_after(Duration::from_millis(10), receiver.recv()).await),
                    3 => {
                        let mut guard = lock.lock().await.unwrap();
                        let read = *guard;
                        checkpoint().await;
                        *guard = read + 1;
                    }
                    _ => {
                        let twice = blocking(move || 2 * task).await;
                        assert_eq!(twice, 2 * task);
                    }
                }
                done.fetch_add(1, Relaxed);
            });
        }
        while !receiver.is_empty() || done.load(Relaxed) < tasks {
            move_on_after(Duration::from_millis(3), receiver.recv()).await;
        }
    })
    .await;
    done.load(Relaxed)
}

#[test]
fn the_same_seed_makes_the_same_run() {
    for schedule in SCHEDULES {
        let mut hashes = HashSet::new();
        for seed in 0..40 {
            let once = |traced| {
                let simulated =
                    Simulation::new().seed(seed).schedule(schedule).traced(traced).record(async || medley(40).await);
                assert_eq!(*simulated.outcome().as_ref().unwrap(), 40);
                (simulated.trace().hash(), simulated.trace().steps(), simulated.elapsed())
            };
            let first = once(false);
            assert_eq!(first, once(true), "seed {seed}, {schedule}");
            hashes.insert(first.0);
        }
        assert_eq!(hashes.len(), 40, "each seed makes a run of its own, {schedule}");
    }
}

#[test]
fn the_same_seed_makes_the_same_run_of_a_thousand_tasks() {
    for seed in 0..4 {
        let simulation = || Simulation::new().seed(seed).poll_time(Duration::from_micros(100));
        let hashes = [0; 2].map(|_| simulation().record(async || medley(1000).await).trace().hash());
        assert_eq!(hashes, [hashes[0]; 2], "seed {seed}");
    }
}

#[test]
fn each_order_of_three_tasks_comes_up() {
    for schedule in SCHEDULES {
        let mut orders = HashSet::new();
        for seed in 0..200 {
            let order = Arc::new(Mutex::new(vec![]));
            Simulation::new().seed(seed).schedule(schedule).run(async || {
                nursery(async |n| {
                    for task in 0..3 {
                        let order = order.clone();
                        n.spawn(async move { order.lock().unwrap().push(task) });
                    }
                })
                .await;
            });
            orders.insert(order.lock().unwrap().clone());
        }
        assert_eq!(orders.len(), 6, "{schedule}");
    }
}

#[test]
fn any_branch_of_a_combinator_is_polled_first() {
    let mut firsts = HashSet::new();
    for seed in 0..50 {
        let run = || {
            Simulation::new().seed(seed).run(async || {
                let order = Mutex::new(vec![]);
                let branch = async |name| {
                    order.lock().unwrap().push(name);
                    checkpoint().await;
                    name
                };
                join!(branch("a"), branch("b"), branch("c"));
                let winner = race!(branch("d"), branch("e"));
                (order.lock().unwrap().clone(), winner)
            })
        };
        let (order, winner) = run();
        assert_eq!(run(), (order.clone(), winner), "seed {seed}");
        firsts.insert((order[0], order[3], winner));
    }
    assert_eq!(firsts.len(), 3 * 2 * 2);
}

#[test]
fn timers_that_are_due_together_fire_in_any_order() {
    let order = |seed| {
        let simulated = Simulation::new().seed(seed).traced(true).record(async || {
            nursery(async |n| {
                for _ in 0..2 {
                    n.spawn(sleep(Duration::from_secs(1)));
                }
            })
            .await;
        });
        let woken = simulated.trace().events().iter().filter(|event| event.at == Duration::from_secs(1));
        let woken = woken.filter_map(|event| match event.what {
            What::Woken(task) if task > 0 => Some(task),
            _ => None,
        });
        woken.collect::<Vec<_>>()
    };
    let orders: HashSet<_> = (0..50).map(order).collect();
    assert_eq!(orders, HashSet::from([vec![1, 2], vec![2, 1]]));
}

#[test]
fn virtual_time_is_exact_and_takes_none() {
    let real = std::time::Instant::now();
    simulate(1, async || {
        let start = now();
        sleep(Duration::from_secs(86_400)).await;
        assert_eq!(now() - start, Duration::from_secs(86_400));
    });
    assert!(real.elapsed() < Duration::from_secs(3600));
}

#[test]
fn polls_take_time_if_they_are_to() {
    let elapsed = |most| {
        let simulation = Simulation::new().seed(3).poll_time(most);
        let simulated = simulation.record(async || {
            for _ in 0..100 {
                checkpoint().await;
            }
        });
        simulated.elapsed()
    };
    assert_eq!(elapsed(Duration::ZERO), Duration::ZERO);
    let elapsed = elapsed(Duration::from_millis(1));
    assert!(elapsed > Duration::from_millis(10) && elapsed < Duration::from_millis(200), "{elapsed:?}");
}

#[test]
fn what_is_drawn_comes_from_the_seed() {
    assert!(!is_simulated());
    let draws = |seed| simulate(seed, async || (is_simulated(), random(), choose(1000), choose(1)));
    assert_eq!(draws(1), draws(1));
    assert_ne!(draws(1), draws(2));
    assert!(!is_simulated());
}

#[test]
#[should_panic(expected = "`simulate::choose` was called outside a simulation")]
fn nothing_is_drawn_outside() {
    choose(2);
}

#[test]
fn a_lost_update_is_found_by_each_schedule_and_by_its_seed_again() {
    let racy = async || {
        let counter = Arc::new(AtomicUsize::new(0));
        nursery(async |n| {
            for _ in 0..2 {
                let counter = counter.clone();
                n.spawn(async move {
                    let read = counter.load(Relaxed);
                    checkpoint().await;
                    counter.store(read + 1, Relaxed);
                });
            }
        })
        .await;
        counter.load(Relaxed)
    };
    for schedule in [Schedule::Random, Schedule::Pct { depth: 2 }, Schedule::BySeed] {
        let run = |seed| Simulation::new().seed(seed).schedule(schedule).run(racy);
        let lost: Vec<_> = (0..1000).filter(|&seed| run(seed) == 1).collect();
        assert!(!lost.is_empty() && lost.len() < 1000, "{schedule}: {}", lost.len());
        assert!(lost.iter().all(|&seed| run(seed) == 1));
    }
}

#[test]
fn a_deadlock_is_told_at_once_with_the_tree() {
    let simulation = Simulation::new().seed(1).traced(true);
    let simulated = simulation.record(async || {
        nursery(async |n| {
            n.task("waits for ever").spawn(async {
                Event::new().wait().await;
            });
        })
        .await;
    });
    let trace = simulated.trace().to_string();
    let told = text(&*simulated.into_outcome().unwrap_err());
    assert!(told.contains("deadlock") && told.contains("\"waits for ever\""), "{told}");
    assert!(trace.contains("\"waits for ever\" is polled, cancelled"), "{trace}");
}

#[test]
fn all_tasks_are_blocked_before_the_clock_moves() {
    let elapsed = simulate(3, async || {
        let start = now();
        nursery(async |n| {
            n.spawn(sleep(Duration::from_secs(1)));
            wait_all_tasks_blocked(Duration::from_millis(10)).await;
            n.cancel("seen");
        })
        .await;
        now() - start
    });
    assert_eq!(elapsed, Duration::ZERO);
}

#[test]
fn what_waits_for_a_timer_is_no_deadlock() {
    let met = simulate(0, async || move_on_after(Duration::from_secs(9), sleep_forever()).await);
    assert_eq!(met, None);
}

#[test]
fn a_run_without_end_is_ended() {
    let simulation = Simulation::new().seed(1).max_steps(1000);
    let simulated = simulation.record(async || {
        loop {
            checkpoint().await;
        }
    });
    let told = text(&*simulated.into_outcome().map(|(): ()| ()).unwrap_err());
    assert!(told.contains("has not ended after 1000 steps"), "{told}");
}

#[test]
fn a_panic_comes_out() {
    let outcome = catch_unwind(|| {
        simulate(5, async || {
            nursery(async |n| drop(n.spawn(async { panic!("of the child") }))).await;
        });
    });
    assert_eq!(text(&*outcome.unwrap_err()), "of the child");
}

#[test]
fn a_task_that_another_thread_wakes_is_an_error() {
    let told = catch_unwind(|| {
        simulate(1, async || {
            let (sender, receiver) = channel::bounded(1);
            nursery(async |n| {
                n.spawn(async move { assert_eq!(receiver.recv().await, Ok(1)) });
                sleep(Duration::from_secs(1)).await; // By then it waits.
                std::thread::spawn(move || sender.try_send(1).unwrap()).join().unwrap();
            })
            .await;
        });
    });
    let told = text(&*told.unwrap_err());
    assert!(told.contains("another thread has woken a task"), "{told}");
}

#[test]
fn what_is_not_from_the_seed_is_shown() {
    let calls = AtomicUsize::new(0);
    let program = async || {
        checkpoint().await;
        if calls.fetch_add(1, Relaxed) == 1 {
            sleep(Duration::from_secs(1)).await;
        }
    };
    let told = catch_unwind(AssertUnwindSafe(|| Simulation::new().seed(4).check(program)));
    let told = text(&*told.unwrap_err());
    assert!(told.contains("two runs of the simulation with seed 4 differ"), "{told}");
    assert!(told.contains("#0") && told.contains("and once"), "{told}");
    // From here on it is.
    Simulation::new().seed(4).check(program);
}

#[test]
fn the_order_of_a_hash_map_is_found() {
    let told = catch_unwind(|| {
        Simulation::new().seed(4).check(async || {
            let seconds: std::collections::HashMap<u64, ()> = (0..20).map(|seconds| (seconds, ())).collect();
            for &seconds in seconds.keys() {
                sleep(Duration::from_secs(seconds)).await;
            }
        });
    });
    let told = text(&*told.unwrap_err());
    assert!(told.contains("the order of a `HashMap`"), "{told}");
}

#[test]
fn the_trace_tells_who_did_what() {
    let simulation = Simulation::new().seed(2).schedule(Schedule::Random).traced(true);
    let simulated = simulation.record(async || {
        let event = Arc::new(Event::new());
        nursery(async |n| {
            let waited_for = event.clone();
            n.task("waiter").spawn(async move { waited_for.wait().await });
            n.task("setter").spawn(async move {
                sleep(Duration::from_millis(1500)).await;
                event.set();
            });
        })
        .await;
        blocking(|| ()).await;
    });
    let trace = simulated.trace();
    assert_eq!(trace.tasks().len(), 3);
    assert!(trace.events().iter().any(|event| matches!(event.what, What::Called(1))));
    let text = trace.to_string();
    for line in [
        "#1 \"waiter\" is spawned at testing/tests/simulate.rs",
        "#1 \"waiter\" stops in Event::wait",
        "1.500s #1 \"waiter\" is woken by #2 \"setter\"",
        "1.500s #2 \"setter\" has ended",
        "is woken by call 1 of `blocking`",
    ] {
        assert!(text.contains(line), "no {line:?} in\n{text}");
    }
}

#[test]
fn closures_run_on_the_one_thread_in_an_order_of_the_seed() {
    let order = |seed| {
        let order = Arc::new(Mutex::new(vec![]));
        simulate(seed, async || {
            let main = std::thread::current().id();
            nursery(async |n| {
                for call in 0..4 {
                    let order = order.clone();
                    n.spawn(async move {
                        let thread = blocking(move || {
                            order.lock().unwrap().push(call);
                            std::thread::current().id()
                        });
                        assert_eq!(thread.await, main);
                    });
                }
            })
            .await;
        });
        Arc::into_inner(order).unwrap().into_inner().unwrap()
    };
    let orders: HashSet<_> = (0..100).map(order).collect();
    assert!(orders.len() > 10, "{}", orders.len());
    assert_eq!(order(1), order(1));
}

#[test]
fn a_closure_may_spawn_closures_that_borrow() {
    let lengths = simulate(1, async || {
        blocking(|| {
            let words = ["one", "three"];
            blocking_scope(|s| words.map(|word| s.spawn(move || word.len())).map(|call| call.join().unwrap()))
        })
        .await
    });
    assert_eq!(lengths, [3, 5]);
}

#[test]
fn a_closure_that_nobody_waits_for_runs_before_the_end() {
    let mut late = 0;
    for seed in 0..50 {
        let (began, ran) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let in_time = simulate(seed, async || {
            nursery(async |n| {
                let (began, ran) = (began.clone(), ran.clone());
                n.spawn(async move {
                    began.fetch_add(1, Relaxed);
                    Blocking::new().abandon_on_cancel().run(move || ran.fetch_add(1, Relaxed)).await;
                });
                checkpoint().await;
                n.cancel("enough");
            })
            .await;
            ran.load(Relaxed)
        });
        // Cancelled before it could call, or called.
        assert!(ran.load(Relaxed) <= began.load(Relaxed));
        late += ran.load(Relaxed) - in_time;
    }
    assert!(late > 0);
}

#[test]
fn a_closure_cannot_wait_for_a_task() {
    let refused: [fn(); 4] = [
        || simulate(1, async || blocking(|| from_thread::run(checkpoint()).unwrap()).await),
        || simulate(1, async || blocking(|| from_thread::run_sync(|| ()).unwrap()).await),
        || {
            simulate(1, async || {
                let token = RunToken::current();
                blocking(move || token.run(checkpoint()).unwrap()).await;
            });
        },
        || {
            simulate(1, async || {
                let (_sender, receiver) = channel::bounded::<()>(1);
                blocking(move || receiver.blocking_recv().unwrap()).await;
            });
        },
    ];
    for program in refused {
        let told = text(&*catch_unwind(program).unwrap_err());
        assert!(told.contains("in a simulation"), "{told}");
    }
    assert!(simulate(1, async || blocking(|| from_thread::check_cancelled().is_ok()).await));
}

#[test]
fn a_shielded_task_ends_in_peace_before_a_deadlock_is_told() {
    let cleaned = Arc::new(AtomicUsize::new(0));
    let seen = cleaned.clone();
    let simulated = Simulation::new().seed(1).record(async move || {
        trioxide_runtime::finally(sleep_forever(), async {
            shield(sleep(Duration::from_secs(1))).await;
            seen.fetch_add(1, Relaxed);
        })
        .await
    });
    assert!(simulated.outcome().is_err());
    assert_eq!((cleaned.load(Relaxed), simulated.elapsed()), (1, Duration::from_secs(1)));
}

#[test]
fn a_sweep_panics_with_the_panic_of_the_smallest_seed_that_fails() {
    let failing: Vec<u64> = (0..200).filter(|&seed| simulate(seed, async || choose(50)) == 0).collect();
    assert!(failing.len() > 1);
    let told = catch_unwind(|| {
        sweep(0..200, async || {
            let drawn = choose(50);
            let seed = random();
            assert!(drawn != 0, "{seed}");
        });
    });
    let expected = simulate(failing[0], async || {
        choose(50);
        random().to_string()
    });
    assert_eq!(text(&*told.unwrap_err()), expected);
    sweep(0..failing[0], async || assert_ne!(choose(50), 0));
}
