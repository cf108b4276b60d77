//! One connection: its handler, isolated from the others.

use std::any::Any;
use std::convert::Infallible;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use trioxide_runtime::OwnedLimiterGuard;

use super::Report;

/// What a handler may return: `()`, or a `Result` whose error can be shown.
pub trait Outcome: Send {
    /// The error.
    type Error: fmt::Display;

    /// Takes the error out.
    ///
    /// # Errors
    /// The handler's.
    fn into_result(self) -> Result<(), Self::Error>;
}

impl Outcome for () {
    type Error = Infallible;

    fn into_result(self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl<E: fmt::Display + Send> Outcome for Result<(), E> {
    type Error = E;

    fn into_result(self) -> Result<(), E> {
        self
    }
}

/// What a server reports. It has dealt with it already: the hook only tells somebody.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum Trouble<'a> {
    /// A handler returned an error; its connection is closed.
    Failed {
        /// The peer's address.
        peer: &'a dyn fmt::Debug,
        /// What the handler returned.
        error: &'a dyn fmt::Display,
    },
    /// A handler panicked; its connection is closed.
    Panicked {
        /// The peer's address.
        peer: &'a dyn fmt::Debug,
        /// The text of the panic, if it has one.
        message: &'a str,
    },
    /// Descriptors or memory are used up: accepting rests.
    Exhausted {
        /// What `accept` returned.
        error: &'a io::Error,
        /// For how long.
        pause: Duration,
    },
}

impl fmt::Display for Trouble<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Failed { peer, error } => write!(f, "connection from {peer:?}: {error}"),
            Trouble::Panicked { peer, message } => {
                write!(f, "connection from {peer:?}: its handler panicked: {message}")
            }
            Trouble::Exhausted { error, pause } => {
                write!(
                    f,
                    "cannot accept: {error}; trying again after {pause:?}; raise the limit of open files, or serve fewer connections at once"
                )
            }
        }
    }
}

impl fmt::Debug for Trouble<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trouble({self})")
    }
}

pub(super) struct Connection {
    /// Given back when the connection is closed.
    pub(super) place: Option<OwnedLimiterGuard>,
    pub(super) report: Report,
}

impl Connection {
    /// Runs the handler to its end, and reports if that was a bad one. The stream is the handler's, and goes with it.
    pub(super) async fn handle<H, S, A, Fut>(self, handler: Arc<H>, stream: S, peer: A)
    where
        H: Fn(S, A) -> Fut,
        A: fmt::Debug + Clone,
        Fut: Future<Output: Outcome>,
    {
        let of = peer.clone();
        match caught(async move { handler(stream, of).await.into_result() }).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => (self.report)(Trouble::Failed { peer: &peer, error: &error }),
            Err(panic) => (self.report)(Trouble::Panicked { peer: &peer, message: text(&*panic) }),
        }
        drop(self.place);
    }
}

/// The future's output or its panic, also that of its drop.
async fn caught<F: Future>(future: F) -> std::thread::Result<F::Output> {
    let mut future = pin!(Some(future));
    let outcome = poll_fn(|cx| {
        let inside = future.as_mut().as_pin_mut().expect("dropped only after the last poll");
        match catch_unwind(AssertUnwindSafe(|| inside.poll(cx))) {
            Ok(polled) => polled.map(Ok),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    })
    .await;
    match catch_unwind(AssertUnwindSafe(|| future.set(None))) {
        Ok(()) => outcome,
        Err(panic) => Err(panic),
    }
}

fn text(panic: &(dyn Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text,
        _ => "(no text)",
    }
}
