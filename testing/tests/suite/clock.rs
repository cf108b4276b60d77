//! The mock clock by itself, and under a runtime: exact virtual times, in no real time.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};
use trioxide_runtime::{Clock, Runtime, fail_after, move_on_after, now, nursery, sleep};
use trioxide_testing::{MockClock, OutOfWork, on_each_with_clock};

const WORKERS: &[usize] = &[1, 2, 8];

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn stands_still_until_it_jumps() {
    let clock = MockClock::new();
    let start = clock.now();
    assert_eq!(clock.elapsed(), Duration::ZERO);
    clock.jump(seconds(3));
    clock.clone().jump(Duration::from_nanos(1));
    assert_eq!(clock.elapsed(), seconds(3) + Duration::from_nanos(1));
    assert_eq!(clock.now() - start, clock.elapsed());
}

#[test]
fn tells_how_long_a_worker_may_sleep() {
    let clock = MockClock::new();
    let in_ten = clock.now() + seconds(10);
    assert_eq!(clock.sleep_time(in_ten), None);
    assert_eq!(clock.sleep_time(clock.now()), Some(Duration::ZERO));
    clock.set_rate(1000.0);
    let real = clock.sleep_time(in_ten).expect("the time passes");
    assert!(real <= Duration::from_millis(11), "{real:?}");
    // Slower than anyone can tell: the worker sleeps until it is woken.
    clock.set_rate(f64::MIN_POSITIVE);
    assert_eq!(clock.sleep_time(clock.now() + seconds(10)), None);
    clock.jump(seconds(10));
    assert_eq!(clock.sleep_time(in_ten), Some(Duration::ZERO));
}

/// A new rate goes on from the time that was.
#[test]
fn never_runs_backwards() {
    let clock = MockClock::new();
    clock.jump(seconds(5));
    let mut last = clock.now();
    for rate in [1e6, 0.0, 1.0, 1e9, 0.0] {
        clock.set_rate(rate);
        assert!(clock.now() >= last);
        last = clock.now();
    }
    assert!(clock.elapsed() > seconds(5));
    assert_eq!(clock.now(), clock.now());
}

#[test]
fn jumps_by_itself_to_the_deadline_and_only_if_asked_to() {
    let clock = MockClock::autojump();
    let next = clock.now() + seconds(7);
    assert!(!clock.all_idle(None));
    assert!(clock.all_idle(Some(next)));
    assert_eq!(clock.now(), next);
    assert!(clock.all_idle(Some(next - seconds(1))));
    assert_eq!(clock.now(), next);
    let standing = MockClock::new();
    assert!(!standing.all_idle(Some(standing.now() + seconds(1))));
    assert_eq!(standing.elapsed(), Duration::ZERO);
}

#[test]
fn tells_all_runtimes_when_it_was_moved_by_hand() {
    let clock = MockClock::autojump();
    let calls = Arc::new(AtomicUsize::new(0));
    let seen = Arc::new(clock.clone());
    for _ in 0..2 {
        // Weak, as in a runtime: the clock owns what it calls.
        let (calls, seen) = (calls.clone(), Arc::downgrade(&seen));
        clock.attach(Arc::new(move || {
            seen.upgrade().expect("the test holds it").now();
            calls.fetch_add(1, Ordering::Relaxed);
        }));
    }
    clock.all_idle(Some(clock.now() + seconds(1)));
    assert_eq!(calls.load(Ordering::Relaxed), 0);
    clock.jump(seconds(1));
    clock.set_rate(2.0);
    assert_eq!(calls.load(Ordering::Relaxed), 4);
}

#[test]
#[should_panic(expected = "takes 0 or a positive number, not NaN")]
fn refuses_a_rate_that_is_no_number() {
    MockClock::new().set_rate(f64::NAN);
}

#[test]
#[should_panic(expected = "time does not run backwards")]
fn refuses_a_negative_rate() {
    MockClock::new().set_rate(-1.0);
}

#[test]
#[should_panic(expected = "goes beyond the end of time")]
fn refuses_to_jump_beyond_the_end_of_time() {
    MockClock::new().jump(Duration::MAX);
}

#[test]
fn sleeps_450_virtual_seconds_at_exact_times_in_no_real_time() {
    let real = Instant::now();
    on_each_with_clock(WORKERS, async |clock| {
        let start = now();
        for step in 1..=45 {
            sleep(seconds(10)).await;
            assert_eq!(now() - start, seconds(10 * step));
            assert_eq!(clock.elapsed(), seconds(10 * step));
        }
    });
    assert!(real.elapsed() < seconds(20), "{:?}", real.elapsed());
}

#[test]
fn sleepers_in_many_tasks_wake_at_their_own_times() {
    on_each_with_clock(WORKERS, async |clock| {
        let start = now();
        nursery(async |n| {
            for task in 1..=20 {
                n.spawn(async move {
                    for round in 1..=10 {
                        sleep(Duration::from_millis(task * 37)).await;
                        assert_eq!(now() - start, Duration::from_millis(task * 37 * round));
                    }
                });
            }
        })
        .await;
        assert_eq!(clock.elapsed(), Duration::from_millis(20 * 37 * 10));
    });
}

#[test]
fn deadlines_are_met_exactly() {
    on_each_with_clock(WORKERS, async |clock| {
        assert_eq!(move_on_after(seconds(3), sleep(seconds(100))).await, None);
        assert_eq!(clock.elapsed(), seconds(3));
        assert!(fail_after(seconds(4), sleep(seconds(100))).await.is_err());
        assert_eq!(clock.elapsed(), seconds(7));
        assert!(fail_after(seconds(5), sleep(seconds(4))).await.is_ok());
        assert_eq!(clock.elapsed(), seconds(11));
    });
}

/// A job on the thread pool is work in progress: time must not jump ahead of it.
#[test]
fn does_not_jump_while_a_blocking_call_runs() {
    on_each_with_clock(WORKERS, async |clock| {
        let (during, main) = (clock.clone(), OutOfWork::new());
        let blocking = trioxide_runtime::blocking(move || {
            main.wait();
            during.elapsed()
        });
        let elapsed = move_on_after(seconds(5), blocking).await;
        assert_eq!(elapsed, Some(Duration::ZERO));
    });
}

#[test]
fn a_jump_by_hand_wakes_a_sleeper() {
    for &workers in WORKERS {
        let clock = MockClock::new();
        let runtime = Runtime::builder().workers(workers).clock(clock.clone()).build().unwrap();
        let (asleep, is_asleep) = mpsc::channel();
        let hand = thread::spawn(move || {
            is_asleep.recv().expect("the sleeper says so");
            clock.jump(seconds(1));
            clock.jump(seconds(4));
        });
        runtime.run(async {
            let start = now();
            let mut sleeping = pin!(sleep(seconds(5)));
            assert!(futures_util::poll!(sleeping.as_mut()).is_pending());
            asleep.send(()).expect("somebody moves the clock");
            sleeping.await;
            assert_eq!(now() - start, seconds(5));
        });
        hand.join().unwrap();
    }
}
