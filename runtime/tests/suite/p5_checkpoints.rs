//! Promise 5: every operation yields when the budget is used up; and what is used in the wrong place says so.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::common::{ALL, Count, Flag, Never, all_wait, hold, panic_in};
use futures_util::future::join;
use trioxide_runtime::{
    CancelScope, Runtime, blocking, checkpoint, fail_after, fail_at, finally, lowlevel, move_on_after, move_on_at,
    nursery, nursery_with, shield, sleep, sleep_forever, sleep_until, stopping, until_stopping,
};
use trioxide_testing::on_each;

/// Whether a sibling gets to run while a task repeats `operation` without end.
fn lets_others_run(operation: impl AsyncFn(&trioxide_runtime::Nursery<Never>)) {
    on_each(&[1], async || {
        let ran = Flag::default();
        nursery(async |n| {
            let tell = ran.clone();
            drop(n.spawn(async move { tell.set() }));
            while !ran.is_set() {
                operation(&n).await;
            }
        })
        .await;
    });
}

#[test]
fn a_loop_over_an_operation_that_is_always_ready_lets_others_run() {
    lets_others_run(async |_| checkpoint().await);
    lets_others_run(async |_| sleep(Duration::ZERO).await);
    lets_others_run(async |_| sleep_until(trioxide_runtime::now()).await);
    lets_others_run(async |_| {
        std::future::poll_fn(|cx| lowlevel::poll_checkpoint(cx, "a leaf of this test")).await;
    });
    lets_others_run(async |n| n.spawn(async {}).await.unwrap());
    lets_others_run(async |_| {
        let _ = move_on_after(Duration::MAX, sleep(Duration::ZERO)).await;
    });
    lets_others_run(async |_| {
        nursery(async |_| shield(finally(sleep(Duration::ZERO), async {})).await).await;
    });
}

#[test]
fn a_checkpoint_always_suspends_once() {
    on_each(ALL, async || {
        for _ in 0..10 {
            let mut checkpoint = checkpoint();
            let mut polls = 0;
            std::future::poll_fn(|cx| {
                polls += 1;
                Pin::new(&mut checkpoint).poll(cx)
            })
            .await;
            assert_eq!(polls, 2);
        }
    });
}

#[test]
fn tasks_that_yield_take_turns() {
    on_each(&[1], async || {
        let turn = std::sync::Arc::new(AtomicUsize::new(0));
        nursery(async |n| {
            for at in 0..2 {
                let turn = turn.clone();
                drop(n.spawn(async move {
                    let mut last = turn.load(Ordering::SeqCst);
                    for round in 0..100 {
                        let now = turn.fetch_add(1, Ordering::SeqCst);
                        assert!(now - last <= 2, "task {at} waited for {} turns in round {round}", now - last);
                        last = now;
                        checkpoint().await;
                    }
                }));
            }
        })
        .await;
    });
}

#[test]
fn the_budget_is_that_of_the_builder() {
    for budget in [1, 7, 128] {
        let runtime = Runtime::builder().workers(1).budget(budget).build().unwrap();
        runtime.run(async {
            checkpoint().await; // A fresh budget.
            let mut done = 0;
            std::future::poll_fn(|cx| {
                while lowlevel::poll_checkpoint(cx, "a leaf of this test").is_ready() {
                    done += 1;
                }
                Poll::Ready(())
            })
            .await;
            // The checkpoint's own second half was one.
            assert_eq!(done, budget - 1);
        });
    }
}

/// A leaf that keeps nothing in mind: it passes its checkpoint in each poll. `ready` once it has been polled past that so often.
async fn stateless(passes: usize) {
    let mut passed = 0;
    std::future::poll_fn(|cx| {
        std::task::ready!(lowlevel::poll_checkpoint(cx, "a stateless leaf of this test"));
        passed += 1;
        if passed == passes {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// With a budget for one operation each poll, the first of two leaves must not take it every time.
#[test]
fn two_stateless_leaves_share_a_budget_of_one() {
    for &workers in ALL {
        let runtime = Runtime::builder().workers(workers).budget(1).build().unwrap();
        runtime.run(async {
            trioxide_runtime::join!(stateless(3), stateless(3));
            // The first never ends by itself.
            assert_eq!(
                trioxide_runtime::race!(
                    async {
                        stateless(usize::MAX).await;
                        1
                    },
                    async {
                        stateless(3).await;
                        2
                    }
                ),
                2
            );
            assert_eq!(
                trioxide_runtime::race!(
                    async {
                        stateless(3).await;
                        1
                    },
                    async {
                        stateless(usize::MAX).await;
                        2
                    }
                ),
                1
            );
        });
    }
}

#[test]
fn nested_scopes_share_the_budget_of_their_task() {
    let runtime = Runtime::builder().workers(1).budget(10).build().unwrap();
    runtime.run(async {
        let suspended = Count::default();
        let work = async {
            for _ in 0..100 {
                nursery(async |_| {
                    let leaf = std::future::poll_fn(|cx| lowlevel::poll_checkpoint(cx, "a leaf of this test"));
                    let _ = move_on_after(Duration::MAX, leaf).await;
                })
                .await;
            }
        };
        let mut work = pin!(work);
        std::future::poll_fn(|cx| {
            let polled = work.as_mut().poll(cx);
            suspended.add();
            polled
        })
        .await;
        assert_eq!(suspended.get(), 10, "as often as the budget goes into the operations");
    });
}

fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn every_future_of_the_library_says_where_it_must_be_polled() {
    let text = |operation| {
        format!(
            "trioxide: `{operation}` was called outside a run; call it from a future that `trioxide::run` \
             (or `Runtime::run`, or a nursery's `spawn`) runs"
        )
    };
    let now = Instant::now();
    assert_eq!(panic_in(|| poll_once(sleep(Duration::ZERO))), text("sleep"));
    assert_eq!(panic_in(|| poll_once(sleep_until(now))), text("sleep_until"));
    assert_eq!(panic_in(|| poll_once(sleep_forever())), text("sleep_forever"));
    assert_eq!(panic_in(|| poll_once(checkpoint())), text("checkpoint"));
    assert_eq!(panic_in(|| poll_once(nursery(async |_| ()))), text("nursery"));
    assert_eq!(panic_in(|| poll_once(nursery_with((), async |_| ()))), text("nursery_with"));
    assert_eq!(panic_in(|| poll_once(blocking(|| ()))), text("blocking"));
    assert_eq!(panic_in(|| poll_once(move_on_after(Duration::MAX, async {}))), text("move_on_after"));
    assert_eq!(panic_in(|| poll_once(move_on_at(now, async {}))), text("move_on_at"));
    assert_eq!(panic_in(|| poll_once(fail_after(Duration::MAX, async {}))), text("fail_after"));
    assert_eq!(panic_in(|| poll_once(fail_at(now, async {}))), text("fail_at"));
    assert_eq!(panic_in(|| poll_once(shield(async {}))), text("shield"));
    assert_eq!(panic_in(|| poll_once(finally(async {}, async {}))), text("finally"));
    assert_eq!(panic_in(|| poll_once(CancelScope::new().run(async {}))), text("CancelScope::run"));
    assert_eq!(panic_in(|| poll_once(until_stopping(async {}))), text("until_stopping"));
    assert_eq!(panic_in(|| poll_once(stopping())), text("stopping"));
    assert_eq!(panic_in(trioxide_runtime::now), text("now"));
    let mut task = None;
    trioxide_runtime::run(nursery(async |n| task = Some(n.spawn(async { Ok::<_, Never>(1) }))));
    assert_eq!(panic_in(|| poll_once(task.unwrap())), text("Task"));
    assert!(!lowlevel::in_run());
    assert!(trioxide_runtime::run(async { lowlevel::in_run() }));
}

#[test]
fn futures_may_be_made_outside_a_run_and_polled_inside() {
    let made = (sleep(Duration::ZERO), move_on_after(Duration::MAX, checkpoint()), CancelScope::new());
    let n = nursery(async |n| drop(n.spawn(async {})));
    on_a_thread_without_a_run(|| drop((sleep(Duration::MAX), nursery(async |_| ()))));
    trioxide_runtime::run(async {
        let (sleep, time_out, scope) = made;
        sleep.await;
        assert_eq!(time_out.await, Some(()));
        assert_eq!(scope.run(n).await.unwrap(), ());
    });
}

fn on_a_thread_without_a_run(f: impl FnOnce() + Send + 'static) {
    std::thread::spawn(f).join().unwrap();
}

#[test]
fn run_inside_run_says_what_to_do_instead() {
    let text = "trioxide: `run` was called inside a run; await the future there, \
                or start another thread for an independent run";
    on_each(ALL, async || {
        assert_eq!(panic_in(|| trioxide_runtime::run(async {})), text);
        let other = Runtime::builder().workers(1).build().unwrap();
        assert_eq!(panic_in(|| other.run(async {})), text);
        nursery(async |n| {
            drop(n.spawn(async move { assert_eq!(panic_in(|| trioxide_runtime::run(async {})), text) }));
        })
        .await;
        // On the thread pool it is an independent run.
        assert_eq!(blocking(|| trioxide_runtime::run(async { 7 })).await, 7);
    });
}

#[test]
fn settings_that_can_not_work_are_refused() {
    let build = Runtime::builder;
    assert_eq!(
        panic_in(|| build().workers(0)),
        "trioxide: a runtime needs at least 1 worker, got 0; leave `workers` out for one per usable CPU"
    );
    assert_eq!(
        panic_in(|| build().max_blocking_threads(0)),
        "trioxide: the thread pool needs at least 1 thread, got 0; `blocking` could never run"
    );
    assert_eq!(
        panic_in(|| build().budget(0)),
        "trioxide: a task needs a budget of at least 1 operation per poll, got 0"
    );
}

#[test]
fn spawn_into_a_closed_nursery_says_so_and_try_spawn_gives_the_future_back() {
    let text = "trioxide: `spawn` into a closed nursery: its body and all its children have ended; \
                spawn while one of them runs, or use `try_spawn`, which gives the future back";
    on_each(ALL, async || {
        let mut closed = None;
        nursery(async |n| closed = Some(n)).await;
        let n = closed.unwrap();
        assert_eq!(panic_in(|| n.spawn(async {})), text);
        assert_eq!(panic_in(|| n.task("late").spawn(async {})), text);
        let (future, dropped) = (std::future::ready(()), Flag::default());
        let refused = n.try_spawn(future).unwrap_err();
        assert_eq!(refused.to_string(), "the nursery is closed: its body and all its children have ended");
        refused.0.await;
        drop(n.try_spawn(hold(crate::common::SetOnDrop(dropped.clone()))));
        assert!(dropped.is_set(), "it is not kept anywhere");
    });
}

#[test]
fn spawn_works_while_a_child_runs_although_the_body_has_ended() {
    on_each(ALL, async || {
        let (go, ran) = (Flag::default(), Count::default());
        let closing = nursery(async |n| {
            let (go, ran, handle) = (go.clone(), ran.clone(), n.clone());
            drop(n.spawn(async move {
                go.wait().await;
                drop(handle.spawn(async move { ran.add() }));
            }));
        });
        join(closing, async { go.set() }).await;
        assert_eq!(ran.get(), 1);
    });
}

#[test]
fn a_child_spawned_into_a_cancelled_nursery_starts_and_is_cut_at_its_first_suspension() {
    on_each(ALL, async || {
        let (started, went_on) = (Count::default(), Count::default());
        let joined = nursery(async |n| {
            n.cancel("enough");
            for _ in 0..10 {
                let (started, went_on) = (started.clone(), went_on.clone());
                drop(n.spawn(async move {
                    started.add();
                    checkpoint().await;
                    went_on.add();
                }));
            }
            Ok::<_, Never>(())
        });
        joined.await.unwrap();
        assert_eq!((started.get(), went_on.get()), (10, 0));
    });
}

#[test]
fn a_nursery_counts_its_children() {
    on_each(ALL, async || {
        nursery(async |n| {
            assert_eq!(n.len(), 0);
            let tasks: Vec<_> = (0..5).map(|_| n.spawn(sleep_forever())).collect();
            assert_eq!(n.len(), 5);
            tasks[0].cancel("one less");
            all_wait().await;
            assert_eq!(n.len(), 4);
            n.cancel("none left");
        })
        .await;
    });
}

#[test]
fn a_sleep_that_is_over_at_once_is_a_checkpoint() {
    on_each(ALL, async || {
        for over in [sleep(Duration::ZERO), sleep_until(trioxide_runtime::now())] {
            let mut over = Box::pin(over);
            assert!(futures_util::poll!(&mut over).is_pending(), "it lets others run, once");
            over.await;
        }
    });
}
