//! Values that belong to where code stands: to the task and what it calls (`task_local!`), to the run ([`RunVar`]), to the place in the tree ([`TreeVar`]).
//!
//! ```text
//!  task_local!   thread context ─▶ Bindings: a small table, never changed     spawn: the child holds the same table
//!                                  scope(value, …): polls with a changed copy
//!  TreeVar       current node ─▶ parent ─▶ … ─▶ first node that binds it       spawn: nothing; a child's parent is its nursery
//!  RunVar        worker ─▶ the run's variables                                 spawn: nothing
//! ```
//!
//! | file | duty |
//! | --- | --- |
//! | `mod` (here) | the table of a task, and how it is inherited and carried to other threads |
//! | `key` | `LocalKey`, `task_local!` |
//! | `run_var`, `tree_var` | the two others |
//!
//! Nothing of this costs anything for a task without bindings but a mark in its header, looked at for each poll. One with bindings has a word for them behind its future.
//!
//! Invariants:
//! - **V1** A `Bindings` is never changed. Who needs another value makes a copy; so whoever holds one sees what was so when he got it.
//! - **V2** The pointers to bindings in the thread's context are those of a holder further up the stack: the task being polled, a `scope` or `Carried` in
//!   use. Each restores the former pointer before it gives up what it holds.
//! - **V3** The bindings of a task are written when the task is made, read by its polls, and taken by `cell::finish`, all as the holder of `RUNNING`.
#![allow(unsafe_code)]

mod key;
mod run_var;
mod tree_var;

use std::any::Any;
use std::ptr;
use std::sync::Arc;

pub use key::{LocalKey, LocalScope};
pub(crate) use run_var::Variables;
pub use run_var::{RunVar, RunVarToken};
pub(crate) use tree_var::Binding;
pub use tree_var::{TreeScope, TreeVar};

use crate::context;
use crate::scope::Node;

/// A value of any local, shared by all who have inherited it.
type Value = Arc<dyn Any + Send + Sync>;

/// What is bound to which key; see V1. Keys are the addresses of statics. Few, so a list beats a map.
pub(crate) struct Bindings(Box<[(usize, Value)]>);

/// The bindings of a task or scope: usually none.
#[derive(Clone, Default)]
pub(crate) struct Locals(Option<Arc<Bindings>>);

impl Locals {
    /// Those in force where the caller stands: what a child inherits.
    #[inline]
    pub(crate) fn current() -> Self {
        let bindings = context::locals();
        if bindings.is_null() {
            return Self(None);
        }
        // SAFETY: V2: a holder further up the stack keeps it, and all `Bindings` live in an `Arc`.
        unsafe {
            Arc::increment_strong_count(bindings);
            Self(Some(Arc::from_raw(bindings)))
        }
    }

    #[inline]
    pub(crate) fn is_any(&self) -> bool {
        self.0.is_some()
    }

    #[inline]
    pub(crate) fn as_ptr(&self) -> *const Bindings {
        self.0.as_ref().map_or(ptr::null(), Arc::as_ptr)
    }

    /// The same, but for one key.
    fn with_value(&self, key: usize, value: Value) -> Self {
        let old = self.0.as_ref().map_or(&[][..], |bindings| &bindings.0);
        let kept = old.iter().filter(|(other, _)| *other != key).cloned();
        Self(Some(Arc::new(Bindings([(key, value)].into_iter().chain(kept).collect()))))
    }

    /// Runs `f` with these in force.
    pub(crate) fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
        context::with_locals(self.as_ptr(), f)
    }
}

/// The value that is bound to `key` where the caller stands.
fn find(key: usize) -> Option<Value> {
    // SAFETY: V2; the reference is used before anything else runs.
    let bindings = unsafe { context::locals().as_ref() }?;
    bindings.0.iter().find(|(other, _)| *other == key).map(|(_, value)| Arc::clone(value))
}

/// Everything that code on another thread is to see as the caller sees it: locals, the place in the tree, the variables of the run.
pub(crate) struct Carried {
    locals: Locals,
    pub(crate) node: Option<Arc<Node>>,
    /// Of what may outlive the run. For the rest the host is asked: to count for each call that somebody has them costs more than the call.
    pub(crate) variables: Option<Arc<Variables>>,
}

impl Carried {
    /// Takes a copy, to be put in force elsewhere with [`enter`](Self::enter). `outlives`: perhaps after the end of the run, or without a host.
    pub(crate) fn capture(outlives: bool) -> Self {
        let variables = if outlives { run_var::current() } else { None };
        Self { locals: Locals::current(), node: context::current_node(), variables }
    }

    /// Runs `f`, on a thread that is in no task, with what was captured.
    pub(crate) fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
        context::with_carried(self, || self.locals.enter(f))
    }
}
