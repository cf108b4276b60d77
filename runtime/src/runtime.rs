//! Runtimes: how they are built, and how they run a main future.
#![allow(unsafe_code)]

use std::fmt;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use crate::blocking::{Limits, Pool};
use crate::context;
use crate::primitives::Mutex;
use crate::primitives::thread::{self, JoinHandle};
use crate::scheduler::choose::Choose;
use crate::scheduler::{How, Shared, Worker, cpus};
use crate::scope::Node;
use crate::scope::node::Place;
use crate::signals;
use crate::task::cell::{self, Birth, Settle};
use crate::task::{Header, Task, TaskId};
use crate::time::{Clock, Time};
use crate::watch::{Hogging, Instrument, Observer, OnGuard, STALL_AFTER, Stall, StallReport, TaskTree, Watchdog};

/// Runs `main` on a runtime with the default settings: as many workers as the process may use CPUs.
///
/// The calling thread is worker 0 and polls `main`, which therefore needs to be neither `Send` nor `'static`. `run` returns when `main` and every task
/// below it have ended.
///
/// # Signals
///
/// The first SIGINT (control-C) or SIGTERM [stops](crate::ScopeHandle::stop) the run with a grace of 8 s: [`stopping`](crate::stopping) and
/// [`until_stopping`](crate::until_stopping) end. A second one, or the end of the grace, cancels the whole run. If `main` is cut by that, the process ends
/// by the signal when all clean-up is done; if `main` still gives a value, `run` returns it. A third one ends the process
/// at once, whatever still runs. A signal that the program handles itself or ignores is
/// left alone, as is one that something in the run listens for. Afterwards the signals do again what they did before. Several runs at once are
/// stopped together. [`Builder::signals`] switches all this off, [`Builder::signal_grace`] sets the grace. In the place of Trio's `KeyboardInterrupt`.
///
/// # Panics
///
/// With the panic of `main`, or of a callback given to a [`RunToken`](crate::RunToken); inside another run (await the future there); if the system refuses threads.
///
/// ```
/// let name = String::from("world"); // `main` borrows it
/// let greeting = trioxide_runtime::run(async { format!("Hello, {name}!") });
/// assert_eq!(greeting, "Hello, world!");
/// ```
#[track_caller]
pub fn run<F: Future>(main: F) -> F::Output {
    not_in_run();
    match Runtime::builder().build() {
        Ok(runtime) => runtime.run(main),
        Err(error) => panic!("trioxide: `run` cannot start its workers: {error}"),
    }
}

/// Workers, timers and a thread pool, kept for any number of runs, one after another.
pub struct Runtime {
    shared: Arc<Shared>,
    /// The first worker, for the thread that calls `run`; taken while one does.
    first: Mutex<Option<Worker>>,
    threads: Vec<JoinHandle<()>>,
    /// The grace that a signal gives; `None`: signals are not for us.
    signal_grace: Option<Duration>,
    /// Boxed, as few have one.
    watchdog: Option<Box<OnGuard>>,
}

impl Runtime {
    /// Settings for a runtime.
    pub fn builder() -> Builder {
        Builder {
            workers: None,
            thread_name: "trioxide".to_owned(),
            stack_size: None,
            clock: None,
            max_blocking_threads: 512,
            blocking_keep_alive: Duration::from_secs(10),
            budget: 128,
            instruments: Vec::new(),
            track_tasks: false,
            watchdog: None,
            on_stall: None,
            stall_after: STALL_AFTER,
            fail_on_deadlock: false,
            signals: true,
            signal_grace: Duration::from_secs(8),
            choose: None,
        }
    }

    /// A handle for other threads to look at what runs here.
    pub fn observer(&self) -> Observer {
        self.shared.observer()
    }

    /// How many workers it has, the calling thread of `run` included.
    pub fn workers(&self) -> usize {
        self.shared.remotes.len()
    }

    /// Runs `main`, as [`run`] does. One run at a time.
    ///
    /// # Panics
    ///
    /// With the panic of `main`; inside another run; while another thread runs something on this runtime.
    #[track_caller]
    pub fn run<F: Future>(&self, main: F) -> F::Output {
        not_in_run();
        let worker = self.first.lock().take();
        let worker = worker.unwrap_or_else(|| {
            panic!("trioxide: this `Runtime` is running already, on another thread; build a runtime for each thread that runs one")
        });
        let worker = Returned { worker: Some(worker), to: &self.first };
        run_main(worker.worker.as_ref().expect("returned when dropped"), self.signal_grace, main)
    }
}

struct Returned<'a> {
    worker: Option<Worker>,
    to: &'a Mutex<Option<Worker>>,
}

impl Drop for Returned<'_> {
    fn drop(&mut self) {
        *self.to.lock() = self.worker.take();
    }
}

#[track_caller]
fn run_main<F: Future>(worker: &Worker, signal_grace: Option<Duration>, main: F) -> F::Output {
    let runtime = NonNull::from(worker.shared());
    // The root of the tree: a nursery without a body, whose one child is the main task; the count that it starts with is that child's.
    let root = Node::attached(
        0,
        Place { parent: None, runtime, task: NonNull::dangling(), task_id: TaskId(0), operation: "run" },
    );
    let _ = Arc::into_raw(Arc::clone(&root)); // The count's reference (`nursery` J2).
    worker.shared().time.set_root(Some(&root));
    let id = crate::scheduler::next_id(Some(worker));
    let watched = signal_grace.map(|grace| signals::watch(&root, grace));
    let present = worker.shared().present.begin(&root);
    worker.shared().watch.run_begins();
    let birth = Birth { base: NonNull::from(&*root), id, spawned_at: Location::caller(), main: true, service: false };
    // SAFETY: the main task is polled on this thread only (`main`), and has ended when `run_main` below returns.
    let mut task = unsafe {
        let header = cell::new::<F, Main>(main, birth, Some(worker));
        let task = Task::<F::Output>::new(header);
        worker.shared().watch.queued(header.as_ref(), How::Spawn);
        worker.run_main(header);
        task
    };
    worker.shared().time.set_root(None);
    root.detach(); // A stop or cancel that is under way finds nobody.
    worker.shared().watch.run_ends();
    let panic = root.inner.lock().extra.as_mut().and_then(|extra| extra.panic.take());
    let ended = catch_unwind(AssertUnwindSafe(|| drop(present)));
    if let Some(panic) = panic.or(ended.err()) {
        resume_unwind(panic);
    }
    match task.take() {
        Some(Ok(output)) => output,
        Some(Err(cancelled)) => {
            if let Some(watched) = &watched {
                watched.main_was_cut();
            }
            panic!("trioxide: the main task was {cancelled}")
        }
        None => unreachable!("the main task has ended, and nobody else has its handle"),
    }
}

/// How the output of the main task is settled: it is the value, whatever it is.
struct Main;

impl<O> Settle<O> for Main {
    type Value = O;

    fn settle(_base: &Arc<Node>, _task: &Header, output: O) -> Option<O> {
        Some(output)
    }
}

#[track_caller]
fn not_in_run() {
    assert!(
        !context::in_task(),
        "trioxide: `run` was called inside a run; await the future there, or start another thread for an independent run"
    );
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.shared.close();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        // A thread of it may still hold `Shared`, for a wake that it is at the end of: what the runtime has open would be closed later.
        self.shared.pool.close();
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").field("workers", &self.workers()).finish_non_exhaustive()
    }
}

/// Settings for a [`Runtime`].
#[must_use = "call `build`"]
pub struct Builder {
    workers: Option<usize>,
    thread_name: String,
    stack_size: Option<usize>,
    clock: Option<Box<dyn Clock>>,
    max_blocking_threads: usize,
    blocking_keep_alive: Duration,
    budget: u32,
    instruments: Vec<Arc<dyn Instrument>>,
    track_tasks: bool,
    watchdog: Option<Watchdog>,
    on_stall: Option<Arc<StallReport>>,
    stall_after: Duration,
    fail_on_deadlock: bool,
    signals: bool,
    signal_grace: Duration,
    choose: Option<Arc<dyn Choose>>,
}

impl Builder {
    /// How many workers, the calling thread of `run` included. Default: the CPUs that the process may really use, with affinity and cgroup quota
    /// counted in.
    ///
    /// # Panics
    ///
    /// On zero.
    pub fn workers(mut self, workers: usize) -> Self {
        assert!(
            workers > 0,
            "trioxide: a runtime needs at least 1 worker, got 0; leave `workers` out for one per usable CPU"
        );
        self.workers = Some(workers);
        self
    }

    /// The names of its threads begin so; default `trioxide`.
    pub fn thread_name(mut self, name: impl Into<String>) -> Self {
        self.thread_name = name.into();
        self
    }

    /// The stack of its threads, in bytes; default: that of the standard library.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = Some(bytes);
        self
    }

    /// Where it takes the time from; default: the system's monotonic clock.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Box::new(clock));
        self
    }

    /// How many calls of [`blocking`](crate::blocking) run at once; default 512. Further ones wait for their turn. It is what the runtime's
    /// [limiter](crate::blocking_limiter) begins with; calls with a limiter of their own do not count.
    ///
    /// # Panics
    ///
    /// On zero.
    pub fn max_blocking_threads(mut self, threads: usize) -> Self {
        assert!(threads > 0, "trioxide: the thread pool needs at least 1 thread, got 0; `blocking` could never run");
        self.max_blocking_threads = threads;
        self
    }

    /// How long a thread of the pool waits for work before it ends; default 10 s.
    pub fn blocking_keep_alive(mut self, keep_alive: Duration) -> Self {
        self.blocking_keep_alive = keep_alive;
        self
    }

    /// How many operations that could go on at once a task may do before it must yield; default 128.
    ///
    /// # Panics
    ///
    /// On zero.
    pub fn budget(mut self, operations: u32) -> Self {
        assert!(operations > 0, "trioxide: a task needs a budget of at least 1 operation per poll, got 0");
        self.budget = operations;
        self
    }

    /// Whether SIGINT and SIGTERM stop what it runs, as [`run`](crate::run) tells; default: yes, where there are signals.
    ///
    /// ```
    /// let runtime = trioxide_runtime::Runtime::builder().signals(false).build()?;
    /// runtime.run(async { /* control-C ends the process at once */ });
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn signals(mut self, handled: bool) -> Self {
        self.signals = handled;
        self
    }

    /// How long what runs may go on after the first SIGINT or SIGTERM, on the runtime's clock; then it is cancelled. Default 8 s: less than the 10 s
    /// after which the usual supervisors of containers kill.
    pub fn signal_grace(mut self, grace: Duration) -> Self {
        self.signal_grace = grace;
        self
    }

    /// Installs an instrument from the beginning. The same one twice counts once.
    pub fn instrument<I: Instrument>(mut self, instrument: Arc<I>) -> Self {
        self.instruments.push(instrument);
        self
    }

    /// Notes what each task is doing: then [`task_tree`](crate::task_tree) shows every task by itself, with the operation it has begun last and
    /// when. Default: off, as it costs an allocation per task, and a lock and a look at the clock per operation.
    pub fn track_tasks(mut self, track: bool) -> Self {
        self.track_tasks = track;
        self
    }

    /// Calls `report` when a task has kept a worker busy in one poll for longer than `limit` (of real time, whatever the clock), while it does so; once per poll.
    ///
    /// It is called on a thread of its own, which exists only with this and ends with the runtime. It looks every half of `limit`, so a report comes
    /// at most so much late, and may come for a poll that ends just then. A `report` that panics is called again for the next one. Each poll costs two looks
    /// at the clock and a lock that is nearly always free. After the wish for a watchdog in Trio (#591).
    ///
    /// # Panics
    ///
    /// On a `limit` of zero.
    ///
    /// ```
    /// use std::sync::mpsc;
    /// use std::time::Duration;
    /// use trioxide_runtime::Runtime;
    ///
    /// let (send, receive) = mpsc::channel();
    /// let watchdog = move |hog: &trioxide_runtime::Hogging| send.send(hog.to_string()).unwrap();
    /// let runtime = Runtime::builder().watchdog(Duration::from_millis(1), watchdog).build()?;
    /// // This task blocks its worker until the watchdog barks.
    /// let barked = runtime.run(async move { receive.recv().unwrap() });
    /// assert!(barked.contains("has kept worker 0 busy"));
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn watchdog(mut self, limit: Duration, report: impl Fn(&Hogging) + Send + Sync + 'static) -> Self {
        self.watchdog = Some(Watchdog::new(limit, Arc::new(report)));
        self
    }

    /// As [`watchdog`](Self::watchdog), with a line on standard error for each report.
    ///
    /// # Panics
    ///
    /// On a `limit` of zero.
    pub fn watchdog_to_stderr(self, limit: Duration) -> Self {
        self.watchdog(limit, |hogging| eprintln!("trioxide: {hogging}"))
    }

    /// Calls `report` when nothing in a run can run any more, in place of a text on standard error that shows the tree: every task waits, and there is no timer, no
    /// call of [`blocking`](crate::blocking), nobody who has its [`RunToken`](crate::RunToken), and nothing registered with the I/O driver, which may always bring something.
    ///
    /// The run goes on waiting, for it cannot know of other threads that hold wakers or handles; nor are signals counted. So the report comes only when it has been
    /// so for [a while](Self::stall_after), and once until something runs again. A worker calls it, outside of any task: it may wake and cancel, for instance
    /// by a handle, to end what hangs.
    ///
    /// ```
    /// use std::time::Duration;
    /// use trioxide_runtime::{CancelScope, Runtime, sleep_forever};
    ///
    /// let scope = CancelScope::new();
    /// let handle = scope.handle();
    /// let runtime = Runtime::builder()
    ///     .stall_after(Duration::from_millis(10))
    ///     .on_stall(move |tree| {
    ///         eprintln!("{tree}");
    ///         handle.cancel("it hangs");
    ///     })
    ///     .build()?;
    /// let cancelled = runtime.run(scope.run(sleep_forever())).unwrap_err();
    /// assert!(cancelled.to_string().contains("it hangs"));
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn on_stall(mut self, report: impl Fn(&TaskTree) + Send + Sync + 'static) -> Self {
        self.on_stall = Some(Arc::new(report));
        self
    }

    /// How long nothing can have run before that is [reported](Self::on_stall), in real time, whatever the clock; default 5 s. `Duration::MAX`: never.
    pub fn stall_after(mut self, after: Duration) -> Self {
        self.stall_after = after;
        self
    }

    /// One worker, whose choices `choose` makes. For simulations; not part of the interface.
    #[doc(hidden)]
    pub fn choose(mut self, choose: Arc<dyn Choose>) -> Self {
        self.choose = Some(choose);
        self
    }

    /// For tests: a run in which every task waits and nothing can wake one any more panics at once, with the task tree, instead of hanging. Default: off.
    ///
    /// It is cancelled, and the report, which goes to standard error too, is its panic. Nothing can is: no timer is armed, no call of [`blocking`](crate::blocking) runs, nothing is registered with
    /// the I/O driver, and nobody holds the run's [`RunToken`](crate::RunToken) or [`Portal`](crate::Portal). So a server that waits for a connection is
    /// not in a deadlock. But a thread that holds a waker, the end of a channel or a handle is not known of: one that is to wake a task must hold the run's token until then, or be waited for in
    /// `blocking`. With [`track_tasks`](Self::track_tasks) the report says what each task waits for, and who holds that.
    ///
    /// If something that is shielded waits for ever, so that the run does not end when it is cancelled, the process is aborted, after a second report.
    ///
    /// ```should_panic
    /// use trioxide_runtime::{Runtime, sleep_forever};
    ///
    /// let runtime = Runtime::builder().fail_on_deadlock(true).build().unwrap();
    /// runtime.run(sleep_forever()); // panics: "trioxide: deadlock: …"
    /// ```
    pub fn fail_on_deadlock(mut self, fail: bool) -> Self {
        self.fail_on_deadlock = fail;
        self
    }

    /// Starts the workers.
    ///
    /// # Errors
    ///
    /// If the system refuses a thread; those that were started are ended. Or if it refuses the pipe that signals need.
    pub fn build(self) -> io::Result<Runtime> {
        if self.signals {
            signals::prepare()?;
        }
        let signal_grace = self.signals.then_some(self.signal_grace);
        let workers = if self.choose.is_some() { 1 } else { self.workers.unwrap_or_else(cpus::usable) };
        let limits = Limits {
            threads: self.max_blocking_threads,
            keep_alive: self.blocking_keep_alive,
            name: self.thread_name.clone(),
            stack_size: self.stack_size,
            simulated: self.choose.is_some(),
        };
        let (shared, workers) = Shared::new(workers, Time::new(self.clock), Pool::new(limits), self.budget);
        if let Some(choose) = self.choose {
            let _ = shared.choose.set(choose);
        }
        shared.time.attach(&shared);
        shared.watch.report_stalls(Stall::new(self.stall_after, self.on_stall));
        if self.fail_on_deadlock {
            shared.watch.fail_on_deadlock();
        }
        if self.track_tasks {
            shared.watch.track_tasks();
        }
        for instrument in self.instruments {
            shared.watch.add_instrument(instrument);
        }
        let mut workers = workers.into_iter();
        let mut runtime =
            Runtime { shared, first: Mutex::new(workers.next()), threads: Vec::new(), signal_grace, watchdog: None };
        if let Some(watchdog) = self.watchdog {
            let (steps, on_guard) = watchdog.start(runtime.workers(), &self.thread_name)?;
            runtime.shared.watch.let_watch(steps);
            runtime.watchdog = Some(Box::new(on_guard));
        }
        for worker in workers {
            let mut builder = thread::Builder::new().name(format!("{}-{}", self.thread_name, worker.index));
            if let Some(size) = self.stack_size {
                builder = builder.stack_size(size);
            }
            runtime.threads.push(builder.spawn(move || worker.run())?);
        }
        Ok(runtime)
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("workers", &self.workers)
            .field("thread_name", &self.thread_name)
            .field("max_blocking_threads", &self.max_blocking_threads)
            .field("budget", &self.budget)
            .field("signals", &self.signals)
            .field("signal_grace", &self.signal_grace)
            .finish_non_exhaustive()
    }
}
