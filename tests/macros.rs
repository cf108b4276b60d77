//! `#[trioxide::main]` and `#[trioxide::test]` on functions that are as they should be. The others: `ui.rs`.
#![cfg(feature = "macros")]

use std::num::ParseIntError;
use std::thread;

use trioxide::checkpoint;

#[trioxide::test]
async fn a_test_runs() {
    assert!(trioxide::lowlevel::in_run());
    checkpoint().await;
}

#[trioxide::test]
async fn a_test_may_return_a_result() -> Result<(), ParseIntError> {
    checkpoint().await;
    if "42".parse::<u8>()? == 42 {
        return Ok(()); // `return` leaves the test, as it says
    }
    unreachable!("42 is 42");
}

#[trioxide::test(workers = 1)]
async fn with_one_worker_a_child_runs_on_the_thread_of_the_test() {
    let here = thread::current().id();
    trioxide::nursery(async |n| {
        n.spawn(async move { assert_eq!(thread::current().id(), here) });
    })
    .await;
}

const WORKERS: usize = 3;

#[trioxide::test(workers = WORKERS + 1)]
async fn the_number_of_workers_may_be_any_expression() {
    checkpoint().await;
}

#[trioxide::test]
#[should_panic(expected = "of the body")]
async fn a_panic_of_the_body_fails_the_test() {
    checkpoint().await;
    panic!("of the body");
}

#[trioxide::test]
#[should_panic(expected = "of a child")]
async fn a_panic_of_a_child_fails_the_test() {
    trioxide::nursery(async |n| {
        n.spawn(async {
            checkpoint().await;
            if true {
                panic!("of a child");
            }
        });
    })
    .await;
}

const NONE: usize = 0;

#[trioxide::test(workers = NONE)]
#[should_panic(expected = "trioxide: a runtime needs at least 1 worker, got 0")]
async fn zero_workers_in_a_constant_are_refused_when_it_runs() {}

/// Documented, visible elsewhere, and with a value: all of it stays.
mod elsewhere {
    /// Doubles.
    #[trioxide::main(workers = 2)]
    #[must_use]
    pub(super) async fn double() -> u32 {
        trioxide::blocking(|| 21 * 2).await
    }
}

#[test]
fn main_makes_a_plain_function_that_gives_the_value() {
    let double: fn() -> u32 = elsewhere::double;
    assert_eq!(double(), 42);
}

/// What `#[trioxide::test]` can be told, and given.
#[cfg(feature = "testing")]
mod told {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use trioxide::testing::{Bench, Fixture, MockClock, wait_all_tasks_blocked};
    use trioxide::{AnyError, Nursery, checkpoint, sleep, sleep_forever};

    const SOME: &[usize] = &[1, 2];

    #[trioxide::test(workers = [1, 2, 8])]
    async fn several_numbers_of_workers() {
        checkpoint().await;
    }

    #[trioxide::test(workers = SOME)]
    async fn numbers_of_workers_in_a_constant() -> Result<(), std::io::Error> {
        checkpoint().await;
        Ok(())
    }

    #[trioxide::test(workers = [1, 2, 8], clock = MockClock::autojump)]
    async fn a_clock(clock: &MockClock) {
        sleep(Duration::from_secs(450)).await;
        assert_eq!(clock.elapsed(), Duration::from_secs(450));
    }

    #[trioxide::test(clock = || {
        let clock = MockClock::new();
        clock.set_autojump_threshold(Some(Duration::ZERO));
        clock
    })]
    #[should_panic(expected = "trioxide: deadlock: every task waits")]
    async fn a_deadlock_fails_at_once() {
        sleep_forever().await;
    }

    #[trioxide::test(timeout = Duration::from_millis(1), grace = Duration::MAX)]
    #[should_panic(expected = "the test has not ended after 1ms, its time-out")]
    async fn a_test_that_hangs_fails() {
        sleep_forever().await;
    }

    static RUNS: AtomicUsize = AtomicUsize::new(0);

    #[trioxide::test(seeds = 0..10, workers = [1, 2])]
    async fn workers_and_seeds(clock: &MockClock) -> Result<(), std::io::Error> {
        // On runtimes without a clock it could not be given one: so all runs have one.
        RUNS.fetch_add(1, Ordering::SeqCst);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(clock.elapsed(), Duration::from_secs(1));
        Ok(())
    }

    #[trioxide::test(seeds = 0..10)]
    #[should_panic(expected = "no good")]
    async fn a_seed_that_fails() {
        checkpoint().await;
        panic!("no good");
    }

    /// Told by those that were set up before it.
    static ORDER: AtomicUsize = AtomicUsize::new(0);

    struct Numbered<const AT: usize>;

    impl<const AT: usize> Fixture for Numbered<AT> {
        async fn set_up(_bench: &Bench) -> Self {
            assert_eq!(ORDER.fetch_add(1, Ordering::SeqCst), AT);
            Self
        }

        async fn take_down(self) {
            checkpoint().await;
            assert_eq!(ORDER.fetch_sub(1, Ordering::SeqCst), AT + 1);
        }
    }

    #[trioxide::test(workers = 2)]
    async fn fixtures(first: &Numbered<0>, second: &mut Numbered<1>, n: &Nursery<AnyError>) -> Result<(), AnyError> {
        let (Numbered, Numbered) = (first, second);
        assert_eq!(ORDER.load(Ordering::SeqCst), 2);
        n.spawn(sleep_forever()); // Cancelled at the end.
        wait_all_tasks_blocked(Duration::ZERO).await;
        Ok(())
    }
}
