//! `Portal`: a run for programs that are not async.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use crate::common::{ALL, Flag, SetOnDrop, blow, panic_in};
use trioxide_runtime::{
    CancelSource, Portal, RunFinished, RunTokenError, Runtime, checkpoint, finally, nursery, run, sleep_forever,
};

fn portal(workers: usize) -> Portal {
    Portal::start_with(Runtime::builder().workers(workers).signals(false)).unwrap()
}

#[test]
fn calls_give_values_errors_and_panics() {
    for &workers in ALL {
        let portal = portal(workers);
        assert_eq!(portal.call(async { 7 }), Ok(7));
        let error: Result<(), &str> = portal
            .call(async {
                checkpoint().await;
                Err("an error")
            })
            .unwrap();
        assert_eq!(error, Err("an error"));
        assert_eq!(panic_in(|| portal.call(async { blow("a panic") })), "a panic");
        assert_eq!(portal.call(async { 8 }), Ok(8), "a panic of a call is the caller's");
        portal.close();
    }
}

#[test]
fn any_number_of_threads_share_a_portal() {
    for &workers in ALL {
        let portal = portal(workers);
        let sum: u32 = thread::scope(|s| {
            let portal = &portal;
            let calls: Vec<_> = (0..8)
                .map(|number| {
                    s.spawn(move || {
                        portal
                            .call(async move {
                                nursery(async |n| {
                                    n.spawn(checkpoint());
                                })
                                .await;
                                number
                            })
                            .unwrap()
                    })
                })
                .collect();
            calls.into_iter().map(|call| call.join().unwrap()).sum()
        });
        assert_eq!(sum, 28);
    }
}

#[test]
fn close_waits_for_what_was_spawned() {
    for &workers in ALL {
        let portal = portal(workers);
        let (tell, told) = mpsc::channel::<()>();
        let done = Arc::new(AtomicUsize::new(0));
        for _ in 0..10 {
            let done = Arc::clone(&done);
            let spawned = portal.spawn(async move {
                checkpoint().await;
                done.fetch_add(1, Ordering::SeqCst);
            });
            spawned.unwrap();
        }
        let value = portal.spawn(trioxide_runtime::blocking(move || told.recv().map(|()| 5))).unwrap();
        tell.send(()).unwrap();
        assert_eq!(value.join().unwrap(), Ok(5));
        portal.close();
        assert_eq!(done.load(Ordering::SeqCst), 10);
    }
}

#[test]
fn dropping_cancels_and_waits_for_the_clean_up() {
    for &workers in ALL {
        let portal = portal(workers);
        let (started, starts) = mpsc::channel();
        let (cleaned, dropped) = (Flag::default(), Flag::default());
        let (clean, held) = (cleaned.clone(), SetOnDrop(dropped.clone()));
        let task = portal.spawn(async move {
            let _held = held;
            started.send(()).unwrap();
            finally(sleep_forever(), async move {
                checkpoint().await;
                clean.set();
            })
            .await;
        });
        starts.recv().unwrap();
        drop(portal);
        assert!(cleaned.is_set() && dropped.is_set());
        match task.unwrap().join() {
            Err(RunTokenError::Cancelled(cancelled)) => assert_eq!(cancelled.reason().source(), CancelSource::Dropped),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_task_is_cancelled_alone() {
    let portal = portal(2);
    let task = portal.spawn(sleep_forever()).unwrap();
    task.cancel("enough");
    assert!(task.join().is_err());
    assert_eq!(portal.call(async { 1 }), Ok(1));
    portal.close();
}

#[test]
fn a_panic_of_something_spawned_comes_out_of_close_and_of_drop() {
    for &workers in ALL {
        for close in [true, false] {
            let portal = portal(workers);
            let task = portal.spawn(async { blow("spawned") }).unwrap();
            assert!(task.join().is_err());
            while portal.call(checkpoint()).is_ok() {}
            let end = || if close { portal.close() } else { drop(portal) };
            assert_eq!(panic_in(end), "spawned");
        }
    }
}

#[test]
fn after_a_cancel_nothing_that_suspends_runs() {
    let portal = portal(2);
    portal.cancel("enough");
    match portal.call(sleep_forever()) {
        Err(RunTokenError::Cancelled(cancelled)) => assert_eq!(cancelled.reason().message(), Some("enough")),
        Err(RunTokenError::RunFinished) => {}
        other => panic!("{other:?}"),
    }
    while portal.spawn(checkpoint()).is_ok() {
        thread::yield_now(); // retry: a portal tells of its end by refusing
    }
    assert_eq!(portal.spawn(checkpoint()).err(), Some(RunFinished));
}

#[test]
fn in_a_run_it_is_an_error_that_says_so() {
    let portal = portal(1);
    run(async {
        let text = panic_in(|| portal.call(async {}));
        assert!(text.contains("`Portal::call` was called on a thread that runs tasks"), "{text}");
    });
}

#[test]
fn calls_race_with_the_end() {
    for _ in 0..50 {
        let portal = Arc::new(portal(2));
        let caller = {
            let portal = Arc::clone(&portal);
            thread::spawn(move || {
                let mut given = 0;
                while let Ok(value) = portal.call(async { 1 }) {
                    given += value;
                }
                given
            })
        };
        portal.cancel("enough");
        caller.join().unwrap();
    }
}
