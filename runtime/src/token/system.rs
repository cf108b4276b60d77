//! The task behind a [`RunToken`](super::RunToken): its beginning with the first post, its loop, and its end after that of the main task.
//!
//! Invariant **R1**: the root of the run is open, and so its runtime there, from the acceptance of the first post until the system task has ended: the post takes a count
//! of the root under the mailbox's lock, and gives it up when the task has one of its own. The mailbox is closed by the main task while it still counts.
#![allow(unsafe_code)]

use std::any::Any;
use std::convert::Infallible;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::ptr::{self, NonNull};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{AcqRel, Relaxed};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use super::mailbox::{Mailbox, Posted};
use super::{Entry, RunFinished};
use crate::nursery::{self, Nursery, Options, nursery as open_nursery};
use crate::scheduler::Shared;
use crate::scope::{CancelReason, CancelSource, Node, shield};
use crate::{checkpoint, context};

/// So many callbacks are called in a row before the tasks of the run have a turn.
const BATCH: u32 = 64;

/// See the module.
pub(crate) struct System {
    mailbox: Mailbox<Entry>,
    root: Arc<Node>,
    runtime: Weak<Shared>,
    /// How many tokens there are. (The standard atomic: the mailbox has what hangs on an order.)
    tokens: AtomicUsize,
}

impl System {
    /// Of the run with this root, which is under way.
    pub(crate) fn new(root: &Arc<Node>) -> Arc<Self> {
        let place = root.place().expect("the root of a run is attached");
        // SAFETY: the run is under way (caller), and so is its runtime there.
        let runtime = unsafe { place.runtime.as_ref() }.this.clone();
        Arc::new(Self { mailbox: Mailbox::new(), root: Arc::clone(root), runtime, tokens: AtomicUsize::new(0) })
    }

    /// Whether anybody has a token.
    pub(crate) fn is_out(&self) -> bool {
        self.tokens.load(Relaxed) != 0
    }

    pub(super) fn token_made(&self) {
        self.tokens.fetch_add(1, Relaxed);
    }

    /// With the last one a hope is gone: somebody may be waiting for nothing now.
    pub(super) fn token_dropped(&self) {
        if self.tokens.fetch_sub(1, Relaxed) == 1
            && let Some(runtime) = self.runtime.upgrade()
        {
            runtime.look_again();
        }
    }

    /// The main task has ended.
    pub(crate) fn close(&self) {
        self.mailbox.close();
    }

    pub(super) fn queued(&self) -> usize {
        self.mailbox.len()
    }

    pub(super) fn post(self: &Arc<Self>, make: impl FnOnce() -> Option<Entry>) -> Result<(), RunFinished> {
        match self.mailbox.post(|| self.root.live.enter(), make) {
            Posted::Refused => return Err(RunFinished),
            Posted::Accepted => {}
            Posted::AcceptedFirst => {
                let task: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(Arc::clone(self).serve());
                let mut options = Options::at(Location::caller());
                options.name = Some(Arc::from("run token"));
                // It inherits nothing from whoever happens to be the first to post.
                let spawned = context::with_locals(ptr::null(), || {
                    // SAFETY: the future is `Send` and `'static`.
                    unsafe { nursery::spawn_raw::<_, Infallible>(&self.root, task, options) }
                });
                assert!(spawned.is_ok(), "the root is open while we count (R1)");
                // SAFETY: R1: the count that `begin` has taken, given up once.
                unsafe { nursery::leave_as(NonNull::from(&*self.root), false) };
            }
        }
        Ok(())
    }

    async fn serve(self: Arc<Self>) {
        // The outer shield is against a cancel of the run. The inner one: the queue is served to its end also if the nursery is cancelled.
        shield(open_nursery(async |n: Nursery<Infallible>| {
            shield(self.call_all(&n)).await;
            n.cancel(CancelReason::of(CancelSource::Shutdown));
        }))
        .await;
    }

    async fn call_all(&self, n: &Nursery<Infallible>) {
        let mut called = 0;
        while let Some(entry) = poll_fn(|cx: &mut Context<'_>| self.take(cx)).await {
            let outcome = match entry {
                Entry::Call(call) => catch_unwind(AssertUnwindSafe(call)),
                Entry::Repeat(repeat) => {
                    // See `Callback::run_soon`. Before the call: it may queue itself again.
                    repeat.queued.swap(false, AcqRel);
                    catch_unwind(AssertUnwindSafe(|| (repeat.call)()))
                }
                Entry::Future(future) => {
                    n.spawn(future);
                    Ok(())
                }
            };
            if let Err(panic) = outcome {
                nursery::report_panic(&self.root, Box::new(told(&*panic)));
            }
            called += 1;
            if called % BATCH == 0 {
                checkpoint().await;
            }
        }
    }

    fn take(&self, cx: &mut Context<'_>) -> Poll<Option<Entry>> {
        self.mailbox.poll_take(cx)
    }
}

/// What the run panics with.
fn told(panic: &(dyn Any + Send)) -> String {
    let text = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text.as_str(),
        _ => "(no text)",
    };
    format!(
        "trioxide: internal error: a callback given to `RunToken::run_sync_soon` panicked: {text}; nobody waits for it, so it has ended the run; \
         catch what can go wrong inside the callback"
    )
}
