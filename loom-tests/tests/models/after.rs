//! What wants to know that a task has had a turn is told so, whenever it asks: `task::after` A2. Through the real tasks and workers.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use loom::sync::atomic::AtomicUsize;
use loom::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use loom::thread;
use trioxide_loom::explore;
use trioxide_runtime::lowlevel::{AfterTurn, TaskRef};
use trioxide_runtime::{Runtime, checkpoint, nursery};
use trioxide_sync::Mutex;

fn run<F: Future>(workers: usize, main: F) -> F::Output {
    Runtime::builder().workers(workers).build().unwrap().run(main)
}

/// Counts how often it was told.
struct Told(AtomicUsize);

impl Told {
    fn new() -> Arc<Self> {
        Arc::new(Self(AtomicUsize::new(0)))
    }

    fn count(&self) -> usize {
        self.0.load(Acquire)
    }
}

impl AfterTurn for Told {
    fn turn_ended(self: Arc<Self>, number: u64) {
        assert_eq!(number, 7);
        self.0.fetch_add(1, Release);
    }
}

/// As a lock does that hands itself over: arms, and wakes.
fn hand_over(task: &TaskRef, told: &Arc<Told>) {
    task.after_turn(Arc::clone(told) as Arc<dyn AfterTurn>, 7);
    task.wake();
}

/// A thread arms while the main task ends.
#[test]
fn armed_against_the_end_of_main() {
    explore("after: armed against the end of main", 2, || {
        let told = Told::new();
        let armed = run(1, async {
            let (task, told) = (TaskRef::current().unwrap(), Arc::clone(&told));
            thread::spawn(move || hand_over(&task, &told))
        });
        armed.join().unwrap();
        assert_eq!(told.count(), 1, "the end of the task has forgotten what was armed, or told it twice");
    });
}

/// A thread arms while the main task is between two turns, or in one.
#[test]
fn armed_against_a_turn() {
    explore("after: armed against a turn", 2, || {
        let told = Told::new();
        let armed = run(1, async {
            let (task, told) = (TaskRef::current().unwrap(), Arc::clone(&told));
            let armed = thread::spawn(move || hand_over(&task, &told));
            checkpoint().await;
            armed
        });
        armed.join().unwrap();
        assert_eq!(told.count(), 1);
    });
}

/// Two threads arm at once, so that one finds the place taken that needs no lock, while the main task has a turn in which it claims what is there, or is to be told.
#[test]
fn two_arm_against_a_turn() {
    explore("after: two arm against a turn", 2, || {
        let (one, other) = (Told::new(), Told::new());
        let armed = run(1, async {
            let armed = [&one, &other].map(|told| {
                let (task, told) = (TaskRef::current().unwrap(), Arc::clone(told));
                thread::spawn(move || hand_over(&task, &told))
            });
            checkpoint().await;
            armed
        });
        armed.into_iter().for_each(|armed| armed.join().unwrap());
        assert_eq!((one.count(), other.count()), (1, 1), "one was forgotten, or told twice");
    });
}

/// A thread arms while the task, in a turn, claims: it is told, or it is claimed, and what is taken out is whole.
#[test]
fn armed_against_a_claim() {
    explore("after: armed against a claim", 2, || {
        let told = Told::new();
        let armed = run(1, async {
            let (task, told) = (TaskRef::current().unwrap(), Arc::clone(&told));
            let armed = thread::spawn({
                let told = Arc::clone(&told);
                move || hand_over(&task, &told)
            });
            TaskRef::claimed(&told, 7);
            checkpoint().await;
            TaskRef::claimed(&told, 7);
            armed
        });
        armed.join().unwrap();
        assert_eq!(Arc::strong_count(&told), 1, "nothing of it is left in the task");
    });
}

/// The main task arms for a child, which ends meanwhile on the other worker.
#[test]
fn armed_against_the_end_of_a_child() {
    explore("after: armed against the end of a child", 2, || {
        let told = Told::new();
        run(2, async {
            nursery(async |n| {
                let place = Arc::new(std::sync::Mutex::new(None));
                let child = Arc::clone(&place);
                let task = n.spawn(async move {
                    *child.lock().unwrap() = TaskRef::current();
                    // One turn more: so it can be armed for before it has ended.
                    let mut first = true;
                    poll_fn(|cx| {
                        if std::mem::take(&mut first) {
                            cx.waker().wake_by_ref();
                            return Poll::Pending;
                        }
                        Poll::Ready(())
                    })
                    .await;
                    Ok::<_, std::convert::Infallible>(())
                });
                let there = place.lock().unwrap().clone();
                match there {
                    Some(child) => hand_over(&child, &told),
                    None => {
                        told.0.fetch_add(1, Relaxed); // It has not begun.
                    }
                }
                task.await.unwrap();
            })
            .await;
        });
        assert_eq!(told.count(), 1);
    });
}

/// A thread gives a lock back while the main task, which waits for it, has a turn in which it polls the wait again, and drops it if it still waits: what the wait is handed is claimed, or goes back, by whomever that is found.
#[test]
fn a_lock_that_is_handed_over_against_a_turn_and_a_drop() {
    explore("after: a lock that is handed over against a turn and a drop", 2, || {
        let lock = Arc::new(Mutex::new(0));
        let guard = Arc::clone(&lock).try_lock_owned().unwrap();
        let waiting = Arc::clone(&lock);
        let giving = run(1, async {
            let mut wait = Box::pin(waiting.lock_owned());
            assert!(poll(wait.as_mut()).await.is_pending());
            let giving = thread::spawn(move || drop(guard));
            checkpoint().await;
            if let Poll::Ready(guard) = poll(wait.as_mut()).await {
                *guard.unwrap() += 1;
            }
            giving
        });
        giving.join().unwrap();
        assert!(lock.try_lock().is_ok(), "the lock was lost");
        assert_eq!(lock.statistics().tasks_waiting, 0);
    });
}

/// As above, but the wait leaves the task, which ends, and is not polled before somebody else has had the lock.
#[test]
fn a_lock_that_is_handed_over_against_the_end_of_the_task() {
    explore("after: a lock that is handed over against the end of the task", 2, || {
        let lock = Arc::new(Mutex::new(0));
        let guard = Arc::clone(&lock).try_lock_owned().unwrap();
        let waiting = Arc::clone(&lock);
        let (mut wait, giving) = run(1, async {
            let mut wait = Box::pin(waiting.lock_owned());
            assert!(poll(wait.as_mut()).await.is_pending());
            (wait, thread::spawn(move || drop(guard)))
        });
        giving.join().unwrap();
        *lock.try_lock().expect("it was not lost with the task") += 1;
        // Nobody is before it.
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let Poll::Ready(guard) = wait.as_mut().poll(&mut cx) else { panic!("the lock is free") };
        assert_eq!(*guard.unwrap(), 1);
    });
}

/// Polls it once, in the running task.
async fn poll<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}
