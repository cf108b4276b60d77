//! The tree of tasks as a snapshot, and the numbers of a runtime.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use trioxide_runtime::{
    CancelScope, Nursery, Observer, Runtime, TaskState, TaskTree, TreeEntry, TreeKind, blocking, checkpoint,
    current_task, fail_after, move_on_after, nursery, shield, sleep, sleep_forever, statistics, task_tree,
};
use trioxide_testing::{MockClock, on_each};

use crate::common::{ALL, Flag, Gate, Never, a_while, panic_in};

fn tracking(workers: usize) -> Runtime {
    let clock = MockClock::new();
    Runtime::builder().workers(workers).clock(clock).track_tasks(true).build().unwrap()
}

fn named<'a>(tree: &'a TaskTree, name: &str) -> Option<&'a TreeEntry> {
    tree.tasks().find(|entry| entry.task().unwrap().name() == Some(name))
}

/// Waits until every child but the caller is suspended.
async fn at_rest() -> TaskTree {
    loop {
        let tree = task_tree();
        let me = current_task().id();
        let rest = tree.tasks().all(|entry| {
            entry.task().unwrap().id() == me
                || matches!(entry.state(), Some(TaskState::Suspended | TaskState::FutureEnded))
        });
        if rest && !tree.iter().any(|entry| matches!(entry.kind(), TreeKind::Unlisted(_))) {
            return tree;
        }
        checkpoint().await;
    }
}

#[test]
fn the_tree_shows_what_hangs_where_and_why() {
    for &workers in ALL {
        tracking(workers).run(async {
            let (scope, gate) = (CancelScope::new(), Gate::default());
            let (handle, inside) = (scope.handle(), gate.clone());
            nursery(async |n: Nursery<Never>| {
                n.task("sleeper").spawn(async {
                    let _ = fail_after(Duration::from_secs(5), sleep(Duration::from_secs(60))).await; // real time: none, it is cut
                });
                n.task("cancelled").spawn(async move {
                    let _ = scope.run(shield(async move { inside.pass().await })).await;
                });
                n.task("parent").spawn(nursery(async |n: Nursery<Never>| {
                    n.task("child").spawn(sleep_forever());
                }));
                at_rest().await;
                handle.cancel("seen enough");
                check(&at_rest().await);
                gate.open();
                n.cancel("done");
            })
            .await;
        });
    }
}

fn check(tree: &TaskTree) {
    let sleeper = named(tree, "sleeper").unwrap();
    assert_eq!((sleeper.state(), sleeper.waits_for()), (Some(TaskState::Suspended), Some("sleep")));
    assert_eq!(sleeper.since(), Some(tree.taken()), "the clock stands still");
    assert_eq!(sleeper.task().unwrap().parent(), Some(current_task().id()));

    let entries: Vec<_> = tree.iter().collect();
    let at = |name: &str| entries.iter().position(|entry| entry.task().is_some_and(|task| task.name() == Some(name)));
    let below = |name: &str| entries[at(name).unwrap() + 1];
    let time_out = below("sleeper");
    assert_eq!((time_out.kind(), time_out.operation()), (TreeKind::Scope, "fail_after"));
    assert_eq!(time_out.deadline(), Some(tree.taken() + Duration::from_secs(5)));

    let scope = below("cancelled");
    assert_eq!(scope.operation(), "CancelScope::run");
    let reason = scope.cancel_reason().unwrap();
    assert_eq!(reason.message(), Some("seen enough"));
    assert!(scope.is_cancelled() && scope.guards() > 0, "it waits for the shield");
    let (_, shield) = tree.children(at("cancelled").unwrap() + 1).next().unwrap();
    assert!(shield.operation() == "shield" && shield.is_shielded() && !shield.is_cancelled());

    let inner = below("parent");
    assert_eq!((inner.kind(), inner.operation(), inner.children()), (TreeKind::Nursery, "nursery", 1));
    assert!(!inner.is_body_open());
    assert_eq!(named(tree, "child").unwrap().depth(), inner.depth() + 1);

    let text = tree.to_string();
    for part in [
        "run\n└─ task #",
        "\n   └─ nursery: body open, 3 children\n",
        "\"sleeper\", spawned at runtime/tests/suite/seeing.rs:",
        ": suspended in `sleep` for 0.000ns",
        "└─ fail_after, deadline in 5.000s\n",
        "CancelScope::run, cancelled: on request: seen enough, waits for 1 guard\n",
        "└─ shield, shielded",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
}

#[test]
fn without_tracking_suspended_tasks_are_shown_and_others_counted() {
    for &workers in ALL {
        let runtime = Runtime::builder().workers(workers).build().unwrap();
        runtime.run(nursery(async |n: Nursery<Never>| {
            n.spawn(sleep_forever());
            n.task("named").spawn(sleep_forever());
            let tree = at_rest().await;
            assert_eq!(tree.tasks().count(), 3);
            assert!(tree.tasks().all(|entry| entry.waits_for().is_none()));
            if workers == 1 {
                n.spawn(sleep_forever()); // cannot run before the body yields
                let tree = task_tree();
                assert!(tree.iter().any(|entry| entry.kind() == TreeKind::Unlisted(1)), "{tree}");
                assert!(tree.to_string().contains("1 more that were never suspended: running, or queued"), "{tree}");
            }
            n.cancel("done");
        }));
    }
}

#[test]
fn other_threads_see_the_tree_while_everything_moves() {
    for &workers in ALL {
        let runtime = tracking(workers);
        let observer = runtime.observer();
        assert!(observer.task_tree().is_none(), "nothing runs");
        let (stop, looks) = (Flag::default(), AtomicUsize::new(0));
        std::thread::scope(|threads| {
            threads.spawn(|| {
                while !stop.is_set() {
                    if let Some(tree) = observer.task_tree() {
                        assert_eq!(tree.iter().next().unwrap().kind(), TreeKind::Run);
                        assert!(!tree.to_string().is_empty());
                        looks.fetch_add(1, Ordering::Relaxed);
                    }
                    assert!(observer.statistics().is_some());
                }
            });
            runtime.run(async {
                let mut rounds = 0;
                while looks.load(Ordering::Relaxed) < 50 || rounds < 100 {
                    rounds += 1;
                    nursery(async |n: Nursery<Never>| {
                        for number in 0..10 {
                            n.task(format!("{number}")).spawn(nursery(async |n: Nursery<Never>| {
                                n.spawn(checkpoint());
                                let _ = n.spawn(move_on_after_a_second()).await;
                                n.spawn(sleep_forever());
                                n.cancel("next");
                            }));
                        }
                    })
                    .await;
                }
            });
            stop.set();
        });
        drop(runtime);
        assert!(observer.task_tree().is_none() && observer.statistics().is_none());
    }
}

async fn move_on_after_a_second() {
    let _ = move_on_after(Duration::from_secs(1), shield(checkpoint())).await;
}

#[test]
fn a_deep_tree_needs_no_deep_stack_and_stays_readable() {
    fn nested(depth: usize) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            if depth == 0 {
                let tree = task_tree();
                assert_eq!(tree.iter().map(TreeEntry::depth).max(), Some(201));
                let text = tree.to_string();
                assert!(text.contains("(200 deep) CancelScope::run"), "{text}");
                assert!(text.lines().all(|line| line.chars().count() < 300));
            } else {
                let _ = CancelScope::new().run(nested(depth - 1)).await;
            }
        })
    }
    on_each(&[1], async || nested(200).await);
}

#[test]
fn a_task_whose_future_ended_waits_for_what_it_has_left_behind() {
    for &workers in ALL {
        tracking(workers).run(nursery(async |n: Nursery<Never>| {
            let gate = Gate::default();
            let inside = gate.clone();
            n.task("leaves").spawn(async move {
                let mut left = Box::pin(nursery(async |n: Nursery<Never>| {
                    n.task("left behind").spawn(shield(async move { inside.pass().await }));
                    sleep_forever().await;
                }));
                assert!(futures_util::poll!(left.as_mut()).is_pending());
                std::mem::forget(left);
            });
            loop {
                let tree = task_tree();
                if named(&tree, "leaves").and_then(TreeEntry::state) == Some(TaskState::FutureEnded) {
                    break;
                }
                checkpoint().await;
            }
            gate.open();
        }));
    }
}

#[test]
fn statistics_count_tasks_queues_threads_and_steps() {
    on_each(ALL, async || {
        let before = statistics();
        assert_eq!((before.tasks_living, before.next_deadline), (1, None));
        nursery(async |n: Nursery<Never>| {
            for _ in 0..10 {
                n.spawn(sleep_forever());
            }
            let now = statistics();
            assert_eq!((now.tasks_living, now.tasks_spawned), (11, before.tasks_spawned + 10));
            a_while().await;
            let _ = move_on_after(Duration::from_secs(1000), async {
                nursery(async |n: Nursery<Never>| drop(n.spawn(checkpoint()))).await;
                let left = statistics().next_deadline.unwrap();
                assert!(left <= Duration::from_secs(1000) && left > Duration::from_secs(900), "{left:?}");
            })
            .await;
            blocking({
                let observer = Observer::current();
                move || {
                    let pool = observer.statistics().unwrap().blocking;
                    assert_eq!((pool.busy, pool.queued), (1, 0));
                    assert!(pool.threads >= 1);
                }
            })
            .await;
            n.cancel("counted");
        })
        .await;
        let after = statistics();
        assert_eq!(after.tasks_living, 1);
        let steps: u64 = after.workers.iter().map(|worker| worker.steps).sum();
        assert!(steps >= 30, "ten children and two hundred checkpoints: {steps}");
    });
}

#[test]
fn the_memory_of_ended_tasks_is_kept_within_bounds() {
    on_each(ALL, async || {
        for round in 1..=3 {
            nursery(async |n: Nursery<Never>| {
                for _ in 0..50_000 {
                    n.spawn(checkpoint());
                }
            })
            .await;
            let now = statistics();
            // The children are of one size; the main tasks of tests, of a few others.
            let bound = (4 << 20) + now.workers.len() * 4 * (16 << 10);
            assert!((1..=bound).contains(&now.spare_task_memory), "round {round}: {} bytes", now.spare_task_memory);
        }
    });
}

#[test]
fn outside_a_run_looking_is_an_error() {
    for text in [panic_in(task_tree), panic_in(statistics), panic_in(Observer::current)] {
        assert!(text.contains("was called outside a run"), "{text}");
    }
}

#[test]
fn the_main_task_was_spawned_where_run_was_called() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let at = async || current_task().spawned_at();
    for (spawned_at, line) in [(trioxide_runtime::run(at()), line!()), (runtime.run(at()), line!())] {
        assert_eq!((spawned_at.file(), spawned_at.line()), (file!(), line));
    }
}
