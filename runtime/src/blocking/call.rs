//! The future of a call, and what the thread does for it.
//!
//! ```text
//!  future:  New ─▶ Running ───────────────── value ─▶ Done        dropped: the slot is marked, the host closed
//!  thread:          └ work: f() ─ deliver: token back, value into the slot, wake, task's token back
//! ```
#![allow(unsafe_code)]

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::ptr::NonNull;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::host::{Host, Request};
use super::name::ThreadName;
use super::pool::{Job, Ticket};
use crate::contain;
use crate::context;
use crate::limiter::OwnedLimiterGuard;
use crate::local::Carried;
use crate::nursery::pass_up;
use crate::primitives::Mutex;
use crate::scope::Node;
use crate::scope::guard::Settled;
use crate::scope::node::flag::{HOLDER, OCCUPIED};
use crate::task::{self, Header};

/// How a call is made.
pub(super) struct Options {
    pub(super) token: OwnedLimiterGuard,
    pub(super) name: Option<Arc<str>>,
    pub(super) abandon: bool,
}

/// See the module.
pub(super) struct Call<T, F> {
    step: Step<T, F>,
}

enum Step<T, F> {
    New(Option<(F, Options)>),
    Running {
        /// What the thread has sent. Declared first: it is dropped before the node leaves the tree.
        sent: Option<Request>,
        running: Running<T>,
    },
    Done,
}

/// The future's side of a call under way.
struct Running<T> {
    node: Arc<Node>,
    host: Arc<Host>,
    slot: Arc<Mutex<Slot<T>>>,
    ticket: Arc<Ticket>,
    /// Holds no guard: a scope does not wait for it.
    abandon: bool,
}

/// Where the value waits for the future.
enum Slot<T> {
    Empty,
    Full(std::thread::Result<T>),
    /// The future is gone, or has had its value.
    Gone,
}

impl<T> Slot<T> {
    fn is_gone(&self) -> bool {
        matches!(self, Slot::Gone)
    }
}

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        self.host.close();
        self.ticket.resume();
        let unread = std::mem::replace(&mut *self.slot.lock(), Slot::Gone);
        if self.abandon {
            self.ticket.abandon();
        }
        self.node.detach();
        self.node.let_go();
        match unread {
            Slot::Full(Err(panic)) if !self.abandon => pass_up(&self.node, panic),
            unread => drop(unread),
        }
    }
}

impl<T, F> Unpin for Call<T, F> {}

impl<T, F> Call<T, F> {
    pub(super) fn new(f: F, options: Options) -> Self {
        Self { step: Step::New(Some((f, options))) }
    }
}

impl<T, F> Future for Call<T, F>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        if let Step::New(call) = &mut self.step {
            // The token may have come together with a cancel: then nothing begins.
            if context::is_refused(cx) {
                return Poll::Pending;
            }
            let (f, options) = call.take().expect("a call starts once");
            self.step = Step::Running { sent: None, running: start(f, options, cx) };
        }
        let Step::Running { sent, running } = &mut self.step else { panic!("`blocking` was polled after its end") };
        // Register first, then look (`scope::node` N3).
        if running.abandon {
            running.node.set_owner(cx.waker());
        } else {
            running.node.answer(cx.waker());
        }
        running.poll_sent(sent, cx);
        let result = match &mut *running.slot.lock() {
            slot @ Slot::Full(_) => std::mem::replace(slot, Slot::Gone),
            _ => Slot::Empty,
        };
        let Slot::Full(result) = result else {
            if !running.abandon {
                running.node.hold();
            }
            return Poll::Pending;
        };
        self.step = Step::Done;
        match result {
            Ok(value) => Poll::Ready(value),
            Err(panic) => resume_unwind(panic),
        }
    }
}

impl<T> Running<T> {
    /// Polls what the thread has sent; one after the other.
    fn poll_sent(&self, sent: &mut Option<Request>, cx: &mut Context<'_>) {
        let mut deliver = !self.node.is_effective();
        loop {
            if sent.is_none() {
                *sent = self.host.next();
            }
            let Some(request) = sent else { return };
            self.ticket.pause();
            let yields = context::yields();
            let polled = context::with_node(&self.node, || request.as_mut().poll(cx));
            if polled.is_pending() {
                if self.abandon {
                    return; // The scope around sees to it: it drops the whole call.
                }
                self.node.hold();
                let held = yields != context::yields(); // U2 of `scope::unmade`.
                if !self.node.is_effective() || held || self.node.settle(context::task_is_due(), cx) == Settled::Held {
                    return;
                }
                // Cancelled during this poll, as something was woken: what was completed before the cancel is delivered first.
                if std::mem::take(&mut deliver) && context::task_is_due() {
                    continue;
                }
            }
            *sent = None; // Cut, if it was pending: so the thread hears that it is cancelled.
            self.ticket.resume();
        }
    }
}

fn start<T, F>(f: F, options: Options, cx: &Context<'_>) -> Running<T>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let Options { token, name, abandon } = options;
    let place = context::place("blocking");
    let (task, runtime) = (place.task, place.runtime);
    let node = Node::attached(if abandon { 0 } else { HOLDER | OCCUPIED }, place);
    node.set_owner(cx.waker());
    // SAFETY: our task is being polled, so its run has not ended.
    let runtime = unsafe { runtime.as_ref() };
    let host = Host::new(Arc::clone(&node), runtime.present.token(), Arc::clone(runtime.pool.threads()));
    let slot = Arc::new(Mutex::new(Slot::Empty));
    // In a simulation the thread is not the pool's to rename.
    let name = name.filter(|_| !runtime.pool.threads().is_simulated());
    let task = (!abandon).then(|| {
        // SAFETY: the task is being polled by us.
        unsafe { task.as_ref() }.add_token();
        Token(task)
    });
    let job = Box::new(Work {
        call: Some((f, Carried::capture())),
        name: name.map(|name| ThreadName::new(&name)),
        result: None,
        node: Arc::clone(&node),
        host: Arc::clone(&host),
        slot: Arc::clone(&slot),
        token: Some(token),
        task,
    });
    match runtime.pool.threads().submit(job) {
        Ok(ticket) => Running { node, host, slot, ticket, abandon },
        Err(error) => {
            node.clear(OCCUPIED);
            node.detach();
            panic!(
                "trioxide: `blocking` found no thread: {error}; lower the number of threads of the process, or raise its limit"
            )
        }
    }
}

/// The thread's side of a call.
struct Work<T, F> {
    call: Option<(F, Carried)>,
    name: Option<ThreadName>,
    result: Option<std::thread::Result<T>>,
    node: Arc<Node>,
    host: Arc<Host>,
    slot: Arc<Mutex<Slot<T>>>,
    token: Option<OwnedLimiterGuard>,
    /// Declared last: given back when all else is gone.
    task: Option<Token>,
}

impl<T, F> Job for Work<T, F>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    fn work(&mut self, own_name: &ThreadName) {
        let (f, carried) = self.call.take().expect("a job is done once");
        if let Some(name) = &self.name {
            name.show();
        }
        let host = &self.host;
        let outcome = catch_unwind(AssertUnwindSafe(|| host.enter(|| carried.enter(f))));
        contain::drop_value(carried);
        self.result = Some(outcome);
        if self.slot.lock().is_gone() {
            self.discard(); // While the thread still counts as working: this, too, may take long.
        }
        if self.name.is_some() {
            own_name.show();
        }
    }

    fn deliver(mut self: Box<Self>) -> Option<Box<dyn FnOnce()>> {
        contain::drop_value(self.token.take());
        let future_is_gone = {
            let mut slot = self.slot.lock();
            match self.result.take_if(|_| !slot.is_gone()) {
                Some(result) => {
                    // First: a future that has its value leaves the tree at once.
                    self.node.clear(OCCUPIED);
                    *slot = Slot::Full(result);
                    false
                }
                None => true,
            }
        };
        self.node.notify_owner();
        // The task's token goes last, with `self`.
        if !future_is_gone {
            return None;
        }
        if self.result.is_some() {
            return Some(Box::new(move || self.leave())); // Gone since `work` has looked: to drop that may take long.
        }
        self.leave();
        None
    }
}

impl<T, F> Work<T, F> {
    /// The future is gone, and waits for the closure in the tree.
    fn leave(&mut self) {
        self.discard();
        self.node.clear(OCCUPIED);
        self.node.leave_if_done();
    }

    /// Nobody asks for the result any more. A panic is the task's, if that waits for the closure.
    fn discard(&mut self) {
        match self.result.take() {
            Some(Err(panic)) if self.task.is_some() => pass_up(&self.node, panic),
            result => contain::drop_value(result),
        }
    }
}

/// A token of a task (`task` T5), for as long as the closure runs.
struct Token(NonNull<Header>);

// SAFETY: a token may be given back on any thread.
unsafe impl Send for Token {}

impl Drop for Token {
    fn drop(&mut self) {
        // SAFETY: the token is given back once.
        unsafe { task::leave(self.0) };
    }
}
