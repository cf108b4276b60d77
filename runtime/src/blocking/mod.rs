//! Calls that block, on threads of their own.
//!
//! A call holds a guard while its closure runs, so a cancelled scope waits for it; and a token of its task, so the task does not end
//! before the closure has returned, even if the future of the call is dropped or forgotten.
#![allow(unsafe_code)]

mod pool;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::ptr::NonNull;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

pub(crate) use pool::{Limits, Pool};

use crate::context;
use crate::local::Carried;
use crate::primitives::Mutex;
use crate::scope::Node;
use crate::scope::node::flag::HOLDER;
use crate::task::{self, Header, cell};

/// Runs `f`, which may block, on a thread of the pool, and gives its value.
///
/// The pool grows when a call finds no free thread, up to [`max_blocking_threads`](crate::Builder::max_blocking_threads); beyond that calls wait
/// for a thread in order.
///
/// # Cancellation
///
/// A checkpoint. In a cancelled scope, a call that has not begun never begins. One that has been handed to the pool runs to its end: the scope
/// waits for it, and its value is delivered. If something else than a scope drops the future, the value is dropped, and the *task*
/// does not end before `f` has returned.
///
/// # Panics
///
/// With the panic of `f`; when polled outside a run; if no thread runs and the system refuses to start one.
///
/// ```
/// let answer = trioxide_runtime::run(trioxide_runtime::blocking(|| 6 * 7));
/// assert_eq!(answer, 42);
/// ```
pub async fn blocking<T, F>(f: F) -> T
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    Call { step: Step::New(Some(f)) }.await
}

struct Call<T, F> {
    step: Step<T, F>,
}

enum Step<T, F> {
    New(Option<F>),
    Running(Running<T>),
    Done,
}

/// The future's side of a call under way.
struct Running<T> {
    node: Arc<Node>,
    result: Arc<Mutex<Option<std::thread::Result<T>>>>,
}

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        self.node.detach();
        self.node.let_go();
    }
}

impl<T, F> Unpin for Call<T, F> {}

impl<T, F> Future for Call<T, F>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        if let Step::New(f) = &mut self.step {
            ready!(context::poll_checkpoint(cx, "blocking"));
            let f = f.take().expect("a call starts once");
            self.step = Step::Running(start(f, cx));
        }
        let Step::Running(running) = &self.step else { panic!("`blocking` was polled after its end") };
        running.node.answer(cx.waker());
        let result = running.result.lock().take();
        let Some(result) = result else {
            running.node.hold();
            return Poll::Pending;
        };
        self.step = Step::Done;
        match result {
            Ok(value) => Poll::Ready(value),
            Err(panic) => resume_unwind(panic),
        }
    }
}

fn start<T, F>(f: F, cx: &Context<'_>) -> Running<T>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let place = context::place("blocking");
    let (task, runtime) = (place.task, place.runtime);
    let node = Node::attached(HOLDER, place);
    node.set_owner(cx.waker());
    let running = Running { node: Arc::clone(&node), result: Arc::new(Mutex::new(None)) };
    let result = Arc::clone(&running.result);
    // SAFETY: the task is being polled by us.
    unsafe { task.as_ref() }.add_token();
    let token = Token(task);
    let carried = Carried::capture();
    let job = move || {
        let outcome = catch_unwind(AssertUnwindSafe(|| carried.enter(f)));
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(carried)));
        cell::drop_payload(dropped.err());
        *result.lock() = Some(outcome);
        // The future may be gone: then this is where the value is dropped, before the token is given back.
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(result)));
        cell::drop_payload(dropped.err());
        node.notify_owner();
        drop(node);
        drop(token);
    };
    // SAFETY: our task is being polled, so its run has not ended.
    if let Err(error) = unsafe { runtime.as_ref() }.pool.submit(Box::new(job)) {
        panic!(
            "trioxide: `blocking` found no thread: {error}; lower the number of threads of the process, or raise its limit"
        );
    }
    running
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
