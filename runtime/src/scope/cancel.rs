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
//!
//! The same walk takes `EFFECTIVE` back when a shield is switched on (`shield`). Each step lets a node `follow` its parent, so walks that
//! meet do not contradict each other (`node` N2). A cancel that returns has come to everything below, also if another one was under way: it
//! goes the whole way itself unless one has come to its end (`REACHED`).

use std::sync::Arc;

use super::node::flag::{CANCELLED, EFFECTIVE, HOLDER, REACHED, SHIELD, TASK_ROOT};
use super::node::{Node, Relay};
use super::reason::CancelReason;
use super::shield;
use crate::list::List;
use crate::primitives::atomic::Ordering::{AcqRel, Acquire, Relaxed, SeqCst};
use crate::primitives::atomic::fence;
use crate::task::{self, Due, Header};

/// Tasks woken per hold of a node's lock: tasks that end meanwhile must take it, too.
const WAKES_PER_LOCK: usize = 64;

impl Node {
    /// Cancels this node. The first reason stays; if the node was cancelled through its surroundings, that is theirs.
    pub(crate) fn cancel(self: &Arc<Self>, reason: CancelReason) {
        if self.flags.load(Acquire) & REACHED != 0 {
            return;
        }
        self.mark(reason);
        self.spread();
        self.set(REACHED);
        self.notify_owner();
    }

    /// As `cancel`, for those whom it is the same whether another cancel that is under way has come to everything. A hundred thousand children that
    /// fail at once must not walk over each other.
    pub(crate) fn cancel_once(self: &Arc<Self>, reason: impl FnOnce() -> CancelReason) {
        if self.flags.load(Acquire) & CANCELLED == 0 {
            self.cancel(reason());
        }
    }

    fn mark(&self, reason: CancelReason) {
        let above = self.parent().filter(|_| self.is_effective()).map(|parent| parent.reason());
        let mut inner = self.inner.lock();
        if self.flags.load(Relaxed) & CANCELLED == 0 {
            inner.reason = Some(above.unwrap_or(reason));
            // Release pairs with the acquire in `is_effective`.
            self.flags.fetch_or(CANCELLED | EFFECTIVE, AcqRel);
        }
    }

    /// Takes over from the parent whether the node is effectively cancelled. Before and after.
    pub(super) fn follow(&self) -> (bool, bool) {
        let _inner = self.inner.lock();
        let flags = self.flags.load(Relaxed);
        let above = || self.parent().is_some_and(|parent| parent.is_effective());
        let effective = flags & CANCELLED != 0 || (flags & SHIELD == 0 && above());
        let before = flags & EFFECTIVE != 0;
        if effective && !before {
            // Release pairs with the acquire in `is_effective`.
            self.flags.fetch_or(EFFECTIVE, AcqRel);
        } else if before && !effective {
            self.flags.fetch_and(!EFFECTIVE, AcqRel);
            shield::note_unmarked();
        }
        (before, effective)
    }

    /// Lets everything below follow, and wakes it: after `EFFECTIVE` of this node has changed.
    pub(super) fn spread(self: &Arc<Self>) {
        let cancelling = self.is_effective();
        let (mut todo, mut relays) = (Vec::new(), Vec::new());
        if cancelling {
            wake_tasks(self, &mut todo, &mut relays);
        } else {
            self.ask_again(&mut todo);
        }
        while let Some(node) = todo.pop() {
            let flags = node.flags.load(Relaxed);
            match node.follow() {
                (before, true) => {
                    if cancelling || !before {
                        wake_tasks(&node, &mut todo, &mut relays);
                        if flags & TASK_ROOT != 0 {
                            // It may have looked at its base, found guards, and lost them before this mark.
                            node.wake_owner();
                        }
                    } else {
                        // Cancelled itself: it had left its inside to a scope around, from which it is shielded now, and is the outermost.
                        node.notify_owner();
                    }
                }
                (true, false) => {
                    node.ask_again(&mut todo);
                    // What was cut in there has no value to give, and says so (`shield`).
                    if flags & (HOLDER | TASK_ROOT) != 0 {
                        node.notify_owner();
                    }
                }
                (false, false) => {}
            }
            // Also a shield must show that it is still being polled. The fence pairs with that in `Node::hold`.
            fence(SeqCst);
            if node.is_holding() && node.mark_woken() {
                node.wake_owner();
            }
        }
        relays.into_iter().for_each(|(relay, node)| relay.cancelled(node.reason()));
    }
}

/// Wakes the suspended tasks of `node`, and notes what else there is below. Its locks are let go between batches; tasks are queued outside them (`watch` W2).
/// None joins meanwhile, because the node is cancelled (N3).
fn wake_tasks(node: &Arc<Node>, todo: &mut Vec<Arc<Node>>, relays: &mut Vec<(Arc<dyn Relay>, Arc<Node>)>) {
    let mut due = Vec::new();
    loop {
        let mut inner = node.inner.lock();
        if inner.tasks.is_empty() {
            node.children(&inner, true, todo);
            if let Some(relay) = inner.extra.as_ref().and_then(|extra| extra.relay.clone()) {
                relays.push((relay, Arc::clone(node)));
            }
            break;
        }
        wake_some(&mut inner.tasks, &mut due);
        drop(inner);
        task::enqueue_all(&mut due);
    }
    // After the node's lock was held: see `suspended`.
    for shard in node.shards.all() {
        loop {
            let mut tasks = shard.lock();
            if tasks.is_empty() {
                break;
            }
            wake_some(&mut tasks, &mut due);
            drop(tasks);
            task::enqueue_all(&mut due);
        }
    }
}

/// Wakes a batch of suspended tasks of a node that is being cancelled.
fn wake_some(tasks: &mut List<Header>, due: &mut Vec<Due>) {
    for _ in 0..WAKES_PER_LOCK {
        let Some(task) = tasks.front() else { break };
        due.extend(task::wake_and_unlink(tasks, task));
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::ptr::NonNull;
    use std::sync::Barrier;

    use super::super::node::Place;
    use super::super::reason::CancelSource;
    use super::*;
    use crate::task::TaskId;

    fn below(parent: Option<&Arc<Node>>) -> Arc<Node> {
        // Nobody follows the pointers: no task registers here, and no timer is armed.
        let parent = parent.cloned();
        Node::attached(
            0,
            Place {
                parent,
                runtime: NonNull::dangling(),
                task: NonNull::dangling(),
                task_id: TaskId(0),
                operation: "test",
            },
        )
    }

    #[test]
    fn a_cancel_that_returns_has_reached_everything_below_also_if_another_one_is_under_way() {
        for _ in 0..20 {
            let root = below(None);
            let all: Vec<_> = (0..300).map(|_| below(Some(&below(Some(&root))))).collect();
            let start = Barrier::new(3);
            std::thread::scope(|threads| {
                for _ in 0..3 {
                    threads.spawn(|| {
                        start.wait();
                        root.cancel(CancelReason::of(CancelSource::Explicit));
                        assert!(all.iter().all(|node| node.is_effective()));
                    });
                }
            });
        }
    }
}
