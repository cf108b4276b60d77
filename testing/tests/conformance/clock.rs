//! The mock clock.

use std::time::Duration;

use trioxide_runtime::{Clock, Runtime, move_on_after, now, nursery, run, sleep};
use trioxide_testing::{MockClock, on_each_with_clock, wait_all_tasks_blocked};

use crate::common::{ALL, panic_in, seconds, with_clock};

#[test]
fn c103_it_starts_at_zero_and_stands_still_jumps_and_runs_at_a_rate() {
    let clock = MockClock::new();
    let start = clock.now();
    assert_eq!((clock.elapsed(), clock.rate(), clock.autojump_threshold()), (Duration::ZERO, 0.0, None));
    assert_eq!(clock.now(), start);
    // A `Duration` is not negative, so there is no negative jump to refuse.
    clock.jump(Duration::from_millis(1200));
    assert_eq!(clock.elapsed(), Duration::from_millis(1200));
    assert!(panic_in(|| clock.set_rate(-1.0)).contains("time does not run backwards"));
    // What was refused has changed nothing; a new rate goes on from where the time was.
    assert_eq!((clock.rate(), clock.elapsed()), (0.0, Duration::from_millis(1200)));
    clock.set_rate(10.0);
    assert!(clock.elapsed() >= Duration::from_millis(1200));
    // To sleep for a virtual second takes a tenth of a real one, and the nanosecond of rounding.
    let real = clock.sleep_time(clock.now() + seconds(1)).expect("time passes");
    assert!(real <= Duration::from_millis(100) + Duration::from_nanos(1), "{real:?}");
    clock.set_rate(0.0);
    let stopped = clock.elapsed();
    assert_eq!(clock.sleep_time(clock.now() + seconds(1)), None);
    clock.jump(seconds(3));
    assert_eq!(clock.elapsed(), stopped + seconds(3));
}

#[test]
fn c104_the_clock_of_the_run_is_the_one_that_it_was_given() {
    let clock = MockClock::new();
    clock.jump(seconds(7));
    with_clock(1, &clock).run(async {
        assert_eq!(now(), clock.now());
        clock.jump(seconds(1));
        assert_eq!(now(), clock.now());
    });
}

/// In far less than a real second, too, but how busy the machine is is not ours to assert: that no real clock is asked is.
#[test]
fn c105_it_sleeps_450_virtual_seconds_at_exact_times() {
    on_each_with_clock(ALL, async |clock| {
        let start = now();
        assert_eq!(clock.autojump_threshold(), Some(Duration::ZERO));
        for (at, step) in (10..=450).step_by(10).zip(std::iter::repeat(10)) {
            sleep(seconds(step)).await;
            assert_eq!((now() - start, clock.elapsed()), (seconds(at), seconds(at)));
        }
        let (exact, other) = (Duration::new(3, 141_592_653), Duration::new(2, 718_281_828));
        nursery(async |n| {
            n.spawn(sleep(other));
            sleep(exact).await;
        })
        .await;
        assert_eq!(clock.elapsed(), seconds(450) + exact, "the longer one, to the nanosecond");
    });
}

#[test]
fn c106_a_wait_for_all_to_be_blocked_that_is_shorter_than_the_threshold_ends_before_time_moves() {
    for &workers in ALL {
        let clock = MockClock::new();
        clock.set_autojump_threshold(Some(seconds(3600)));
        with_clock(workers, &clock).run(nursery(async |n| {
            n.spawn(sleep(seconds(1)));
            wait_all_tasks_blocked(Duration::from_millis(1)).await;
            assert_eq!(clock.elapsed(), Duration::ZERO);
            n.cancel("seen");
        }));
    }
}

#[test]
fn c107_a_changed_threshold_counts_at_once_also_for_what_is_blocked() {
    for &workers in ALL {
        let clock = MockClock::new();
        clock.set_autojump_threshold(Some(seconds(10_000)));
        with_clock(workers, &clock).run(async {
            // By a task,
            wait_all_tasks_blocked(Duration::ZERO).await;
            clock.set_autojump_threshold(Some(Duration::ZERO));
            sleep(seconds(100_000)).await;
            assert_eq!(clock.elapsed(), seconds(100_000));
            // and from outside, while everything is blocked.
            clock.set_autojump_threshold(Some(seconds(10_000)));
            let (blocked, is_blocked) = std::sync::mpsc::channel();
            let outside = clock.clone();
            let thread = std::thread::spawn(move || {
                is_blocked.recv().unwrap();
                outside.set_autojump_threshold(Some(Duration::ZERO));
            });
            nursery(async |n| {
                n.spawn(sleep(seconds(100_000)));
                wait_all_tasks_blocked(Duration::ZERO).await;
                blocked.send(()).unwrap();
            })
            .await;
            thread.join().unwrap();
            assert_eq!(clock.elapsed(), seconds(200_000));
        });
    }
}

#[test]
fn c108_a_clock_that_is_not_installed_changes_nothing() {
    let (other, clock) = (MockClock::autojump(), MockClock::autojump());
    with_clock(1, &clock).run(async {
        other.set_autojump_threshold(Some(Duration::ZERO));
        sleep(seconds(5)).await;
        other.jump(seconds(100));
        assert_eq!((clock.elapsed(), other.elapsed()), (seconds(5), seconds(100)));
    });
    // Nor in a run on real time.
    run(async {
        let before = other.elapsed();
        assert!(move_on_after(Duration::from_millis(1), std::future::pending::<()>()).await.is_none());
        assert_eq!(other.elapsed(), before);
    });
}

#[test]
fn c109_a_threshold_that_is_set_before_the_run_counts() {
    let clock = MockClock::new();
    clock.set_autojump_threshold(Some(Duration::from_millis(1)));
    let runtime = Runtime::builder().workers(2).clock(clock.clone()).signals(false).build().unwrap();
    for run in 1..=3 {
        runtime.run(sleep(seconds(1000)));
        assert_eq!(clock.elapsed(), seconds(1000 * run));
    }
}
