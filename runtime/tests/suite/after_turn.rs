//! Who hands something to a task is told when the task has had a turn and has not claimed it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use trioxide_runtime::lowlevel::{AfterTurn, TaskRef, wait_all_tasks_blocked};
use trioxide_runtime::{checkpoint, nursery, run, sleep_forever};

/// The numbers that it was told.
#[derive(Default)]
struct Told(Mutex<Vec<u64>>);

impl Told {
    fn take(&self) -> Vec<u64> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl AfterTurn for Told {
    fn turn_ended(self: Arc<Self>, number: u64) {
        self.0.lock().unwrap().push(number);
    }
}

/// Hands the numbers to the running task, which claims some of them in its next turn; what was told after that turn and the next, as the task was due again after the first.
async fn hand(handed: &[u64], claimed: &[u64]) -> Vec<u64> {
    let (told, task) = (Arc::new(Told::default()), TaskRef::current().expect("a task runs"));
    for number in handed {
        task.after_turn(Arc::clone(&told) as Arc<dyn AfterTurn>, *number);
    }
    assert!(task.wake());
    checkpoint().await;
    assert_eq!(told.take(), [0_u64; 0], "the turn in which it was handed over does not count");
    claimed.iter().for_each(|number| TaskRef::claimed(&told, *number));
    checkpoint().await;
    assert_eq!(told.take(), [0_u64; 0], "the task was due again after its turn");
    checkpoint().await;
    let once = told.take();
    checkpoint().await;
    assert_eq!(told.take(), [0_u64; 0], "told once");
    once
}

#[test]
fn a_turn_is_told_of_unless_what_was_handed_over_was_claimed_in_it() {
    run(async {
        assert_eq!(hand(&[1], &[]).await, [1]);
        assert_eq!(hand(&[1], &[1]).await, [0_u64; 0]);
        assert_eq!(hand(&[1], &[2]).await, [1]);
        assert_eq!(hand(&[1, 2, 3, 4], &[3, 1]).await, [2, 4]);
        assert_eq!(hand(&[1, 2, 3, 4], &[]).await, [1, 2, 3, 4]);
    });
}

#[test]
fn what_another_was_handed_cannot_be_claimed() {
    run(async {
        let (one, other) = (Arc::new(Told::default()), Arc::new(Told::default()));
        let task = TaskRef::current().expect("a task runs");
        task.after_turn(Arc::clone(&one) as Arc<dyn AfterTurn>, 1);
        assert!(task.wake());
        checkpoint().await;
        TaskRef::claimed(&other, 1);
        checkpoint().await;
        checkpoint().await;
        assert_eq!(one.take(), [1]);
    });
}

/// Spared once, and claimed in the turn after.
#[test]
fn what_was_handed_over_may_be_claimed_in_the_turn_after_one_after_which_the_task_was_due_again() {
    run(async {
        let (told, task) = (Arc::new(Told::default()), TaskRef::current().expect("a task runs"));
        for number in [1, 2] {
            task.after_turn(Arc::clone(&told) as Arc<dyn AfterTurn>, number);
        }
        assert!(task.wake());
        checkpoint().await;
        checkpoint().await;
        task.after_turn(Arc::clone(&told) as Arc<dyn AfterTurn>, 3);
        assert!(task.wake());
        TaskRef::claimed(&told, 2);
        checkpoint().await;
        assert_eq!(told.take(), [1]);
        checkpoint().await;
        assert_eq!(told.take(), [0_u64; 0], "the one that came later is spared, too");
        checkpoint().await;
        assert_eq!(told.take(), [3]);
    });
}

/// A task that stays suspended after its turn has had its chance.
#[test]
fn a_turn_after_which_the_task_is_not_due_again_counts() {
    let told = Arc::new(Told::default());
    let armed = Arc::clone(&told);
    run(nursery(async |n| {
        let asleep = n.spawn(async move {
            let task = TaskRef::current().expect("a task runs");
            task.after_turn(Arc::clone(&armed) as Arc<dyn AfterTurn>, 1);
            assert!(task.wake());
            sleep_forever().await;
        });
        wait_all_tasks_blocked(Duration::ZERO).await;
        assert_eq!(told.take(), [1]);
        asleep.cancel("it has slept long enough");
    }));
}

#[test]
fn the_end_of_the_task_is_the_end_of_its_turn() {
    let told = Arc::new(Told::default());
    let armed = Arc::clone(&told);
    run(nursery(async |n| {
        n.spawn(async move {
            let task = TaskRef::current().expect("a task runs");
            task.after_turn(Arc::clone(&armed) as Arc<dyn AfterTurn>, 1);
            assert!(task.wake());
        });
    }));
    assert_eq!(told.take(), [1]);
}
