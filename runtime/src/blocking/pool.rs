//! The threads for calls that block, and the queue of their jobs. How many threads there are is the limiters' business; one without work ends after a while.
//!
//! ```text
//!  submit ─▶ queue, and if too few search: one is called ─────────────────────────────┐
//!                                                                                     ▼
//!  idle ◀── nothing there, not even after a little while ── searching ── takes a job ─▶ works ── done ─┐
//!    └──── called; or it ends, when it has waited for long ────▲  ▲     (and calls another            │
//!                                                                 │      if there are more)            │
//!                                                                 └── delivers ◀───────────────────────┘
//! ```
//!
//! To wake a thread takes longer than most jobs. So a thread is not woken for each job, but for each `JOBS_PER_SEARCHER` that nobody is on his way to; who comes sends the next if there are too few, before it begins with its job, which
//! may block. And a thread that has delivered searches already when it does, and lingers a little: the answer to an answer is often another call.
//!
//! Invariants, whenever the lock is free:
//! - **P1** While there are jobs in the queue some thread searches, or none could be started. A searching thread looks at the queue before it does anything that may take long, and leaves a job there only for a searching thread that
//!   was free later.
//! - **P2** A thread that does no job is in `free`, in the order in which they became so, idle or searching. Who makes it search unparks it. So one that has waited long enough ends only if it finds itself idle. The last that became free has the
//!   next job: its stack is warm, and those that are not needed end.
//! - **P3** `jobs` counts what a clock must wait for: submitted, and neither delivered nor abandoned, nor waiting itself for something that its task runs (`paused`).
//!   `settled` and `paused` change under the lock.
//! - **P4** When the pool closes, nothing waits for what is in the queue or runs for nobody: it was abandoned, or else its task would not have ended. The threads that are joined then leave `threads`, and take no job any more; the others see to it.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::name::ThreadName;
use super::simulated::LaidOut;
use crate::contain;
use crate::limiter::CapacityLimiter;
use crate::primitives::{Mutex, MutexGuard};
use crate::scheduler::{Linger, Shared};
use crate::watch::BlockingStatistics;

/// What a thread does for somebody.
pub(super) trait Job: Send + Sync {
    fn ticket(&self) -> &Ticket;

    /// Does the work, which may take long; calls `done`; and hands over what came of it, which does not take long. What is left to do then and may, if there is something.
    /// Called once; `own_name` is the thread's.
    fn run(self: Arc<Self>, own_name: &ThreadName, done: &mut dyn FnMut()) -> Option<Box<dyn FnOnce()>>;
}

/// So many jobs may wait for each thread that is on its way to them.
const JOBS_PER_SEARCHER: usize = 64;

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
pub(crate) type Threads = Arc<Inner>;

pub(crate) struct Inner {
    pub(super) limits: Limits,
    state: Mutex<State>,
    /// Whether there are jobs in the queue, for those who linger. Changed under the lock.
    has_jobs: AtomicBool,
    /// To be told when the last job is done.
    runtime: OnceLock<Weak<Shared>>,
    pub(super) laid_out: Mutex<LaidOut>,
}

struct State {
    closed: bool,
    queue: VecDeque<Arc<dyn Job>>,
    /// See P3.
    jobs: usize,
    /// See P2.
    free: Vec<Free>,
    /// How many of them search.
    searching: usize,
    /// By number.
    threads: Vec<Thread>,
    started: usize,
}

struct Thread {
    number: usize,
    handle: JoinHandle<()>,
    /// What it works at.
    job: Option<Arc<dyn Job>>,
}

/// A thread that does no job.
struct Free {
    number: usize,
    searches: bool,
}

/// Of a job that is to be submitted.
pub(super) struct Ticket {
    pool: Arc<Inner>,
    settled: AtomicBool,
    paused: AtomicBool,
    abandoned: AtomicBool,
}

impl Ticket {
    pub(super) fn new(pool: &Threads) -> Self {
        let (settled, paused, abandoned) = (AtomicBool::new(false), AtomicBool::new(false), AtomicBool::new(false));
        Self { pool: Arc::clone(pool), settled, paused, abandoned }
    }

    /// Where the job is done.
    pub(super) fn threads(&self) -> &Threads {
        &self.pool
    }

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
        // Only the future of the call pauses and resumes it; so it need not ask under the lock whether it has.
        if !self.paused.load(Relaxed) {
            return;
        }
        let mut state = self.pool.state.lock();
        if self.paused.swap(false, Relaxed) && !self.settled.load(Relaxed) {
            state.jobs += 1;
        }
    }

    /// Delivered or abandoned, whichever is first.
    pub(super) fn settle(&self) {
        let idle = self.settle_in(&mut self.pool.state.lock());
        if idle {
            self.pool.tell_idle();
        }
    }

    /// As [`settle`](Self::settle); whether the runtime is to be told that the pool is idle now, without the lock.
    fn settle_in(&self, state: &mut State) -> bool {
        if self.settled.swap(true, Relaxed) || self.paused.load(Relaxed) {
            return false;
        }
        state.jobs -= 1;
        state.jobs == 0
    }
}

impl Pool {
    pub(crate) fn new(limits: Limits) -> Self {
        let limiter = Arc::new(CapacityLimiter::new(limits.threads));
        let state = State {
            closed: false,
            queue: VecDeque::new(),
            jobs: 0,
            free: Vec::new(),
            searching: 0,
            threads: Vec::new(),
            started: 0,
        };
        Self {
            inner: Arc::new(Inner {
                limits,
                state: Mutex::new(state),
                has_jobs: AtomicBool::new(false),
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
        let (threads, free) = {
            let state = self.inner.state.lock();
            (state.threads.len(), state.free.len())
        };
        let queued = self.limiter.statistics().tasks_waiting;
        BlockingStatistics { threads, busy: threads.saturating_sub(free), queued }
    }

    /// Whether no job is under way that somebody waits for.
    pub(crate) fn is_idle(&self) -> bool {
        self.inner.state.lock().jobs == 0
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.close();
    }
}

impl Pool {
    /// Waits for the threads, but for those that were abandoned. When that is done none of the others holds anything of the runtime.
    pub(crate) fn close(&self) {
        let joined: Vec<Thread> = {
            let mut state = self.inner.state.lock();
            if std::mem::replace(&mut state.closed, true) {
                return;
            }
            let State { free, threads, queue, .. } = &mut *state;
            // P4. Who searches may be about to take one that was abandoned.
            let jobs = !queue.is_empty();
            let joined = threads.extract_if(.., |thread| {
                let takes = jobs && free.iter().any(|free| free.number == thread.number && free.searches);
                // Acquire pairs with `abandon`.
                let abandoned = thread.job.as_ref().is_some_and(|job| job.ticket().abandoned.load(Acquire));
                // The pool may go with the last reference to the runtime, on one of its own threads.
                !takes && !abandoned && thread.handle.thread().id() != thread::current().id()
            });
            let joined = joined.collect();
            threads.iter().for_each(|thread| thread.handle.thread().unpark()); // So the idle ones end.
            joined
        };
        joined.iter().for_each(|thread| thread.handle.thread().unpark());
        for thread in joined {
            let _ = thread.handle.join();
        }
    }
}

impl Inner {
    /// Runs `job` on a thread.
    ///
    /// # Errors
    ///
    /// No thread is free, and none could be started.
    pub(super) fn submit(self: &Arc<Self>, job: &Arc<dyn Job>) -> io::Result<()> {
        let job = Arc::clone(job);
        if self.limits.simulated {
            self.state.lock().jobs += 1;
            self.lay_out(job);
            return Ok(());
        }
        let mut state = self.state.lock();
        let called = if state.wants_searcher() {
            match self.call_one(&mut state) {
                // Somebody will come.
                Err(_) if state.searching > 0 => None,
                called => called?,
            }
        } else {
            None
        };
        state.jobs += 1;
        state.queue.push_back(job);
        self.has_jobs.store(true, Relaxed);
        drop(state);
        if let Some(thread) = called {
            thread.unpark();
        }
        Ok(())
    }

    /// The runtime, while it is there.
    pub(crate) fn runtime(&self) -> Option<Arc<Shared>> {
        self.runtime.get().and_then(Weak::upgrade)
    }

    /// The last job that somebody waits for is done.
    fn tell_idle(&self) {
        if let Some(runtime) = self.runtime() {
            runtime.look_again();
        }
    }

    /// One more thread searches. It is to be unparked, without the lock, if it was there already.
    fn call_one(self: &Arc<Self>, state: &mut State) -> io::Result<Option<thread::Thread>> {
        let Some(idle) = state.free.iter_mut().rev().find(|free| !free.searches) else {
            self.start_thread(state)?;
            return Ok(None);
        };
        idle.searches = true;
        let number = idle.number;
        state.searching += 1;
        Ok(state.thread(number).map(|thread| thread.handle.thread().clone()))
    }

    /// A thread, which searches from the beginning.
    fn start_thread(self: &Arc<Self>, state: &mut State) -> io::Result<()> {
        let number = state.started;
        let name = format!("{}-blocking-{number}", self.limits.name);
        let own_name = ThreadName::new(&name);
        let mut builder = thread::Builder::new().name(name);
        if let Some(size) = self.limits.stack_size {
            builder = builder.stack_size(size);
        }
        let inner = Arc::clone(self);
        let handle = builder.spawn(move || inner.serve(number, &own_name))?;
        state.threads.push(Thread { number, handle, job: None });
        state.started += 1;
        state.search(number);
        Ok(())
    }

    fn serve(self: &Arc<Self>, number: usize, own_name: &ThreadName) {
        let linger = Linger::new();
        let mut before = None;
        while let Some(job) = self.next(number, &linger, before.take()) {
            let running = Arc::clone(&job);
            // Before it hands over what came of it: who is woken by that need not wake another.
            let rest = contain::call(|| running.run(own_name, &mut || self.search(number))).flatten();
            if let Some(rest) = rest {
                self.stop_searching(self.state.lock(), number); // P1
                contain::call(rest);
                self.search(number);
            }
            before = Some(job);
        }
    }

    /// The thread has done its job.
    fn search(&self, number: usize) {
        let mut state = self.state.lock();
        let job = state.thread(number).and_then(|thread| thread.job.take());
        state.search(number);
        drop(state);
        drop(job);
    }

    /// The next job, for a thread that searches, and has done the job `before`; `None` when it is to end.
    fn next(
        self: &Arc<Self>,
        number: usize,
        linger: &Linger,
        mut before: Option<Arc<dyn Job>>,
    ) -> Option<Arc<dyn Job>> {
        let mut lingered = false;
        let mut state = self.state.lock();
        let mut idle = before.as_ref().is_some_and(|before| before.ticket().settle_in(&mut state));
        loop {
            let later = state.searching_later_than(number);
            let is_joined = state.closed && state.thread(number).is_none(); // P4
            if !is_joined && state.queue.len() > later {
                let job = state.queue.pop_front();
                self.has_jobs.store(!state.queue.is_empty(), Relaxed);
                if let Some(thread) = state.thread(number) {
                    thread.job.clone_from(&job);
                }
                self.stop_searching(state, number);
                drop(before);
                if idle {
                    self.tell_idle(); // What is in the queue is waited for by nobody.
                }
                return job;
            }
            if before.is_some() {
                drop(state);
                before = None; // What is left of it may be foreign, so not under the lock.
                if std::mem::take(&mut idle) {
                    self.tell_idle();
                }
                state = self.state.lock();
                continue;
            }
            if state.closed {
                self.stop_searching(state, number);
                return None;
            }
            if !std::mem::replace(&mut lingered, true) && state.free.last().is_some_and(|last| last.number == number) {
                drop(state);
                linger.wait(|| self.has_jobs.load(Relaxed));
                state = self.state.lock();
                continue;
            }
            if !self.rest(state, number) {
                return None;
            }
            lingered = false;
            state = self.state.lock();
        }
    }

    /// One that searches goes on to something that may take long. If it was the last, and there are jobs, another is called.
    fn stop_searching<'a>(self: &'a Arc<Self>, mut state: MutexGuard<'a, State>, number: usize) {
        state.leave_free(number);
        let called = if !state.queue.is_empty() && state.wants_more() { self.call_one(&mut state) } else { Ok(None) };
        drop(state);
        // If none could be started, the jobs wait for one that is done.
        if let Ok(Some(thread)) = called {
            thread.unpark();
        }
    }

    /// Waits until it is called; false if it has waited for long, or the pool is closed: then it ends.
    fn rest<'a>(&'a self, mut state: MutexGuard<'a, State>, number: usize) -> bool {
        state.set_idle(number);
        let until = Instant::now().checked_add(self.limits.keep_alive);
        loop {
            let closed = state.closed;
            drop(state);
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let over = closed || left.is_some_and(|left| left.is_zero());
            match left {
                _ if over => {}
                Some(left) => thread::park_timeout(left),
                None => thread::park(),
            }
            state = self.state.lock();
            if state.free.iter().any(|free| free.number == number && free.searches) {
                return true;
            }
            if over {
                state.leave_free(number);
                state.threads.retain(|thread| thread.number != number);
                return false;
            }
        }
    }
}

impl State {
    /// The thread with that number, if it is not joined.
    fn thread(&mut self, number: usize) -> Option<&mut Thread> {
        let at = self.threads.binary_search_by_key(&number, |thread| thread.number).ok()?;
        Some(&mut self.threads[at])
    }

    /// The thread does no job, and looks for one.
    fn search(&mut self, number: usize) {
        self.free.push(Free { number, searches: true });
        self.searching += 1;
    }

    fn set_idle(&mut self, number: usize) {
        if let Some(free) = self.free.iter_mut().find(|free| free.number == number) {
            free.searches = false;
            self.searching -= 1;
        }
    }

    /// The thread has a job, or ends.
    fn leave_free(&mut self, number: usize) {
        if let Some(at) = self.free.iter().rposition(|free| free.number == number) {
            self.searching -= usize::from(self.free.remove(at).searches);
        }
    }

    /// Whether one more thread is to search, when one more job comes: the last that became free is idle, or too few search.
    fn wants_searcher(&self) -> bool {
        let last_is_idle = self.free.last().is_some_and(|last| !last.searches);
        last_is_idle || self.wants_more()
    }

    /// Whether too few search for so many jobs.
    fn wants_more(&self) -> bool {
        self.queue.len() >= self.searching * JOBS_PER_SEARCHER
    }

    fn searching_later_than(&self, number: usize) -> usize {
        self.free.iter().rev().take_while(|free| free.number != number).filter(|free| free.searches).count()
    }
}
