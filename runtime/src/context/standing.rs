//! A scope without a node stands in the context while its inside is polled (`scope::unmade`).
//!
//! Before that it looks at what is around, and afterwards at what has changed. This is in the way of every time-out and scope.

use std::marker::PhantomData;
use std::task::Context as TaskContext;

use super::{CONTEXT, Scope, is_cancelled, task_is_due, tracks, yields};
use crate::scope::unmade::Unmade;

/// A scope that has no node, while its inside is polled; and what was around it before.
pub(crate) struct Standing<'a> {
    back: Scope,
    pub(crate) around: Around,
    _scope: PhantomData<&'a Unmade>,
}

/// What a scope finds around itself before its inside is polled.
#[derive(Clone, Copy)]
pub(crate) struct Around {
    /// It is cancelled.
    pub(crate) cancelled: bool,
    /// The task has been woken in this poll.
    due: bool,
    /// See `yields`.
    pub(crate) yields: u32,
    /// Tasks are watched.
    pub(crate) tracks: bool,
}

impl Around {
    #[inline]
    pub(crate) fn look(operation: &str) -> Self {
        super::task(operation);
        Self { cancelled: is_cancelled(), due: task_is_due(), yields: yields(), tracks: tracks() }
    }

    /// Whether what was polled with `cx` has yielded and no more, as far as the task's own waker tells: that has been woken since.
    #[inline]
    pub(crate) fn has_yielded(self, cx: &TaskContext<'_>) -> bool {
        !self.due && task_is_due() && CONTEXT.with(|context| context.is_tasks_own(cx))
    }
}

impl<'a> Standing<'a> {
    /// `scope` is the innermost now (`scope::unmade` U3).
    #[inline]
    pub(crate) fn in_scope(scope: &'a Unmade, around: Around) -> Self {
        let back = CONTEXT.with(|context| Scope { node: context.node.get(), unmade: context.unmade.replace(scope) });
        scope.stand_in(back.unmade);
        Self { back, around, _scope: PhantomData }
    }
}

impl Drop for Standing<'_> {
    fn drop(&mut self) {
        CONTEXT.with(|context| context.leave(self.back));
    }
}
