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
