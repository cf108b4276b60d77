//! Reasons of a cancellation: behaviours 74 to 80.

use std::time::Duration;

use trioxide_runtime::{
    CancelReason, CancelScope, CancelSource, Cancelled, Nursery, Task, checkpoint, current_cancel_reason, finally,
    move_on_after, nursery, sleep_forever,
};
use trioxide_testing::{on_each, on_each_with_clock};

use crate::common::{ALL, Flag, Never, a_while};

async fn reason_of<T>(task: Task<T>) -> CancelReason {
    match task.await {
        Ok(_) => panic!("it should have been cut"),
        Err(cancelled) => cancelled.reason().clone(),
    }
}

#[test]
fn c074_an_explicit_cancel_tells_source_reason_and_who() {
    on_each(ALL, async || {
        nursery(async |n| {
            let scope = CancelScope::new();
            let handle = scope.handle();
            let line = line!() + 1;
            let canceller = n.task("canceller").spawn(async move { handle.cancel("a good reason") });
            let cancelled = scope.run(sleep_forever()).await.unwrap_err();
            let reason = cancelled.reason();
            assert_eq!((reason.source(), reason.message()), (CancelSource::Explicit, Some("a good reason")));
            let by = reason.by().unwrap();
            assert_eq!((by.task(), by.name(), by.is_body()), (canceller.id(), Some("canceller"), false));
            assert_eq!(by.spawned_at().line(), line);
            assert_eq!(cancelled.to_string(), "cancelled: on request: a good reason");
            let long = format!(
                "on request by task {} \"canceller\", spawned at {}: a good reason",
                by.task(),
                by.spawned_at()
            );
            assert_eq!(format!("{reason:#}"), long);
        })
        .await;
    });
}

#[test]
fn c075_a_deadline_says_so() {
    on_each_with_clock(ALL, async |_| {
        let told = Flag::default();
        let body = finally(sleep_forever(), async {
            let reason = current_cancel_reason().unwrap();
            assert_eq!((reason.source(), reason.by().is_none()), (CancelSource::Deadline, true));
            told.set();
        });
        assert_eq!(move_on_after(Duration::from_secs(1), body).await, None);
        assert!(told.is_set());
        assert_eq!(current_cancel_reason(), None);
    });
}

#[test]
fn c076_siblings_of_a_child_that_fails_are_told_which_one_it_was() {
    on_each(ALL, async || {
        for panics in [false, true] {
            let mut told = None;
            let outcome = std::panic::AssertUnwindSafe(nursery(async |n| {
                let sibling = n.spawn(sleep_forever());
                let line = line!() + 1;
                let failing = n.task("failing").spawn(async move {
                    if panics {
                        crate::common::blow("no");
                    }
                    Err::<(), _>("no")
                });
                let id = failing.id();
                told = Some((id, line, trioxide_runtime::shield(reason_of(sibling)).await));
                Ok::<_, &str>(())
            }));
            drop(futures_util::FutureExt::catch_unwind(outcome).await);
            let (id, line, reason) = told.unwrap();
            let by = reason.by().unwrap();
            assert_eq!((by.task(), by.name(), by.is_body()), (id, Some("failing"), false));
            assert_eq!(by.spawned_at().line(), line);
            let (source, word) = match panics {
                false => (CancelSource::Failed, "failed"),
                true => (CancelSource::Panicked, "panicked"),
            };
            assert_eq!(reason.source(), source);
            assert_eq!(reason.to_string(), format!("task {id} \"failing\", spawned at {}, {word}", by.spawned_at()));
        }
    });
}

#[test]
fn c077_children_of_a_body_that_fails_are_told_that_it_was_the_body() {
    on_each(ALL, async || {
        nursery(async |n| {
            let mut child = None;
            let parent = n.task("parent").spawn(async move {
                let failed = nursery(async |inner: Nursery<String>| {
                    child = Some(inner.spawn(sleep_forever()));
                    Err::<(), _>("the body".to_owned())
                });
                assert!(failed.await.is_err());
                Ok::<_, Never>(reason_of(child.unwrap()).await)
            });
            let id = parent.id();
            let reason = parent.await.unwrap();
            let by = reason.by().unwrap();
            assert_eq!((by.task(), by.name(), by.is_body()), (id, Some("parent"), true));
            assert!(reason.to_string().starts_with("the body of the nursery, in task #"), "{reason}");
        })
        .await;
    });
}

#[test]
fn c078_the_first_reason_is_kept() {
    on_each_with_clock(ALL, async |clock| {
        let scope = CancelScope::new().deadline_after(Duration::from_secs(1));
        let handle = scope.handle();
        let explicit_first = async {
            handle.cancel("first");
            clock.jump(Duration::from_secs(2));
            checkpoint().await;
        };
        assert_eq!(*scope.run(explicit_first).await.unwrap_err().reason(), CancelReason::from("first"));

        let scope = CancelScope::new().deadline_after(Duration::from_secs(1));
        let handle = scope.handle();
        let deadline_first = async {
            clock.jump(Duration::from_secs(2));
            assert!(handle.cancel_called());
            handle.cancel("second");
            checkpoint().await;
        };
        assert_eq!(scope.run(deadline_first).await.unwrap_err().reason().source(), CancelSource::Deadline);
    });
}

#[test]
fn c078_what_is_cancelled_by_its_surroundings_takes_over_their_reason() {
    on_each(ALL, async || {
        nursery(async |n| {
            let (asleep, in_task) = (Flag::default(), CancelScope::new());
            let (began, handle) = (asleep.clone(), in_task.handle());
            let task = n.spawn(async move {
                let body = async {
                    began.set();
                    finally(sleep_forever(), a_while()).await;
                };
                drop(in_task.run(body).await);
            });
            asleep.wait().await;
            task.cancel("from above");
            handle.cancel("and from here");
            assert!(format!("{handle:?}").contains("from above"));
            assert_eq!(reason_of(task).await, CancelReason::from("from above"));
        })
        .await;
    });
}

#[test]
fn c079_a_signal_is_a_reason_of_its_own() {
    // How the second SIGINT gets there is behaviour 240; here, that its reason differs from all others in its text.
    let sources = [CancelSource::Explicit, CancelSource::Deadline, CancelSource::Signal, CancelSource::Shutdown];
    for (at, one) in sources.iter().enumerate() {
        assert!(sources[at + 1..].iter().all(|other| other != one));
    }
}

#[test]
fn c080_a_cancelled_is_an_error_that_only_the_runtime_makes() {
    // That there is no other way to one is in `compile_fail/cancelled_made_by_a_user.rs`.
    fn is_error<E: std::error::Error + Send + Sync + Clone + 'static>() {}
    is_error::<Cancelled>();
}
