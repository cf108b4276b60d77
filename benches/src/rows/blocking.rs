//! The thread pool for blocking calls.

use std::convert::Infallible;
use std::hint::black_box;

use trioxide::{blocking, nursery};

use super::{Metric, Row};
use crate::measure::Span;

pub(super) const BLOCKING_SEQ: Row = Row {
    name: "blocking_seq",
    about: "10,000 no-ops on the thread pool, one after another",
    metrics: &[Metric::main("ns/call")],
    own_process: false,
    needs: None,
    trioxide: |rt, scale| {
        let calls = scale.of(10_000, 1_000);
        rt.run(async move {
            let span = Span::start();
            let mut sum = 0;
            for i in 0..calls {
                sum += blocking(move || black_box(i)).await;
            }
            let cost = span.stop(calls);
            assert_eq!(sum, calls * (calls - 1) / 2);
            cost.per_operation()
        })
    },
    tokio: Some(|rt, scale| {
        let calls = scale.of(10_000, 1_000);
        rt.run(async move {
            let span = Span::start();
            let mut sum = 0;
            for i in 0..calls {
                sum += tokio::task::spawn_blocking(move || black_box(i)).await.expect("no panic here");
            }
            let cost = span.stop(calls);
            assert_eq!(sum, calls * (calls - 1) / 2);
            cost.per_operation()
        })
    }),
    smol: Some(|rt, scale| {
        let calls = scale.of(10_000, 1_000);
        rt.run(async move {
            let span = Span::start();
            let mut sum = 0;
            for i in 0..calls {
                sum += smol::unblock(move || black_box(i)).await;
            }
            let cost = span.stop(calls);
            assert_eq!(sum, calls * (calls - 1) / 2);
            cost.per_operation()
        })
    }),
    libraries: &[],
};

pub(super) const BLOCKING_BATCH: Row = Row {
    name: "blocking_batch",
    about: "10,000 at once (trioxide: each awaited by a child; tokio, smol: handles of the pool)",
    metrics: &[Metric::main("ns/call")],
    own_process: false,
    needs: None,
    trioxide: |rt, scale| {
        let calls = scale.of(10_000, 1_000);
        rt.run(async move {
            let span = Span::start();
            let mut sum = 0;
            nursery(async |n| {
                let mut handles = Vec::new();
                for i in 0..calls {
                    handles.push(n.spawn(async move { Ok::<_, Infallible>(blocking(move || black_box(i)).await) }));
                }
                for handle in handles {
                    sum += handle.await.expect("nobody cancels here");
                }
            })
            .await;
            let cost = span.stop(calls);
            assert_eq!(sum, calls * (calls - 1) / 2);
            cost.per_operation()
        })
    },
    tokio: Some(|rt, scale| {
        let calls = scale.of(10_000, 1_000);
        rt.run(async move {
            let span = Span::start();
            let mut sum = 0;
            let handles: Vec<_> = (0..calls).map(|i| tokio::task::spawn_blocking(move || black_box(i))).collect();
            for handle in handles {
                sum += handle.await.expect("no panic here");
            }
            let cost = span.stop(calls);
            assert_eq!(sum, calls * (calls - 1) / 2);
            cost.per_operation()
        })
    }),
    smol: Some(|rt, scale| {
        let calls = scale.of(10_000, 1_000);
        rt.run(async move {
            let span = Span::start();
            let mut sum = 0;
            let handles: Vec<_> = (0..calls).map(|i| smol::unblock(move || black_box(i))).collect();
            for handle in handles {
                sum += handle.await;
            }
            let cost = span.stop(calls);
            assert_eq!(sum, calls * (calls - 1) / 2);
            cost.per_operation()
        })
    }),
    libraries: &[],
};
