//! The threads for calls that block. They come when a call finds none free, up to a limit, and go after a while without work.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, OnceLock, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use crate::primitives::Mutex;
use crate::scheduler::Shared;

pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// How the pool is set up.
pub(crate) struct Limits {
    pub(crate) threads: usize,
    pub(crate) keep_alive: Duration,
    pub(crate) name: String,
    pub(crate) stack_size: Option<usize>,
}

/// See the module.
pub(crate) struct Pool(Arc<Inner>);

struct Inner {
    limits: Limits,
    jobs: Receiver<Job>,
    state: Mutex<State>,
    /// To be nudged when the last job is done, for a clock that waits for that.
    runtime: OnceLock<Weak<Shared>>,
}

struct State {
    /// `None` once the pool is closed.
    sender: Option<Sender<Job>>,
    /// Jobs that no thread has taken.
    queued: usize,
    /// Threads that wait for a job, or will at once.
    free: usize,
    threads: HashMap<usize, JoinHandle<()>>,
    started: usize,
}

impl Pool {
    pub(crate) fn new(limits: Limits) -> Self {
        let (sender, jobs) = crossbeam_channel::unbounded();
        let state = State { sender: Some(sender), queued: 0, free: 0, threads: HashMap::new(), started: 0 };
        Self(Arc::new(Inner { limits, jobs, state: Mutex::new(state), runtime: OnceLock::new() }))
    }

    /// Nudges `runtime` whenever the last job is done.
    pub(crate) fn attach(&self, runtime: Weak<Shared>) {
        let _ = self.0.runtime.set(runtime);
    }

    /// Runs `job` on a thread of the pool, in order of submission as threads come free.
    ///
    /// # Errors
    ///
    /// No thread runs, and none could be started; the job is not queued.
    pub(crate) fn submit(&self, job: Job) -> io::Result<()> {
        let inner = &self.0;
        let mut state = inner.state.lock();
        let wants_thread = state.queued >= state.free && state.threads.len() < inner.limits.threads;
        if wants_thread
            && let Err(error) = inner.start_thread(&mut state)
            && state.threads.is_empty()
        {
            return Err(error);
        }
        state.queued += 1;
        let sender = state.sender.as_ref().expect("the pool is closed after the last task");
        sender.send(job).expect("the pool owns a receiver");
        Ok(())
    }

    /// Whether no job runs or waits.
    pub(crate) fn is_idle(&self) -> bool {
        self.0.state.lock().is_idle()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let threads = {
            let mut state = self.0.state.lock();
            state.sender = None;
            std::mem::take(&mut state.threads)
        };
        for (_, thread) in threads {
            // The pool may go with the last reference to the runtime, on one of its own threads.
            if thread.thread().id() != thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

impl State {
    fn is_idle(&self) -> bool {
        self.queued == 0 && self.free == self.threads.len()
    }
}

impl Inner {
    fn start_thread(self: &Arc<Self>, state: &mut State) -> io::Result<()> {
        let number = state.started;
        let mut builder = thread::Builder::new().name(format!("{}-blocking-{number}", self.limits.name));
        if let Some(size) = self.limits.stack_size {
            builder = builder.stack_size(size);
        }
        let inner = Arc::clone(self);
        let thread = builder.spawn(move || inner.serve(number))?;
        state.threads.insert(number, thread);
        state.started += 1;
        state.free += 1;
        Ok(())
    }

    fn serve(&self, number: usize) {
        loop {
            match self.jobs.recv_timeout(self.limits.keep_alive) {
                Ok(job) => {
                    {
                        let mut state = self.state.lock();
                        state.queued -= 1;
                        state.free -= 1;
                    }
                    job();
                    self.done();
                }
                Err(RecvTimeoutError::Timeout) => {
                    let mut state = self.state.lock();
                    // A job that was queued meanwhile may count on this thread.
                    if state.queued < state.free {
                        state.free -= 1;
                        state.threads.remove(&number);
                        return;
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn done(&self) {
        let idle = {
            let mut state = self.state.lock();
            state.free += 1;
            state.is_idle()
        };
        if idle && let Some(runtime) = self.runtime.get().and_then(Weak::upgrade) {
            runtime.nudge();
        }
    }
}
