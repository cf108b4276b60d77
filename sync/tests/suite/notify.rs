//! Signals: one for one who waits, or kept once; nothing lost.

use crate::common::{WORKERS, begin_in_cancelled_scope, cancel_while_waiting, drop_after};
use futures_util::future::{Either, select};
use futures_util::poll;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use trioxide_runtime::{checkpoint, nursery, run};
use trioxide_sync::{Event, Notify};
use trioxide_testing::on_each;

fn seen(notify: &Notify) -> (bool, usize) {
    let now = notify.statistics();
    (now.is_notified, now.tasks_waiting)
}

#[test]
fn a_notification_is_kept_once_for_who_comes() {
    on_each(WORKERS, async || {
        let notify = Notify::new();
        assert!(!notify.try_wait());
        notify.notify_one();
        notify.notify_one();
        assert_eq!(seen(&notify), (true, 0));
        notify.wait().await;
        assert_eq!((seen(&notify), notify.try_wait()), ((false, 0), false));
        assert!(poll!(pin!(notify.wait())).is_pending());
        notify.notify_one();
        assert!(notify.try_wait());
        assert_eq!(format!("{notify:?}"), "Notify { is_notified: false, tasks_waiting: 0 }");
    });
}

#[test]
fn those_who_wait_are_notified_one_by_one_in_order() {
    on_each(WORKERS, async || {
        let notify = Notify::new();
        let (mut one, mut two) = (pin!(notify.wait()), pin!(notify.wait()));
        assert!(poll!(one.as_mut()).is_pending() && poll!(two.as_mut()).is_pending());
        assert_eq!(seen(&notify), (false, 2));
        notify.notify_one();
        assert!(poll!(two.as_mut()).is_pending() && !notify.try_wait());
        assert!(poll!(one.as_mut()).is_ready());
        notify.notify_one();
        two.await;
        assert_eq!(seen(&notify), (false, 0));
    });
}

#[test]
fn all_who_wait_are_notified_and_nobody_who_comes_later() {
    on_each(WORKERS, async || {
        let notify = Notify::new();
        assert_eq!(notify.notify_all(), 0);
        let mut waits: Vec<_> = (0..40).map(|_| Box::pin(notify.wait())).collect();
        for wait in &mut waits {
            assert!(poll!(wait).is_pending());
        }
        assert_eq!(notify.notify_all(), 40);
        let mut late = pin!(notify.wait());
        assert!(poll!(late.as_mut()).is_pending());
        // One that is dropped passes nothing on: it was told with the others.
        drop(waits.pop());
        for wait in waits {
            wait.await;
        }
        assert!(poll!(late.as_mut()).is_pending());
        assert_eq!(seen(&notify), (false, 1));
        notify.notify_one();
        late.await;
    });
}

#[test]
fn a_wait_that_is_cancelled_or_dropped_passes_its_notification_on() {
    on_each(WORKERS, async || {
        let notify = Notify::new();
        notify.notify_one();
        begin_in_cancelled_scope(notify.wait()).await;
        assert!(notify.try_wait());
        cancel_while_waiting(notify.wait()).await;
        assert_eq!(seen(&notify), (false, 0));
        // To the one who waits behind it ...
        let mut behind = Box::pin(notify.wait());
        drop_after(notify.wait(), || {
            assert!(futures_util::FutureExt::now_or_never(behind.as_mut()).is_none());
            notify.notify_one();
        })
        .await;
        behind.await;
        // ... or it is kept, and kept once, although another came after it.
        drop_after(notify.wait(), || {
            notify.notify_one();
            notify.notify_one();
        })
        .await;
        assert!(notify.try_wait() && !notify.try_wait());
    });
}

/// The task is woken for the first wait, and polls the second only: the notification is not stuck.
#[test]
fn a_wait_that_nobody_polls_keeps_no_notification() {
    on_each(WORKERS, async || {
        let (notify, ready) = (Arc::new(Notify::new()), Arc::new(Event::new()));
        nursery(async |n| {
            let mut first = Box::pin(notify.wait());
            assert!(matches!(select(first.as_mut(), std::future::ready(())).await, Either::Right(_)));
            let (notifies, is_ready) = (notify.clone(), ready.clone());
            n.spawn(async move {
                is_ready.wait().await;
                notifies.notify_one();
            });
            let mut second = pin!(notify.wait());
            assert!(poll!(second.as_mut()).is_pending());
            ready.set();
            second.await;
            // The first is passed over, and let in with all others.
            assert!(poll!(first.as_mut()).is_pending());
            assert_eq!((seen(&notify), notify.notify_all()), ((false, 1), 1));
            first.await;
        })
        .await;
    });
}

/// A wait that was passed over, and is not polled before all are told, was among those who waited.
#[test]
fn all_are_told_also_who_was_passed_over() {
    on_each(WORKERS, async || {
        let notify = Notify::new();
        let mut first = Box::pin(notify.wait());
        assert!(poll!(first.as_mut()).is_pending());
        notify.notify_one();
        // Turns in which it is not polled, also if one was due already.
        for _ in 0..3 {
            checkpoint().await;
        }
        assert!(notify.try_wait(), "who was handed it has had a turn");
        assert_eq!(notify.notify_all(), 1);
        let mut late = pin!(notify.wait());
        assert!(poll!(late.as_mut()).is_pending());
        assert!(poll!(first.as_mut()).is_ready());
        notify.notify_one();
        late.await;
    });
}

/// Each signal is one job. None is lost, however many of the waits are given up.
#[test]
fn no_job_is_left_when_waits_are_given_up() {
    on_each(WORKERS, async || {
        const JOBS: usize = 300;
        let (notify, todo, done) =
            (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        nursery(async |n| {
            for worker in 0..4 {
                let (notify, todo, done) = (notify.clone(), todo.clone(), done.clone());
                n.spawn(async move {
                    for round in 0.. {
                        while todo.fetch_update(Relaxed, Relaxed, |jobs| jobs.checked_sub(1)).is_ok() {
                            done.fetch_add(1, Relaxed);
                            // As there may be more, and this one takes its time.
                            notify.notify_one();
                            checkpoint().await;
                        }
                        if done.load(Relaxed) == JOBS {
                            notify.notify_one();
                            return;
                        }
                        let mut wait = Box::pin(notify.wait());
                        if (worker + round) % 3 > 0 {
                            wait.await;
                        } else if poll!(wait.as_mut()).is_pending() {
                            checkpoint().await;
                        }
                    }
                });
            }
            for _ in 0..JOBS {
                todo.fetch_add(1, Relaxed);
                notify.notify_one();
                checkpoint().await;
            }
        })
        .await;
        assert_eq!((todo.load(Relaxed), done.load(Relaxed)), (0, JOBS));
    });
}

#[test]
fn threads_wait_in_the_same_line_and_not_in_a_task() {
    let (there, back) = (Notify::new(), Notify::new());
    thread::scope(|s| {
        s.spawn(|| {
            for _ in 0..100 {
                there.blocking_wait();
                back.notify_one();
            }
        });
        run(async {
            for _ in 0..100 {
                there.notify_one();
                back.wait().await;
            }
        });
    });
    let panic = run(async { catch_unwind(AssertUnwindSafe(|| there.blocking_wait())).unwrap_err() });
    assert!(panic.downcast_ref::<String>().unwrap().contains("await `Notify::wait` instead"));
}
