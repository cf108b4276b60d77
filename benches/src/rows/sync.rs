//! What the rows of one primitive share: two runtimes that do the same work, and how a row is put together.
//!
//! Such a row asks what a primitive costs, and not a runtime. So its work is written once, over a trait with what the row does with the primitive, and that trait is
//! implemented for each library that has it. All run on trioxide's runtime; tokio's primitives on tokio's, too.
//!
//! The names of the rows say who takes part: `alone`: one task, so nobody ever waits; `1_1`, `n_1`, `n_n`: so many senders and so many receivers, where `n` is [`MANY`];
//! `contended`: [`MANY`] tasks that wait only if two of them meet; `held`: the same, and each suspends once while it has what the others want.

use std::future::Future;

use trioxide::nursery;

use super::{Metric, OnTrioxide, Row, Scale};
use crate::contenders::{Contender, Tokio, Trioxide};
use crate::measure::{Cost, Sample, Span};

/// How many tasks are many.
pub(super) const MANY: u64 = 8;

/// One repetition on tokio's runtime.
pub(super) type OnTokio = fn(&Tokio, Scale) -> Sample;

/// A row of one primitive.
pub(super) const fn row(
    name: &'static str,
    about: &'static str,
    metrics: &'static [Metric],
    trioxide: OnTrioxide,
    tokio: Option<OnTokio>,
    libraries: &'static [(Contender, OnTrioxide)],
) -> Row {
    assert!(!libraries.is_empty() && metrics.len() == 1);
    Row { name, about, metrics, own_process: false, needs: None, trioxide, tokio, smol: None, libraries }
}

/// Where a row of one primitive runs.
pub(super) trait Host {
    /// What `operations` operations cost: from before `prepare` is called until all tasks that it returns, of two kinds, have run to their ends. The first of the second kind
    /// is spawned first.
    fn time<A, B>(&self, operations: u64, prepare: impl FnOnce() -> (Vec<A>, Vec<B>) + Send + 'static) -> Cost
    where
        A: Future<Output = ()> + Send + 'static,
        B: Future<Output = ()> + Send + 'static;

    /// The same with tasks of one kind.
    fn time_all<A>(&self, operations: u64, prepare: impl FnOnce() -> Vec<A> + Send + 'static) -> Cost
    where
        A: Future<Output = ()> + Send + 'static,
    {
        self.time(operations, || (prepare(), Vec::<std::future::Ready<()>>::new()))
    }
}

impl Host for Trioxide {
    fn time<A, B>(&self, operations: u64, prepare: impl FnOnce() -> (Vec<A>, Vec<B>) + Send + 'static) -> Cost
    where
        A: Future<Output = ()> + Send + 'static,
        B: Future<Output = ()> + Send + 'static,
    {
        self.run(async move {
            let span = Span::start();
            nursery(async |n| {
                let (first, second) = prepare();
                second.into_iter().for_each(|task| drop(n.spawn(task)));
                first.into_iter().for_each(|task| drop(n.spawn(task)));
            })
            .await;
            span.stop(operations)
        })
    }
}

impl Host for Tokio {
    fn time<A, B>(&self, operations: u64, prepare: impl FnOnce() -> (Vec<A>, Vec<B>) + Send + 'static) -> Cost
    where
        A: Future<Output = ()> + Send + 'static,
        B: Future<Output = ()> + Send + 'static,
    {
        self.run(async move {
            let span = Span::start();
            let (first, second) = prepare();
            let mut group: Vec<_> = second.into_iter().map(tokio::spawn).collect();
            group.extend(first.into_iter().map(tokio::spawn));
            for task in group {
                task.await.expect("a task panicked");
            }
            span.stop(operations)
        })
    }
}

/// The sum of all numbers below `end`.
pub(super) fn sum_below(end: u64) -> u64 {
    (0..end).sum()
}
