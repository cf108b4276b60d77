//! The one door of cancellation: it marks the node and all that is below, and wakes what is suspended there.
//!
//! ```text
//! cancel(node) ─▶ mark EFFECTIVE, down to shields ─▶ wake: the suspended tasks of each node,
//!                                                       the future that runs `node` itself,
//!                                                       and every guard holder on the way
//! ```
//!
//! What is woken polls, finds itself suspended in a cancelled scope, and is dropped there by the outermost one (see `scoped` and
//! the task's harness). The walk keeps its own stack, so depth costs no machine stack, and takes one node lock at a time.

use std::sync::Arc;
use std::time::Duration;

use super::node::flag::{CANCELLED, CUT_ON_STOP, EFFECTIVE, HOLDER, SHIELD, STOPPING};
use super::node::{Inner, Node, Relay};
use super::reason::{CancelReason, CancelSource};
use crate::primitives::MutexGuard;
use crate::primitives::atomic::Ordering::{AcqRel, Relaxed, SeqCst};
use crate::primitives::atomic::fence;
use crate::task;

/// Tasks woken per hold of a node's lock: tasks that end meanwhile must take it, too.
const WAKES_PER_LOCK: usize = 64;

impl Node {
    /// Cancels this node. Does nothing if it has been cancelled before: the first reason stays.
    pub(crate) fn cancel(self: &Arc<Self>, reason: CancelReason) {
        {
            let mut inner = self.inner.lock();
            if self.flags.load(Relaxed) & CANCELLED != 0 {
                return;
            }
            inner.reason = Some(reason);
            // Release pairs with the acquire in `is_effective`.
            if self.flags.fetch_or(CANCELLED | EFFECTIVE, AcqRel) & EFFECTIVE != 0 {
                return; // A wave from above has passed here already.
            }
        }
        self.spread();
        self.notify_owner();
    }

    /// Wakes everything below a node whose `EFFECTIVE` has just been set.
    fn spread(self: &Arc<Self>) {
        let mut todo = Vec::new();
        let mut relays = Vec::from_iter(self.relay());
        wake_tasks(self).collect(self, &mut todo);
        while let Some(node) = todo.pop() {
            let inner = node.inner.lock();
            let flags = node.flags.load(Relaxed);
            if flags & (EFFECTIVE | SHIELD) == 0 {
                node.flags.fetch_or(EFFECTIVE, AcqRel);
                drop(inner);
                relays.extend(node.relay());
                wake_tasks(&node).collect(&node, &mut todo);
            } else if flags & HOLDER == 0 {
                // Cancelled before; but the holders below owe an answer to this cancel, too.
                node.children(&inner, false, &mut todo);
                drop(inner);
            } else {
                drop(inner);
            }
            // Also a shield must show that it is still being polled. The fence pairs with that in `Node::hold`.
            fence(SeqCst);
            if node.is_holding() {
                node.notify_owner();
            }
        }
        relays.into_iter().for_each(|(relay, reason)| relay.cancelled(reason));
    }

    /// What is to be told that the node is effectively cancelled; read after it was marked.
    fn relay(&self) -> Option<(Arc<dyn Relay>, CancelReason)> {
        let relay = self.inner.lock().extra.as_ref()?.relay.clone()?;
        Some((relay, self.reason()))
    }

    /// The soft cancel: `until_stopping` below ends now; after `grace` the node is cancelled.
    pub(crate) fn stop(self: &Arc<Self>, grace: Duration) {
        let mut todo = vec![Arc::clone(self)];
        let mut cut = Vec::new();
        while let Some(node) = todo.pop() {
            let inner = node.inner.lock();
            let flags = node.flags.load(Relaxed);
            if flags & STOPPING != 0 || (flags & SHIELD != 0 && !Arc::ptr_eq(&node, self)) {
                continue;
            }
            node.flags.fetch_or(STOPPING, AcqRel);
            node.children(&inner, true, &mut todo);
            drop(inner);
            if flags & CUT_ON_STOP != 0 {
                cut.push(node);
            }
        }
        for node in cut {
            node.cancel(CancelReason::of(CancelSource::Stopped));
        }
        self.stop_after(grace);
    }
}

/// Wakes the suspended tasks of `node`; the lock is let go between batches and handed out at the end. Tasks are queued outside it (`watch` W2);
/// none joins meanwhile, because the node is cancelled (N3).
fn wake_tasks(node: &Arc<Node>) -> Woken<'_> {
    let mut due = Vec::new();
    loop {
        let mut inner = node.inner.lock();
        if inner.tasks.is_empty() {
            return Woken(inner);
        }
        for _ in 0..WAKES_PER_LOCK {
            let Some(task) = inner.tasks.front() else { break };
            due.extend(task::wake_and_unlink(&mut inner, task));
        }
        drop(inner);
        due.drain(..).for_each(task::Due::enqueue);
    }
}

struct Woken<'a>(MutexGuard<'a, Inner>);

impl Woken<'_> {
    fn collect(self, node: &Node, todo: &mut Vec<Arc<Node>>) {
        node.children(&self.0, true, todo);
    }
}
