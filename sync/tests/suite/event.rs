//! Events: waiting, setting, cancelling.

use crate::common::{WORKERS, begin_in_cancelled_scope, cancel_while_waiting, drop_after};
use futures_util::poll;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use trioxide_runtime::{CancelScope, checkpoint, nursery, run};
use trioxide_sync::Event;
use trioxide_testing::on_each;

#[test]
fn is_set_once_and_for_good() {
    let event = Event::new();
    assert!(!event.is_set());
    event.set();
    assert!(event.is_set());
    event.set();
    assert!(event.is_set());
    assert_eq!(format!("{event:?}"), "Event { is_set: true, .. }");
}

#[test]
fn can_be_a_static() {
    static EVENT: Event = Event::new();
    run(async {
        EVENT.set();
        EVENT.wait().await;
    });
}

#[test]
fn wakes_all_who_wait() {
    on_each(WORKERS, async || {
        let event = Arc::new(Event::new());
        let woken = Arc::new(AtomicUsize::new(0));
        nursery(async |n| {
            for _ in 0..100 {
                let (event, woken) = (event.clone(), woken.clone());
                n.spawn(async move {
                    event.wait().await;
                    woken.fetch_add(1, Ordering::Relaxed);
                });
            }
            checkpoint().await;
            assert_eq!(woken.load(Ordering::Relaxed), 0);
            event.set();
        })
        .await;
        assert_eq!(woken.load(Ordering::Relaxed), 100);
        assert_eq!(event.statistics().tasks_waiting, 0);
    });
}

#[test]
fn what_was_written_before_is_seen_after() {
    on_each(WORKERS, async || {
        let (event, value) = (Arc::new(Event::new()), Arc::new(AtomicUsize::new(0)));
        nursery(async |n| {
            let (setting, writing) = (event.clone(), value.clone());
            n.spawn(async move {
                writing.store(7, Ordering::Relaxed);
                setting.set();
            });
            event.wait().await;
            assert_eq!(value.load(Ordering::Relaxed), 7);
        })
        .await;
    });
}

#[test]
fn can_be_set_from_a_plain_thread() {
    on_each(WORKERS, async || {
        let event = Arc::new(Event::new());
        let setter = thread::spawn({
            let event = event.clone();
            move || event.set()
        });
        event.wait().await;
        setter.join().unwrap();
    });
}

#[test]
fn a_cancelled_wait_leaves_no_trace() {
    run(async {
        let event = Event::new();
        let mut other = pin!(event.wait());
        assert!(poll!(other.as_mut()).is_pending());
        cancel_while_waiting(event.wait()).await;
        assert_eq!(event.statistics().tasks_waiting, 1);
        event.set();
        other.await;
    });
}

#[test]
fn a_wait_dropped_after_the_event_was_set_holds_nobody_up() {
    run(async {
        let event = Event::new();
        let mut other = pin!(event.wait());
        let wait = event.wait();
        drop_after(wait, || event.set()).await;
        assert!(poll!(other.as_mut()).is_ready());
    });
}

#[test]
fn a_wait_for_a_set_event_is_a_checkpoint() {
    run(async {
        let event = Event::new();
        event.set();
        begin_in_cancelled_scope(event.wait()).await;
        event.wait().await;
    });
}

#[test]
fn a_wait_that_is_over_returns_in_a_cancelled_scope() {
    run(async {
        let event = Event::new();
        let scope = CancelScope::new();
        let handle = scope.handle();
        let waited = scope.run(async {
            let mut wait = pin!(event.wait());
            assert!(poll!(wait.as_mut()).is_pending());
            event.set();
            handle.cancel("after the event");
            wait.await;
        });
        assert!(waited.await.is_ok());
    });
}

#[test]
#[should_panic(expected = "`Event::wait`")]
fn a_wait_outside_a_run_says_so() {
    let event = Event::new();
    futures_util::FutureExt::now_or_never(event.wait());
}
