//! Spawning: into one group, for values, as a chain, as groups in groups.

use std::convert::Infallible;
use std::hint::black_box;

use tokio::task::JoinSet;
use trioxide::nursery;
use trioxide::sync::channel::oneshot;

use super::{Group, HOPS, Metric, ROUNDS, Row};
use crate::contenders::SmolExecutor;
use crate::marks;
use crate::measure::Span;

pub(super) const SPAWN_JOIN: Row = Row {
    name: "spawn_join",
    about: "10,000 trivial tasks into one group, join all (tokio: JoinSet)",
    metrics: &[Metric::main("ns/task")],
    own_process: false,
    needs: None,
    trioxide: |rt, scale| {
        let (tasks, rounds) = (scale.of(10_000, 2_000), ROUNDS);
        rt.run(async move {
            let span = Span::start();
            for _ in 0..rounds {
                nursery(async |n| {
                    for i in 0..tasks {
                        n.spawn(async move { marks::add(i, 1) });
                    }
                })
                .await;
            }
            let cost = span.stop(tasks * rounds);
            marks::assert_all_ran(tasks, rounds);
            cost.per_operation()
        })
    },
    tokio: Some(|rt, scale| {
        let (tasks, rounds) = (scale.of(10_000, 2_000), ROUNDS);
        rt.run(async move {
            let span = Span::start();
            for _ in 0..rounds {
                let mut group = JoinSet::new();
                for i in 0..tasks {
                    group.spawn(async move { marks::add(i, 1) });
                }
                while let Some(result) = group.join_next().await {
                    result.expect("a task panicked");
                }
            }
            let cost = span.stop(tasks * rounds);
            marks::assert_all_ran(tasks, rounds);
            cost.per_operation()
        })
    }),
    smol: Some(|rt, scale| {
        let (tasks, rounds) = (scale.of(10_000, 2_000), ROUNDS);
        let executor = rt.executor();
        rt.run(async move {
            let span = Span::start();
            for _ in 0..rounds {
                let mut group = Vec::new();
                for i in 0..tasks {
                    group.push(executor.spawn(async move { marks::add(i, 1) }));
                }
                for task in group {
                    task.await;
                }
            }
            let cost = span.stop(tasks * rounds);
            marks::assert_all_ran(tasks, rounds);
            cost.per_operation()
        })
    }),
    libraries: &[],
};

pub(super) const SPAWN_HANDLES: Row = Row {
    name: "spawn_handles",
    about: "10,000 trivial tasks, each handle awaited for its value",
    metrics: &[Metric::main("ns/task")],
    own_process: false,
    needs: None,
    trioxide: |rt, scale| {
        let (tasks, rounds) = (scale.of(10_000, 2_000), ROUNDS);
        rt.run(async move {
            let span = Span::start();
            let mut sum = 0;
            for _ in 0..rounds {
                nursery(async |n| {
                    let mut handles = Vec::new();
                    for i in 0..tasks {
                        handles.push(n.spawn(async move { Ok::<_, Infallible>(black_box(i)) }));
                    }
                    for handle in handles {
                        sum += handle.await.expect("nobody cancels here");
                    }
                })
                .await;
            }
            let cost = span.stop(tasks * rounds);
            assert_eq!(sum, sum_below(tasks) * rounds);
            cost.per_operation()
        })
    },
    tokio: Some(|rt, scale| {
        let (tasks, rounds) = (scale.of(10_000, 2_000), ROUNDS);
        rt.run(async move {
            let span = Span::start();
            let mut sum = 0;
            for _ in 0..rounds {
                let mut handles = Vec::new();
                for i in 0..tasks {
                    handles.push(tokio::spawn(async move { black_box(i) }));
                }
                for handle in handles {
                    sum += handle.await.expect("a task panicked");
                }
            }
            let cost = span.stop(tasks * rounds);
            assert_eq!(sum, sum_below(tasks) * rounds);
            cost.per_operation()
        })
    }),
    smol: Some(|rt, scale| {
        let (tasks, rounds) = (scale.of(10_000, 2_000), ROUNDS);
        let executor = rt.executor();
        rt.run(async move {
            let span = Span::start();
            let mut sum = 0;
            for _ in 0..rounds {
                let mut handles = Vec::new();
                for i in 0..tasks {
                    handles.push(executor.spawn(async move { black_box(i) }));
                }
                for handle in handles {
                    sum += handle.await;
                }
            }
            let cost = span.stop(tasks * rounds);
            assert_eq!(sum, sum_below(tasks) * rounds);
            cost.per_operation()
        })
    }),
    libraries: &[],
};

pub(super) const SPAWN_CHAIN: Row = Row {
    name: "spawn_chain",
    about: "a task spawns the next, 1,000 deep, the end signalled by a oneshot; 50 chains in turn",
    metrics: &[Metric::main("ns/hop")],
    own_process: false,
    needs: None,
    trioxide: |rt, scale| {
        fn hop(group: Group, left: u64, done: oneshot::Sender<u64>) {
            let next = group.clone();
            group.spawn(async move {
                if left == 0 {
                    done.send(HOPS).expect("the receiver waits");
                } else {
                    hop(next, left - 1, done);
                }
            });
        }
        let chains = scale.of(50, 10);
        rt.run(async move {
            nursery(async |n: Group| {
                let span = Span::start();
                let mut hops = 0;
                for _ in 0..chains {
                    let (done, end) = oneshot();
                    hop(n.clone(), HOPS, done);
                    hops += end.await.expect("the last task sends");
                }
                let cost = span.stop(hops);
                assert_eq!(hops, chains * HOPS);
                Ok::<_, Infallible>(cost.per_operation())
            })
            .await
            .expect("nothing fails here")
        })
    },
    tokio: Some(|rt, scale| {
        fn hop(left: u64, done: tokio::sync::oneshot::Sender<u64>) {
            tokio::spawn(async move {
                if left == 0 {
                    done.send(HOPS).expect("the receiver waits");
                } else {
                    hop(left - 1, done);
                }
            });
        }
        let chains = scale.of(50, 10);
        rt.run(async move {
            let span = Span::start();
            let mut hops = 0;
            for _ in 0..chains {
                let (done, end) = tokio::sync::oneshot::channel();
                hop(HOPS, done);
                hops += end.await.expect("the last task sends");
            }
            let cost = span.stop(hops);
            assert_eq!(hops, chains * HOPS);
            cost.per_operation()
        })
    }),
    smol: Some(|rt, scale| {
        fn hop(executor: SmolExecutor, left: u64, done: async_channel::Sender<u64>) {
            let task = executor.spawn(async move {
                if left == 0 {
                    done.send(HOPS).await.expect("the receiver waits");
                } else {
                    hop(executor, left - 1, done);
                }
            });
            task.detach();
        }
        let chains = scale.of(50, 10);
        let executor = rt.executor();
        rt.run(async move {
            let span = Span::start();
            let mut hops = 0;
            for _ in 0..chains {
                let (done, end) = async_channel::bounded(1);
                hop(executor, HOPS, done);
                hops += end.recv().await.expect("the last task sends");
            }
            let cost = span.stop(hops);
            assert_eq!(hops, chains * HOPS);
            cost.per_operation()
        })
    }),
    libraries: &[],
};

const INNER: u64 = 100;

pub(super) const NESTED_SPAWN: Row = Row {
    name: "nested_spawn",
    about: "100 tasks, each opens a group of its own for 100 trivial tasks and joins it",
    metrics: &[Metric::main("ns/task")],
    own_process: false,
    needs: None,
    trioxide: |rt, scale| {
        let outer = scale.of(100, 20);
        let (tasks, rounds) = (outer * (INNER + 1), ROUNDS);
        rt.run(async move {
            let span = Span::start();
            for _ in 0..rounds {
                nursery(async |n| {
                    for i in 0..outer {
                        n.spawn(async move {
                            nursery(async |n| {
                                for j in 0..INNER {
                                    n.spawn(async move { marks::add(i * INNER + j, 1) });
                                }
                            })
                            .await;
                        });
                    }
                })
                .await;
            }
            let cost = span.stop(tasks * rounds);
            marks::assert_all_ran(outer * INNER, rounds);
            cost.per_operation()
        })
    },
    tokio: Some(|rt, scale| {
        let outer = scale.of(100, 20);
        let (tasks, rounds) = (outer * (INNER + 1), ROUNDS);
        rt.run(async move {
            let span = Span::start();
            for _ in 0..rounds {
                let mut group = JoinSet::new();
                for i in 0..outer {
                    group.spawn(async move {
                        let mut group = JoinSet::new();
                        for j in 0..INNER {
                            group.spawn(async move { marks::add(i * INNER + j, 1) });
                        }
                        while let Some(result) = group.join_next().await {
                            result.expect("a task panicked");
                        }
                    });
                }
                while let Some(result) = group.join_next().await {
                    result.expect("a task panicked");
                }
            }
            let cost = span.stop(tasks * rounds);
            marks::assert_all_ran(outer * INNER, rounds);
            cost.per_operation()
        })
    }),
    smol: Some(|rt, scale| {
        let outer = scale.of(100, 20);
        let (tasks, rounds) = (outer * (INNER + 1), ROUNDS);
        let executor = rt.executor();
        rt.run(async move {
            let span = Span::start();
            for _ in 0..rounds {
                let mut group = Vec::new();
                for i in 0..outer {
                    group.push(executor.spawn(async move {
                        let mut group = Vec::new();
                        for j in 0..INNER {
                            group.push(executor.spawn(async move { marks::add(i * INNER + j, 1) }));
                        }
                        for task in group {
                            task.await;
                        }
                    }));
                }
                for task in group {
                    task.await;
                }
            }
            let cost = span.stop(tasks * rounds);
            marks::assert_all_ran(outer * INNER, rounds);
            cost.per_operation()
        })
    }),
    libraries: &[],
};

fn sum_below(count: u64) -> u64 {
    count * (count - 1) / 2
}
