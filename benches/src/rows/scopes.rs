//! What structure costs when nothing goes wrong: scopes that nobody cancels, deadlines that are not reached, clean-ups, small nurseries.
//!
//! tokio has no scopes. Beside them stand a `CancellationToken` (a child of another one, as a scope hangs below another one) with
//! `run_until_cancelled`, `timeout`, and `JoinSet`; beside smol's the same by hand, with `or` and a channel that is closed to cancel. Around what is ready at once `or` never looks at
//! the channel, nor at a timer: there is nothing of smol to time then, so it is not in those rows. A group that may be handed to others, who spawn into it, is an `Executor` there.

use std::future::{Future, ready};
use std::hint::black_box;
use std::time::Duration;

use smol::future::or;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use trioxide::{CancelScope, fail_after, finally, nursery};

use super::{Group, Metric, Rewake, Row, Scale};
use crate::marks;
use crate::measure::{Sample, Span};

/// Runs `$one` again and again, in a task of its own, as that is where such code stands. Each time leaves a mark.
macro_rules! on_trioxide {
    ($one:expr) => {
        |rt, scale| {
            let times = times(scale);
            rt.run(async move {
                let span = Span::start();
                nursery(async |n: Group| {
                    n.spawn(async move {
                        for _ in 0..times {
                            $one;
                            marks::add(0, 1);
                        }
                    });
                })
                .await;
                ended(span, times)
            })
        }
    };
}

/// As above; `$token` is the token above those of the row.
macro_rules! on_tokio {
    (|$token:ident| $one:expr) => {
        |rt, scale| {
            let times = times(scale);
            rt.run(async move {
                let span = Span::start();
                let repeated = tokio::spawn(async move {
                    let $token = &CancellationToken::new();
                    for _ in 0..times {
                        $one;
                        marks::add(0, 1);
                    }
                });
                repeated.await.expect("the task panicked");
                ended(span, times)
            })
        }
    };
}

/// As above; `$stop` is the end of a channel that nobody closes.
macro_rules! on_smol {
    (|$executor:ident, $stop:ident| $one:expr) => {
        |rt, scale| {
            let times = times(scale);
            let $executor = rt.executor();
            rt.run(async move {
                let span = Span::start();
                let repeated = $executor.spawn(async move {
                    let (_open, $stop) = &async_channel::bounded::<()>(1);
                    for _ in 0..times {
                        $one;
                        marks::add(0, 1);
                    }
                });
                repeated.await;
                ended(span, times)
            })
        }
    };
}

pub(super) const SCOPE_READY: Row = Row {
    name: "scope_ready",
    about: "one task, 100,000 times: a scope that nobody cancels around what is ready (tokio: a child token)",
    metrics: METRICS,
    own_process: false,
    needs: None,
    trioxide: on_trioxide!(scope(ready(())).await),
    tokio: Some(on_tokio!(|token| until_cancelled(token, ready(())).await)),
    smol: None,
    libraries: &[],
};

pub(super) const SCOPE_WAKE: Row = Row {
    name: "scope_wake",
    about: "the same around what is ready after one wake",
    metrics: METRICS,
    own_process: false,
    needs: None,
    trioxide: on_trioxide!(scope(Rewake::default()).await),
    tokio: Some(on_tokio!(|token| until_cancelled(token, Rewake::default()).await)),
    smol: Some(on_smol!(|executor, stop| unless_closed(stop, Rewake::default()).await)),
    libraries: &[],
};

pub(super) const DEADLINE_READY: Row = Row {
    name: "deadline_ready",
    about: "one task, 100,000 times: a time-out of 5 s around what is ready (after one wake: timeout_seq)",
    metrics: METRICS,
    own_process: false,
    needs: None,
    trioxide: on_trioxide!(fail_after(LIMIT, ready(())).await.expect("ready at once")),
    tokio: Some(on_tokio!(|_token| tokio::time::timeout(LIMIT, ready(())).await.expect("ready at once"))),
    smol: None,
    libraries: &[],
};

pub(super) const FINALLY: Row = Row {
    name: "finally",
    about: "one task, 100,000 times: a body that wakes once, then a clean-up that does (tokio: a child token round the body)",
    metrics: METRICS,
    own_process: false,
    needs: None,
    trioxide: on_trioxide!(finally(Rewake::default(), Rewake::default()).await),
    tokio: Some(on_tokio!(|token| {
        until_cancelled(token, Rewake::default()).await;
        Rewake::default().await;
    })),
    smol: Some(on_smol!(|executor, stop| {
        unless_closed(stop, Rewake::default()).await;
        Rewake::default().await;
    })),
    libraries: &[],
};

pub(super) const NURSERY_EMPTY: Row = Row {
    name: "nursery_empty",
    about: "one task, 100,000 times: a nursery without a child (tokio: a JoinSet; smol: an Executor)",
    metrics: METRICS,
    own_process: false,
    needs: None,
    trioxide: on_trioxide!(nursery(async |_: Group| ()).await),
    tokio: Some(on_tokio!(|_token| {
        let mut group = black_box(JoinSet::<()>::new());
        while group.join_next().await.is_some() {}
    })),
    smol: Some(on_smol!(|executor, _stop| {
        let group = black_box(smol::Executor::new());
        group.run(ready(())).await;
    })),
    libraries: &[],
};

pub(super) const NURSERY_ONE: Row = Row {
    name: "nursery_one",
    about: "the same with one child, joined",
    metrics: METRICS,
    own_process: false,
    needs: None,
    trioxide: on_trioxide!({
        nursery(async |n: Group| {
            n.spawn(ready(()));
        })
        .await;
    }),
    tokio: Some(on_tokio!(|_token| {
        let mut group = JoinSet::new();
        group.spawn(ready(()));
        while group.join_next().await.is_some() {}
    })),
    smol: Some(on_smol!(|executor, _stop| executor.spawn(ready(())).await)),
    libraries: &[],
};

const METRICS: &[Metric] = &[Metric::main("ns")];

const LIMIT: Duration = Duration::from_secs(5);

fn times(scale: Scale) -> u64 {
    scale.of(100_000, 20_000)
}

fn ended(span: Span, times: u64) -> Sample {
    let cost = span.stop(times);
    marks::assert_all_ran(1, times);
    cost.per_operation()
}

async fn scope(work: impl Future<Output = ()>) {
    CancelScope::new().run(work).await.expect("nobody cancels it");
}

async fn until_cancelled(parent: &CancellationToken, work: impl Future<Output = ()>) {
    parent.child_token().run_until_cancelled(work).await.expect("nobody cancels it");
}

async fn unless_closed(stop: &async_channel::Receiver<()>, work: impl Future<Output = ()>) {
    let done = async {
        work.await;
        true
    };
    let stopped = async {
        let _ = stop.recv().await;
        false
    };
    assert!(or(done, stopped).await, "nobody cancels it");
}
