//! The programs whose costs are looked at, on trioxide.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::hint::black_box;
use std::pin::Pin;
use std::time::Duration;

use trioxide::{CancelScope, checkpoint, move_on_after, nursery, sleep};

use crate::contenders::Trioxide;
use crate::marks;
use crate::measure::{Cost, Span};
use crate::rows::{ROWS, Scale};

/// What an operation costs, by the size of the whole.
#[derive(Debug)]
pub struct Curve {
    /// Its name, as `--only` knows it.
    pub name: &'static str,
    /// What one operation is.
    pub about: &'static str,
    /// The plot in which it is drawn: what grows.
    pub along: &'static str,
    /// The sizes.
    pub sizes: &'static [u64],
    /// One repetition with so many workers, of such a size.
    pub run: fn(usize, u64) -> Cost,
}

const TASKS: &[u64] = &[100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000];
const TIMERS: &[u64] = &[100, 1_000, 10_000, 100_000, 1_000_000];
const DEPTHS: &[u64] = &[1, 3, 10, 30, 100, 300, 1_000];
const WORKERS: &[u64] = &[1, 2, 4, 8, 16, 32, 64];

/// All of them.
pub static CURVES: &[Curve] = &[
    Curve {
        name: "tasks_join",
        about: "a task, spawned into one nursery and joined",
        along: "tasks",
        sizes: TASKS,
        run: |workers, tasks| {
            on(workers, async move {
                let span = Span::start();
                nursery(async |n| {
                    for i in 0..tasks {
                        n.spawn(async move { _ = black_box(i) });
                    }
                })
                .await;
                span.stop(tasks)
            })
        },
    },
    Curve {
        name: "tasks_cancel",
        about: "a suspended task of one nursery, cancelled and joined",
        along: "tasks",
        sizes: TASKS,
        run: |workers, tasks| on(workers, cancelled(tasks, pending)),
    },
    Curve {
        name: "depth_open",
        about: "a nursery in a task in a nursery in a task …, opened and joined",
        along: "nursery depth",
        sizes: DEPTHS,
        run: |workers, depth| {
            on(workers, async move {
                let span = Span::start();
                nest(depth, false).await;
                span.stop(depth)
            })
        },
    },
    Curve {
        name: "depth_cancel",
        about: "the same, cancelled from the outermost when the innermost is suspended",
        along: "nursery depth",
        sizes: DEPTHS,
        run: |workers, depth| {
            on(workers, async move {
                marks::reset_started();
                let scope = CancelScope::new();
                let handle = scope.handle();
                let mut span = None;
                nursery(async |n: trioxide::Nursery<Infallible>| {
                    n.spawn(async move { drop(scope.run(nest(depth, true)).await) });
                    while marks::started() == 0 {
                        sleep(Duration::from_millis(1)).await;
                    }
                    span = Some(Span::start());
                    handle.cancel("the curve's point");
                })
                .await;
                span.expect("the body has run to its end").stop(depth)
            })
        },
    },
    Curve {
        name: "scopes_enter",
        about: "a scope within the others of one task, entered and left",
        along: "scopes of a task",
        sizes: DEPTHS,
        run: |workers, scopes| {
            on_task(workers, move || async move {
                let span = Span::start();
                within(scopes, 0).await;
                span.stop(scopes)
            })
        },
    },
    Curve {
        name: "scopes_wake",
        about: "a wake of a task through all its scopes, per scope",
        along: "scopes of a task",
        sizes: DEPTHS,
        run: |workers, scopes| {
            const WAKES: u64 = 100;
            on_task(workers, move || async move {
                let span = Span::start();
                within(scopes, WAKES).await;
                span.stop(scopes * WAKES)
            })
        },
    },
    Curve {
        name: "timers_cancel",
        about: "a task asleep for an hour, cancelled and joined",
        along: "timers",
        sizes: TIMERS,
        run: |workers, timers| on(workers, cancelled(timers, || sleep(Duration::from_secs(3600)))),
    },
    Curve {
        name: "timers_timeout",
        about: "a time-out around one wake, while so many tasks sleep",
        along: "timers",
        sizes: TIMERS,
        run: |workers, timers| {
            const TIMES: u64 = 10_000;
            on(workers, async move {
                marks::reset_started();
                let mut cost = Cost::default();
                nursery(async |n: trioxide::Nursery<Infallible>| {
                    for _ in 0..timers {
                        n.spawn(async {
                            marks::start();
                            sleep(Duration::from_secs(3600)).await;
                        });
                    }
                    while marks::started() < timers {
                        sleep(Duration::from_millis(1)).await;
                    }
                    let task = n.spawn(async {
                        let span = Span::start();
                        for _ in 0..TIMES {
                            move_on_after(Duration::from_secs(5), checkpoint()).await;
                        }
                        Ok::<_, Infallible>(span.stop(TIMES))
                    });
                    cost = task.await.expect("nobody cancels it");
                    n.cancel("the curve's point");
                })
                .await;
                cost
            })
        },
    },
    Curve {
        name: "workers_spawn",
        about: "the row spawn_join, with so many workers",
        along: "workers",
        sizes: WORKERS,
        run: |_, workers| row("spawn_join", workers),
    },
    Curve {
        name: "workers_yield",
        about: "the row yield_many, with so many workers",
        along: "workers",
        sizes: WORKERS,
        run: |_, workers| row("yield_many", workers),
    },
    Curve {
        name: "workers_pairs",
        about: "the row ping_pong, with so many workers",
        along: "workers",
        sizes: WORKERS,
        run: |_, workers| row("ping_pong", workers),
    },
    Curve {
        name: "workers_fork",
        about: "the row fork_join_scope, with so many workers",
        along: "workers",
        sizes: WORKERS,
        run: |_, workers| row("fork_join_scope", workers),
    },
];

fn row(name: &str, workers: u64) -> Cost {
    let row = ROWS.iter().find(|row| row.name == name).expect("the row is there");
    (row.trioxide)(&runtime(workers as usize), Scale::Quick).cost
}

fn runtime(workers: usize) -> Trioxide {
    Trioxide::new(workers).expect("the runtime can be built")
}

fn on<F: Future>(workers: usize, body: F) -> F::Output {
    runtime(workers).run(body)
}

/// The body as a task, as that is where scopes stand.
fn on_task<F>(workers: usize, body: impl FnOnce() -> F) -> Cost
where
    F: Future<Output = Cost> + Send + 'static,
{
    let body = body();
    on(workers, async move {
        let mut cost = Cost::default();
        nursery(async |n: trioxide::Nursery<Infallible>| {
            let task = n.spawn(async move { Ok::<_, Infallible>(body.await) });
            cost = task.await.expect("nobody cancels it");
        })
        .await;
        cost
    })
}

/// Tasks of one nursery that wait; the cancelling is timed.
async fn cancelled<F>(tasks: u64, wait: fn() -> F) -> Cost
where
    F: Future<Output = ()> + Send + 'static,
{
    marks::reset_started();
    let mut span = None;
    nursery(async |n| {
        for _ in 0..tasks {
            n.spawn(async move {
                marks::start();
                wait().await;
            });
        }
        while marks::started() < tasks {
            sleep(Duration::from_millis(1)).await;
        }
        span = Some(Span::start());
        n.cancel("the curve's point");
    })
    .await;
    span.expect("the body has run to its end").stop(tasks)
}

/// Nurseries in each other's tasks; the innermost task waits for ever, or ends.
fn nest(depth: u64, wait: bool) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        if depth == 0 {
            marks::start();
            if wait {
                pending::<()>().await;
            }
            return;
        }
        nursery(async |n| {
            n.spawn(nest(depth - 1, wait));
        })
        .await;
    })
}

/// Scopes in each other, in one task, the innermost around so many yields.
fn within(scopes: u64, yields: u64) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        if scopes == 0 {
            for _ in 0..yields {
                checkpoint().await;
            }
            return;
        }
        CancelScope::new().run(within(scopes - 1, yields)).await.expect("nobody cancels it");
    })
}
