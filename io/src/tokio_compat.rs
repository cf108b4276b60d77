//! For libraries that want to be in the context of a tokio runtime (feature `tokio-compat`): reqwest, tower's `Buffer`, sqlx's
//! `runtime-tokio`.
//!
//! Such a library panics outside of it: "there is no reactor running, must be called from the context of a Tokio 1.x runtime". So
//! there is a small tokio runtime beside ours, started when it is first asked for: one thread, which serves its timers, its sockets
//! and what is spawned there. [`with_tokio`] makes a future run in its context, on *our* workers; each of them enters that
//! context once, and stays in it.
//!
//! **What a library spawns on tokio escapes the nurseries.** Nobody waits for it, no scope cancels it, its errors and panics go
//! nowhere, and time there is real time, also under a mock clock. [`spawned`] says how many such tasks are alive. Where a library
//! needs tokio's I/O *traits* only, take the feature `tokio-io` instead, and nothing escapes.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll};
use std::thread_local;

use pin_project_lite::pin_project;
use tokio::runtime::{Builder, Handle, Runtime};
use trioxide_runtime::lowlevel;

use crate::opaque::opaque;

/// The context of the tokio runtime beside ours, for this future. A child that it spawns in a nursery needs its own.
///
/// ```
/// use trioxide_io::tokio_compat::with_tokio;
/// use trioxide_runtime::{nursery, run};
/// # run(async {
/// nursery(async |n| {
///     n.spawn(with_tokio(async {
///         assert_eq!(tokio::spawn(async { 6 * 7 }).await.unwrap(), 42); // it would panic without
///     }));
/// })
/// .await;
/// # });
/// ```
///
/// # Cancellation
/// That of the future. What it has spawned on tokio goes on.
///
/// # Panics
/// Those of the future; if the system starts no thread.
pub fn with_tokio<F: Future>(future: F) -> WithTokio<F> {
    WithTokio { future }
}

pin_project! {
    /// See [`with_tokio`].
    #[must_use = "futures do nothing unless awaited"]
    pub struct WithTokio<F> {
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for WithTokio<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        enter();
        self.project().future.poll(cx)
    }
}

/// Puts this thread into the context, for the rest of its life; as often as you like.
///
/// # Panics
/// If the system starts no thread.
pub fn enter() {
    thread_local!(static ENTERED: OnceLock<()> = const { OnceLock::new() });
    ENTERED.with(|entered| {
        // Never left: a guard that is dropped with the thread may find tokio's own context gone.
        entered.get_or_init(|| mem::forget(handle().enter()));
    });
}

/// How many tasks are alive on the runtime beside ours: those that have escaped. The [task tree](trioxide_runtime::task_tree) shows that number, too.
pub fn spawned() -> usize {
    handle().metrics().num_alive_tasks()
}

fn handle() -> &'static Handle {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let start = || {
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("trioxide-tokio").enable_all().build();
        // Asks this handle when it is there; a tree that is made before has nothing to tell.
        lowlevel::count_elsewhere("tokio", || RUNTIME.get().map_or(0, |runtime| runtime.metrics().num_alive_tasks()));
        runtime.expect("trioxide: no thread for the tokio runtime of `tokio_compat`")
    };
    RUNTIME.get_or_init(start).handle()
}

opaque!(WithTokio<F>);
