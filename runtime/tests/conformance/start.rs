//! 30 to 43: `start`.

use std::error::Error;
use std::num::ParseIntError;
use std::sync::Arc;
use std::time::Duration;

use trioxide_runtime::{AnyError, CancelScope, Nursery, StartError, Started, checkpoint, now, nursery, sleep};
use trioxide_testing::{on_each, on_each_with_clock};

use crate::common::{ALL, Flag, Gate, Never, hold};
use crate::common::{SetOnDrop, a_while};

async fn ready_then_sleeps(seconds: u64, started: Started<u64>) {
    sleep(Duration::from_secs(seconds)).await; // virtual time: in tests with a mock clock only
    started.set(seconds);
    sleep(Duration::from_secs(seconds)).await; // virtual time: in tests with a mock clock only
}

#[test]
fn c030_start_gives_the_value_and_the_nursery_waits_for_the_end() {
    on_each_with_clock(ALL, async |clock| {
        nursery(async |n: Nursery<Never>| {
            let value = n.start(async |started| ready_then_sleeps(3, started).await).await;
            assert_eq!(value, Ok(3));
            assert_eq!(clock.elapsed(), Duration::from_secs(3));
        })
        .await;
        assert_eq!(clock.elapsed(), Duration::from_secs(6));
    });
}

#[test]
fn c031_the_same_function_can_be_called_directly() {
    on_each_with_clock(ALL, async |clock| {
        ready_then_sleeps(2, Started::ignored()).await;
        assert_eq!(clock.elapsed(), Duration::from_secs(4));
    });
}

#[test]
fn c033_an_error_before_ready_comes_out_of_start_and_leaves_the_nursery_unharmed() {
    on_each(ALL, async || {
        let joined = nursery(async |n| {
            for suspended in [false, true] {
                let failed = n
                    .start(async move |_started: Started<()>| {
                        if suspended {
                            checkpoint().await;
                        }
                        "x".parse::<u8>().map(drop)
                    })
                    .await;
                assert!(matches!(failed, Err(StartError::Failed(_))));
            }
            a_while().await;
            Ok::<_, ParseIntError>("unharmed")
        })
        .await;
        assert_eq!(joined.unwrap(), "unharmed");
    });
}

#[test]
fn c034_a_child_that_returns_without_being_ready() {
    on_each(ALL, async || {
        nursery(async |n: Nursery<Never>| {
            let never = n.start(async |_started: Started<()>| a_while().await).await;
            assert_eq!(never, Err(StartError::NotStarted));
            let at_once = n.start(async |_started: Started<()>| ()).await;
            assert_eq!(at_once.unwrap_err().to_string(), "the child ended without a call of `Started::set`");
        })
        .await;
    });
}

#[test]
fn c035_set_after_the_caller_was_cancelled_does_nothing() {
    on_each(ALL, async || {
        let unwound = Flag::default();
        nursery(async |n: Nursery<Never>| {
            let scope = CancelScope::new();
            scope.handle().cancel("before the start");
            let tell = unwound.clone();
            let started = scope
                .run(n.start(async move |started: Started<&str>| {
                    let _unwound = SetOnDrop(tell);
                    started.set("hi");
                    checkpoint().await;
                    unreachable!("cut at its first suspension");
                }))
                .await;
            assert_eq!(started.unwrap_err().reason().message(), Some("before the start"));
            assert!(unwound.is_set());
        })
        .await;
    });
}

#[test]
fn c036_but_if_the_child_then_returns_without_a_suspension_start_succeeds() {
    on_each(ALL, async || {
        nursery(async |n: Nursery<Never>| {
            let scope = CancelScope::new();
            scope.handle().cancel("before the start");
            let started = scope.run(n.start(async |started: Started<&str>| started.set("hi"))).await;
            assert_eq!(started, Ok(Ok("hi")));
        })
        .await;
    });
}

#[test]
fn c037_and_an_error_after_that_set_still_comes_out_of_start() {
    on_each(ALL, async || {
        let joined = nursery(async |n| {
            let scope = CancelScope::new();
            scope.handle().cancel("before the start");
            let failed = scope
                .run(n.start(async |started: Started<()>| {
                    started.set(());
                    Err::<(), _>("whoops")
                }))
                .await;
            assert_eq!(failed, Ok(Err(StartError::Failed("whoops"))));
            Ok::<_, &str>(())
        })
        .await;
        joined.unwrap();
    });
}

#[test]
fn c038_start_into_a_closed_nursery_fails_at_once() {
    on_each(ALL, async || {
        let mut closed = None;
        nursery(async |n: Nursery<Never>| closed = Some(n)).await;
        let late = closed.unwrap().start(async |_: Started<()>| unreachable!("never polled"));
        assert_eq!(late.await, Err::<(), _>(StartError::Closed));
    });
}

/// A child with sleeping children of its own, which is ready after `before` has run.
async fn sleeping_children(started: Started<()>, unwound: [Flag; 2], before: impl FnOnce()) {
    nursery(async |n: Nursery<Never>| {
        for flag in unwound {
            n.spawn(hold(SetOnDrop(flag)));
        }
        a_while().await;
        before();
        started.set(());
    })
    .await;
}

#[test]
fn c039_target_cancelled_just_before_set() {
    on_each(ALL, async || {
        let unwound = [Flag::default(), Flag::default()];
        nursery(async |n: Nursery<Never>| {
            let (target, flags) = (n.clone(), unwound.clone());
            // `set` wins: it comes without a suspension after the cancel.
            let started = n.start(|started| sleeping_children(started, flags, move || target.cancel("before")));
            let _ = started.await;
        })
        .await;
        assert!(unwound.iter().all(Flag::is_set));
    });
}

#[test]
fn c040_target_cancelled_just_after_set() {
    on_each(ALL, async || {
        let unwound = [Flag::default(), Flag::default()];
        nursery(async |n: Nursery<Never>| {
            let flags = unwound.clone();
            n.start(|started| sleeping_children(started, flags, || ())).await.unwrap();
            n.cancel("after");
        })
        .await;
        assert!(unwound.iter().all(Flag::is_set));
    });
}

#[test]
fn c041_pending_starts_keep_an_empty_nursery_open() {
    on_each_with_clock(ALL, async |_| {
        let begun = now();
        nursery(async |outer: Nursery<Never>| {
            nursery(async |target: Nursery<Never>| {
                let ready = Arc::new(Gate::default());
                for seconds in [1, 3] {
                    let (target, ready) = (target.clone(), Arc::clone(&ready));
                    outer.spawn(async move {
                        let starting = target.start(async move |started| {
                            ready.open();
                            ready_then_sleeps(seconds, started).await;
                        });
                        assert_eq!(starting.await, Ok(seconds));
                    });
                }
                // Both are pending when the body ends.
                sleep(Duration::from_millis(500)).await;
            })
            .await;
            assert_eq!(now() - begun, Duration::from_secs(6));
        })
        .await;
    });
}

#[test]
fn c042_also_if_the_pending_child_fails_and_never_arrives() {
    on_each_with_clock(ALL, async |_| {
        let begun = now();
        nursery(async |outer: Nursery<Never>| {
            let target = nursery(async |target| {
                let starter = target.clone();
                outer.spawn(async move {
                    let failed = starter.start(async |_: Started<()>| {
                        sleep(Duration::from_secs(7)).await;
                        Err::<(), _>("crash")
                    });
                    assert_eq!(failed.await, Err(StartError::Failed("crash")));
                });
                sleep(Duration::from_millis(500)).await;
                Ok::<_, &str>(())
            })
            .await;
            target.unwrap();
            assert_eq!(now() - begun, Duration::from_secs(7));
        })
        .await;
    });
}

#[test]
fn c043_the_error_keeps_its_source() {
    #[derive(Debug)]
    struct Outer(ParseIntError);
    impl std::fmt::Display for Outer {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("outer")
        }
    }
    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }
    on_each(ALL, async || {
        let joined = nursery(async |n: Nursery<AnyError>| {
            let failed = n.start(async |_: Started<()>| "x".parse::<u8>().map(drop).map_err(Outer)).await;
            let Err(StartError::Failed(error)) = failed else { panic!("it fails") };
            assert!(error.source().unwrap().is::<ParseIntError>());
            Ok(())
        })
        .await;
        joined.unwrap();
    });
}
