//! `serve`: a handler for each connection, in a nursery.
//!
//! ```text
//!  listener ─▶ accept loop (a child for each) ─▶ token of the limit ─▶ accept ─▶ child: handler(stream, peer)
//!                 │ stop: takes what is in the queue, closes the listener           │ an error or panic: reported
//!                 ▼                                                                 ▼
//!              the nursery waits for the handlers, until the grace is over      token back
//! ```
//!
//! | file | duty |
//! | --- | --- |
//! | `mod` (here) | `Server`: options, listeners, the accept loop |
//! | `listener` | what can be served: `Listen` |
//! | `connection` | one connection: its handler, isolated, and what is reported of it |

mod connection;
mod listener;

pub use connection::{Outcome, Trouble};
pub use listener::Listen;

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use trioxide_runtime::{
    CapacityLimiter, Nursery, NurseryError, OwnedLimiterGuard, Started, nursery, sleep, until_stopping,
};

use connection::Connection;

/// How long accepting rests when there is no room for another connection.
const PAUSE: Duration = Duration::from_millis(100);

/// How many connections a listener gives at the end at most: from one to which they come faster than they are taken there would be no end.
const MOST_AT_THE_END: usize = 1 << 16;

/// Serves the connections of a listener with `handler`, with the options of a [`Server`] that says nothing else. Ends
/// when the surrounding scope is stopped and the handlers have ended.
///
/// ```no_run
/// use trioxide_io::{TcpListener, TcpStream, copy, serve};
/// # async fn example() -> std::io::Result<()> {
/// let listener = TcpListener::bind("127.0.0.1:8080").await?;
/// serve(listener, |stream: TcpStream, _peer| async move {
///     copy(&stream, &stream).await?;
///     Ok::<_, std::io::Error>(())
/// })
/// .await
/// # }
/// ```
///
/// # Errors
/// What the listener says when it can accept no more.
///
/// # Panics
/// Outside a run.
///
/// # Cancellation
/// A checkpoint. Cancelled: the handlers are cut, their connections and the listener are closed.
pub async fn serve<L, H, Fut>(listener: L, handler: H) -> io::Result<()>
where
    L: Listen,
    H: Fn(L::Stream, L::Addr) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: Outcome> + Send + 'static,
{
    Server::new(handler).run([listener]).await
}

type Report = Arc<dyn Fn(Trouble<'_>) + Send + Sync>;
type Spawn = Arc<dyn Fn(Pin<Box<dyn Future<Output = ()> + Send>>) + Send + Sync>;

/// A server: a handler for each connection, and how to deal with the rest.
///
/// - Each connection has a task of its own, and is closed when its handler has ended.
/// - **A handler that fails or panics ends its own connection only.** It is [reported](Server::report).
/// - [`limit`](Server::limit): so many connections at once; more wait in the system's queue.
/// - **Stopping** (`stop` of a surrounding scope or nursery) ends accepting: what is in the system's queue is taken, for its peers have
///   been told that they are connected, and the listeners are closed at once. Handlers run on, and may notice by
///   [`stopping`](trioxide_runtime::stopping). The server ends with the last of them, or when the grace is over.
/// - **What that cannot save** is a connection that the system completes between the last look into the queue and the close: its peer
///   sees a reset. For a restart that loses none, let the queue live on: hand the listener to the next process
///   ([`Command::hand_over`](crate::process::Command::hand_over), [`inherited`](crate::inherited)). With `SO_REUSEPORT` each process has
///   a queue of its own, and what comes into this one's at that moment is lost too.
/// - **No descriptors left** (`EMFILE` and the like): accepting rests for 100 ms of the run's clock, which is reported; the
///   connection waits in the system's queue.
///
/// After Trio's `serve_listeners`, where a handler's error ends the server.
///
/// ```
/// use trioxide_io::{Server, TcpListener, TcpStream};
/// use trioxide_runtime::{nursery, run};
/// # run(async {
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let server = Server::new(|stream: TcpStream, _| async move { stream.write_all(b"hello").await }).limit(1000);
/// nursery(async |n| {
///     let addresses = n.start(async move |started| server.run_started([listener], started).await).await.unwrap();
///     let mut buf = [0; 5];
///     TcpStream::connect(addresses[0]).await?.read_exact(&mut buf).await?;
///     assert_eq!(&buf, b"hello");
///     n.stop(std::time::Duration::from_secs(5));
///     Ok::<_, std::io::Error>(())
/// })
/// .await
/// .unwrap();
/// # Ok::<_, std::io::Error>(())
/// # }).unwrap();
/// ```
#[must_use = "a server does nothing until it runs"]
pub struct Server<H> {
    handler: H,
    limit: Option<usize>,
    report: Report,
    spawn: Option<Spawn>,
}

impl<H> Server<H> {
    /// A server without a limit, that reports to standard error. `handler` is called with the connection and the peer's
    /// address, in the task of the connection; it returns `()` or a `Result`.
    pub fn new(handler: H) -> Server<H> {
        Server { handler, limit: None, report: Arc::new(|trouble| eprintln!("{trouble}")), spawn: None }
    }

    /// So many connections at once, of all listeners together; at least one.
    ///
    /// # Panics
    /// If `connections` is 0.
    pub fn limit(mut self, connections: usize) -> Server<H> {
        assert!(connections > 0, "trioxide: `Server::limit` of 0 would never accept; leave it out for no limit");
        self.limit = Some(connections);
        self
    }

    /// What is called with each [`Trouble`], in place of writing it to standard error.
    pub fn report(mut self, report: impl Fn(Trouble<'_>) + Send + Sync + 'static) -> Server<H> {
        self.report = Arc::new(report);
        self
    }

    /// Runs the handlers in this nursery. The server does not wait for them, then; connections that come when that
    /// nursery is closed are closed.
    pub fn handlers_in<E: Send + 'static>(mut self, nursery: &Nursery<E>) -> Server<H> {
        let nursery = nursery.clone();
        self.spawn = Some(Arc::new(move |handler| drop(nursery.try_spawn(handler))));
        self
    }

    /// Serves the listeners until the surrounding scope is stopped, and then until the handlers have ended.
    ///
    /// # Errors
    /// The first that a listener says when it can accept no more; the other listeners and all connections are closed then.
    ///
    /// # Panics
    /// Outside a run; with a panic of the reporter.
    ///
    /// # Cancellation
    /// A checkpoint. Cancelled: the handlers are cut, their connections and the listeners are closed; so are those that were taken at a stop and wait for a place of the limit.
    pub async fn run<L, Fut>(self, listeners: impl IntoIterator<Item = L>) -> io::Result<()>
    where
        L: Listen,
        H: Fn(L::Stream, L::Addr) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: Outcome> + Send + 'static,
    {
        self.run_started(listeners, Started::ignored()).await
    }

    /// As [`run`](Server::run), for [`Nursery::start`]: `started` is given the listeners' addresses once connections are
    /// accepted.
    ///
    /// # Errors
    /// As [`run`](Server::run); and if a listener does not know its address.
    ///
    /// # Panics
    /// As [`run`](Server::run).
    ///
    /// # Cancellation
    /// As [`run`](Server::run).
    pub async fn run_started<L, Fut>(
        self,
        listeners: impl IntoIterator<Item = L>,
        started: Started<Vec<L::Addr>>,
    ) -> io::Result<()>
    where
        L: Listen,
        H: Fn(L::Stream, L::Addr) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: Outcome> + Send + 'static,
    {
        let listeners: Vec<L> = listeners.into_iter().collect();
        let addresses = listeners.iter().map(L::local_addr).collect::<io::Result<Vec<_>>>()?;
        let limit = self.limit.map(|limit| Arc::new(CapacityLimiter::new(limit)));
        let (report, given, handler) = (self.report, self.spawn, Arc::new(self.handler));
        let served = nursery(async move |n: Nursery<io::Error>| {
            let spawn = given.unwrap_or_else(|| {
                let n = n.clone();
                Arc::new(move |handler| drop(n.task("connection").spawn(handler)))
            });
            for listener in listeners {
                let connections = Connections { limit: limit.clone(), report: report.clone(), spawn: spawn.clone() };
                drop(n.task("accept").spawn(connections.accept(listener, handler.clone())));
            }
            started.set(addresses);
            Ok(())
        });
        match served.await {
            Ok(()) => Ok(()),
            Err(NurseryError::Failed(errors)) => Err(errors.into_first()),
            Err(error) => Err(io::Error::other(error.to_string())),
        }
    }
}

impl<H> fmt::Debug for Server<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("limit", &self.limit).finish_non_exhaustive()
    }
}

/// What the accept loops share.
struct Connections {
    limit: Option<Arc<CapacityLimiter>>,
    report: Report,
    spawn: Spawn,
}

impl Connections {
    /// The accept loop of one listener. When stopping begins it takes what has come, and closes the listener.
    async fn accept<L, H, Fut>(self, listener: L, handler: Arc<H>) -> io::Result<()>
    where
        L: Listen,
        H: Fn(L::Stream, L::Addr) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: Outcome> + Send + 'static,
    {
        loop {
            // First the place, then the connection: one that cannot be served yet waits in the system's queue.
            let place = match &self.limit {
                None => None,
                Some(limit) => match until_stopping(limit.clone().acquire_owned()).await {
                    Some(place) => Some(place),
                    None => break,
                },
            };
            match until_stopping(listener.accept()).await {
                None => break,
                Some(Ok((stream, peer))) => self.handle(place, &handler, stream, peer),
                Some(Err(error)) if listener::is_exhausted(&error) => {
                    (self.report)(Trouble::Exhausted { error: &error, pause: PAUSE });
                    drop(place);
                    if until_stopping(sleep(PAUSE)).await.is_none() {
                        break;
                    }
                }
                Some(Err(error)) => return Err(error),
            }
        }
        self.take_the_last(listener, handler).await
    }

    /// Takes what has come, without waiting, and closes the listener: with a limit, too, that must not wait for a place, or others would go on coming.
    async fn take_the_last<L, H, Fut>(self, listener: L, handler: Arc<H>) -> io::Result<()>
    where
        L: Listen,
        H: Fn(L::Stream, L::Addr) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: Outcome> + Send + 'static,
    {
        let mut taken = Vec::new();
        for _ in 0..MOST_AT_THE_END {
            match listener.try_accept() {
                Ok((stream, peer)) if self.limit.is_none() => self.handle(None, &handler, stream, peer),
                Ok(connection) => taken.push(connection),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if listener::is_exhausted(&error) => {
                    (self.report)(Trouble::Exhausted { error: &error, pause: PAUSE });
                    sleep(PAUSE).await; // handlers end meanwhile
                }
                Err(error) => return Err(error),
            }
        }
        drop(listener);
        for (stream, peer) in taken {
            let place = match &self.limit {
                None => None,
                Some(limit) => Some(limit.clone().acquire_owned().await),
            };
            self.handle(place, &handler, stream, peer);
        }
        Ok(())
    }

    fn handle<H, S, A, Fut>(&self, place: Option<OwnedLimiterGuard>, handler: &Arc<H>, stream: S, peer: A)
    where
        S: Send + 'static,
        A: fmt::Debug + Clone + Send + Sync + 'static,
        H: Fn(S, A) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: Outcome> + Send + 'static,
    {
        let connection = Connection { place, report: self.report.clone() };
        (self.spawn)(Box::pin(connection.handle(handler.clone(), stream, peer)));
    }
}
