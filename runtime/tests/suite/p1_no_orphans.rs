//! Promise 1: a child never outlives its nursery, nor a nursery the task that opened it, nor a task the run.

use std::future::{Future, ready};
use std::mem;
use std::pin::{Pin, pin};
use std::sync::mpsc;
use std::thread;

use crate::common::{ALL, Count, Flag, Gate, Never, SetOnDrop, a_while, all_wait, blow, errors, hold, panic_of};
use futures_util::future::{Either, select};
use futures_util::{FutureExt, pin_mut, poll};
use trioxide_runtime::{
    CancelScope, Nursery, NurseryError, Runtime, checkpoint, move_on_after, nursery, shield, sleep_forever,
};
use trioxide_testing::{CountDrops, on_each};

#[test]
fn question_mark_out_of_a_body_cancels_and_joins_the_children() {
    on_each(ALL, async || {
        let drops = CountDrops::new();
        let joined: Result<(), NurseryError<&str>> = nursery(async |n| {
            for _ in 0..50 {
                drop(n.spawn(hold(drops.guard())));
            }
            Err("no")?;
            Ok(())
        })
        .await;
        assert_eq!(drops.dropped(), 50);
        assert_eq!(errors(joined), ["no"]);
    });
}

/// A nursery is linked into the tree by whoever uses it first (`scope::unlinked`): here by another thread, while the body is being polled for the first time.
#[test]
fn a_nursery_is_used_first_by_another_thread() {
    on_each(ALL, async || {
        let (ended, refused) = (Flag::default(), Flag::default());
        let ending = ended.clone();
        nursery(async move |n| {
            let spawning = n.clone();
            let spawn = move || {
                drop(spawning.spawn(async move {
                    a_while().await;
                    ending.set();
                }))
            };
            thread::spawn(spawn).join().unwrap();
        })
        .await;
        assert!(ended.is_set(), "joined");
        let (told, going_on) = (refused.clone(), Flag::default());
        let went_on = going_on.clone();
        nursery(async move |n| {
            thread::spawn(move || n.cancel("from there")).join().unwrap();
            told.set();
            checkpoint().await;
            went_on.set();
        })
        .await;
        assert!(refused.is_set() && !going_on.is_set(), "the cancel counts from its return on");
    });
}

#[test]
fn what_is_around_a_nursery_that_nobody_has_used_cuts_its_body() {
    on_each(ALL, async || {
        let scope = CancelScope::new();
        let handle = scope.handle();
        let (first, second) = (Flag::default(), Flag::default());
        let body = nursery(async |_: Nursery<Never>| {
            checkpoint().now_or_never(); // Not cancelled yet.
            first.set();
            handle.cancel("now");
            nursery(async |_: Nursery<Never>| {
                checkpoint().await;
                second.set();
            })
            .await;
            second.set();
        });
        assert!(scope.run(body).await.is_err());
        assert!(first.is_set() && !second.is_set());
    });
}

#[test]
fn a_handle_that_outlives_a_nursery_that_nobody_has_used_finds_it_closed() {
    on_each(ALL, async || {
        let mut kept = None;
        nursery(async |n: Nursery<Never>| kept = Some(n)).await;
        let kept = kept.unwrap();
        assert!(kept.try_spawn(ready(())).is_err());
        // And the next one is another.
        nursery(async |n: Nursery<Never>| {
            assert!(kept.try_spawn(ready(())).is_err());
            n.spawn(checkpoint());
            assert_eq!((kept.len(), n.len()), (0, 1));
        })
        .await;
    });
}

/// The handle that the body gets is lent (`scope::unlinked` V4): wherever it goes, and whichever of its clones goes first, the nursery is over once, and the next is another.
#[test]
fn a_handle_of_a_nursery_that_nobody_has_used_is_dropped_anywhere_or_never() {
    on_each(ALL, async || {
        for _ in 0..3 {
            nursery(async |n: Nursery<Never>| thread::spawn(move || drop(n)).join().unwrap()).await;
            nursery(async |n: Nursery<Never>| {
                let other = n.clone();
                thread::spawn(move || drop(n)).join().unwrap();
                drop(other);
            })
            .await;
            let mut kept = None;
            nursery(async |n: Nursery<Never>| {
                kept = Some(n.clone());
                std::mem::forget(n);
            })
            .await;
            assert!(kept.unwrap().try_spawn(ready(())).is_err());
            let ended = Flag::default();
            let ending = ended.clone();
            nursery(async move |n| {
                n.spawn(async move { ending.set() });
            })
            .await;
            assert!(ended.is_set());
        }
    });
}

#[test]
fn an_early_return_waits_for_the_children_and_cancels_none() {
    on_each(ALL, async || {
        let ended = Count::default();
        let value = nursery(async |n| {
            for _ in 0..50 {
                let ended = ended.clone();
                drop(n.spawn(async move {
                    a_while().await;
                    ended.add();
                }));
            }
            if ended.get() < 50 {
                return Ok::<_, Never>("early");
            }
            sleep_forever().await;
            Ok("late")
        })
        .await;
        assert_eq!(value.unwrap(), "early");
        assert_eq!(ended.get(), 50);
    });
}

#[test]
fn a_panic_in_the_body_cancels_and_joins_the_children() {
    on_each(ALL, async || {
        let drops = CountDrops::new();
        let panic = panic_of(nursery(async |n| {
            for _ in 0..50 {
                drop(n.spawn(hold(drops.guard())));
            }
            a_while().await;
            blow("body");
        }))
        .await;
        assert_eq!(panic, "body");
        assert_eq!(drops.dropped(), 50);
    });
}

#[test]
fn a_panic_in_a_child_cancels_and_joins_the_siblings_and_the_body() {
    on_each(ALL, async || {
        let drops = CountDrops::new();
        let panic = panic_of(nursery(async |n| {
            for _ in 0..50 {
                drop(n.spawn(hold(drops.guard())));
            }
            drop(n.spawn(async { blow("child") }));
            hold(drops.guard()).await;
        }))
        .await;
        assert_eq!(panic, "child");
        assert_eq!(drops.dropped(), 51);
    });
}

#[test]
fn an_outer_scope_that_is_cancelled_waits_for_the_children_to_unwind() {
    on_each(ALL, async || {
        let (scope, started, unwound) = (CancelScope::new(), Count::default(), Count::default());
        let handle = scope.handle();
        let outcome = scope
            .run(nursery(async |n| {
                for _ in 0..20 {
                    let (started, unwound) = (started.clone(), unwound.clone());
                    drop(n.spawn(trioxide_runtime::finally(
                        async move {
                            started.add();
                            sleep_forever().await;
                        },
                        async move {
                            a_while().await;
                            unwound.add();
                        },
                    )));
                }
                all_wait().await;
                assert_eq!(started.get(), 20);
                handle.cancel("enough");
                sleep_forever().await;
            }))
            .await;
        assert_eq!(outcome.unwrap_err().reason().message(), Some("enough"));
        assert_eq!(unwound.get(), 20);
    });
}

/// A child that holds out until `release`, whatever cancels it, and then says so.
fn stubborn(release: Gate, started: Flag, ended: Flag) -> impl Future<Output = ()> + Send {
    shield(async move {
        started.set();
        release.pass().await;
        ended.set();
    })
}

/// Runs `opener` in a task of its own and checks that the task is open for as long as the child that `opener` was given.
async fn task_stays_open_for<F>(opener: impl FnOnce(Flag, Pin<Box<dyn Future<Output = ()> + Send>>) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let release = Gate::default();
    let (started, ended, left) = (Flag::default(), Flag::default(), Flag::default());
    nursery(async |outer| {
        let child = Box::pin(stubborn(release.clone(), started.clone(), ended.clone()));
        let opener = opener(started.clone(), child);
        let gone = SetOnDrop(left.clone());
        let task = outer.spawn(async move {
            let _gone = gone;
            opener.await;
        });
        left.wait().await;
        a_while().await;
        assert!(!task.is_finished() && !ended.is_set());
        release.open();
        task.await.unwrap();
        assert!(ended.is_set());
    })
    .await;
}

#[test]
fn a_nursery_that_a_foreign_select_drops_is_joined_by_its_task() {
    on_each(ALL, async || {
        task_stays_open_for(async |started, child| {
            let running = nursery(async |n| {
                drop(n.spawn(child));
                sleep_forever().await;
            });
            match select(pin!(running), pin!(started.wait())).await {
                Either::Right(_) => {}
                Either::Left(_) => panic!("nothing ends this nursery"),
            }
        })
        .await;
    });
}

#[test]
fn the_select_macro_cancels_the_children_of_the_nursery_that_it_drops() {
    on_each(ALL, async || {
        let drops = CountDrops::new();
        let guards: Vec<_> = (0..50).map(|_| drops.guard()).collect();
        nursery(async |outer| {
            let task = outer.spawn(async move {
                let running = nursery(async move |n| {
                    guards.into_iter().for_each(|guard| drop(n.spawn(hold(guard))));
                    sleep_forever().await;
                })
                .fuse();
                pin_mut!(running);
                let mut other = pin!(a_while().fuse());
                futures_util::select! {
                    () = running => panic!("nothing ends this nursery"),
                    () = other => {}
                }
            });
            task.await.unwrap();
            assert_eq!(drops.dropped(), 50);
        })
        .await;
    });
}

#[test]
fn a_forgotten_nursery_keeps_its_task_open() {
    on_each(ALL, async || {
        task_stays_open_for(async |started, child| {
            let mut running = Box::pin(nursery(async move |n| {
                drop(n.spawn(child));
                sleep_forever().await;
            }));
            assert!(poll!(&mut running).is_pending());
            mem::forget(running);
            started.wait().await;
        })
        .await;
    });
}

#[test]
fn a_nursery_forgotten_after_its_body_has_ended_keeps_its_task_open() {
    on_each(ALL, async || {
        task_stays_open_for(async |started, child| {
            let mut running = Box::pin(nursery(async move |n| drop(n.spawn(child))));
            assert!(poll!(&mut running).is_pending());
            mem::forget(running);
            started.wait().await;
        })
        .await;
    });
}

#[test]
fn the_children_of_a_forgotten_nursery_run_on() {
    on_each(ALL, async || {
        let steps = Count::default();
        let mut running = Box::pin(nursery(async |n| {
            let steps = steps.clone();
            drop(n.spawn(async move {
                for _ in 0..100 {
                    checkpoint().await;
                    steps.add();
                }
            }));
            sleep_forever().await;
        }));
        assert!(poll!(&mut running).is_pending());
        mem::forget(running);
        all_wait().await;
        assert_eq!(steps.get(), 100);
    });
}

#[test]
fn a_cancel_from_above_cuts_the_children_of_a_forgotten_nursery() {
    for opener_stays in [false, true] {
        on_each(ALL, async || {
            let drops = CountDrops::new();
            let guard = drops.guard();
            let joined = nursery(async |outer| {
                let task = outer.spawn(async move {
                    let inner = nursery(async move |n| {
                        drop(n.spawn(hold(guard)));
                        sleep_forever().await;
                    });
                    // In a scope that ends before the cancel comes.
                    let mut inner = Box::pin(inner);
                    move_on_after(std::time::Duration::MAX, async {
                        assert!(poll!(&mut inner).is_pending());
                        mem::forget(inner);
                    })
                    .await;
                    if opener_stays {
                        sleep_forever().await;
                    }
                });
                a_while().await;
                assert!(!task.is_finished());
                assert_eq!(drops.dropped(), 0);
                outer.cancel("enough");
                Ok::<_, Never>(())
            })
            .await;
            joined.unwrap();
            assert_eq!(drops.dropped(), 1);
        });
    }
}

#[test]
fn run_does_not_return_before_the_children_of_a_forgotten_nursery_have_ended() {
    for &workers in ALL {
        let runtime = Runtime::builder().workers(workers).build().unwrap();
        let release = Gate::default();
        let (main_gone, gone) = mpsc::channel();
        let ended = Flag::default();
        let opened = release.clone();
        let releaser = thread::spawn(move || {
            gone.recv().unwrap(); // The main future has been dropped.
            opened.open();
        });
        runtime.run(async {
            let (started, ended) = (Flag::default(), ended.clone());
            let mut running = Box::pin(nursery(async |n| {
                drop(n.spawn(stubborn(release.clone(), started.clone(), ended)));
                sleep_forever().await;
            }));
            assert!(poll!(&mut running).is_pending());
            mem::forget(running);
            struct Tell(mpsc::Sender<()>);
            impl Drop for Tell {
                fn drop(&mut self) {
                    self.0.send(()).unwrap();
                }
            }
            let _tell = Tell(main_gone);
        });
        assert!(ended.is_set());
        releaser.join().unwrap();
    }
}

fn chain(n: Nursery<Never>, ran: Count, left: usize) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        ran.add();
        if left > 0 {
            drop(n.spawn(chain(n.clone(), ran.clone(), left - 1)));
            if left.is_multiple_of(3) {
                checkpoint().await;
            }
        }
    })
}

#[test]
fn siblings_spawned_while_the_nursery_closes_are_joined() {
    on_each(ALL, async || {
        for _ in 0..300 {
            let ran = Count::default();
            nursery(async |n| drop(n.spawn(chain(n.clone(), ran.clone(), 20)))).await;
            assert_eq!(ran.get(), 21);
        }
    });
}

#[test]
fn a_plain_thread_that_spawns_while_the_nursery_closes_is_refused_or_joined() {
    for &workers in ALL {
        let runtime = Runtime::builder().workers(workers).build().unwrap();
        for _ in 0..100 {
            let ran = Count::default();
            let (hand_over, handles) = mpsc::channel::<Nursery<Never>>();
            let counter = ran.clone();
            let spawner = thread::spawn(move || {
                let n = handles.recv().unwrap();
                let spawn = || {
                    let counter = counter.clone();
                    n.try_spawn(async move { counter.add() }).map(drop)
                };
                let spawned = (0..2000).take_while(|_| spawn().is_ok()).count();
                (spawned, n)
            });
            runtime.run(nursery(async |n| {
                hand_over.send(n.clone()).unwrap();
                checkpoint().await;
            }));
            let ran_at_the_end = ran.get();
            let (spawned, n) = spawner.join().unwrap();
            assert_eq!((ran_at_the_end, ran.get()), (spawned, spawned));
            assert_eq!(n.try_spawn(ready(())).unwrap_err().0.into_inner(), ());
        }
    }
}

#[test]
fn nested_nurseries_unwind_from_the_inside() {
    on_each(ALL, async || {
        let drops = CountDrops::new();
        let deepest = Count::default();
        fn level(n: &Nursery<Never>, depth: usize, drops: &CountDrops, deepest: &Count) {
            let (drops, deepest, guard) = (drops.clone(), deepest.clone(), drops.guard());
            let child: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(async move {
                let _guard = guard;
                nursery(async |n| {
                    if depth == 0 {
                        deepest.add();
                    } else {
                        (0..3).for_each(|_| level(&n, depth - 1, &drops, &deepest));
                    }
                    sleep_forever().await;
                })
                .await;
            });
            drop(n.spawn(child));
        }
        let joined = nursery(async |n| {
            level(&n, 3, &drops, &deepest);
            all_wait().await;
            assert_eq!(deepest.get(), 27);
            assert_eq!((drops.made(), drops.dropped()), (40, 0));
            n.cancel("enough");
            Ok::<_, Never>(())
        })
        .await;
        joined.unwrap();
        assert_eq!(drops.dropped(), 40);
    });
}

#[test]
fn a_nursery_that_another_task_goes_on_polling_works_on() {
    on_each(ALL, async || {
        let (started, ended) = (Flag::default(), Flag::default());
        let go_on = Gate::default();
        let gone_on = go_on.clone();
        let release = Gate::default();
        let child = stubborn(release.clone(), started.clone(), ended.clone());
        nursery(async |outer| {
            let handle = outer.clone();
            let opener = outer.spawn(async move {
                let mut moved = Box::pin(nursery(async move |n| {
                    drop(n.spawn(child));
                    gone_on.pass().await;
                    // From here on in the other task.
                    move_on_after(std::time::Duration::from_millis(1), sleep_forever()).await;
                    let six = n.spawn(async { Ok::<_, Never>(6) });
                    release.open();
                    Ok::<_, Never>(six.await.unwrap() + 1)
                }));
                assert!(poll!(&mut moved).is_pending());
                go_on.open();
                let mover = handle.spawn(async move { Ok::<_, Never>(moved.await.unwrap()) });
                assert_eq!(mover.await.unwrap(), 7);
            });
            opener.await.unwrap();
            assert!(ended.is_set());
        })
        .await;
    });
}

#[test]
fn a_nursery_that_another_task_goes_on_polling_is_joined_by_the_task_that_opened_it() {
    on_each(ALL, async || {
        let go_on = Gate::default();
        let gone_on = go_on.clone();
        nursery(async |outer| {
            let handle = outer.clone();
            task_stays_open_for(async move |started, child| {
                let mut moved = Box::pin(nursery(async move |n| {
                    drop(n.spawn(child));
                    gone_on.pass().await;
                    Ok::<_, Never>(7)
                }));
                assert!(poll!(&mut moved).is_pending());
                drop(handle.spawn(async move { assert_eq!(moved.await.unwrap(), 7) }));
                started.wait().await;
            })
            .await;
            go_on.open();
        })
        .await;
    });
}
