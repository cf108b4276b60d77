//! Memory: how much a suspended task holds, with a million of them in one group; waiting for nothing, and for one event.
//!
//! Each repetition runs in a process of its own, so that no earlier row has left memory behind that is used again.

use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::task::JoinSet;
use trioxide::nursery;

use super::cancel::LOOK_AGAIN;
use super::{Metric, Row, Scale};
use crate::marks;
use crate::measure::{Sample, Span, resident_bytes};

pub(super) const MEM_GROUP: Row = Row {
    name: "mem_group",
    about: "one million pending tasks in one group: resident memory, time to spawn and to cancel them",
    metrics: &[Metric::main("bytes/task"), Metric::also("spawn", "ns/task"), Metric::also("cancel", "ns/task")],
    own_process: true,
    needs: None,
    trioxide: |rt, scale| {
        let tasks = tasks(scale);
        rt.run(async move {
            let mut crowd = Crowd::about_to_come(tasks);
            nursery(async |n| {
                for _ in 0..tasks {
                    n.spawn(wait_for_ever());
                }
                while !crowd.has_come() {
                    trioxide::sleep(LOOK_AGAIN).await;
                }
                crowd.stands();
                n.cancel("the row's end");
            })
            .await;
            crowd.has_gone()
        })
    },
    tokio: Some(|rt, scale| {
        let tasks = tasks(scale);
        rt.run(async move {
            let mut crowd = Crowd::about_to_come(tasks);
            let mut group = JoinSet::new();
            for _ in 0..tasks {
                group.spawn(wait_for_ever());
            }
            while !crowd.has_come() {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            crowd.stands();
            group.shutdown().await;
            crowd.has_gone()
        })
    }),
    smol: Some(|rt, scale| {
        let tasks = tasks(scale);
        let executor = rt.executor();
        rt.run(async move {
            let mut crowd = Crowd::about_to_come(tasks);
            let mut group = Vec::new();
            for _ in 0..tasks {
                group.push(executor.spawn(wait_for_ever()));
            }
            while !crowd.has_come() {
                smol::Timer::after(LOOK_AGAIN).await;
            }
            crowd.stands();
            join_all(group.into_iter().map(smol::Task::cancel)).await;
            crowd.has_gone()
        })
    }),
    libraries: &[],
};

pub(super) const MEM_EVENT: Row = Row {
    name: "mem_event",
    about: "the same, all waiting on one event, which is then set (tokio: Notify; smol: event-listener)",
    metrics: &[Metric::main("bytes/task"), Metric::also("spawn", "ns/task"), Metric::also("set", "ns/task")],
    own_process: true,
    needs: None,
    trioxide: |rt, scale| {
        let tasks = tasks(scale);
        rt.run(async move {
            let mut crowd = Crowd::about_to_come(tasks);
            let event = Arc::new(trioxide::sync::Event::new());
            nursery(async |n| {
                for _ in 0..tasks {
                    let event = Arc::clone(&event);
                    n.spawn(async move {
                        marks::start();
                        event.wait().await;
                    });
                }
                while !crowd.has_come() {
                    trioxide::sleep(LOOK_AGAIN).await;
                }
                crowd.stands();
                event.set();
            })
            .await;
            crowd.has_gone()
        })
    },
    tokio: Some(|rt, scale| {
        let tasks = tasks(scale);
        rt.run(async move {
            let mut crowd = Crowd::about_to_come(tasks);
            let event = Arc::new(tokio::sync::Notify::new());
            let mut group = JoinSet::new();
            for _ in 0..tasks {
                let event = Arc::clone(&event);
                group.spawn(async move {
                    let mut set = pin!(event.notified());
                    // It waits from here on, before anybody hears of it.
                    set.as_mut().enable();
                    marks::start();
                    set.await;
                });
            }
            while !crowd.has_come() {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            crowd.stands();
            event.notify_waiters();
            while let Some(result) = group.join_next().await {
                result.expect("a task panicked");
            }
            crowd.has_gone()
        })
    }),
    smol: Some(|rt, scale| {
        let tasks = tasks(scale);
        let executor = rt.executor();
        rt.run(async move {
            let mut crowd = Crowd::about_to_come(tasks);
            let event = Arc::new(event_listener::Event::new());
            let mut group = Vec::new();
            for _ in 0..tasks {
                let event = Arc::clone(&event);
                group.push(executor.spawn(async move {
                    let set = event.listen();
                    marks::start();
                    set.await;
                }));
            }
            while !crowd.has_come() {
                smol::Timer::after(LOOK_AGAIN).await;
            }
            crowd.stands();
            event.notify(usize::MAX);
            for task in group {
                task.await;
            }
            crowd.has_gone()
        })
    }),
    libraries: &[],
};

fn tasks(scale: Scale) -> u64 {
    scale.of(1_000_000, 100_000)
}

async fn wait_for_ever() {
    marks::start();
    pending().await
}

/// The stages of the row: spawning, all suspended, cancelling, all gone.
struct Crowd {
    tasks: u64,
    span: Span,
    resident_before: Option<u64>,
    resident: Option<u64>,
    came: Duration,
    cancelled: Instant,
}

impl Crowd {
    fn about_to_come(tasks: u64) -> Self {
        marks::reset_started();
        let resident_before = resident_bytes();
        let span = Span::start();
        Self { tasks, span, resident_before, resident: None, came: Duration::ZERO, cancelled: Instant::now() }
    }

    fn has_come(&self) -> bool {
        marks::started() == self.tasks
    }

    fn stands(&mut self) {
        self.came = self.cancelled.elapsed();
        self.resident = resident_bytes();
        self.cancelled = Instant::now();
    }

    fn has_gone(self) -> Sample {
        let gone = self.cancelled.elapsed();
        let bytes = match (self.resident_before, self.resident) {
            (Some(before), Some(after)) => after.saturating_sub(before) as f64,
            _ => f64::NAN,
        };
        let per_task = |total: f64| total / self.tasks as f64;
        let cost = self.span.stop(self.tasks);
        cost.with_values(vec![per_task(bytes), per_task(self.came.as_nanos() as f64), per_task(gone.as_nanos() as f64)])
    }
}
