//! Guards: what must finish before a scope may drop what it wraps.
//!
//! A *holder* is a node whose future must be polled to its end: a nursery with live children, a clean-up, a shield, a call on the
//! thread pool. It counts one guard on each node above it, up to the next holder (which holds for both from there on) or else the
//! task's node. A cancelled node with guards goes on polling. Those are `HOLDER`s for good; a scope whose shield was switched on holds, too, but what
//! is below it goes on counting on the scopes above (see `shield`).
//!
//! A guard must never turn into a hang. So it counts only while its holder answers:
//! 1. A cancel wakes all holders below, by `Node::notify_owner`, which sets `WOKEN`; the poll of a holder clears it. From that poll on, every wake of the
//!    holder goes that way: its inside is polled with the holder's own node as the waker (`scoped`; `own_waker_if_asked` for nurseries and calls on the thread pool). Before, nobody asks, so the inside has the waker
//!    that the holder was polled with, and the holder need not even have a node before it stays suspended (`unmade`).
//! 2. When the cancelled scope that waits for guards has polled its inside, and nothing else of the task is due (`settle`), a
//!    holder that is still `WOKEN` was woken and not polled. It may be on its way (another thread has set the bit and not yet called
//!    the waker), so the scope wakes it itself, marks it `SUSPECT`, and has itself polled again.
//! 3. If it is still there the next `ROUNDS` times that nothing else is due, nobody polls it any more: it was forgotten, or a `select!` on
//!    `&mut` has left it. (Not in a row: a combinator may poll what was woken by the asking itself twice in one poll of the task, and the second time
//!    that looks due.) Its guard is taken from it, and it is dropped with the rest. Once is not enough: a thread that is about to wake it may stand
//!    in the waker of some combinator, which for as long as that lasts takes further wakes for done. While it came from here (`WAKING`), that is
//!    known, and the rounds begin anew; for what others do between the holder and the scope, each round gives up the core.
//! 4. A part of the task that wakes itself for ever (a loop of foreign yields) would keep 2 and 3 from ever coming. After `PATIENCE` polls with
//!    a silent holder the scope no longer waits for what is due.

use std::sync::Arc;
use std::task::{Context, Waker};

use super::node::Node;
use super::node::flag::{EFFECTIVE, HOLDER, HOLDING, SUSPECT, TASK_ROOT, WOKEN};
use crate::context;
use crate::primitives::atomic::Ordering::{AcqRel, Acquire, Relaxed, SeqCst};
use crate::primitives::atomic::fence;
use crate::primitives::thread;

/// A large `FuturesUnordered` polls a few of its futures at a time; a holder among so many that wake themselves has its turn before this.
const PATIENCE: u32 = 10_000;

/// How often a silent holder is asked, with nothing else due, before it is given up. In the models every order of threads is tried anyway.
const ROUNDS: u32 = if cfg!(loom) { 1 } else { 64 };

/// What a cancelled scope that still waits for guards is to do.
#[must_use]
#[derive(PartialEq, Eq)]
pub(crate) enum Settled {
    /// No guard is left: drop the inside.
    Free,
    /// Go on polling.
    Held,
}

impl Node {
    /// Begins to hold a guard on every scope above, up to the next holder. The caller has answered (`owner` O1), and looks at what it waits for
    /// afterwards.
    pub(crate) fn hold(&self) {
        if !self.is_holding() && self.begin_hold() {
            self.answer_cancel();
        }
    }

    /// For a holder that is about to poll its inside, and keeps no waker for that: itself, if something above is cancelled and so may ask (1.). The caller has answered, or does so first.
    pub(crate) fn own_waker_if_asked(self: &Arc<Self>) -> Option<Waker> {
        context::is_cancelled().then(|| Waker::from(Arc::clone(self)))
    }

    /// The counting part. For a node that is no `HOLDER`, under its lock.
    pub(super) fn begin_hold(&self) -> bool {
        if self.is_holding() {
            return false;
        }
        let begins = self.flags.fetch_or(HOLDING, AcqRel) & HOLDING == 0;
        if begins {
            self.above(|node| {
                node.guards.fetch_add(1, AcqRel);
            });
        }
        begins
    }

    /// A cancel that came just before has not seen this holder: it owes an answer all the same. Pairs with the fence in `Node::spread`: either
    /// the cancel sees `HOLDING`, or we see `EFFECTIVE`.
    pub(super) fn answer_cancel(&self) {
        fence(SeqCst);
        if self.parent().is_some_and(|parent| parent.is_effective()) {
            self.notify_owner();
        }
    }

    /// Lets go. A cancelled scope whose last guard this was is woken.
    pub(crate) fn let_go(&self) {
        if !self.is_holding() {
            return;
        }
        let freed = if self.flags.load(Relaxed) & HOLDER != 0 {
            self.release()
        } else {
            let _inner = self.inner.lock(); // See `shield`.
            self.release()
        };
        freed.iter().for_each(|scope| scope.notify_owner());
    }

    /// The counting part: the cancelled scopes that are free now. For a node that is no `HOLDER`, under its lock.
    pub(super) fn release(&self) -> Vec<Arc<Node>> {
        let mut freed = Vec::new();
        if self.clear(HOLDING) {
            self.above(|node| {
                // Acquire and release: the scope that finds zero drops what the holder was using.
                if node.guards.fetch_sub(1, AcqRel) == 1 && node.flags.load(Acquire) & EFFECTIVE != 0 {
                    freed.push(Arc::clone(node));
                }
            });
        }
        freed
    }

    fn above(&self, mut visit: impl FnMut(&Arc<Node>)) {
        let mut node = self;
        while let Some(parent) = node.parent() {
            visit(parent);
            if parent.flags.load(Relaxed) & (HOLDER | TASK_ROOT) != 0 {
                return;
            }
            node = parent;
        }
    }

    /// Nobody polls this holder any more: it is dropped, or was forgotten. So is what it holds for, and its shield has nobody to shield.
    fn give_up(self: &Arc<Self>) {
        let mut todo = vec![Arc::clone(self)];
        while let Some(node) = todo.pop() {
            node.children(&node.inner.lock(), false, &mut todo);
            node.let_go();
            node.set_shield(false);
        }
    }

    /// Called by a cancelled node after a poll of its inside that ended in `Pending`. `due`: some other part of the task
    /// has been woken and will be polled yet.
    pub(crate) fn settle(&self, due: bool, cx: &Context<'_>) -> Settled {
        if self.guards.load(Acquire) == 0 {
            return Settled::Free;
        }
        let mut silent = Vec::new();
        self.holders(|holder| {
            if holder.has(WOKEN) {
                silent.push(holder);
            }
        });
        // Relaxed: only the task that polls this node counts.
        let waited = if silent.is_empty() { 0 } else { self.waited.load(Relaxed).saturating_add(1) };
        self.waited.store(waited, Relaxed);
        let due = due && waited < PATIENCE;
        let asked = !silent.is_empty();
        if !due {
            let being_woken = silent.iter().any(|holder| holder.is_being_woken());
            let again = silent.iter().filter(|holder| holder.ask(being_woken)).count();
            if being_woken || again != 0 {
                thread::yield_now();
            }
        }
        if asked {
            // A holder is polled only if its node says that it was woken (1.).
            if self.is_holding() {
                self.notify_owner();
            } else {
                cx.waker().wake_by_ref();
            }
        }
        // A read-modify-write: if it still counts a guard, then whoever lets go of that sees that this node is cancelled, and wakes it.
        if self.guards.fetch_add(0, AcqRel) == 0 { Settled::Free } else { Settled::Held }
    }

    /// Asks this silent holder to show itself; or gives it up, if it was asked often enough. `anew`: what it was asked before does not count. Whether it
    /// was asked before, and will be again.
    fn ask(self: &Arc<Self>, anew: bool) -> bool {
        // Relaxed: only the task that polls this node counts, and clears it (`answer`).
        let rounds = if anew { 0 } else { self.rounds.load(Relaxed) };
        self.rounds.store(rounds + 1, Relaxed);
        if rounds < ROUNDS || !self.has(SUSPECT) {
            self.set(SUSPECT);
            self.wake_owner();
            return rounds != 0;
        }
        self.give_up();
        false
    }

    /// Visits the nearest holders below, of the same task.
    fn holders(&self, mut visit: impl FnMut(Arc<Node>)) {
        let mut todo = Vec::new();
        self.children(&self.inner.lock(), false, &mut todo);
        while let Some(node) = todo.pop() {
            if node.is_holding() {
                visit(node);
            } else {
                node.children(&node.inner.lock(), false, &mut todo);
            }
        }
    }
}
