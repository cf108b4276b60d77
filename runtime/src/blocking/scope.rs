//! Closures on threads of their own that borrow from the frame of the caller.
//!
//! Only a *synchronous* frame can lend like this: it stands still until everybody has given back, whatever happens. A future cannot: it may be dropped, or forgotten, between two
//! polls while its children still use what it lent. So this is a plain function, for plain threads and for the inside of [`blocking`](crate::blocking); tasks that borrow have
//! [`nursery_with`](crate::nursery_with), which moves what it lends to where it outlives them.
//!
//! Invariants:
//! - **E1** `Counted` is counted up before a job is submitted and down when all that the job held is gone, on whatever way: done, or refused by the pool.
//! - **E2** `blocking_scope` does not return, nor unwind, before the count is zero. So nothing that a job borrowed for `'scope` is used after the frame that lent it.
#![allow(unsafe_code)]

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::host::{Host, HostRef};
use super::name::ThreadName;
use super::pool::{Job, Limits, Pool, Threads, Ticket};
use crate::from_thread::not_on_a_worker;
use crate::local::Carried;
use crate::{contain, primitives};

/// Calls `f` with a [`BlockingScope`], whose closures run on threads of their own and borrow what surrounds the call; returns when all of them have ended.
///
/// Inside a call of [`blocking`](crate::blocking) the threads are those of the run, with the task locals of the task, and [`from_thread`](crate::from_thread) goes to its task; they
/// take no tokens of a limiter. Elsewhere they are the scope's own. It blocks, so it is not `async`, and has to be: only a frame that stands still can lend.
/// Tasks that borrow: [`nursery_with`](crate::nursery_with).
///
/// # Panics
///
/// When all have ended: with the panic of `f`, or else with the first of a closure whose [`ScopedCall`] nobody has joined. On a thread that runs tasks, which it would block. If the system
/// refuses a thread.
///
/// ```
/// use trioxide_runtime::{blocking, blocking_scope, run};
///
/// let longest = run(blocking(|| {
///     let lines = ["one", "seventeen", "two"];
///     blocking_scope(|s| {
///         let calls = lines.each_ref().map(|line| s.spawn(|| line.len())); // borrows `lines`
///         calls.into_iter().map(|call| call.join().unwrap()).max()
///     })
/// }));
/// assert_eq!(longest, Some(9));
/// ```
#[track_caller]
pub fn blocking_scope<'env, F, R>(f: F) -> R
where
    F: for<'scope> FnOnce(&'scope BlockingScope<'scope, 'env>) -> R,
{
    not_on_a_worker("blocking_scope");
    let host = Host::current();
    let own = host.is_none().then(|| {
        let limits = Limits {
            threads: 0,
            keep_alive: Duration::from_secs(10),
            name: "trioxide".into(),
            stack_size: None,
            simulated: false,
        };
        Pool::new(limits)
    });
    let threads = match (&host, &own) {
        (Some(host), _) => host.threads().clone(),
        (None, Some(own)) => own.threads().clone(),
        (None, None) => unreachable!("one of the two"),
    };
    let shared = Arc::new(Shared { state: Mutex::new(State { running: 0, panic: None }), changed: Condvar::new() });
    let scope = BlockingScope { shared: Arc::clone(&shared), threads, host, scope: PhantomData, env: PhantomData };
    let outcome = catch_unwind(AssertUnwindSafe(|| f(&scope)));
    let panic = shared.wait();
    drop(own); // Its threads end.
    match (outcome, panic) {
        (Err(panic), _) | (Ok(_), Some(panic)) => resume_unwind(panic),
        (Ok(value), None) => value,
    }
}

/// Spawns closures that borrow from the frame of [`blocking_scope`].
pub struct BlockingScope<'scope, 'env: 'scope> {
    shared: Arc<Shared>,
    threads: Threads,
    host: Option<HostRef>,
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

/// A closure on its thread; made by [`BlockingScope::spawn`]. Dropping it changes nothing: the scope waits in any case.
pub struct ScopedCall<'scope, T> {
    shared: Arc<Shared>,
    packet: Arc<Packet<T>>,
    scope: PhantomData<&'scope ()>,
}

struct Packet<T>(Mutex<Outcome<T>>);

enum Outcome<T> {
    Running,
    Ended(std::thread::Result<T>),
    /// Taken; or the handle is gone.
    Gone,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    running: usize,
    /// The first that nobody has joined.
    panic: Option<Box<dyn Any + Send>>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the first panic.
    fn keep(&self, panic: Box<dyn Any + Send>) {
        let mut spare = Some(panic);
        let mut state = self.lock();
        if state.panic.is_none() {
            state.panic = spare.take();
        }
        drop(state);
        contain::drop_payload(spare);
    }

    /// Waits for all (E2).
    fn wait(&self) -> Option<Box<dyn Any + Send>> {
        let mut state = self.lock();
        while state.running > 0 {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.panic.take()
    }
}

/// See E1.
struct Counted(Arc<Shared>);

impl Counted {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.lock().running += 1;
        Self(Arc::clone(shared))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.lock().running -= 1;
        self.0.changed.notify_all();
    }
}

impl<'scope> BlockingScope<'scope, '_> {
    /// Runs `f` on a thread of its own.
    ///
    /// # Panics
    ///
    /// If no thread is free and the system refuses to start one.
    #[track_caller]
    pub fn spawn<F, T>(&'scope self, f: F) -> ScopedCall<'scope, T>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        let packet = Arc::new(Packet(Mutex::new(Outcome::Running)));
        let work = Work {
            f,
            carried: Carried::capture(true),
            packet: Arc::clone(&packet),
            host: self.host.clone(),
            counted: Counted::new(&self.shared),
        };
        let job: Arc<dyn Job + 'scope> =
            Arc::new(Scoped { ticket: Ticket::new(&self.threads), work: primitives::Mutex::new(Some(work)) });
        // SAFETY: E1, E2: all that the job holds is gone before `'scope` ends: the one who lent waits for that; what is left is empty. Only the lifetime changes.
        let job = unsafe { std::mem::transmute::<Arc<dyn Job + 'scope>, Arc<dyn Job + 'static>>(job) };
        match self.threads.submit(&job) {
            // Who waits for the call that the scope stands in waits for this, too.
            Ok(()) => job.ticket().abandon(),
            Err(error) => panic!(
                "trioxide: `BlockingScope::spawn` found no thread: {error}; lower the number of threads of the process, or raise its limit"
            ),
        }
        ScopedCall { shared: Arc::clone(&self.shared), packet, scope: PhantomData }
    }
}

impl<T> ScopedCall<'_, T> {
    /// Waits for the closure.
    ///
    /// # Errors
    ///
    /// Its panic, which the scope then does not resume.
    pub fn join(self) -> std::thread::Result<T> {
        let mut state = self.shared.lock();
        loop {
            let mut outcome = self.packet.0.lock().unwrap_or_else(PoisonError::into_inner);
            if let Outcome::Ended(result) = std::mem::replace(&mut *outcome, Outcome::Gone) {
                return result;
            }
            *outcome = Outcome::Running;
            drop(outcome);
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

struct Scoped<F, T> {
    ticket: Ticket,
    /// Taken when it is done (E1).
    work: primitives::Mutex<Option<Work<F, T>>>,
}

struct Work<F, T> {
    f: F,
    carried: Carried,
    packet: Arc<Packet<T>>,
    host: Option<HostRef>,
    /// Declared last: counted down when all else is gone (E1).
    counted: Counted,
}

impl<F, T> Job for Scoped<F, T>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    fn ticket(&self) -> &Ticket {
        &self.ticket
    }

    fn run(self: Arc<Self>, _own_name: &ThreadName, done: &mut dyn FnMut()) -> Option<Box<dyn FnOnce()>> {
        let work = self.work.lock().take().expect("a job is done once");
        let counted = work.run();
        done();
        drop(counted); // E1
        None
    }
}

impl<F, T> Work<F, T>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    /// What is to be dropped last.
    fn run(self) -> Counted {
        let Self { f, carried, packet, host, counted } = self;
        let run = || carried.enter(f);
        let outcome = catch_unwind(AssertUnwindSafe(|| match host {
            Some(host) => host.enter(run),
            None => run(),
        }));
        let unread = {
            let _state = counted.0.lock(); // So that a `join` that has just looked hears of it.
            match &mut *packet.0.lock().unwrap_or_else(PoisonError::into_inner) {
                Outcome::Gone => Some(outcome),
                slot => {
                    *slot = Outcome::Ended(outcome);
                    None
                }
            }
        };
        counted.0.changed.notify_all();
        // The handle is gone: a panic is the scope's to resume, and a value is dropped here.
        let panic = match unread {
            Some(Err(panic)) => Some(panic),
            other => catch_unwind(AssertUnwindSafe(|| drop(other))).err(),
        };
        if let Some(panic) = panic {
            counted.0.keep(panic);
        }
        drop((carried, packet));
        counted
    }
}

impl<T> Drop for ScopedCall<'_, T> {
    fn drop(&mut self) {
        let mut outcome = self.packet.0.lock().unwrap_or_else(PoisonError::into_inner);
        let unread = std::mem::replace(&mut *outcome, Outcome::Gone);
        drop(outcome);
        match unread {
            Outcome::Ended(Err(panic)) => self.shared.keep(panic),
            other => drop(other),
        }
    }
}

impl fmt::Debug for BlockingScope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockingScope").field("running", &self.shared.lock().running).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for ScopedCall<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopedCall").finish_non_exhaustive()
    }
}
