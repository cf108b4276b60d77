//! `join!`, `try_join!` and `race!`: several futures in one task, each in a scope of its own.
//!
//! ```text
//! join!(a, b, c) ─▶ Combined ─▶ List: Cons(Branch a, Cons(Branch b, Cons(Branch c, Nil)))
//!                      │ poll: the branches that were woken, beginning with another one each time
//!                      ▼
//!        decided (an error, a winner, a panic) ─▶ stop the others: drop those that hold no guard, cancel the rest
//!                      │                                              and poll them until they have unwound
//!                      ▼
//!        nothing runs any more ─▶ resume the panic, or give the result, or stay: cut from outside
//! ```
//!
//! | file | duty |
//! | --- | --- |
//! | `mod` (here) | the future of all three |
//! | `branch` | one future in its scope |
//! | `list` | any number of branches without an allocation for the list |
//! | `kinds` | what decides, and what comes out |
//! | `macros` | what users call |
//!
//! Invariants:
//! - **B1** Each branch's scope is a holder (see `scope::guard`): it sees to its own inside when something above is cancelled, and while a branch is suspended
//!   no scope above drops the combinator. So an error or panic of a branch that unwinds is never dropped with the combinator; if something else
//!   drops that, the panic is the task's (`HeldPanic`).
//! - **B2** A holder polls its inside with its node as the waker, and the node remembers the wake (`WOKEN`). A branch that is not `WOKEN` need not be polled.
//! - **B3** Once it is decided, a branch without a guard is dropped and not polled again: what was handed to it and not yet taken goes
//!   back to where it came from. One with a guard is polled until it has unwound.

mod branch;
mod kinds;
mod list;
mod macros;

use std::future::Future;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use pin_project_lite::pin_project;

pub(crate) use branch::{Branch, Ended};
pub use kinds::{Join, Race, TryJoin};
pub use list::{Cons, Nil};

use crate::context;
use crate::held_panic::HeldPanic;
use crate::scope::CancelReason;
use list::List;

/// What distinguishes the three.
pub trait Kind<Values> {
    type Output;
    /// What users call it.
    const NAME: &'static str;
    /// The first poll begins with any branch: who is first matters, and where it is called in a loop none may starve.
    const BEGINS_WITH_ANY: bool = false;

    /// Why the branches that are stopped were stopped.
    fn reason(&self) -> CancelReason;

    /// What comes out, now that nothing runs any more; `values` if every branch has given one. `None`: it was cut from outside.
    fn finish(&mut self, values: Option<Values>) -> Option<Self::Output>;
}

/// Polls `list` until `kind` has what it wants and nothing runs any more.
pub fn combined<K, L>(kind: K, list: L) -> Combined<K, L>
where
    L: List<K>,
    K: Kind<L::Values>,
{
    Combined { list, kind, panic: HeldPanic::none(), decided: false, turn: None, waker: None }
}

pin_project! {
    /// See the module.
    pub struct Combined<K, L> {
        #[pin]
        list: L,
        kind: K,
        panic: HeldPanic,
        decided: bool,
        // Which branch was polled first, the last time.
        turn: Option<usize>,
        // What the branches wake.
        waker: Option<Waker>,
    }
}

/// One poll over all branches.
pub struct Round<'a, 'c, K> {
    kind: &'a mut K,
    panic: &'a mut HeldPanic,
    decided: &'a mut bool,
    /// It was decided in an earlier round: those who still run are unwinding.
    unwinding: bool,
    cx: &'a mut Context<'c>,
}

impl<K, L> Future for Combined<K, L>
where
    L: List<K>,
    K: Kind<L::Values>,
{
    type Output = K::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<K::Output> {
        let mut this = self.project();
        if !this.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            this.list.as_mut().set_owner(cx.waker());
            *this.waker = Some(cx.waker().clone());
        }
        let first = first_branch(*this.turn, L::LEN, K::BEGINS_WITH_ANY);
        *this.turn = Some(first);
        let unwinding = *this.decided;
        let mut round = Round { kind: this.kind, panic: this.panic, decided: this.decided, unwinding, cx };
        this.list.as_mut().poll_those(&(first..L::LEN), &mut round);
        this.list.as_mut().poll_those(&(0..first), &mut round);
        if *this.decided && !unwinding {
            let reason = this.panic.is_held().then(|| "another branch panicked".into());
            this.list.as_mut().stop(&reason.unwrap_or_else(|| this.kind.reason()), this.panic);
        }
        if this.list.as_mut().is_running() {
            if !unwinding && *this.decided {
                // One that was woken for this very poll, and not polled any more, has had its wake: no other comes (B2).
                cx.waker().wake_by_ref();
            }
            return Poll::Pending;
        }
        let values = this.list.take();
        if let Some(panic) = this.panic.take() {
            branch::discard(values);
            resume_unwind(panic);
        }
        match this.kind.finish(values) {
            Some(output) => Poll::Ready(output),
            None => cut(K::NAME, cx),
        }
    }
}

/// Which of `len` branches goes first: another one than the last time, unless a simulation chooses. If there is no last time, `any` or the first.
pub(crate) fn first_branch(last: Option<usize>, len: usize, any: bool) -> usize {
    if len < 2 {
        return 0;
    }
    context::worker(|worker| {
        let chosen = worker.and_then(|worker| worker.chosen_branch(len));
        chosen.unwrap_or_else(|| match (last, worker) {
            (Some(last), _) => (last + 1) % len,
            (None, Some(worker)) if any => worker.any_of(len),
            (None, _) => 0,
        })
    })
}

/// Every branch has unwound because something above was cancelled; that drops us now.
fn cut<T>(name: &str, cx: &Context<'_>) -> Poll<T> {
    assert!(
        crate::scope::is_cut_here(cx),
        "trioxide: `{name}` was polled again after a scope had cancelled it; it has no value to give"
    );
    Poll::Pending
}
