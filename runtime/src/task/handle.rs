//! `Task<T>`: the handle of a child.
#![allow(unsafe_code)]

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context, Poll};

use super::state::{HandleGoes, HandleStep};
use super::waker::OneWord;
use super::{Header, TaskId, cell};
use crate::context;
use crate::scope::{CancelReason, Cancelled};

/// A child of a nursery: awaits its value, or cancels it. Dropping it changes nothing; the nursery joins the child in any case.
///
/// Awaiting gives the child's value, or [`Cancelled`] if it was cancelled, has failed or has panicked; the error or panic itself goes to the
/// nursery.
///
/// # Cancellation
///
/// A checkpoint. Cancelled while it waits, it has taken nothing: another await of the same handle gets the value.
///
/// # Panics
///
/// When polled again after it has given its value.
pub struct Task<T> {
    header: NonNull<Header>,
    waiting: bool,
    taken: bool,
    value: PhantomData<T>,
}

// SAFETY: the handle reaches the header, which is `Sync`, and moves a `T` out of it.
unsafe impl<T: Send> Send for Task<T> {}
// SAFETY: `&Task<T>` gives access to the header only.
unsafe impl<T: Send> Sync for Task<T> {}

impl<T> Unpin for Task<T> {}

impl<T> Task<T> {
    /// # Safety
    ///
    /// `header` is a task whose value type is `T`, and the handle's reference is the caller's.
    pub(crate) unsafe fn new(header: NonNull<Header>) -> Self {
        Self { header, waiting: false, taken: false, value: PhantomData }
    }

    fn header(&self) -> &Header {
        // SAFETY: the handle's reference keeps the header alive.
        unsafe { self.header.as_ref() }
    }

    /// Cancels this child and what it has spawned, and nothing else. Does not wait for it.
    pub fn cancel(&self, reason: impl Into<CancelReason>) {
        if !self.is_finished() {
            self.header().cancel(CancelReason::asked(reason));
        }
    }

    /// Whether the child has ended, and every nursery in it.
    pub fn is_finished(&self) -> bool {
        self.header().state.is_complete()
    }

    /// The child's identity.
    pub fn id(&self) -> TaskId {
        self.header().id()
    }

    /// The result, if the child has ended and nobody has taken it.
    pub(crate) fn take(&mut self) -> Option<Result<T, Cancelled>> {
        if self.taken || !self.is_finished() {
            return None;
        }
        self.taken = true;
        let mut result = None;
        // SAFETY: the task is complete, so the output is the handle's, and `taken` says that it is read once. The type is `T` (`new`).
        unsafe { cell::take_output(self.header, (&raw mut result).cast()) };
        result
    }

    /// Stores `cx`'s waker, to be woken at the end; `TooLate` if that has come.
    fn store_waker(&self, cx: &Context<'_>) -> HandleStep {
        let header = self.header();
        if header.state.has_join_waker() {
            // `state` rule 3: only the handle writes the waker, and it is the handle that reads here.
            if header.extras.has_waker(cx.waker()) {
                return HandleStep::Done;
            }
            if header.state.unset_join_waker() == HandleStep::TooLate {
                return HandleStep::TooLate;
            }
        }
        // `state` rule 3: `JOIN_WAKER` is unset and the task was not complete when we last looked.
        header.extras.put_waker(OneWord::of(cx.waker()));
        header.state.set_join_waker()
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, Cancelled>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        assert!(!self.taken, "trioxide: a `Task` was polled again after it had given its value; await it once");
        if !self.waiting {
            std::task::ready!(context::poll_checkpoint(cx, "Task"));
            self.waiting = true;
        }
        if !self.is_finished() && self.store_waker(cx) == HandleStep::Done {
            return Poll::Pending;
        }
        self.take().map_or(Poll::Pending, Poll::Ready)
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        // SAFETY: the handle owns a reference and, if the task is complete and nobody took it, the output; before the end the waker
        // is its own once `drop_handle` has cleared `JOIN_WAKER` (rule 3).
        unsafe {
            match self.header().state.drop_handle() {
                HandleGoes::Entirely => return,
                HandleGoes::WithWaker => drop(self.header().extras.take_waker()),
                HandleGoes::WithOutput if !self.taken => cell::discard_output(self.header),
                HandleGoes::WithOutput => {}
            }
            cell::drop_reference(self.header);
        }
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task")
            .field("id", &self.id().0)
            .field("spawned_at", &format_args!("{}", self.header().spawned_at()))
            .field("finished", &self.is_finished())
            .finish()
    }
}
