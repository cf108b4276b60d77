//! Who is compared: runtimes, each with the same number of workers, and libraries.
//!
//! | runtime | workers | where a row's body runs |
//! | --- | --- | --- |
//! | trioxide | `N`, the calling thread is one of them | on the calling thread, worker 0 |
//! | tokio, multi-thread | `N` threads | `block_on` on the calling thread, beside the workers |
//! | tokio, current-thread | none but the calling thread | `block_on` on it |
//! | smol: one executor | `N` threads | `block_on` on the calling thread, beside the workers |
//!
//! So each body runs where that runtime's `main` runs. tokio and smol get one more thread that way, and their body's spawns
//! cross threads; `--body task` runs their bodies in a task on a worker instead.
//!
//! With the feature `peers` there are more: see `peers`.
//!
//! Libraries take part in the rows of one primitive. They need no runtime of their own, so they run on trioxide's: what differs from trioxide's row is then the primitive and nothing else.
//! tokio's primitives are there twice, on tokio's runtime, which is what its users have, and, as `tokio-here`, on trioxide's.

use std::future::Future;
use std::io;
use std::thread::JoinHandle;

use smol::Executor;

/// Which runtime or library.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Contender {
    /// This library.
    Trioxide,
    /// tokio's multi-thread runtime.
    Tokio,
    /// tokio's current-thread runtime: what a second core and its price are to be measured against.
    TokioCt,
    /// smol: async-executor on plain threads, async-io, blocking.
    Smol,
    /// tokio's primitives on trioxide's runtime.
    #[value(name = "tokio-here")]
    TokioHere,
    /// async-channel on trioxide's runtime.
    AsyncChannel,
    /// flume, the same.
    Flume,
    /// crossfire, the same.
    Crossfire,
    /// async-lock, the same.
    AsyncLock,
    /// event-listener, the same.
    EventListener,
    /// may: stackful coroutines on `N` threads.
    #[cfg(feature = "peers")]
    May,
    /// monoio: a loop per thread on io_uring; tasks stay where they are.
    #[cfg(feature = "peers")]
    Monoio,
    /// compio: a loop per thread on io_uring; tasks stay where they are.
    #[cfg(feature = "peers")]
    Compio,
    /// rayon: closures on `N` threads, for fork and join.
    #[cfg(feature = "peers")]
    Rayon,
}

impl Contender {
    /// All that were built, in the order of the table's columns and of the repetitions.
    pub const ALL: &[Self] = &[
        Self::Trioxide,
        Self::Tokio,
        Self::TokioCt,
        Self::Smol,
        Self::TokioHere,
        Self::AsyncChannel,
        Self::Flume,
        Self::Crossfire,
        Self::AsyncLock,
        Self::EventListener,
        #[cfg(feature = "peers")]
        Self::May,
        #[cfg(feature = "peers")]
        Self::Monoio,
        #[cfg(feature = "peers")]
        Self::Compio,
        #[cfg(feature = "peers")]
        Self::Rayon,
    ];

    /// The name used in tables, in JSON and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Trioxide => "trioxide",
            Self::Tokio => "tokio",
            Self::TokioCt => "tokio-ct",
            Self::Smol => "smol",
            Self::TokioHere => "tokio-here",
            Self::AsyncChannel => "async-channel",
            Self::Flume => "flume",
            Self::Crossfire => "crossfire",
            Self::AsyncLock => "async-lock",
            Self::EventListener => "event-listener",
            #[cfg(feature = "peers")]
            Self::May => "may",
            #[cfg(feature = "peers")]
            Self::Monoio => "monoio",
            #[cfg(feature = "peers")]
            Self::Compio => "compio",
            #[cfg(feature = "peers")]
            Self::Rayon => "rayon",
        }
    }
}

impl Contender {
    /// Whether it has primitives and runs them on trioxide's runtime.
    #[must_use]
    pub fn is_library(self) -> bool {
        matches!(
            self,
            Self::TokioHere
                | Self::AsyncChannel
                | Self::Flume
                | Self::Crossfire
                | Self::AsyncLock
                | Self::EventListener
        )
    }

    /// Which version of it was built.
    #[must_use]
    pub fn version(self) -> Option<&'static str> {
        match self {
            // Of trioxide it is what is being measured, whatever its number. tokio's is told once.
            Self::Trioxide | Self::TokioHere => None,
            Self::TokioCt => crate::machine::version(Self::Tokio.name()),
            _ => crate::machine::version(self.name()),
        }
    }
}

/// Where the bodies of tokio and smol run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Body {
    /// In `block_on`, as the code of an async `main` does.
    #[default]
    Main,
    /// In a task on one of the workers.
    Task,
}

impl Body {
    /// The name used in JSON and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Task => "task",
        }
    }
}

/// trioxide with a fixed number of workers.
pub struct Trioxide(trioxide::Runtime);

impl Trioxide {
    /// Builds the runtime.
    ///
    /// # Errors
    ///
    /// Whatever the builder answers.
    pub fn new(workers: usize) -> io::Result<Self> {
        trioxide::Runtime::builder().workers(workers).build().map(Self)
    }

    /// Runs `body` to its end on the calling thread, which is worker 0.
    pub fn run<F: Future>(&self, body: F) -> F::Output {
        self.0.run(body)
    }
}

/// One of tokio's runtimes.
#[derive(Debug)]
pub struct Tokio {
    runtime: tokio::runtime::Runtime,
    body: Body,
}

impl Tokio {
    /// Builds the multi-thread runtime.
    ///
    /// # Errors
    ///
    /// If the threads or the poller cannot be had.
    pub fn new(workers: usize, body: Body) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build()?;
        Ok(Self { runtime, body })
    }

    /// Builds the runtime that has no thread of its own.
    ///
    /// # Errors
    ///
    /// If the poller cannot be had.
    pub fn current_thread(body: Body) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { runtime, body })
    }

    /// Runs `body` to its end.
    pub fn run<F>(&self, body: F) -> F::Output
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        match self.body {
            Body::Main => self.runtime.block_on(body),
            Body::Task => self.runtime.block_on(self.runtime.spawn(body)).expect("the body panicked"),
        }
    }
}

/// The executor that smol's rows spawn on. `'static`, as smol's global one, so that tasks need no count to reach it.
pub type SmolExecutor = &'static Executor<'static>;

/// One async-executor driven by threads, as smol's global one is by `SMOL_THREADS`.
#[derive(Debug)]
pub struct Smol {
    executor: SmolExecutor,
    stop: async_channel::Sender<()>,
    threads: Vec<JoinHandle<()>>,
    body: Body,
}

impl Smol {
    /// Starts the threads.
    ///
    /// # Errors
    ///
    /// If a thread cannot be started.
    pub fn new(workers: usize, body: Body) -> io::Result<Self> {
        // Leaked: a few hundred bytes per row, and the address lives as long as the global executor's would.
        let executor: SmolExecutor = Box::leak(Box::new(Executor::new()));
        let (stop, stopped) = async_channel::bounded::<()>(1);
        let start = |index| {
            let stopped = stopped.clone();
            std::thread::Builder::new().name(format!("smol-{index}")).spawn(move || {
                let _ = smol::block_on(executor.run(stopped.recv()));
            })
        };
        let threads = (0..workers).map(start).collect::<io::Result<_>>()?;
        Ok(Self { executor, stop, threads, body })
    }

    /// Where to spawn.
    #[must_use]
    pub fn executor(&self) -> SmolExecutor {
        self.executor
    }

    /// Runs `body` to its end.
    pub fn run<F>(&self, body: F) -> F::Output
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        match self.body {
            Body::Main => smol::block_on(body),
            Body::Task => smol::block_on(self.executor.spawn(body)),
        }
    }
}

impl Drop for Smol {
    fn drop(&mut self) {
        self.stop.close();
        for thread in self.threads.drain(..) {
            // A worker that panicked has already failed the repetition it ran.
            let _ = thread.join();
        }
    }
}
