//! Cancelling many tasks at once. The clock starts when all of them are suspended and stops when all have ended.

use std::future::{Future, pending};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::task::JoinSet;
use trioxide::nursery;

use super::{Metric, Row};
use crate::contenders::{Smol, Tokio, Trioxide};
use crate::marks;
use crate::measure::{Cost, Sample, Span};

pub(super) const CANCEL: Row = Row {
    name: "cancel",
    about: "10,000 tasks pending for ever: cancel, wait for all (tokio: JoinSet::shutdown)",
    metrics: &[Metric::main("ns/task")],
    own_process: false,
    needs: None,
    trioxide: |rt, scale| cancel_trioxide(rt, scale.of(10_000, 2_000), pending),
    tokio: Some(|rt, scale| cancel_tokio(rt, scale.of(10_000, 2_000), pending)),
    smol: Some(|rt, scale| cancel_smol(rt, scale.of(10_000, 2_000), pending)),
    libraries: &[],
};

pub(super) const CANCEL_SLEEP: Row = Row {
    name: "cancel_sleep",
    about: "the same, asleep for an hour",
    metrics: &[Metric::main("ns/task")],
    own_process: false,
    needs: None,
    trioxide: |rt, scale| cancel_trioxide(rt, scale.of(10_000, 2_000), || trioxide::sleep(HOUR)),
    tokio: Some(|rt, scale| cancel_tokio(rt, scale.of(10_000, 2_000), || tokio::time::sleep(HOUR))),
    smol: Some(|rt, scale| {
        cancel_smol(rt, scale.of(10_000, 2_000), || async {
            smol::Timer::after(HOUR).await;
        })
    }),
    libraries: &[],
};

const HOUR: Duration = Duration::from_secs(3600);

/// How often a body looks whether all its tasks are suspended.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// How often a repetition fills and cancels a group. Only the cancelling is timed.
const ROUNDS: u64 = 5;

fn cancel_trioxide<F>(rt: &Trioxide, tasks: u64, wait: fn() -> F) -> Sample
where
    F: Future<Output = ()> + Send + 'static,
{
    rt.run(async move {
        let mut total = Cost::default();
        for _ in 0..ROUNDS {
            marks::reset_started();
            let mut span = None;
            nursery(async |n| {
                for i in 0..tasks {
                    n.spawn(started_then(wait, Ended(i)));
                }
                while marks::started() < tasks {
                    trioxide::sleep(LOOK_AGAIN).await;
                }
                span = Some(Span::start());
                n.cancel("the row's end");
            })
            .await;
            let span = span.expect("the body has run to its end");
            total = total + span.stop(tasks);
        }
        marks::assert_all_ran(tasks, ROUNDS);
        total.per_operation()
    })
}

fn cancel_tokio<F>(rt: &Tokio, tasks: u64, wait: fn() -> F) -> Sample
where
    F: Future<Output = ()> + Send + 'static,
{
    rt.run(async move {
        let mut total = Cost::default();
        for _ in 0..ROUNDS {
            marks::reset_started();
            let mut group = JoinSet::new();
            for i in 0..tasks {
                group.spawn(started_then(wait, Ended(i)));
            }
            while marks::started() < tasks {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            let span = Span::start();
            group.shutdown().await;
            total = total + span.stop(tasks);
        }
        marks::assert_all_ran(tasks, ROUNDS);
        total.per_operation()
    })
}

fn cancel_smol<F>(rt: &Smol, tasks: u64, wait: fn() -> F) -> Sample
where
    F: Future<Output = ()> + Send + 'static,
{
    let executor = rt.executor();
    rt.run(async move {
        let mut total = Cost::default();
        for _ in 0..ROUNDS {
            marks::reset_started();
            let spawn = |i| executor.spawn(started_then(wait, Ended(i)));
            let group: Vec<_> = (0..tasks).map(spawn).collect();
            while marks::started() < tasks {
                smol::Timer::after(LOOK_AGAIN).await;
            }
            let span = Span::start();
            // One after the other would wait for each before the next is told.
            join_all(group.into_iter().map(smol::Task::cancel)).await;
            total = total + span.stop(tasks);
        }
        marks::assert_all_ran(tasks, ROUNDS);
        total.per_operation()
    })
}

async fn started_then<F: Future<Output = ()>>(wait: fn() -> F, ended: Ended) {
    marks::start();
    wait().await;
    // Only a task that is dropped while it waits is to leave its mark.
    std::mem::forget(ended);
}

/// Leaves a mark when its task is dropped.
struct Ended(u64);

impl Drop for Ended {
    fn drop(&mut self) {
        marks::add(self.0, 1);
    }
}
