//! `Nursery::limit`: so many children at once, and back-pressure on who spawns.

use std::mem;
use std::sync::{Arc, Mutex};

use crate::common::{ALL, Count, Flag, Gate, Never, a_while, all_wait, errors, panic_in, panic_of};
use futures_util::poll;
use trioxide_runtime::{
    CancelScope, CapacityLimiter, Nursery, NurseryError, TrySpawnError, checkpoint, finally, nursery, shield,
    sleep_forever,
};
use trioxide_testing::on_each;

#[test]
fn so_many_run_at_once_and_no_more() {
    on_each(ALL, async || {
        let (running, most, all) = (Count::default(), Arc::new(Mutex::new(0)), Count::default());
        nursery(async |n: Nursery<Never>| {
            let three = n.limit(3);
            for _ in 0..50 {
                let (running, most, all) = (running.clone(), Arc::clone(&most), all.clone());
                let down = running.clone();
                three
                    .spawn(async move {
                        let now = running.up();
                        {
                            let mut most = most.lock().unwrap();
                            *most = now.max(*most);
                        }
                        checkpoint().await;
                        down.down();
                        all.add();
                    })
                    .await;
            }
        })
        .await;
        assert_eq!(all.get(), 50);
        assert!((1..=3).contains(&*most.lock().unwrap()));
    });
}

#[test]
fn the_slot_is_free_when_the_child_has_ended_and_not_only_its_future() {
    on_each(ALL, async || {
        let go = Gate::default();
        nursery(async |n: Nursery<Never>| {
            let one = n.limit(1);
            let wait = go.clone();
            let first = one
                .spawn(async move {
                    // The future ends; what it has forgotten goes on.
                    let mut inner = Box::pin(nursery(async move |m: Nursery<Never>| {
                        m.spawn(async move { wait.pass().await });
                    }));
                    assert!(poll!(&mut inner).is_pending());
                    mem::forget(inner);
                })
                .await;
            let mut second = Box::pin(one.spawn(async {}));
            assert!(poll!(&mut second).is_pending());
            a_while().await;
            assert!(poll!(&mut second).is_pending());
            go.open();
            second.await;
            assert!(first.is_finished());
        })
        .await;
    });
}

#[test]
fn clean_up_of_a_cancelled_child_keeps_its_slot() {
    on_each(ALL, async || {
        let (cleaned, begun) = (Flag::default(), Flag::default());
        nursery(async |n: Nursery<Never>| {
            let one = n.limit(1);
            let (tell, began) = (cleaned.clone(), begun.clone());
            let first = one
                .spawn(finally(
                    async move {
                        began.set();
                        sleep_forever().await;
                    },
                    async move {
                        a_while().await;
                        tell.set();
                    },
                ))
                .await;
            begun.wait().await;
            first.cancel("next please");
            one.spawn(async {}).await;
            assert!(cleaned.is_set());
        })
        .await;
    });
}

#[test]
fn waiting_spawns_get_their_slots_in_order() {
    on_each(&[1], async || {
        let order = Arc::new(Mutex::new(Vec::new()));
        let go = Gate::default();
        nursery(async |n: Nursery<Never>| {
            let one = n.limit(1);
            let wait = go.clone();
            one.spawn(async move { wait.pass().await }).await;
            let mut waiting: Vec<_> = (0..5)
                .map(|number| {
                    let order = Arc::clone(&order);
                    Box::pin(one.spawn(async move { order.lock().unwrap().push(number) }))
                })
                .collect();
            for spawn in &mut waiting {
                assert!(poll!(spawn).is_pending());
            }
            assert_eq!(one.limiter().statistics().tasks_waiting, 5);
            go.open();
            for spawn in waiting {
                spawn.await;
            }
        })
        .await;
        assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3, 4]);
    });
}

#[test]
fn a_spawn_that_is_cancelled_while_it_waits_has_spawned_nothing_and_takes_no_slot() {
    on_each(ALL, async || {
        let go = Gate::default();
        nursery(async |n: Nursery<Never>| {
            let one = n.limit(1);
            let wait = go.clone();
            one.spawn(async move { wait.pass().await }).await;
            let scope = CancelScope::new();
            let (handle, limiter) = (scope.handle(), Arc::clone(one.limiter()));
            n.spawn(async move {
                all_wait().await;
                assert_eq!(limiter.statistics().tasks_waiting, 1);
                handle.cancel("too slow");
            });
            let cut = scope.run(one.spawn(async { unreachable!("never spawned") })).await;
            assert!(cut.is_err());
            go.open();
            one.spawn(async {}).await;
        })
        .await;
    });
}

#[test]
fn a_spawn_that_is_dropped_right_after_the_slot_was_handed_to_it_passes_it_on() {
    on_each(ALL, async || {
        let go = Gate::default();
        nursery(async |n: Nursery<Never>| {
            let one = n.limit(1);
            let wait = go.clone();
            one.spawn(async move { wait.pass().await }).await;
            let mut dropped = Box::pin(one.spawn(async { unreachable!("never spawned") }));
            let mut next = Box::pin(one.spawn(async { Ok::<_, Never>(7) }));
            assert!(poll!(&mut dropped).is_pending());
            assert!(poll!(&mut next).is_pending());
            go.open();
            all_wait().await;
            assert_eq!(one.limiter().statistics().tasks_waiting, 1);
            drop(dropped); // it has the slot
            assert_eq!(next.await.await, Ok(7));
        })
        .await;
    });
}

#[test]
fn try_spawn_says_full_or_closed_and_gives_the_future_back() {
    on_each(ALL, async || {
        let mut kept = None;
        nursery(async |n: Nursery<Never>| {
            let one = n.limit(1);
            let first = one.try_spawn(std::future::pending::<()>()).expect("there is room");
            let full = one.try_spawn(async { Ok::<_, Never>(7) }).unwrap_err();
            assert!(matches!(full, TrySpawnError::Full(_)));
            assert_eq!(full.into_inner().await, Ok(7));
            first.cancel("make room");
            let _ = first.await;
            all_wait().await;
            assert_eq!(one.limiter().statistics().borrowed, 0);
            kept = Some(one);
        })
        .await;
        let one = kept.unwrap();
        assert!(matches!(one.try_spawn(async {}), Err(TrySpawnError::Closed(_))));
        let text = panic_of(async { drop(one.spawn(async {}).await) }).await;
        assert!(text.contains("`spawn` into a closed nursery"), "{text}");
        assert_eq!(one.limiter().statistics().borrowed, 0, "the slot came back");
    });
}

#[test]
fn errors_come_out_as_from_any_child_and_a_shared_limit_spans_nurseries() {
    on_each(ALL, async || {
        let joined: Result<(), NurseryError<&str>> = nursery(async |n| {
            n.limit(1).spawn(async { Err::<(), _>("pipe") }).await;
            sleep_forever().await;
            Ok(())
        })
        .await;
        assert_eq!(errors(joined), ["pipe"]);
        let slots = Arc::new(CapacityLimiter::new(1));
        nursery(async |n: Nursery<Never>| {
            let go = Gate::default();
            let wait = go.clone();
            n.limited_by(Arc::clone(&slots)).spawn(async move { wait.pass().await }).await;
            nursery(async |m: Nursery<Never>| {
                let here = m.limited_by(Arc::clone(&slots));
                assert!(matches!(here.try_spawn(async {}), Err(TrySpawnError::Full(_))));
                go.open();
                shield(here.spawn(async {})).await;
            })
            .await;
        })
        .await;
    });
}

#[test]
fn a_limit_of_zero_is_told_off() {
    on_each(&[1], async || {
        nursery(async |n: Nursery<Never>| {
            let text = panic_in(|| n.limit(0));
            assert!(text.contains("a limit of children needs room for at least 1"), "{text}");
        })
        .await;
    });
}
