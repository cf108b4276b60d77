//! A panic that waits for the rest to unwind before it is resumed.
//!
//! Whoever holds one may be dropped meanwhile, by something else than a scope. Then it becomes the panic of the task that drops it, as those of a
//! nursery's children do (`nursery::keep_panic`): no panic is lost.

use std::any::Any;
use std::sync::Arc;

use crate::contain::drop_payload;
use crate::context;
use crate::nursery::keep_panic;
use crate::scope::Node;
use crate::task::Header;

/// The first panic, if there was one. See the module.
pub struct HeldPanic(Option<Held>);

struct Held {
    payload: Box<dyn Any + Send>,
    /// The own node of the task that was polled then.
    task: Option<Arc<Node>>,
}

impl HeldPanic {
    /// No panic.
    pub(crate) const fn none() -> Self {
        Self(None)
    }

    /// Keeps the first panic. Of further ones the panic hook has told.
    pub(crate) fn keep(&mut self, payload: Box<dyn Any + Send>) {
        match self.0 {
            None => self.0 = Some(Held { payload, task: current_task() }),
            Some(_) => drop_payload(Some(payload)),
        }
    }

    pub(crate) fn is_held(&self) -> bool {
        self.0.is_some()
    }

    /// What is to be resumed.
    pub(crate) fn take(&mut self) -> Option<Box<dyn Any + Send>> {
        Some(self.0.take()?.payload)
    }
}

impl Drop for HeldPanic {
    fn drop(&mut self) {
        let Some(Held { payload, task }) = self.0.take() else { return };
        hand_on(payload, |payload| match task {
            Some(task) => keep_panic(&task, payload),
            None => drop_payload(Some(payload)),
        });
    }
}

/// Hands the panic of something that is being dropped to the task that does so, or lets `otherwise` have it. What is dropped may have moved to that task, and the one in which it began may
/// have ended.
pub(crate) fn hand_on(payload: Box<dyn Any + Send>, otherwise: impl FnOnce(Box<dyn Any + Send>)) {
    match current_task() {
        Some(task) => keep_panic(&task, payload),
        None => otherwise(payload),
    }
}

/// The own node of the task that is being polled.
fn current_task() -> Option<Arc<Node>> {
    context::with_current_task(Header::own_node_or_make)
}
