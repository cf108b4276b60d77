//! Fork and join: Fibonacci numbers, with a task for every node.

use std::convert::Infallible;
use std::hint::black_box;

use tokio::task::{JoinHandle, JoinSet};
use trioxide::{Task, nursery};

use super::{Group, Metric, Row, Scale};
use crate::contenders::SmolExecutor;
use crate::measure::Span;

pub(super) const FORK_JOIN: Row = Row {
    name: "fork_join",
    about: "fib(27) with a task per node: spawns two children and awaits both handles",
    metrics: &[Metric::main("ns/task")],
    own_process: false,
    needs: None,
    trioxide: |rt, scale| {
        fn fork(n: &Group, k: u64) -> Task<u64> {
            let group = n.clone();
            n.spawn(async move {
                if k < 2 {
                    return Ok::<_, Infallible>(k);
                }
                let (left, right) = (fork(&group, k - 1), fork(&group, k - 2));
                Ok(left.await.expect("nobody cancels here") + right.await.expect("nobody cancels here"))
            })
        }
        let k = height(scale);
        rt.run(async move {
            let span = Span::start();
            let mut result = 0;
            nursery(async |n: Group| result = fork(&n, k).await.expect("nobody cancels here")).await;
            let cost = span.stop(nodes(k));
            assert_eq!(result, fibonacci(k));
            cost.per_operation()
        })
    },
    tokio: Some(|rt, scale| {
        fn fork(k: u64) -> JoinHandle<u64> {
            tokio::spawn(async move {
                if k < 2 {
                    return k;
                }
                let (left, right) = (fork(k - 1), fork(k - 2));
                left.await.expect("a task panicked") + right.await.expect("a task panicked")
            })
        }
        let k = height(scale);
        rt.run(async move {
            let span = Span::start();
            let result = fork(k).await.expect("a task panicked");
            let cost = span.stop(nodes(k));
            assert_eq!(result, fibonacci(k));
            cost.per_operation()
        })
    }),
    smol: Some(|rt, scale| {
        fn fork(executor: SmolExecutor, k: u64) -> smol::Task<u64> {
            executor.spawn(async move {
                if k < 2 {
                    return k;
                }
                let (left, right) = (fork(executor, k - 1), fork(executor, k - 2));
                left.await + right.await
            })
        }
        let k = height(scale);
        let executor = rt.executor();
        rt.run(async move {
            let span = Span::start();
            let result = fork(executor, k).await;
            let cost = span.stop(nodes(k));
            assert_eq!(result, fibonacci(k));
            cost.per_operation()
        })
    }),
    libraries: &[],
};

pub(super) const FORK_JOIN_SCOPE: Row = Row {
    name: "fork_join_scope",
    about: "the same, each node opens a group for its two children (smol has no group: two handles)",
    metrics: &[Metric::main("ns/task")],
    own_process: false,
    needs: None,
    trioxide: |rt, scale| {
        fn fork(n: &Group, k: u64) -> Task<u64> {
            n.spawn(async move {
                if k < 2 {
                    return Ok::<_, Infallible>(k);
                }
                let mut sum = 0;
                nursery(async |n: Group| {
                    let (left, right) = (fork(&n, k - 1), fork(&n, k - 2));
                    sum += left.await.expect("nobody cancels here");
                    sum += right.await.expect("nobody cancels here");
                })
                .await;
                Ok(sum)
            })
        }
        let k = height(scale);
        rt.run(async move {
            let span = Span::start();
            let mut result = 0;
            nursery(async |n: Group| result = fork(&n, k).await.expect("nobody cancels here")).await;
            let cost = span.stop(nodes(k));
            assert_eq!(result, fibonacci(k));
            cost.per_operation()
        })
    },
    tokio: Some(|rt, scale| {
        fn fork(group: &mut JoinSet<u64>, k: u64) {
            group.spawn(async move {
                if k < 2 {
                    return k;
                }
                let mut group = JoinSet::new();
                fork(&mut group, k - 1);
                fork(&mut group, k - 2);
                let mut sum = 0;
                while let Some(value) = group.join_next().await {
                    sum += value.expect("a task panicked");
                }
                sum
            });
        }
        let k = height(scale);
        rt.run(async move {
            let span = Span::start();
            let mut group = JoinSet::new();
            fork(&mut group, k);
            let result = group.join_next().await.expect("one task was spawned").expect("a task panicked");
            let cost = span.stop(nodes(k));
            assert_eq!(result, fibonacci(k));
            cost.per_operation()
        })
    }),
    smol: FORK_JOIN.smol,
    libraries: &[],
};

pub(crate) fn height(scale: Scale) -> u64 {
    black_box(scale.of(27, 20))
}

pub(crate) fn fibonacci(k: u64) -> u64 {
    (0..k).fold((0, 1), |(a, b), _| (b, a + b)).0
}

/// How many nodes the call tree of `fibonacci(k)` has.
pub(crate) fn nodes(k: u64) -> u64 {
    2 * fibonacci(k + 1) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_of_the_call_tree() {
        fn count(k: u64) -> u64 {
            if k < 2 { 1 } else { 1 + count(k - 1) + count(k - 2) }
        }
        for k in 0..15 {
            assert_eq!(nodes(k), count(k), "fib({k})");
        }
        assert_eq!(fibonacci(20), 6765);
    }
}
