//! The threads for calls that block: one that is free takes the next job, last in first out; if none is free, one is started. How many
//! there are is the limiters' business. A thread without work ends after a while.
//!
//! Invariants:
//! - **P1** Each thread has a channel of its own. Its sending end is in `idle` while the thread is free, and with the job while it works. Who takes it out
//!   of `idle`, under the lock, sends one job. So a thread that has waited long enough ends only if it finds itself in `idle`; otherwise a job is on its way.
//! - **P2** A thread is free again before it delivers: who is woken by that finds it in `idle`.
//! - **P3** `jobs` counts what a clock must wait for: submitted, and neither delivered nor abandoned, nor waiting itself for something that its task runs (`paused`).
//!   `settled` and `paused` change under the lock.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::name::ThreadName;
use super::simulated::LaidOut;
use crate::contain;
use crate::limiter::CapacityLimiter;
use crate::primitives::Mutex;
use crate::scheduler::Shared;
use crate::watch::BlockingStatistics;

/// What a thread does for somebody.
pub(super) trait Job: Send {
    /// The work itself, which may take long; `own_name` is the thread's.
    fn work(&mut self, own_name: &ThreadName);

    /// Hands over what came of it.
    fn deliver(self: Box<Self>);
}

/// How the pool is set up.
#[derive(Clone)]
pub(crate) struct Limits {
    /// The tokens of the default limiter.
    pub(crate) threads: usize,
    pub(crate) keep_alive: Duration,
    pub(crate) name: String,
    pub(crate) stack_size: Option<usize>,
    /// There are no threads: see `simulated`.
    pub(crate) simulated: bool,
}

/// See the module.
pub(crate) struct Pool {
    pub(super) inner: Arc<Inner>,
    limiter: Arc<CapacityLimiter>,
}

/// The threads, without the default limiter. They stay as long as somebody has them.
pub(super) type Threads = Arc<Inner>;

pub(super) struct Inner {
    pub(super) limits: Limits,
    state: Mutex<State>,
    /// To be told when the last job is done.
    runtime: OnceLock<Weak<Shared>>,
    pub(super) laid_out: Mutex<LaidOut>,
}

struct State {
    closed: bool,
    /// See P3.
    jobs: usize,
    /// See P1. The last one was free last.
    idle: Vec<Free>,
    threads: HashMap<usize, Thread>,
    started: usize,
}

struct Thread {
    handle: JoinHandle<()>,
    /// Of the job it works at.
    ticket: Option<Arc<Ticket>>,
}

/// A thread that is free.
struct Free {
    number: usize,
    sender: Sender<Work>,
}

struct Work {
    job: Box<dyn Job>,
    ticket: Arc<Ticket>,
    free: Free,
}

/// Of a job that was submitted.
pub(super) struct Ticket {
    pool: Arc<Inner>,
    settled: AtomicBool,
    paused: AtomicBool,
    abandoned: AtomicBool,
}

impl Ticket {
    /// Nobody waits for the job any more: neither a clock nor the end of the pool.
    pub(super) fn abandon(&self) {
        // Release pairs with the acquire in `Pool::drop`.
        self.abandoned.store(true, Release);
        self.settle();
    }

    /// The thread waits for something that the task runs now, on a worker: until [`resume`](Self::resume) a clock need not wait for the job.
    pub(super) fn pause(&self) {
        let mut state = self.pool.state.lock();
        if !self.settled.load(Relaxed) && !self.paused.swap(true, Relaxed) {
            state.jobs -= 1;
        }
    }

    /// Called on a worker, too, so that the clock stands still between the answer and this.
    pub(super) fn resume(&self) {
        let mut state = self.pool.state.lock();
        if self.paused.swap(false, Relaxed) && !self.settled.load(Relaxed) {
            state.jobs += 1;
        }
    }

    /// Delivered or abandoned, whichever is first.
    pub(super) fn settle(&self) {
        let idle = {
            let mut state = self.pool.state.lock();
            if self.settled.swap(true, Relaxed) || self.paused.load(Relaxed) {
                return;
            }
            state.jobs -= 1;
            state.jobs == 0
        };
        if idle && let Some(runtime) = self.pool.runtime.get().and_then(Weak::upgrade) {
            runtime.look_again();
        }
    }
}

impl Pool {
    pub(crate) fn new(limits: Limits) -> Self {
        let limiter = Arc::new(CapacityLimiter::new(limits.threads));
        let state = State { closed: false, jobs: 0, idle: Vec::new(), threads: HashMap::new(), started: 0 };
        Self {
            inner: Arc::new(Inner {
                limits,
                state: Mutex::new(state),
                runtime: OnceLock::new(),
                laid_out: Mutex::new(LaidOut::default()),
            }),
            limiter,
        }
    }

    /// Tells `runtime` whenever the last job is done.
    pub(crate) fn attach(&self, runtime: Weak<Shared>) {
        let _ = self.inner.runtime.set(runtime);
    }

    /// Of the calls that name none.
    pub(crate) fn limiter(&self) -> &Arc<CapacityLimiter> {
        &self.limiter
    }

    /// The threads themselves.
    pub(super) fn threads(&self) -> &Threads {
        &self.inner
    }

    pub(crate) fn statistics(&self) -> BlockingStatistics {
        let (threads, idle) = {
            let state = self.inner.state.lock();
            (state.threads.len(), state.idle.len())
        };
        let queued = self.limiter.statistics().tasks_waiting;
        BlockingStatistics { threads, busy: threads.saturating_sub(idle), queued }
    }

    /// Whether no job is under way that somebody waits for.
    pub(crate) fn is_idle(&self) -> bool {
        self.inner.state.lock().jobs == 0
    }
}

impl Drop for Pool {
    /// Waits for the threads, but for those that were abandoned.
    fn drop(&mut self) {
        let (idle, threads) = {
            let mut state = self.inner.state.lock();
            state.closed = true;
            (std::mem::take(&mut state.idle), std::mem::take(&mut state.threads))
        };
        drop(idle); // So they end.
        for thread in threads.into_values() {
            // Acquire pairs with `abandon`.
            let abandoned = thread.ticket.is_some_and(|ticket| ticket.abandoned.load(Acquire));
            // The pool may go with the last reference to the runtime, on one of its own threads.
            if !abandoned && thread.handle.thread().id() != thread::current().id() {
                let _ = thread.handle.join();
            }
        }
    }
}

impl Inner {
    /// Runs `job` on a thread.
    ///
    /// # Errors
    ///
    /// No thread is free, and none could be started; `job` is dropped.
    pub(super) fn submit(self: &Arc<Self>, job: Box<dyn Job>) -> io::Result<Arc<Ticket>> {
        let (settled, paused, abandoned) = (AtomicBool::new(false), AtomicBool::new(false), AtomicBool::new(false));
        let ticket = Arc::new(Ticket { pool: Arc::clone(self), settled, paused, abandoned });
        if self.limits.simulated {
            self.state.lock().jobs += 1;
            self.lay_out(job, &ticket);
            return Ok(ticket);
        }
        let free = {
            let mut state = self.state.lock();
            let free = match state.idle.pop() {
                Some(free) => free,
                None => self.start_thread(&mut state)?,
            };
            state.jobs += 1;
            state.threads.get_mut(&free.number).expect("it has not ended").ticket = Some(Arc::clone(&ticket));
            free
        };
        let sender = free.sender.clone();
        let work = Work { job, ticket: Arc::clone(&ticket), free };
        assert!(sender.send(work).is_ok(), "a thread outside `idle` does not end (P1)");
        Ok(ticket)
    }

    fn start_thread(self: &Arc<Self>, state: &mut State) -> io::Result<Free> {
        let number = state.started;
        let name = format!("{}-blocking-{number}", self.limits.name);
        let own_name = ThreadName::new(&name);
        let mut builder = thread::Builder::new().name(name);
        if let Some(size) = self.limits.stack_size {
            builder = builder.stack_size(size);
        }
        let (sender, jobs) = crossbeam_channel::bounded(1);
        let inner = Arc::clone(self);
        let handle = builder.spawn(move || inner.serve(number, &own_name, &jobs))?;
        state.threads.insert(number, Thread { handle, ticket: None });
        state.started += 1;
        Ok(Free { number, sender })
    }

    fn serve(&self, number: usize, own_name: &ThreadName, jobs: &Receiver<Work>) {
        while let Some(Work { mut job, ticket, free }) = self.next(number, jobs) {
            job.work(own_name);
            {
                let mut state = self.state.lock();
                if let Some(thread) = state.threads.get_mut(&number) {
                    thread.ticket = None;
                }
                if !state.closed {
                    state.idle.push(free); // P2. Of a closed pool it is dropped, and the thread ends.
                }
            }
            contain::call(|| job.deliver());
            ticket.settle();
        }
    }

    /// The next job; `None` when the thread is to end.
    fn next(&self, number: usize, jobs: &Receiver<Work>) -> Option<Work> {
        match jobs.recv_timeout(self.limits.keep_alive) {
            Ok(work) => return Some(work),
            Err(RecvTimeoutError::Disconnected) => return None,
            Err(RecvTimeoutError::Timeout) => {}
        }
        {
            let mut state = self.state.lock();
            if let Some(at) = state.idle.iter().position(|free| free.number == number) {
                state.idle.remove(at);
                state.threads.remove(&number);
                return None;
            }
        }
        jobs.recv().ok() // P1: it is on its way; or the pool is closed.
    }
}
