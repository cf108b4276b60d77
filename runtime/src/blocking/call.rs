//! The future of a call, and what the thread does for it.
//!
//! ```text
//!  future:  New ─▶ Running ───────────────── value ─▶ Done        dropped: the slot is marked, the host closed
//!  thread:          └ run: f() ─ searches again ─ token back, value into the slot, wake, task's token back
//! ```
//!
//! Both sides share one allocation, the `Errand`. That and the node in the tree are all that a call allocates: what one thread allocates and another frees meets
//! the allocator's locks.
#![allow(unsafe_code)]

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::ptr::NonNull;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::host::{HasHost, Host, HostRef, Request};
use super::name::ThreadName;
use super::pool::{Job, Ticket};
use crate::contain;
use crate::context;
use crate::held_panic::hand_on;
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
        running: Running<T, F>,
    },
    Done,
}

/// The future's side of a call under way.
struct Running<T, F> {
    errand: Arc<Errand<T, F>>,
    /// Holds no guard: a scope does not wait for it.
    abandon: bool,
}

/// What the future and the thread share.
struct Errand<T, F> {
    host: Host,
    inside: Mutex<Inside<T, F>>,
}

struct Inside<T, F> {
    /// Until the thread takes it.
    due: Option<Due<F>>,
    slot: Slot<T>,
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

impl<T, F> Drop for Running<T, F> {
    fn drop(&mut self) {
        let Errand { host, inside } = &*self.errand;
        host.close();
        host.ticket.resume();
        let unread = std::mem::replace(&mut inside.lock().slot, Slot::Gone);
        if self.abandon {
            host.ticket.abandon();
        }
        host.node.detach();
        host.node.let_go();
        match unread {
            Slot::Full(Err(panic)) if !self.abandon => hand_on(panic, |panic| pass_up(&host.node, panic)),
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
        let node = &running.errand.host.node;
        if running.abandon {
            node.set_owner(cx.waker());
        } else {
            node.answer(cx.waker());
        }
        running.poll_sent(sent, cx);
        let result = match &mut running.errand.inside.lock().slot {
            slot @ Slot::Full(_) => std::mem::replace(slot, Slot::Gone),
            _ => Slot::Empty,
        };
        let Slot::Full(result) = result else {
            if !running.abandon {
                node.hold();
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

impl<T, F> Running<T, F> {
    /// Polls what the thread has sent; one after the other.
    fn poll_sent(&self, sent: &mut Option<Request>, cx: &mut Context<'_>) {
        let Host { node, ticket, .. } = &self.errand.host;
        let mut deliver = !node.is_effective();
        loop {
            if sent.is_none() {
                *sent = self.errand.host.next();
            }
            let Some(request) = sent else { return };
            ticket.pause();
            let yields = context::yields();
            let asked = node.own_waker_if_asked();
            let mut inside = Context::from_waker(asked.as_ref().unwrap_or(cx.waker()));
            let polled = context::with_node(node, || request.as_mut().poll(&mut inside));
            if polled.is_pending() {
                if self.abandon {
                    return; // The scope around sees to it: it drops the whole call.
                }
                node.hold();
                let held = yields != context::yields(); // U2 of `scope::unmade`.
                if !node.is_effective() || held || node.settle(context::task_is_due(), cx) == Settled::Held {
                    return;
                }
                // Cancelled during this poll, as something was woken: what was completed before the cancel is delivered first.
                if std::mem::take(&mut deliver) && context::task_is_due() {
                    continue;
                }
            }
            *sent = None; // Cut, if it was pending: so the thread hears that it is cancelled.
            ticket.resume();
        }
    }
}

fn start<T, F>(f: F, options: Options, cx: &Context<'_>) -> Running<T, F>
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
    let threads = runtime.pool.threads();
    // In a simulation the thread is not the pool's to rename.
    let name = name.filter(|_| !threads.is_simulated());
    let task = (!abandon).then(|| {
        // SAFETY: the task is being polled by us.
        unsafe { task.as_ref() }.add_token();
        Token(task)
    });
    let carried = Carried::capture(abandon);
    let due = Due { f, carried, name: name.map(|name| ThreadName::new(&name)), token, task };
    let run_token = if abandon { runtime.present.token() } else { None };
    let errand = Arc::new(Errand {
        host: Host::new(node, Ticket::new(threads), run_token),
        inside: Mutex::new(Inside { due: Some(due), slot: Slot::Empty }),
    });
    let job: Arc<dyn Job> = Arc::<Errand<T, F>>::clone(&errand);
    if let Err(error) = threads.submit(&job) {
        errand.host.node.clear(OCCUPIED);
        errand.host.node.detach();
        panic!(
            "trioxide: `blocking` found no thread: {error}; lower the number of threads of the process, or raise its limit"
        )
    }
    Running { errand, abandon }
}

/// What the thread needs for a call.
struct Due<F> {
    f: F,
    carried: Carried,
    name: Option<ThreadName>,
    token: OwnedLimiterGuard,
    task: Option<Token>,
}

impl<T, F> HasHost for Errand<T, F>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    fn host(&self) -> &Host {
        &self.host
    }
}

/// The thread's side of a call.
impl<T, F> Job for Errand<T, F>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    fn ticket(&self) -> &Ticket {
        &self.host.ticket
    }

    fn run(self: Arc<Self>, own_name: &ThreadName, done: &mut dyn FnMut()) -> Option<Box<dyn FnOnce()>> {
        let due = self.inside.lock().due.take().expect("a job is done once");
        let Due { f, carried, name, token, task } = due;
        if let Some(name) = &name {
            name.show();
        }
        let host = HostRef::new(Arc::<Self>::clone(&self));
        let outcome = catch_unwind(AssertUnwindSafe(|| host.enter(|| carried.enter(f))));
        contain::drop_value(carried);
        let mut result = Some(outcome);
        if self.inside.lock().slot.is_gone() {
            self.discard(&mut result, &task); // While the thread still counts as working: this, too, may take long.
        }
        if name.is_some() {
            own_name.show();
        }
        done();
        contain::drop_value(token);
        let future_is_gone = {
            let mut inside = self.inside.lock();
            match result.take_if(|_| !inside.slot.is_gone()) {
                Some(result) => {
                    // First: a future that has its value leaves the tree at once.
                    self.host.node.clear(OCCUPIED);
                    inside.slot = Slot::Full(result);
                    false
                }
                None => true,
            }
        };
        self.host.node.notify_owner();
        // The task's token goes last, when all else is gone.
        if !future_is_gone {
            drop(self);
            drop(task);
            return None;
        }
        if result.is_some() {
            // Gone since it was looked for above: to drop that may take long.
            return Some(Box::new(move || self.leave(result, task)));
        }
        self.leave(result, task);
        None
    }
}

impl<T, F> Errand<T, F> {
    /// The future is gone, and waits for the closure in the tree.
    fn leave(self: Arc<Self>, mut result: Option<std::thread::Result<T>>, task: Option<Token>) {
        self.discard(&mut result, &task);
        self.host.node.clear(OCCUPIED);
        self.host.node.leave_if_done();
        drop(self);
        drop(task);
    }

    /// Nobody asks for the result any more. A panic is the task's, if that waits for the closure.
    fn discard(&self, result: &mut Option<std::thread::Result<T>>, task: &Option<Token>) {
        match result.take() {
            Some(Err(panic)) if task.is_some() => pass_up(&self.host.node, panic),
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
