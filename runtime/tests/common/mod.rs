//! What the tests of the promises share.
#![allow(dead_code, reason = "each file of tests uses a part of it")]

use std::any::Any;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use futures_util::FutureExt;
use trioxide_runtime::{NurseryError, checkpoint, sleep_forever};
use trioxide_testing::wait_all_tasks_blocked;

/// One worker, as many as there are cores or so, and more.
pub(crate) const ALL: &[usize] = &[1, 2, 8];

/// The error of children that cannot fail.
pub(crate) type Never = Infallible;

/// All others have come as far as they can: each waits or has ended.
pub(crate) async fn all_wait() {
    wait_all_tasks_blocked(Duration::ZERO).await;
}

/// Lets everything else run until `condition` holds. Not to try something again: what is awaited is sure to come, by a thread that no run knows of or beside tasks that never wait, so that
/// [`all_wait`] would not do; and nobody tells of it, as it is a count of the runtime, say.
pub(crate) async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        checkpoint().await; // retry: see above
    }
}

/// Lets others run for a while, in which what must not happen could.
pub(crate) async fn a_while() {
    for _ in 0..200 {
        checkpoint().await;
    }
}

/// A few turns: those who were woken just now in this task have had theirs.
pub(crate) async fn a_few() {
    for _ in 0..3 {
        checkpoint().await;
    }
}

/// Suspended for ever, and `held` is dropped with it.
pub(crate) async fn hold<T>(held: T) {
    let _held = held;
    sleep_forever().await;
}

/// Set once, seen everywhere.
#[derive(Clone, Default)]
pub(crate) struct Flag(Gate);

impl Flag {
    pub(crate) fn set(&self) {
        self.0.open();
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.is_open()
    }

    pub(crate) async fn wait(&self) {
        self.0.pass().await;
    }
}

/// Counted up, seen everywhere.
#[derive(Clone, Default)]
pub(crate) struct Count(Arc<AtomicUsize>);

impl Count {
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    /// One more; what it is then.
    pub(crate) fn up(&self) -> usize {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    pub(crate) fn down(&self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Threads that are inside at once: who comes waits there until so many have been, once.
pub(crate) struct Crowd {
    full: usize,
    /// How many are inside, and the most that were.
    inside: Mutex<(usize, usize)>,
    changed: Condvar,
}

impl Crowd {
    pub(crate) fn of(full: usize) -> Self {
        Self { full, inside: Mutex::default(), changed: Condvar::new() }
    }

    pub(crate) fn visit(&self) {
        let mut inside = self.inside.lock().unwrap();
        inside.0 += 1;
        inside.1 = inside.1.max(inside.0);
        self.changed.notify_all();
        inside = self.changed.wait_while(inside, |inside| inside.1 < self.full).unwrap();
        inside.0 -= 1;
    }

    pub(crate) fn most(&self) -> usize {
        self.inside.lock().unwrap().1
    }
}

/// A gate that knows nothing of this library: opened once, from any thread; whoever waits is woken by an ordinary waker.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<Mutex<(bool, Vec<Waker>)>>);

impl Gate {
    pub(crate) fn open(&self) {
        let waiting = {
            let mut state = self.0.lock().unwrap();
            state.0 = true;
            std::mem::take(&mut state.1)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn is_open(&self) -> bool {
        self.0.lock().unwrap().0
    }

    pub(crate) async fn pass(&self) {
        poll_fn(|cx| {
            let mut state = self.0.lock().unwrap();
            if state.0 {
                return Poll::Ready(());
            }
            if !state.1.iter().any(|waker| waker.will_wake(cx.waker())) {
                state.1.push(cx.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }
}

/// Sets its flag when it is dropped.
pub(crate) struct SetOnDrop(pub(crate) Flag);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.set();
    }
}

/// Panics when it is dropped.
pub(crate) struct PanicOnDrop(pub(crate) &'static str);

impl Drop for PanicOnDrop {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("{}", self.0);
        }
    }
}

/// A panic in a place where an expression is wanted.
pub(crate) fn blow(text: &'static str) {
    std::panic::panic_any(text);
}

/// The text of the panic of `future`.
pub(crate) async fn panic_of<F: Future>(future: F) -> String {
    match AssertUnwindSafe(future).catch_unwind().await {
        Ok(_) => panic!("it should have panicked"),
        Err(payload) => text(&*payload),
    }
}

/// The text of the panic of `f`.
pub(crate) fn panic_in<R>(f: impl FnOnce() -> R) -> String {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(_) => panic!("it should have panicked"),
        Err(payload) => text(&*payload),
    }
}

fn text(payload: &(dyn Any + Send)) -> String {
    match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => "(no text)".to_owned(),
    }
}

/// The errors of a nursery that has failed.
pub(crate) fn errors<T, E>(joined: Result<T, NurseryError<E>>) -> Vec<E> {
    match joined {
        Err(NurseryError::Failed(group)) => group.into_iter().collect(),
        Err(NurseryError::Cancelled(reason)) => panic!("the nursery was cancelled: {reason}"),
        Ok(_) => panic!("the nursery should have failed"),
    }
}
