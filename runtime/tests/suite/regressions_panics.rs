//! Panics in places where a panic has nowhere to go, or where another one came first.

use std::future::{Future, pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{ALL, Flag, Gate, Never, PanicOnDrop, a_while, blow, panic_in, panic_of};
use futures_util::{FutureExt, poll};
use trioxide_runtime::{
    CancelScope, Clock, Runtime, checkpoint, finally, nursery, nursery_with, shield, sleep, sleep_forever,
};
use trioxide_testing::on_each;

type Boxed<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

#[test]
fn the_panics_of_a_nursery_that_was_dropped_are_those_of_its_task() {
    on_each(ALL, async || {
        for before in [true, false] {
            let (gate, started) = (Gate::default(), Flag::default());
            let task = async {
                let (gate, started) = (gate.clone(), started.clone());
                nursery(async move |n| {
                    let child_gate = gate.clone();
                    drop(n.spawn(async move {
                        let opened = child_gate.clone();
                        let mut inner = Box::pin(nursery(async move |n| {
                            drop(n.spawn(shield(async move {
                                started.set();
                                opened.pass().await;
                                blow("from below");
                            })));
                            sleep_forever().await;
                        }));
                        assert!(poll!(&mut inner).is_pending());
                        if before {
                            child_gate.open();
                            a_while().await;
                        }
                        drop(inner);
                        child_gate.open();
                    }));
                })
                .await;
            };
            assert_eq!(panic_of(task).await, "from below");
        }
    });
}

/// A waker that panics in whatever is done with it.
fn bomb_waker() -> Waker {
    struct Bomb;
    impl Wake for Bomb {
        fn wake(self: Arc<Self>) {
            blow("woken");
        }
    }
    impl Drop for Bomb {
        fn drop(&mut self) {
            if !thread::panicking() {
                blow("dropped");
            }
        }
    }
    Waker::from(Arc::new(Bomb))
}

#[test]
fn wakers_that_panic_take_no_worker_along() {
    on_each(ALL, async || {
        for round in 0..3 {
            nursery(async |n| {
                let ended = n.spawn(async move {
                    // Whatever is stored of it is woken by a timer, a cancel, or the end of a child.
                    let mut kept: Vec<Boxed<'_>> = vec![
                        Box::pin(sleep(Duration::from_micros(10))),
                        Box::pin(shield(sleep_forever())),
                        Box::pin(nursery(async |n| drop(n.spawn(checkpoint())))),
                        Box::pin(async {
                            drop(CancelScope::new().deadline_after(Duration::ZERO).run(sleep_forever()).await)
                        }),
                    ];
                    for future in &mut kept {
                        let waker = bomb_waker();
                        let _ =
                            catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut Context::from_waker(&waker))));
                        let _ = catch_unwind(AssertUnwindSafe(|| drop(waker)));
                    }
                    for _ in 0..3 {
                        let _ = AssertUnwindSafe(sleep(Duration::from_micros(50))).catch_unwind().await;
                    }
                    for future in kept {
                        let _ = catch_unwind(AssertUnwindSafe(|| drop(future)));
                    }
                });
                if round == 1 {
                    ended.cancel("with bombs");
                }
                drop(ended.await);
            })
            .await;
        }
        // Every worker is still there to run something.
        nursery(async |n| {
            for _ in 0..100 {
                drop(n.spawn(checkpoint()));
            }
        })
        .await;
    });
}

/// A clock that panics when it is told to.
struct BadClock {
    bad: Flag,
    asked: Mutex<usize>,
}

impl Clock for BadClock {
    fn now(&self) -> Instant {
        *self.asked.lock().unwrap() += 1;
        assert!(!self.bad.is_set(), "no idea what time it is");
        Instant::now()
    }

    fn sleep_time(&self, deadline: Instant) -> Option<Duration> {
        Some(deadline.saturating_duration_since(Instant::now()))
    }
}

#[test]
fn a_clock_that_panics_is_the_panic_of_the_run_and_takes_no_worker_along() {
    for &workers in ALL {
        let bad = Flag::default();
        let clock = BadClock { bad: bad.clone(), asked: Mutex::new(0) };
        let runtime = Runtime::builder().workers(workers).clock(clock).signals(false).build().unwrap();
        let text = panic_in(|| {
            runtime.run(nursery(async |n| {
                for _ in 0..workers {
                    drop(n.spawn(sleep(Duration::from_secs(3600)))); // So it is asked again and again.
                }
                a_while().await;
                bad.set();
                sleep_forever().await;
            }));
        });
        assert!(text.contains("no idea what time it is"), "{text}");
    }
}

#[test]
fn a_drop_that_panics_takes_no_worker_along() {
    on_each(ALL, async || {
        nursery(async |n| {
            for _ in 0..20 {
                // The value of a child whose handle is gone, and an error that nobody collects.
                drop(n.spawn(async { Ok::<_, Never>(PanicOnDrop("value")) }));
                drop(n.spawn(async {
                    let mut lost = Box::pin(nursery(async |n| {
                        drop(n.spawn(async { Err::<(), _>(PanicOnDrop("error")) }));
                        sleep_forever().await;
                        Ok::<(), PanicOnDrop>(())
                    }));
                    assert!(poll!(&mut lost).is_pending());
                    drop(lost);
                }));
            }
        })
        .await;
        nursery(async |n| {
            for _ in 0..100 {
                drop(n.spawn(checkpoint()));
            }
        })
        .await;
    });
}

/// Uses the runtime when it is dropped.
struct UsesRuntime(Flag);

impl Drop for UsesRuntime {
    fn drop(&mut self) {
        let touched = catch_unwind(AssertUnwindSafe(|| {
            let mut inner = Box::pin(nursery(async |n| drop(n.spawn(checkpoint()))));
            let _ = inner.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        }));
        if touched.is_err() {
            self.0.set();
        }
    }
}

#[test]
fn what_a_dropped_nursery_has_lent_is_dropped_outside_of_the_task_that_has_ended() {
    on_each(ALL, async || {
        let refused = Flag::default();
        let lent = UsesRuntime(refused.clone());
        nursery(async |n| {
            drop(n.spawn(async move {
                let mut lending = Box::pin(nursery_with(lent, async |s| {
                    drop(s.spawn(shield(a_while())));
                    sleep_forever().await;
                }));
                assert!(poll!(&mut lending).is_pending());
                drop(lending);
            }));
        })
        .await;
        assert!(refused.is_set());
        // The same for a value that nobody has taken.
        let refused = Flag::default();
        let value = UsesRuntime(refused.clone());
        nursery(async |n| drop(n.spawn(async move { Ok::<_, Never>(value) }))).await;
        assert!(refused.is_set());
    });
}

#[test]
fn the_panic_of_a_poll_comes_before_that_of_the_drop() {
    on_each(ALL, async || {
        let child = nursery(async |n| {
            drop(n.spawn(async {
                let _later = Box::pin(pending::<()>());
                let mut bomb = Some(PanicOnDrop("the drop"));
                poll_fn(move |_| {
                    if bomb.is_some() {
                        // Not dropped by unwinding: it is part of the future.
                        std::panic::resume_unwind(Box::new("the poll"));
                    }
                    bomb = None;
                    Poll::Ready(())
                })
                .await;
            }));
        });
        assert_eq!(panic_of(child).await, "the poll");
    });
}

#[test]
fn the_panic_of_a_body_wins_over_that_of_its_clean_up() {
    on_each(ALL, async || {
        let both = finally(async { blow("body") }, async { blow("clean-up") });
        assert_eq!(panic_of(both).await, "body");
        let cleanup = finally(checkpoint(), async { blow("clean-up") });
        assert_eq!(panic_of(cleanup).await, "clean-up");
        let dropped = finally(
            async {
                let _bomb = PanicOnDrop("drop");
                checkpoint().await;
            },
            async { blow("clean-up") },
        );
        assert_eq!(panic_of(dropped).await, "drop");
    });
}
