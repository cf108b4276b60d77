//! Timers: many sleeps at once, and time-outs that are met.

use std::time::{Duration, Instant};

use trioxide::{fail_after, nursery};

use super::{Metric, Rewake, Row};
use crate::contenders::{Smol, Tokio, Trioxide};
use crate::marks;
use crate::measure::{Cost, Sample, Span};

pub(super) const SLEEP_MANY: Row = Row {
    name: "sleep_many",
    about: "10,000 tasks sleep 1 to 100 ms at once: time for all, and how late each wakes in the mean",
    metrics: SLEEP_METRICS,
    own_process: false,
    needs: None,
    trioxide: |rt, scale| sleep_trioxide(rt, scale.of(10_000, 2_000)),
    tokio: Some(|rt, scale| sleep_tokio(rt, scale.of(10_000, 2_000))),
    smol: Some(|rt, scale| sleep_smol(rt, scale.of(10_000, 2_000))),
    libraries: &[],
};

pub(super) const SLEEP_100K: Row = Row {
    name: "sleep_100k",
    about: "the same with 100,000 tasks",
    metrics: SLEEP_METRICS,
    own_process: false,
    needs: None,
    trioxide: |rt, scale| sleep_trioxide(rt, scale.of(100_000, 20_000)),
    tokio: Some(|rt, scale| sleep_tokio(rt, scale.of(100_000, 20_000))),
    smol: Some(|rt, scale| sleep_smol(rt, scale.of(100_000, 20_000))),
    libraries: &[],
};

const SLEEP_METRICS: &[Metric] = &[Metric::main("ms"), Metric::also("late", "ms")];

fn sleep_trioxide(rt: &Trioxide, tasks: u64) -> Sample {
    rt.run(async move {
        let span = Span::start();
        nursery(async |n| {
            for i in 0..tasks {
                n.spawn(async move {
                    let nap = Nap::begin(i);
                    trioxide::sleep(nap.length).await;
                    nap.end();
                });
            }
        })
        .await;
        slept(span.stop(tasks))
    })
}

fn sleep_tokio(rt: &Tokio, tasks: u64) -> Sample {
    rt.run(async move {
        let span = Span::start();
        let mut group = Vec::new();
        for i in 0..tasks {
            group.push(tokio::spawn(async move {
                let nap = Nap::begin(i);
                tokio::time::sleep(nap.length).await;
                nap.end();
            }));
        }
        for task in group {
            task.await.expect("a task panicked");
        }
        slept(span.stop(tasks))
    })
}

fn sleep_smol(rt: &Smol, tasks: u64) -> Sample {
    let executor = rt.executor();
    rt.run(async move {
        let span = Span::start();
        let mut group = Vec::new();
        for i in 0..tasks {
            group.push(executor.spawn(async move {
                let nap = Nap::begin(i);
                smol::Timer::after(nap.length).await;
                nap.end();
            }));
        }
        for task in group {
            task.await;
        }
        slept(span.stop(tasks))
    })
}

/// One sleep of 1 to 100 ms. Leaves its lateness in its slot.
pub(crate) struct Nap {
    slot: u64,
    began: Instant,
    pub(crate) length: Duration,
}

impl Nap {
    pub(crate) fn begin(slot: u64) -> Self {
        // 37 has no factor in common with 100: neighbours sleep for lengths far apart, and each length comes equally often.
        Self { slot, began: Instant::now(), length: Duration::from_millis(1 + slot * 37 % 100) }
    }

    pub(crate) fn end(self) {
        let late = self.began.elapsed().checked_sub(self.length).expect("woken before the time was up");
        // Never 0, so that the sum tells a slot that was set from one that was not.
        marks::add(self.slot, 1 + late.as_nanos() as u64);
    }
}

pub(crate) fn slept(cost: Cost) -> Sample {
    let tasks = cost.operations;
    let late = marks::take_sum(tasks);
    assert!(late >= tasks, "some tasks did not run");
    assert!(cost.wall >= Duration::from_millis(100), "some tasks did not sleep");
    let millis = 1e-6;
    cost.with_values(vec![cost.wall.as_nanos() as f64 * millis, (late - tasks) as f64 / tasks as f64 * millis])
}

pub(crate) const LIMIT: Duration = Duration::from_secs(5);

pub(super) const TIMEOUT_SEQ: Row = Row {
    name: "timeout_seq",
    about: "one task, a million times: a time-out of 5 s around what is ready after one wake",
    metrics: &[Metric::main("ns/time-out")],
    own_process: false,
    needs: None,
    trioxide: |rt, scale| timeout_trioxide(rt, 1, scale.of(1_000_000, 20_000)),
    tokio: Some(|rt, scale| timeout_tokio(rt, 1, scale.of(1_000_000, 20_000))),
    smol: Some(|rt, scale| timeout_smol(rt, 1, scale.of(1_000_000, 20_000))),
    libraries: &[],
};

pub(super) const TIMEOUT_PAR: Row = Row {
    name: "timeout_par",
    about: "the same in 100 tasks, 10,000 times each",
    metrics: &[Metric::main("ns/time-out")],
    own_process: false,
    needs: None,
    trioxide: |rt, scale| timeout_trioxide(rt, 100, scale.of(10_000, 200)),
    tokio: Some(|rt, scale| timeout_tokio(rt, 100, scale.of(10_000, 200))),
    smol: Some(|rt, scale| timeout_smol(rt, 100, scale.of(10_000, 200))),
    libraries: &[],
};

fn timeout_trioxide(rt: &Trioxide, tasks: u64, times: u64) -> Sample {
    rt.run(async move {
        let span = Span::start();
        nursery(async |n| {
            for i in 0..tasks {
                n.spawn(async move {
                    for _ in 0..times {
                        fail_after(LIMIT, Rewake::default()).await.expect("ready at once");
                    }
                    marks::add(i, 1);
                });
            }
        })
        .await;
        let cost = span.stop(tasks * times);
        marks::assert_all_ran(tasks, 1);
        cost.per_operation()
    })
}

fn timeout_tokio(rt: &Tokio, tasks: u64, times: u64) -> Sample {
    rt.run(async move {
        let span = Span::start();
        let mut group = Vec::new();
        for i in 0..tasks {
            group.push(tokio::spawn(async move {
                for _ in 0..times {
                    tokio::time::timeout(LIMIT, Rewake::default()).await.expect("ready at once");
                }
                marks::add(i, 1);
            }));
        }
        for task in group {
            task.await.expect("a task panicked");
        }
        let cost = span.stop(tasks * times);
        marks::assert_all_ran(tasks, 1);
        cost.per_operation()
    })
}

fn timeout_smol(rt: &Smol, tasks: u64, times: u64) -> Sample {
    let executor = rt.executor();
    rt.run(async move {
        let span = Span::start();
        let mut group = Vec::new();
        for i in 0..tasks {
            group.push(executor.spawn(async move {
                for _ in 0..times {
                    let ready = async {
                        Rewake::default().await;
                        Some(())
                    };
                    let late = async {
                        smol::Timer::after(LIMIT).await;
                        None
                    };
                    smol::future::or(ready, late).await.expect("ready at once");
                }
                marks::add(i, 1);
            }));
        }
        for task in group {
            task.await;
        }
        let cost = span.stop(tasks * times);
        marks::assert_all_ran(tasks, 1);
        cost.per_operation()
    })
}
