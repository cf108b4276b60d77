//! Services: children that live until the body and all ordinary children have ended.

use std::mem;

use crate::common::{ALL, Count, Flag, Gate, Never, SetOnDrop, a_while, all_wait, blow, errors, hold, panic_of, until};
use futures_util::poll;
use trioxide_runtime::{
    CancelScope, CancelSource, Nursery, NurseryError, StartError, Started, checkpoint, finally, nursery, nursery_with,
    shield, sleep_forever,
};
use trioxide_testing::on_each;

#[test]
fn a_service_lives_until_the_body_and_the_ordinary_children_have_ended() {
    on_each(ALL, async || {
        let (ended, go) = (Flag::default(), Gate::default());
        let mut service = None;
        nursery(async |n: Nursery<Never>| {
            service = Some(n.service(hold(SetOnDrop(ended.clone()))));
            let (wait, saw) = (go.clone(), ended.clone());
            n.spawn(async move {
                wait.pass().await;
                a_while().await;
                assert!(!saw.is_set());
            });
            a_while().await;
            assert!(!ended.is_set());
            go.open();
        })
        .await;
        assert!(ended.is_set());
        let reason = service.unwrap().await.unwrap_err();
        assert_eq!(reason.reason().source(), CancelSource::NurseryClosed);
    });
}

#[test]
fn a_nursery_that_sends_its_services_home_gives_its_value() {
    on_each(ALL, async || {
        let joined: Result<u8, NurseryError<Never>> = nursery(async |n| {
            n.service(sleep_forever());
            Ok(7)
        })
        .await;
        assert_eq!(joined.unwrap(), 7);
        nursery(async |n: Nursery<Never>| drop(n.service(async {}))).await;
    });
}

#[test]
fn a_cancel_from_outside_while_the_services_go_home_takes_nothing_from_the_value() {
    on_each(ALL, async || {
        let scope = CancelScope::new();
        let handle = scope.handle();
        let joined: Result<Result<u8, NurseryError<Never>>, _> = scope
            .run(nursery(async |n| {
                n.service(finally(sleep_forever(), async move {
                    handle.cancel("late");
                    a_while().await;
                }));
                a_while().await;
                Ok(7)
            }))
            .await;
        assert_eq!(joined.unwrap().unwrap(), 7);
    });
}

#[test]
fn clean_up_of_a_service_is_waited_for_and_finds_the_nursery_closed_to_newcomers() {
    on_each(ALL, async || {
        let cleaned = Flag::default();
        nursery(async |n: Nursery<Never>| {
            let (late, tell) = (n.clone(), cleaned.clone());
            n.service(finally(sleep_forever(), async move {
                a_while().await;
                assert!(late.try_spawn(async {}).is_err());
                assert!(late.task("no").service().try_spawn(async {}).is_err());
                assert_eq!(late.start(async |_: Started<()>| ()).await, Err(StartError::Closed));
                tell.set();
            }));
            a_while().await;
        })
        .await;
        assert!(cleaned.is_set());
    });
}

#[test]
fn a_service_may_spawn_ordinary_children_while_the_nursery_is_open() {
    on_each(ALL, async || {
        let count = Count::default();
        nursery(async |n: Nursery<Never>| {
            let (spawner, add, go) = (n.clone(), count.clone(), Flag::default());
            let tell = go.clone();
            n.service(async move {
                for _ in 0..3 {
                    let add = add.clone();
                    spawner.spawn(async move {
                        a_while().await;
                        add.add();
                    });
                }
                tell.set();
                sleep_forever().await;
            });
            go.wait().await;
        })
        .await;
        assert_eq!(count.get(), 3);
    });
}

#[test]
fn a_service_and_its_children_do_not_keep_the_nursery_open() {
    on_each(ALL, async || {
        let ended = Flag::default();
        nursery(async |n: Nursery<Never>| {
            let tell = ended.clone();
            n.service(async move {
                nursery(async |m: Nursery<Never>| {
                    m.spawn(hold(SetOnDrop(tell)));
                    m.service(sleep_forever());
                })
                .await;
            });
            a_while().await;
        })
        .await;
        assert!(ended.is_set());
    });
}

#[test]
fn errors_and_panics_of_services_are_those_of_any_child() {
    on_each(ALL, async || {
        let joined: Result<(), NurseryError<&str>> = nursery(async |n| {
            n.task("heart").service().spawn(async {
                checkpoint().await;
                Err::<(), _>("stopped")
            });
            sleep_forever().await;
            Ok(())
        })
        .await;
        assert_eq!(errors(joined), ["stopped"]);
        let on_the_way_home: Result<u8, NurseryError<&str>> = nursery(async |n| {
            n.service(async {
                shield(a_while()).await;
                Err::<(), _>("on the way home")
            });
            Ok(1)
        })
        .await;
        assert_eq!(errors(on_the_way_home), ["on the way home"]);
        let panicked = nursery(async |n: Nursery<Never>| drop(n.service(async { blow("boom") })));
        assert_eq!(panic_of(panicked).await, "boom");
    });
}

#[test]
fn a_cancelled_nursery_cancels_its_services_with_the_rest() {
    on_each(ALL, async || {
        let joined: Result<(), NurseryError<Never>> = nursery(async |n| {
            let service = n.service(sleep_forever());
            n.cancel("all of it");
            let reason = shield(service).await.unwrap_err();
            assert_eq!(reason.reason().message(), Some("all of it"));
            sleep_forever().await;
            Ok(())
        })
        .await;
        assert!(matches!(joined, Err(NurseryError::Cancelled(_))));
    });
}

#[test]
fn services_of_a_dropped_and_of_a_forgotten_nursery_end_with_their_task() {
    on_each(ALL, async || {
        for forget in [false, true] {
            let ended = Flag::default();
            nursery(async |n: Nursery<Never>| {
                let tell = ended.clone();
                n.spawn(async move {
                    let mut inner = Box::pin(nursery(async move |m: Nursery<Never>| {
                        m.service(hold(SetOnDrop(tell)));
                        sleep_forever().await;
                    }));
                    assert!(poll!(&mut inner).is_pending());
                    if forget {
                        mem::forget(inner);
                    }
                });
            })
            .await;
            assert!(ended.is_set());
        }
    });
}

#[test]
fn a_service_that_is_starting_keeps_the_nursery_open_until_it_is_ready() {
    on_each(ALL, async || {
        let (go, ready, ended) = (Gate::default(), Flag::default(), Flag::default());
        nursery(async |outer: Nursery<Never>| {
            let (wait, tell, end) = (go.clone(), ready.clone(), ended.clone());
            nursery(async |n: Nursery<Never>| {
                let target = n.clone();
                outer.spawn(async move {
                    let started = target.task("starting").service().start(async move |started: Started<()>| {
                        wait.pass().await;
                        tell.set();
                        started.set(());
                        hold(SetOnDrop(end)).await;
                    });
                    assert_eq!(started.await, Ok(()));
                });
                all_wait().await;
                assert_eq!(n.statistics().services, 1);
                go.open();
            })
            .await;
            assert!(ready.is_set() && ended.is_set());
        })
        .await;
        // One that fails before gives the nursery free, too.
        nursery(async |n: Nursery<Never>| {
            let never = n.task("never").service().start(async |_: Started<()>| ());
            assert_eq!(never.await, Err(StartError::NotStarted));
        })
        .await;
    });
}

#[test]
fn services_may_borrow_from_the_scope() {
    on_each(ALL, async || {
        let seen = nursery_with(Count::default(), async |s| {
            let count = s.env();
            s.service(async move {
                loop {
                    count.add();
                    checkpoint().await;
                }
            });
            s.spawn(until(|| count.get() > 2));
            Ok::<_, Never>(())
        })
        .await;
        seen.unwrap();
    });
}

#[test]
fn statistics_tell_children_from_services() {
    on_each(ALL, async || {
        let mut kept = None;
        let joined = nursery(async |n: Nursery<&str>| {
            n.service(sleep_forever());
            n.spawn(sleep_forever());
            n.spawn(sleep_forever());
            let now = n.statistics();
            assert_eq!((now.children, now.services, now.errors, n.len()), (2, 1, 0, 3));
            assert!(now.body_running && !now.cancel_called && !now.closed);
            kept = Some(n);
            Err::<(), _>("enough")
        })
        .await;
        assert!(joined.is_err());
        let then = kept.unwrap().statistics();
        assert_eq!((then.children, then.services), (0, 0));
        assert!(!then.body_running && then.cancel_called && then.closed);
    });
}
