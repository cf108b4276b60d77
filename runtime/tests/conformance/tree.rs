//! 6, 7 and 102: the numbers of a run, the tree of tasks, and what a task waits in.

use std::time::Duration;

use trioxide_runtime::{
    Nursery, Runtime, Started, TaskTree, TreeKind, checkpoint, current_task, move_on_after, nursery, sleep,
    sleep_forever, statistics, task_tree,
};
use trioxide_testing::{MockClock, on_each_with_clock};

use crate::common::{ALL, Gate, Never, a_while, all_wait};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn c006_the_numbers_of_a_run_follow_spawns_cancels_and_scopes() {
    on_each_with_clock(ALL, async |_clock| {
        assert_eq!((statistics().tasks_living, statistics().next_deadline), (1, None));
        nursery(async |n: Nursery<Never>| {
            n.spawn(sleep_forever());
            n.spawn(sleep_forever());
            a_while().await;
            assert_eq!(statistics().tasks_living, 3);
            n.cancel("counted");
        })
        .await;
        assert_eq!(statistics().tasks_living, 1);
        let in_a_scope = move_on_after(10 * SECOND, async {
            // A deadline costs a timer only once something in its scope waits for more than its turn.
            nursery(async |n: Nursery<Never>| drop(n.spawn(checkpoint()))).await;
            assert_eq!(statistics().next_deadline, Some(10 * SECOND));
        });
        assert!(in_a_scope.await.is_some());
        assert_eq!(statistics().next_deadline, None);
    });
}

/// The names of the tasks, each with the name of the task that opened its nursery.
fn outline(tree: &TaskTree) -> Vec<(String, Option<String>)> {
    let tasks: Vec<_> = tree.tasks().map(|entry| entry.task().expect("a task").clone()).collect();
    let name = |task: &trioxide_runtime::TaskInfo| task.name().unwrap_or("main").to_owned();
    let above = |id| tasks.iter().find(|task| Some(task.id()) == id).map(name);
    let mut outline: Vec<_> = tasks.iter().map(|task| (name(task), above(task.parent()))).collect();
    outline.sort();
    outline
}

fn row(name: &str, above: Option<&str>) -> (String, Option<String>) {
    (name.to_owned(), above.map(str::to_owned))
}

#[test]
fn c007_the_tree_shows_nurseries_and_tasks_at_each_step() {
    for &workers in ALL {
        let runtime = Runtime::builder().workers(workers).clock(MockClock::new()).track_tasks(true).build().unwrap();
        runtime.run(async {
            assert_eq!(outline(&task_tree()), [row("main", None)]);
            assert!(task_tree().iter().all(|entry| entry.kind() != TreeKind::Nursery || entry.depth() == 0));
            nursery(async |n: Nursery<Never>| {
                let (gate, main) = (Gate::default(), current_task().id());
                let (inside, starts) = (gate.clone(), n.clone());
                n.task("parent").spawn(async move {
                    let ready = starts.task("starts").start(async move |started: Started<()>| {
                        inside.pass().await;
                        started.set(());
                        sleep_forever().await;
                    });
                    ready.await.unwrap();
                    sleep_forever().await;
                });
                all_wait().await;
                // While it starts and afterwards, it is a task of the nursery for which it is meant.
                let wanted = [row("main", None), row("parent", Some("main")), row("starts", Some("main"))];
                assert_eq!(outline(&task_tree()), wanted);
                gate.open();
                all_wait().await;
                assert_eq!(outline(&task_tree()), wanted);
                assert_eq!(task_tree().tasks().filter(|entry| entry.task().unwrap().parent() == Some(main)).count(), 2);
                n.cancel("seen");
            })
            .await;
            assert_eq!(outline(&task_tree()), [row("main", None)]);
        });
    }
}

#[test]
fn c102_the_tree_shows_what_a_task_waits_in_until_it_has_ended() {
    for &workers in ALL {
        let runtime = Runtime::builder().workers(workers).clock(MockClock::new()).track_tasks(true).build().unwrap();
        runtime.run(async {
            nursery(async |n: Nursery<Never>| {
                n.task("sleeper").spawn(async {
                    move_on_after(5 * SECOND, sleep(60 * SECOND)).await;
                });
                loop {
                    let tree = task_tree();
                    let sleeper = tree.tasks().find(|entry| entry.task().unwrap().name() == Some("sleeper"));
                    if sleeper.and_then(|entry| entry.waits_for()) == Some("sleep") {
                        assert!(tree.iter().any(|entry| entry.operation() == "move_on_after"), "{tree}");
                        break;
                    }
                    checkpoint().await;
                }
                n.cancel("seen");
            })
            .await;
            let tree = task_tree();
            assert!(tree.tasks().all(|entry| entry.task().unwrap().name().is_none()), "{tree}");
            assert!(tree.iter().all(|entry| entry.operation() != "move_on_after"), "{tree}");
        });
    }
}
