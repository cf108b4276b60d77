//! An idle runtime wakes nobody up. In a process of its own, with nothing else in it, because what is counted is the process's.
#![cfg(unix)]

use std::time::Duration;

use trioxide_benches::idle::{Plan, Wakes, trioxide};

/// It does wait, as there is nothing else that an idle runtime could do; but how long that takes decides nothing.
#[test]
fn nobody_wakes_up_for_nothing_and_a_tick_is_one_wake() {
    let plan = Plan { idle: Duration::from_millis(300), ticks: 20, period: Duration::from_millis(5) };
    for workers in [1, 2, 8] {
        let Wakes { asleep, listening, per_tick } = trioxide(workers, plan);
        assert_eq!((asleep, listening), (0, 0), "wake-ups with {workers} workers");
        assert!(per_tick <= 1.0, "{per_tick} wake-ups per tick with {workers} workers");
    }
}
