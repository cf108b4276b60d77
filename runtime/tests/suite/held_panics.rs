//! What waits with a panic for the rest to unwind, and is dropped meanwhile by something else than a scope: the panic is the task's.

use std::future::Future;
use std::pin::pin;
use std::sync::mpsc;

use crate::common::{ALL, Flag, Never, blow, panic_in, panic_of, until};
use futures_util::future::{Either, FutureExt, select};
use futures_util::poll;
use trioxide_runtime::{
    CancelSource, Nursery, Runtime, blocking, blocking_limiter, finally, join, local_nursery, local_nursery_send,
    nursery, race, shield, sleep_forever, try_join,
};
use trioxide_testing::on_each;

/// Suspended behind a shield, and says so: what holds the panic waits for it.
async fn stubborn(reached: Flag) {
    shield(async move {
        reached.set();
        sleep_forever().await;
    })
    .await;
}

async fn blow_after(reached: Flag) {
    reached.wait().await;
    blow("held");
}

/// A task drops `holder` once that waits for `reached`; the panic of its nursery. The task goes on after the drop.
async fn panic_after_drop<F>(holder: impl FnOnce(Flag) -> F)
where
    F: Future + Send + 'static,
{
    let (reached, went_on) = (Flag::default(), Flag::default());
    let holder = holder(reached.clone());
    let after = went_on.clone();
    let panic = panic_of(nursery(async |n| {
        n.spawn(async move {
            let mut holder = Box::pin(holder);
            match select(&mut holder, pin!(reached.wait())).await {
                Either::Left(_) => unreachable!("it waits for ever"),
                Either::Right(_) => {}
            }
            // Once for each step on the way: a loser is known, it is cut, its panic is seen.
            for _ in 0..3 {
                assert!(poll!(&mut holder).is_pending());
            }
            drop(holder);
            after.set();
        });
    }));
    assert_eq!(panic.await, "held");
    assert!(went_on.is_set());
}

#[test]
fn the_panic_of_a_finally_that_is_dropped_in_its_clean_up_is_that_of_the_task() {
    on_each(ALL, async || {
        panic_after_drop(|reached| finally(async { blow("held") }, stubborn(reached))).await;
    });
}

#[test]
fn the_panic_of_a_combinator_that_is_dropped_while_the_rest_unwinds_is_that_of_the_task() {
    on_each(ALL, async || {
        panic_after_drop(|reached| async { join!(stubborn(reached.clone()), blow_after(reached)) }).await;
        panic_after_drop(|reached| async {
            let bad = blow_after(reached.clone()).map(Ok::<_, Never>);
            try_join!(stubborn(reached).map(Ok), bad)
        })
        .await;
        panic_after_drop(|reached| async { race!(stubborn(reached.clone()), blow_after(reached)) }).await;
        // The panic of a loser, and through several layers.
        panic_after_drop(|reached| async move {
            let bad_loser = finally(sleep_forever(), async { blow("held") });
            let inner = async { race!(stubborn(reached.clone()), bad_loser) };
            race!(inner, reached.wait())
        })
        .await;
    });
}

#[test]
fn the_panic_of_a_local_nursery_that_is_dropped_while_the_rest_unwinds_is_that_of_the_task() {
    on_each(ALL, async || {
        panic_after_drop(|reached| {
            local_nursery_send(async move |n| {
                n.spawn(stubborn(reached));
                n.spawn(async { blow("held") });
            })
        })
        .await;
    });
}

#[test]
fn the_panic_of_a_local_nursery_that_the_main_task_drops_comes_out_of_the_run() {
    for &workers in ALL {
        let reached = Flag::default();
        let inside = reached.clone();
        let runtime = Runtime::builder().workers(workers).signals(false).build().unwrap();
        let panic = panic_in(|| {
            runtime.run(async {
                let body = local_nursery(async |n| {
                    n.spawn(stubborn(inside));
                    blow("held");
                });
                let _ = select(pin!(body), pin!(reached.wait())).await;
            })
        });
        assert_eq!(panic, "held");
    }
}

#[test]
fn the_panic_of_a_blocking_call_whose_future_was_dropped_is_that_of_the_task() {
    on_each(ALL, async || {
        for while_it_runs in [true, false] {
            let panic = panic_of(nursery(async |n| {
                n.spawn(async move {
                    let (go, wait) = mpsc::channel::<()>();
                    let mut call = Box::pin(blocking(move || {
                        wait.recv().unwrap();
                        blow("held");
                    }));
                    assert!(poll!(&mut call).is_pending());
                    if while_it_runs {
                        drop(call);
                        go.send(()).unwrap();
                    } else {
                        go.send(()).unwrap();
                        let limiter = blocking_limiter();
                        until(|| limiter.statistics().borrowed == 0).await;
                        drop(call);
                    }
                });
            }));
            assert_eq!(panic.await, "held");
        }
    });
}

#[test]
fn a_holder_that_has_moved_hands_its_panic_to_the_task_that_drops_it() {
    on_each(ALL, async || {
        let reached = Flag::default();
        let mut holder = Box::pin(finally(async { blow("held") }, stubborn(reached.clone())));
        assert!(poll!(&mut holder).is_pending());
        assert!(reached.is_set());
        let panic = panic_of(nursery(async |n| {
            n.spawn(async move { drop(holder) });
        }));
        assert_eq!(panic.await, "held");
    });
}

#[test]
fn a_holder_that_another_thread_drops_hands_its_panic_to_the_task_that_polled_it() {
    on_each(ALL, async || {
        let panic = panic_of(nursery(async |n: Nursery<Never>| {
            let sibling = n.spawn(async {
                sleep_forever().await;
                Ok::<_, Never>(())
            });
            n.spawn(async move {
                let reached = Flag::default();
                let mut holder = Box::pin(finally(async { blow("held") }, stubborn(reached)));
                assert!(poll!(&mut holder).is_pending());
                blocking(move || drop(holder)).await;
                Ok::<_, Never>(())
            });
            assert_eq!(sibling.await.unwrap_err().reason().source(), CancelSource::Panicked);
            Ok(())
        }));
        assert_eq!(panic.await, "held");
    });
}
