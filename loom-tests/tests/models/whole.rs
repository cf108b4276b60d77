//! The whole runtime with two workers, through its public interface: the real tasks, nurseries, scopes, scheduler and parkers.
//!
//! The queues themselves are crossbeam's, which loom does not see into; it switches threads around them, not inside.
#![allow(unsafe_code)] // `loom::cell::UnsafeCell` hands out raw pointers, and checks each access itself.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use loom::cell::UnsafeCell;
use loom::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use loom::sync::atomic::{AtomicBool, AtomicUsize};
use loom::thread;
use trioxide_loom::explore;
use trioxide_runtime::lowlevel::{AfterTurn, TaskRef};
use trioxide_runtime::{CancelScope, Runtime, checkpoint, nursery, shield, sleep_forever};

/// Runs `main` on two workers; the second is a thread of its own.
fn run<F: Future>(main: F) -> F::Output {
    Runtime::builder().workers(2).build().unwrap().run(main)
}

/// What loom lets one thread use at a time only.
#[derive(Clone)]
struct Tracked(Arc<UnsafeCell<u32>>);

// SAFETY: loom checks each access.
unsafe impl Send for Tracked {}

impl Tracked {
    fn new() -> Self {
        Self(Arc::new(UnsafeCell::new(0)))
    }

    fn add(&self) -> u32 {
        // SAFETY: loom checks the access.
        self.0.with_mut(|count| unsafe {
            *count += 1;
            *count
        })
    }
}

/// A child is spawned and awaited while the other worker may take it: its value comes out, what it wrote is seen.
#[test]
fn spawn_and_await() {
    explore("whole: spawn and await", 2, || {
        let seen = run(async {
            let mut seen = 0;
            nursery(async |n| {
                let tracked = Tracked::new();
                let child = tracked.clone();
                let task = n.spawn(async move { Ok::<_, Infallible>(child.add()) });
                seen = task.await.unwrap() + tracked.add();
            })
            .await;
            seen
        });
        assert_eq!(seen, 3);
    });
}

/// The main future suspends, and is woken by another thread, which has written before.
#[test]
fn wake_from_outside() {
    explore("whole: wake from outside", 2, || {
        let (ready, data) = (Arc::new(AtomicBool::new(false)), Tracked::new());
        let writer = Cell::new(None);
        run(poll_fn(|cx| {
            let writing = writer.take().unwrap_or_else(|| {
                let (ready, data, waker) = (Arc::clone(&ready), data.clone(), cx.waker().clone());
                thread::spawn(move || {
                    data.add();
                    ready.store(true, Relaxed);
                    waker.wake();
                })
            });
            writer.set(Some(writing));
            // Relaxed: the wake itself must make the writes seen.
            if ready.load(Relaxed) { Poll::Ready(()) } else { Poll::Pending }
        }));
        writer.take().unwrap().join().unwrap();
        assert_eq!(data.add(), 2);
    });
}

/// The nursery is cancelled while its child begins, or suspends for the first time: it is never left behind.
#[test]
fn cancel_a_nursery_with_a_suspended_child() {
    explore("whole: cancel a nursery with a suspended child", 1, || {
        let ended = run(async {
            nursery(async |n| {
                let _child = n.spawn(async {
                    sleep_forever().await;
                    Ok::<_, Infallible>(())
                });
                n.cancel("enough");
            })
            .await;
            true
        });
        assert!(ended);
    });
}

/// The same for two children, which suspend on both workers: so the node gets its shards (`scope::suspended`) while it is being cancelled, and neither the child in the one list nor
/// the one in a shard is left behind.
#[test]
fn cancel_a_nursery_whose_children_suspend_on_both_workers() {
    explore("whole: cancel a nursery with a list for each worker", 1, || {
        let ended = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&ended);
        run(async move {
            nursery(async |n| {
                for _ in 0..2 {
                    let counter = Arc::clone(&counter);
                    n.spawn(async move {
                        let _ends = Ends(counter);
                        sleep_forever().await;
                        Ok::<_, Infallible>(())
                    });
                }
                n.cancel("enough");
            })
            .await;
        });
        assert_eq!(ended.load(Relaxed), 2);
    });
}

/// Counts when it is dropped.
struct Ends(Arc<AtomicUsize>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.fetch_add(1, Relaxed);
    }
}

/// The same for a child that stands in a scope of its own, and so has a node, which the cancel comes to after it has woken the child.
#[test]
fn cancel_a_nursery_with_a_child_in_a_scope() {
    explore("whole: cancel a nursery with a child in a scope", 1, || {
        run(nursery(async |n| {
            let _child = n.spawn(async {
                let _ = CancelScope::new().run(sleep_forever()).await;
                Ok::<_, Infallible>(())
            });
            n.cancel("enough");
        }));
    });
}

/// One child alone is cancelled through its handle while it begins.
#[test]
fn cancel_a_task() {
    explore("whole: cancel a task", 2, || {
        run(nursery(async |n| {
            let task = n.spawn(async {
                sleep_forever().await;
                Ok::<_, Infallible>(())
            });
            task.cancel("enough");
            assert!(task.await.is_err());
        }));
    });
}

/// The same for a child that is awaited already, and opens a scope meanwhile: its handle's waker, the request and its node come to one word (`task::extras`), on two workers.
#[test]
fn cancel_a_task_that_is_awaited_and_opens_a_scope() {
    explore("whole: cancel a task that is awaited and opens a scope", 1, || {
        run(nursery(async |n| {
            let mut task = n.spawn(async {
                let _ = CancelScope::new().run(sleep_forever()).await;
                sleep_forever().await;
                Ok::<_, Infallible>(())
            });
            poll_fn(|cx| {
                assert!(Pin::new(&mut task).poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            task.cancel("enough");
            assert!(task.await.is_err());
        }));
    });
}

/// Another thread cancels the scope in which the main future is suspended.
#[test]
fn cancel_from_outside() {
    explore("whole: cancel from outside", 2, || {
        let scope = CancelScope::new();
        let handle = scope.handle();
        let canceller = thread::spawn(move || handle.cancel("enough"));
        assert!(run(scope.run(sleep_forever())).is_err());
        canceller.join().unwrap();
    });
}

/// A child spawns a sibling while the body ends: both have ended when the nursery has.
#[test]
fn a_child_spawns_while_the_nursery_closes() {
    explore("whole: a child spawns while the nursery closes", 2, || {
        let tracked = Tracked::new();
        let child = tracked.clone();
        run(nursery(async |n| {
            let spawner = n.clone();
            n.spawn(async move {
                spawner.spawn(async move {
                    child.add();
                    Ok::<_, Infallible>(())
                });
                Ok::<_, Infallible>(())
            });
        }));
        assert_eq!(tracked.add(), 2);
    });
}

/// A nursery is forgotten while its child runs: the run ends after the child.
#[test]
fn a_forgotten_nursery_is_joined() {
    explore("whole: a forgotten nursery is joined", 2, || {
        let tracked = Tracked::new();
        let child = tracked.clone();
        run(async move {
            let mut open = Box::pin(nursery(async |n| {
                n.spawn(async move {
                    checkpoint().await;
                    child.add();
                    Ok::<_, Infallible>(())
                });
                sleep_forever().await;
            }));
            poll_fn(|cx| {
                assert!(open.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            std::mem::forget(open);
        });
        assert_eq!(tracked.add(), 2);
    });
}

/// A cancelled scope waits for the shield in it, whose inside is done when another thread says so.
#[test]
fn a_shield_is_waited_for() {
    explore("whole: a shield is waited for", 1, || {
        let (scope, shielded) = (CancelScope::new(), Cell::new(false));
        let handle = scope.handle();
        let done = Arc::new(AtomicBool::new(false));
        let worker = Cell::new(None);
        let outcome = run(scope.run(async {
            let inside = poll_fn(|cx| {
                let working = worker.take().unwrap_or_else(|| {
                    let (waker, done, handle) = (cx.waker().clone(), Arc::clone(&done), handle.clone());
                    thread::spawn(move || {
                        handle.cancel("enough");
                        done.swap(true, AcqRel);
                        waker.wake();
                    })
                });
                worker.set(Some(working));
                if done.load(Acquire) { Poll::Ready(()) } else { Poll::Pending }
            });
            shield(inside).await;
            shielded.set(true);
            sleep_forever().await;
        }));
        assert!(outcome.is_err());
        assert!(shielded.get(), "the shield ran to its end");
        worker.take().unwrap().join().unwrap();
    });
}

/// Counts how often it was told that a turn has ended.
struct Told(AtomicUsize);

impl AfterTurn for Told {
    fn turn_ended(self: Arc<Self>, _number: u64) {
        self.0.fetch_add(1, Relaxed);
    }
}

/// Another thread hands the main future something, which that looks at with `poll` until it is ready; how often somebody was told that it has had a turn since.
fn hand_over(poll: impl Fn(&Arc<Told>, bool) -> Poll<()>) -> usize {
    let (told, handed) = (Arc::new(Told(AtomicUsize::new(0))), Arc::new(AtomicBool::new(false)));
    let other = Cell::new(None);
    run(poll_fn(|_| {
        let handing = other.take().unwrap_or_else(|| {
            let (task, told, handed) = (TaskRef::current().unwrap(), Arc::clone(&told), Arc::clone(&handed));
            thread::spawn(move || {
                handed.store(true, Relaxed);
                task.after_turn(Arc::clone(&told) as Arc<dyn AfterTurn>, 1);
                // If the task has ended it tells by itself.
                let _has_turns = task.wake();
            })
        });
        other.set(Some(handing));
        poll(&told, handed.load(Relaxed))
    }));
    other.take().unwrap().join().unwrap();
    told.0.load(Relaxed)
}

/// What is handed to a task that ends meanwhile, without having looked: the end is told of.
#[test]
fn after_turn_against_the_end() {
    explore("whole: after_turn against the end", 2, || {
        assert_eq!(hand_over(|_, _| Poll::Ready(())), 1);
    });
}

/// What is handed to a task that looks and leaves it: the turn is told of. The next poll after that is the last.
#[test]
fn after_turn_against_turns() {
    explore("whole: after_turn against turns", 2, || {
        assert_eq!(hand_over(|_, handed| if handed { Poll::Ready(()) } else { Poll::Pending }), 1);
    });
}

/// What is handed to a task that claims it: the list of what is due is touched by that task only, and nothing is told twice.
#[test]
fn after_turn_against_a_claim() {
    explore("whole: after_turn against a claim", 2, || {
        let told = hand_over(|told, handed| {
            if !handed {
                return Poll::Pending;
            }
            TaskRef::claimed(told, 1);
            Poll::Ready(())
        });
        assert!(told <= 1);
    });
}
