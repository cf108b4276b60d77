//! Waking: yields, wakes of a task by itself, and by another through oneshots.

use trioxide::sync::channel::oneshot;
use trioxide::{checkpoint, nursery};

use super::{Metric, PAIRS, Rewake, Row};
use crate::contenders::{Smol, Tokio, Trioxide};
use crate::marks;
use crate::measure::{Sample, Span};

pub(super) const YIELD_MANY: Row = Row {
    name: "yield_many",
    about: "200 tasks, each yields 1,000 times (checkpoint, tokio's and smol's yield_now)",
    metrics: &[Metric::main("ns/yield")],
    own_process: false,
    needs: None,
    trioxide: |rt, scale| {
        let (tasks, yields) = (200, scale.of(1_000, 200));
        rt.run(async move {
            let span = Span::start();
            nursery(async |n| {
                for i in 0..tasks {
                    n.spawn(async move {
                        for _ in 0..yields {
                            checkpoint().await;
                        }
                        marks::add(i, 1);
                    });
                }
            })
            .await;
            let cost = span.stop(tasks * yields);
            marks::assert_all_ran(tasks, 1);
            cost.per_operation()
        })
    },
    tokio: Some(|rt, scale| {
        let (tasks, yields) = (200, scale.of(1_000, 200));
        rt.run(async move {
            let span = Span::start();
            let mut group = Vec::new();
            for i in 0..tasks {
                group.push(tokio::spawn(async move {
                    for _ in 0..yields {
                        tokio::task::yield_now().await;
                    }
                    marks::add(i, 1);
                }));
            }
            for task in group {
                task.await.expect("a task panicked");
            }
            let cost = span.stop(tasks * yields);
            marks::assert_all_ran(tasks, 1);
            cost.per_operation()
        })
    }),
    smol: Some(|rt, scale| {
        let (tasks, yields) = (200, scale.of(1_000, 200));
        let executor = rt.executor();
        rt.run(async move {
            let span = Span::start();
            let mut group = Vec::new();
            for i in 0..tasks {
                group.push(executor.spawn(async move {
                    for _ in 0..yields {
                        smol::future::yield_now().await;
                    }
                    marks::add(i, 1);
                }));
            }
            for task in group {
                task.await;
            }
            let cost = span.stop(tasks * yields);
            marks::assert_all_ran(tasks, 1);
            cost.per_operation()
        })
    }),
    libraries: &[],
};

pub(super) const WAKE_SEQ: Row = Row {
    name: "wake_seq",
    about: "one task wakes itself and is polled again, 200,000 times",
    metrics: &[Metric::main("ns/wake")],
    own_process: false,
    needs: None,
    trioxide: |rt, scale| rewake_trioxide(rt, 1, scale.of(200_000, 50_000)),
    tokio: Some(|rt, scale| rewake_tokio(rt, 1, scale.of(200_000, 50_000))),
    smol: Some(|rt, scale| rewake_smol(rt, 1, scale.of(200_000, 50_000))),
    libraries: &[],
};

pub(super) const WAKE_PAR: Row = Row {
    name: "wake_par",
    about: "the same in 100 tasks, 4,000 times each",
    metrics: &[Metric::main("ns/wake")],
    own_process: false,
    needs: None,
    trioxide: |rt, scale| rewake_trioxide(rt, 100, scale.of(4_000, 500)),
    tokio: Some(|rt, scale| rewake_tokio(rt, 100, scale.of(4_000, 500))),
    smol: Some(|rt, scale| rewake_smol(rt, 100, scale.of(4_000, 500))),
    libraries: &[],
};

fn rewake_trioxide(rt: &Trioxide, tasks: u64, wakes: u64) -> Sample {
    rt.run(async move {
        let span = Span::start();
        nursery(async |n| {
            for i in 0..tasks {
                n.spawn(rewake(i, wakes));
            }
        })
        .await;
        let cost = span.stop(tasks * wakes);
        marks::assert_all_ran(tasks, 1);
        cost.per_operation()
    })
}

fn rewake_tokio(rt: &Tokio, tasks: u64, wakes: u64) -> Sample {
    rt.run(async move {
        let span = Span::start();
        let group: Vec<_> = (0..tasks).map(|i| tokio::spawn(rewake(i, wakes))).collect();
        for task in group {
            task.await.expect("a task panicked");
        }
        let cost = span.stop(tasks * wakes);
        marks::assert_all_ran(tasks, 1);
        cost.per_operation()
    })
}

fn rewake_smol(rt: &Smol, tasks: u64, wakes: u64) -> Sample {
    let executor = rt.executor();
    rt.run(async move {
        let span = Span::start();
        let group: Vec<_> = (0..tasks).map(|i| executor.spawn(rewake(i, wakes))).collect();
        for task in group {
            task.await;
        }
        let cost = span.stop(tasks * wakes);
        marks::assert_all_ran(tasks, 1);
        cost.per_operation()
    })
}

async fn rewake(slot: u64, times: u64) {
    for _ in 0..times {
        Rewake::default().await;
    }
    marks::add(slot, 1);
}

pub(super) const PING_PONG: Row = Row {
    name: "ping_pong",
    about: "1,000 pairs of tasks: one spawns the other, sends it a oneshot, and waits for one back; 10 times",
    metrics: &[Metric::main("ns/pair")],
    own_process: false,
    needs: None,
    trioxide: |rt, scale| {
        let rounds = scale.of(10, 2);
        rt.run(async move {
            let span = Span::start();
            for _ in 0..rounds {
                nursery(async |n| {
                    for i in 0..PAIRS {
                        let group = n.clone();
                        n.spawn(async move {
                            let (ping, pinged) = oneshot();
                            let (pong, ponged) = oneshot();
                            group.spawn(async move {
                                let value: u64 = pinged.await.expect("the ping is sent");
                                pong.send(value + 1).expect("the partner waits");
                            });
                            ping.send(i).expect("the partner waits");
                            marks::add(i, ponged.await.expect("the pong is sent") - i);
                        });
                    }
                })
                .await;
            }
            let cost = span.stop(rounds * PAIRS);
            marks::assert_all_ran(PAIRS, rounds);
            cost.per_operation()
        })
    },
    tokio: Some(|rt, scale| {
        use tokio::sync::oneshot;
        let rounds = scale.of(10, 2);
        rt.run(async move {
            let span = Span::start();
            for _ in 0..rounds {
                let mut group = Vec::new();
                for i in 0..PAIRS {
                    group.push(tokio::spawn(async move {
                        let (ping, pinged) = oneshot::channel();
                        let (pong, ponged) = oneshot::channel();
                        tokio::spawn(async move {
                            let value: u64 = pinged.await.expect("the ping is sent");
                            pong.send(value + 1).expect("the partner waits");
                        });
                        ping.send(i).expect("the partner waits");
                        marks::add(i, ponged.await.expect("the pong is sent") - i);
                    }));
                }
                for task in group {
                    task.await.expect("a task panicked");
                }
            }
            let cost = span.stop(rounds * PAIRS);
            marks::assert_all_ran(PAIRS, rounds);
            cost.per_operation()
        })
    }),
    smol: Some(|rt, scale| {
        use async_channel::bounded;
        let rounds = scale.of(10, 2);
        let executor = rt.executor();
        rt.run(async move {
            let span = Span::start();
            for _ in 0..rounds {
                let mut group = Vec::new();
                for i in 0..PAIRS {
                    group.push(executor.spawn(async move {
                        let (ping, pinged) = bounded(1);
                        let (pong, ponged) = bounded(1);
                        let partner = executor.spawn(async move {
                            let value: u64 = pinged.recv().await.expect("the ping is sent");
                            pong.send(value + 1).await.expect("the partner waits");
                        });
                        partner.detach();
                        ping.send(i).await.expect("the partner waits");
                        marks::add(i, ponged.recv().await.expect("the pong is sent") - i);
                    }));
                }
                for task in group {
                    task.await;
                }
            }
            let cost = span.stop(rounds * PAIRS);
            marks::assert_all_ran(PAIRS, rounds);
            cost.per_operation()
        })
    }),
    libraries: &[],
};
