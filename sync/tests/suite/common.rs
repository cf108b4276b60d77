//! What the tests of all waits have in common.
#![allow(dead_code, reason = "each test file uses its part")]

use futures_util::future::join;
use futures_util::poll;
use std::future::Future;
use std::time::Duration;
use trioxide_runtime::CancelScope;
use trioxide_testing::wait_all_tasks_blocked;

/// One worker, two, and more than there are cores.
pub(crate) const WORKERS: &[usize] = &[1, 2, 8];

/// The same, by the name that the tests of conformance use.
pub(crate) const ALL: &[usize] = WORKERS;

/// All others have come as far as they can: each waits or has ended.
pub(crate) async fn all_wait() {
    wait_all_tasks_blocked(Duration::ZERO).await;
}

/// Polls `wait` once, cancels the scope round it, and lets the scope drop it. `wait` must be pending.
pub(crate) async fn cancel_while_waiting(wait: impl Future) {
    let scope = CancelScope::new();
    let handle = scope.handle();
    let cancel = async {
        handle.cancel("the test wants it");
    };
    assert!(scope.run(join(wait, cancel)).await.is_err());
}

/// Polls `wait` once, does `meanwhile`, and drops it unpolled. `wait` must be pending.
///
/// (A scope would not do: what was completed before its cancel it delivers.)
pub(crate) async fn drop_after(wait: impl Future, meanwhile: impl FnOnce()) {
    let mut wait = Box::pin(wait);
    assert!(poll!(wait.as_mut()).is_pending());
    meanwhile();
    drop(wait);
}

/// Polls `wait` for the first time in a scope that is cancelled already.
pub(crate) async fn begin_in_cancelled_scope(wait: impl Future) {
    let scope = CancelScope::new();
    scope.handle().cancel("the test wants it");
    assert!(scope.run(wait).await.is_err());
}
