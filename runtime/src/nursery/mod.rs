//! Nurseries: children that any worker may run, joined where they were opened.
//!
//! ```text
//! nursery(body) ─▶ open: a node, a token of the opener's task
//!                    │ body polled in place ── spawn ─▶ live + 1, enqueue
//!                    ▼                                        │ child ends: report its error or panic, live − 1
//!                  body ended or cut: live − 1                ▼
//!                    └────────────────────── last to leave: close ─▶ wake the opener, give the token back
//! ```
//!
//! | file | duty |
//! | --- | --- |
//! | `mod` (here) | the join protocol: open, leave, close, report |
//! | `joining` | the future that polls the body and waits for the children |
//! | `handle`, `builder` | `Nursery<E>` and the ways to spawn |
//! | `local` | nurseries whose children run in the opener's task |
//! | `kept` | counts and references that a worker keeps for the next child |
//! | `limit` | a limit to how many children run at once |
//! | `statistics` | what goes on in a nursery |
//! | `start` | children of which the caller waits until they are ready |
//! | `scoped` | `nursery_with`: children that borrow from what the nursery owns |
//! | `error`, `output` | errors, and what bodies and children may return |
//!
//! Invariants:
//! - **J1** `live` counts the body (while `BODY_OPEN` is set) and every child that has not ended, services apart. Each gives its count up once. When body
//!   and ordinary children are gone, nobody enters any more, and the services are cancelled. At zero the nursery is closed, by the one who left last, and
//!   stays so.
//! - **J2** From `open`, or when it is linked (`scope::unlinked`), to `close` the count owns one reference to the node, and one token of the opener's task: so the node is
//!   there for whoever still counts, and the opener's task does not end before the nursery has closed.
//! - **J3** `env` is dropped in `close`, after every child's future is gone; the body holds a reference of its own.
#![allow(unsafe_code)]

mod builder;
mod error;
mod handle;
mod joining;
pub(crate) mod kept;
mod limit;
mod local;
mod output;
mod scoped;
pub(crate) mod start;
mod statistics;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::Arc;

pub use builder::TaskBuilder;
pub use error::{AnyError, ErrorGroup, Failure, Leaf, Leaves, NurseryError, Origin};
pub use handle::{Closed, Nursery};
pub(crate) use handle::{Options, spawn_raw};
pub use joining::nursery;
pub(crate) use kept::{Kept, ordinary};
pub use limit::{Limited, TrySpawnError};
pub use local::{LocalNursery, LocalNurserySend, LocalTask, LocalTaskBuilder, local_nursery, local_nursery_send};
pub use output::{BodyOutput, TaskOutput};
pub use scoped::{Scope, ScopedTaskBuilder, nursery_with};
pub use start::{StartError, Started};
pub use statistics::NurseryStatistics;

use crate::contain;
use crate::context;
use crate::primitives::atomic::Ordering::AcqRel;
use crate::scope::live::Left;
use crate::scope::node::Node;
use crate::scope::node::flag::{BODY_OPEN, CLOSED, HOLDER, HOLDING, NURSERY, ORPHANED, TASK_ROOT};
use crate::scope::{CancelReason, CancelSource};
use crate::task::{self, cell};

/// Opens a nursery at the place where the running task stands.
fn open(operation: &'static str) -> Arc<Node> {
    let place = context::place(operation);
    // SAFETY: the task is being polled by us.
    unsafe { place.task.as_ref() }.add_token();
    let node = Node::attached(HOLDER | NURSERY | BODY_OPEN, place);
    let _ = Arc::into_raw(Arc::clone(&node)); // The count's reference (J2).
    node
}

/// Opens a nursery that is linked when it is first used (`scope::unlinked`).
///
/// # Safety
///
/// The caller polls the body for the first time before he returns, and then has it linked, or takes it back.
unsafe fn open_unlinked(operation: &'static str) -> Arc<Node> {
    let place = context::place_uncounted(operation);
    let node = context::worker(|worker| worker.and_then(|worker| worker.spare.take())).unwrap_or_else(Node::pristine);
    // SAFETY: passed on; it is new, or was taken back.
    unsafe { node.stand(HOLDER | NURSERY | BODY_OPEN, place) };
    node
}

/// Has the nursery linked, by whoever uses it first.
#[inline]
pub(crate) fn link(node: &Node) {
    node.link_late(|place| {
        // SAFETY: `scope::unlinked` V1, N5: the task is being polled; the node lives in an `Arc`, and the reference is the count's (J2).
        unsafe {
            place.task.as_ref().add_token();
            Arc::increment_strong_count(node);
        }
    });
}

/// The future of a nursery that nobody has used has taken it back: keeps it for the next one.
fn keep_spare(node: Arc<Node>) {
    context::worker(|worker| match worker {
        Some(worker) => worker.spare.set(Some(node)),
        None => drop(node),
    });
}

/// Gives up one count; the last closes the nursery.
///
/// # Safety
///
/// The caller owns a count of `node` (J1).
unsafe fn leave(node: NonNull<Node>) {
    // SAFETY: passed on.
    unsafe { leave_many(node, 1) }
}

/// Gives up some counts; the last closes the nursery.
///
/// # Safety
///
/// The caller owns so many counts of `node` (J1), all of ordinary parts.
unsafe fn leave_many(node: NonNull<Node>, counts: u32) {
    // SAFETY: J2: while we count, the node is there. The rest is passed on.
    unsafe { left(node, node.as_ref().live.leave(counts)) }
}

/// Some parts have left: does what the last of them must.
///
/// # Safety
///
/// `now` is what `leave` has said, just now and to the caller.
unsafe fn left(node: NonNull<Node>, now: Left) {
    match now {
        Left::Open => {}
        // SAFETY: J1, J2: the last one takes over the count's reference.
        Left::Nothing => close(unsafe { Arc::from_raw(node.as_ptr().cast_const()) }),
        Left::Services => {
            // SAFETY: J2: we count still, with the caretaker's count; and the node is in an `Arc`.
            let open = unsafe {
                Arc::increment_strong_count(node.as_ptr());
                Arc::from_raw(node.as_ptr().cast_const())
            };
            open.cancel(CancelReason::of(CancelSource::NurseryClosed));
            // SAFETY: J1: the caretaker's count.
            unsafe { leave_service(node) };
        }
    }
}

/// Gives up the count of a service, or the caretaker's; the last closes the nursery.
///
/// # Safety
///
/// The caller owns that count of `node` (J1).
unsafe fn leave_service(node: NonNull<Node>) {
    // SAFETY: J2: while we count, the node is there.
    if unsafe { node.as_ref() }.live.leave_service() {
        // SAFETY: J1, J2: the last one takes over the count's reference.
        close(unsafe { Arc::from_raw(node.as_ptr().cast_const()) });
    }
}

/// A child leaves.
///
/// # Safety
///
/// The caller owns a count of `node` (J1), a service's or another's, as `service` says.
pub(crate) unsafe fn leave_as(node: NonNull<Node>, service: bool) {
    // SAFETY: passed on.
    unsafe { if service { leave_service(node) } else { leave(node) } }
}

/// The last one has left.
fn close(node: Arc<Node>) {
    let mut inner = node.inner.lock();
    if let Some(env) = inner.extra.as_mut().and_then(|extra| extra.env.take()) {
        drop(inner);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(env))) {
            report_panic(&node, panic);
        }
        inner = node.inner.lock();
    }
    // Acquire and release: with the reads of `CLOSED` by whoever waits for it.
    let before = node.flags.fetch_or(CLOSED, AcqRel);
    let (panic, failures) = match inner.extra.as_mut().filter(|_| before & ORPHANED != 0) {
        // Nobody will ask for the errors, and handles of the nursery may live on for long.
        Some(extra) => (extra.panic.take(), extra.failures.take()),
        None => (None, None),
    };
    let future_is_there = inner.active;
    drop(inner);
    contain::drop_value(failures);
    if let Some(panic) = panic {
        pass_up(&node, panic);
    }
    // Who waits for this has begun to hold before, or looks again after it has (`joining`).
    if before & HOLDING != 0 {
        node.notify_owner();
    }
    if !future_is_there {
        node.leave_if_done(); // Otherwise the future does that when it goes.
    }
    let place = node.place().expect("an open nursery is attached");
    if place.parent.is_some() {
        // SAFETY: J2: the nursery's token, given back once.
        unsafe { task::leave(place.task) };
    } else {
        // The root of a run: the main task has ended. SAFETY: the run waits for `end_main`, and `Shared` lives in an `Arc`; the
        // reference keeps it until we have returned from there.
        let shared = unsafe {
            Arc::increment_strong_count(place.runtime.as_ptr());
            Arc::from_raw(place.runtime.as_ptr().cast_const())
        };
        shared.end_main();
    }
}

/// The body is gone: gives up its count, once.
fn body_gone(node: &Node) {
    if node.has(BODY_OPEN) && node.clear(BODY_OPEN) {
        // SAFETY: `BODY_OPEN` stands for the body's count (J1), and we have cleared it.
        unsafe { leave(NonNull::from(node)) };
    }
}

/// The future of the task with node `own` has ended: nurseries that are still open below were forgotten, and nobody will ask for
/// what they have to report.
pub(crate) fn bodies_gone(own: &Node) {
    let mut todo = Vec::new();
    own.children(&own.inner.lock(), false, &mut todo);
    while let Some(node) = todo.pop() {
        let host;
        let panic = {
            let mut inner = node.inner.lock();
            node.children(&inner, false, &mut todo);
            node.set(ORPHANED);
            host = inner.extra.as_mut().and_then(|extra| extra.host.take()?.upgrade());
            // Reported before this, in a nursery whose future nobody has polled since.
            inner.extra.as_mut().and_then(|extra| extra.panic.take())
        };
        if let Some(host) = host {
            host.close();
        }
        if let Some(panic) = panic {
            pass_up(&node, panic);
        }
        body_gone(&node);
    }
}

/// A child, or the body, has panicked: cancels the rest. The first payload is kept, to be resumed in the parent.
pub(crate) fn report_panic(node: &Arc<Node>, panic: Box<dyn Any + Send>) {
    keep_panic(node, panic);
    node.cancel_once(|| CancelReason::sibling(CancelSource::Panicked, node));
}

/// Keeps the first panic. Of further ones the panic hook has told; and so it has if `node` is that of a task that has ended, and has nobody to tell it to.
pub(crate) fn keep_panic(node: &Node, panic: Box<dyn Any + Send>) {
    let mut panic = Some(panic);
    {
        let mut inner = node.inner.lock();
        if !(inner.ended && node.has(TASK_ROOT)) {
            let slot = &mut inner.extra().panic;
            if slot.is_none() {
                *slot = panic.take();
            }
        }
    }
    cell::drop_payload(panic);
}

/// A child, or the body, has failed: cancels the rest.
pub(crate) fn report_error<E: Send + 'static>(node: &Arc<Node>, error: E, origin: Origin) {
    let failure = Failure { error, origin };
    {
        let mut inner = node.inner.lock();
        let failures = inner.extra().failures.get_or_insert_with(|| Box::new(Vec::<Failure<E>>::new()));
        failures.downcast_mut::<Vec<Failure<E>>>().expect("a nursery has one error type").push(failure);
    }
    node.cancel_once(|| CancelReason::sibling(CancelSource::Failed, node));
}

/// Hands the panic of a nursery whose future is gone, or of a blocking call, to the task that has begun it.
pub(crate) fn pass_up(node: &Node, panic: Box<dyn Any + Send>) {
    let mut at = node.parent().cloned();
    while let Some(above) = at {
        if above.has(TASK_ROOT) {
            return keep_panic(&above, panic);
        }
        at = above.parent().cloned();
    }
    cell::drop_payload(Some(panic));
}
