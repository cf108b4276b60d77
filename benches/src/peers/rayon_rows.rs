//! rayon: `join` on a pool of `N` threads. A closure that nobody steals costs a few instructions, as it lies on the stack.

use super::Repeat;
use crate::measure::Span;
use crate::rows::fork_join::{fibonacci, height, nodes};

pub(super) fn repeat(name: &str) -> Option<Repeat> {
    match name {
        "fork_join" | "fork_join_scope" => Some(|workers, scale| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(workers).build().expect("the threads start");
            let k = height(scale);
            pool.install(|| {
                let span = Span::start();
                let result = fork(k);
                let cost = span.stop(nodes(k));
                assert_eq!(result, fibonacci(k));
                cost.per_operation()
            })
        }),
        _ => None,
    }
}

fn fork(k: u64) -> u64 {
    if k < 2 {
        return k;
    }
    let (left, right) = rayon::join(|| fork(k - 1), || fork(k - 2));
    left + right
}
