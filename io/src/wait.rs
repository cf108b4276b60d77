//! Small things to wait for.

use std::future::poll_fn;

use trioxide_runtime::lowlevel;

/// The first thing that an operation does: see [`lowlevel::poll_checkpoint`].
pub(crate) async fn checkpoint(operation: &'static str) {
    poll_fn(|cx| lowlevel::poll_checkpoint(cx, operation)).await;
}
