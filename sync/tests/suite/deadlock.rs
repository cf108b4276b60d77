//! Who waits for whom: what the report of a deadlock says of locks.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use trioxide_runtime::lowlevel::wait_all_tasks_blocked;
use trioxide_runtime::{Runtime, nursery, sleep_forever, task_tree};
use trioxide_sync::{Event, Mutex, RwLock, Semaphore};

use crate::common::WORKERS;

fn tracking(workers: usize) -> Runtime {
    let builder = Runtime::builder().workers(workers).signals(false).track_tasks(true);
    builder.fail_on_deadlock(true).build().unwrap()
}

fn report(runtime: &Runtime, main: impl Future) -> String {
    let Err(panic) = catch_unwind(AssertUnwindSafe(|| runtime.run(main))) else { panic!("it should be in a deadlock") };
    *panic.downcast::<String>().unwrap()
}

/// Takes `first`, and when everybody has taken his first, `second`.
async fn takes(first: Arc<Mutex<()>>, second: Arc<Mutex<()>>) {
    let _first = first.lock().await.unwrap();
    wait_all_tasks_blocked(Duration::ZERO).await;
    let _second = second.lock().await.unwrap();
}

#[test]
fn two_tasks_that_take_two_locks_in_different_orders_are_named() {
    for &workers in WORKERS {
        let (one, two) = (Arc::new(Mutex::new(())), Arc::new(Mutex::new(())));
        let text = report(
            &tracking(workers),
            nursery(async |n| {
                n.task("left").spawn(takes(one.clone(), two.clone()));
                n.task("right").spawn(takes(two.clone(), one.clone()));
            }),
        );
        let waits = |who: &str, held_by: &str| {
            let line = text.lines().find(|line| line.contains(who) && line.contains("suspended")).unwrap_or_default();
            line.contains("in `Mutex::lock` for") && line.contains("held by task #") && line.ends_with(held_by)
        };
        assert!(waits("\"left\", spawned", "\"right\"") && waits("\"right\", spawned", "\"left\""), "{text}");
        assert!(text.contains("In a circle: task #"), "{text}");
        assert!(one.try_lock().is_ok() && two.try_lock().is_ok(), "and when the run has failed both are free");
    }
}

#[test]
fn a_task_that_waits_for_itself_is_named() {
    let lock = Mutex::new(());
    let text = report(&tracking(1), async {
        let _guard = lock.lock().await.unwrap();
        drop(lock.lock().await);
    });
    assert!(text.contains("held by itself"), "{text}");
}

#[test]
fn the_tree_tells_the_holder_of_what_has_one() {
    for &workers in WORKERS {
        tracking(workers).run(nursery(async |n| {
            let (lock, permits, event) =
                (Arc::new(RwLock::new(())), Arc::new(Semaphore::new(1)), Arc::new(Event::new()));
            let (held, holds) = (lock.clone(), permits.clone());
            let holder = n.task("holder").spawn(async move {
                let _both = (held.write().await, holds.acquire().await);
                sleep_forever().await;
            });
            wait_all_tasks_blocked(Duration::ZERO).await;
            let (reads, other, set) = (lock.clone(), permits.clone(), event.clone());
            n.task("reader").spawn(async move { drop(reads.read().await) });
            n.task("other").spawn(async move { drop(other.acquire().await) });
            n.task("listener").spawn(async move { set.wait().await });
            wait_all_tasks_blocked(Duration::ZERO).await;
            let tree = task_tree();
            let held_by = |name| {
                let entry = tree.tasks().find(|entry| entry.task().unwrap().name() == Some(name));
                entry.unwrap().held_by()
            };
            assert_eq!(held_by("reader"), Some(holder.id()));
            // Permits and events are nobody's in particular.
            assert_eq!((held_by("other"), held_by("listener"), held_by("holder")), (None, None, None));
            assert!(tree.circle().is_none());
            // Held by another one meanwhile, or by nobody: it is asked when the tree is made.
            holder.cancel("seen");
            wait_all_tasks_blocked(Duration::ZERO).await;
            assert!(task_tree().tasks().all(|entry| entry.held_by().is_none()));
            n.cancel("seen");
        }));
    }
}
