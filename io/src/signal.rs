//! Signals of the system, as something to wait for.
//!
//! The handler does two things that a handler may do: it sets a flag and pulses a descriptor that the reactor
//! watches. Whoever waits in [`Signal::recv`] is woken by the reactor and takes the flag back. So signals
//! that come before the flag is taken are one, and a signal that comes between two calls of `recv` is there
//! for the next.

use std::ffi::c_int;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use rustix::process::Signal as Number;
use signal_hook_registry::SigId;

use crate::reactor::{Direction, Done, Ready, Registered};
use crate::sys::{Pulse, Watched};

/// Which signal, as the system's number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SignalKind(c_int);

impl SignalKind {
    /// SIGALRM: a timer of the system ran out.
    pub const ALARM: SignalKind = SignalKind(Number::ALARM.as_raw());
    /// SIGCHLD: a child process has stopped or ended.
    pub const CHILD: SignalKind = SignalKind(Number::CHILD.as_raw());
    /// SIGHUP: the terminal is gone; for a service, often: read the configuration again.
    pub const HANGUP: SignalKind = SignalKind(Number::HUP.as_raw());
    /// SIGINT: control-C.
    pub const INTERRUPT: SignalKind = SignalKind(Number::INT.as_raw());
    /// SIGPIPE: a write to a pipe that nobody reads. (Rust programs ignore it from the start.)
    pub const PIPE: SignalKind = SignalKind(Number::PIPE.as_raw());
    /// SIGQUIT: control-backslash.
    pub const QUIT: SignalKind = SignalKind(Number::QUIT.as_raw());
    /// SIGTERM: end, please.
    pub const TERMINATE: SignalKind = SignalKind(Number::TERM.as_raw());
    /// SIGUSR1: what the program makes of it.
    pub const USER1: SignalKind = SignalKind(Number::USR1.as_raw());
    /// SIGUSR2: what the program makes of it.
    pub const USER2: SignalKind = SignalKind(Number::USR2.as_raw());
    /// SIGWINCH: the terminal has another size.
    pub const WINDOW_CHANGE: SignalKind = SignalKind(Number::WINCH.as_raw());

    /// The signal of this number.
    pub const fn from_raw(number: c_int) -> SignalKind {
        SignalKind(number)
    }

    /// The signal's number.
    pub const fn as_raw(self) -> c_int {
        self.0
    }
}

impl fmt::Debug for SignalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match *self {
            SignalKind::ALARM => "SIGALRM",
            SignalKind::CHILD => "SIGCHLD",
            SignalKind::HANGUP => "SIGHUP",
            SignalKind::INTERRUPT => "SIGINT",
            SignalKind::PIPE => "SIGPIPE",
            SignalKind::QUIT => "SIGQUIT",
            SignalKind::TERMINATE => "SIGTERM",
            SignalKind::USER1 => "SIGUSR1",
            SignalKind::USER2 => "SIGUSR2",
            SignalKind::WINDOW_CHANGE => "SIGWINCH",
            SignalKind(number) => return write!(f, "signal {number}"),
        };
        f.write_str(name)
    }
}

/// Begins to listen for a signal. From now on it does not do what it does by default, such as ending the
/// process; that stays so when the [`Signal`] is dropped. Other listeners in the process, of this library and
/// of others, get it too, and so does a handler that was there before: each at the time it comes. So nothing is
/// raised again for what the `Signal` has not read when it is dropped, and nothing happens by default then.
/// (Trio gives that to the handlers it had put aside.)
///
/// ```no_run
/// # use trioxide_io::signal::{SignalKind, signal};
/// # async fn example() -> std::io::Result<()> {
/// let mut reload = signal(SignalKind::HANGUP)?;
/// loop {
///     reload.recv().await;
///     println!("reading the configuration again");
/// }
/// # }
/// ```
///
/// # Errors
/// `InvalidInput` for a signal that cannot be listened for (SIGKILL, SIGSTOP, SIGILL, SIGFPE, SIGSEGV) or
/// that does not exist; the system's.
///
/// # Panics
/// Outside a run.
pub fn signal(kind: SignalKind) -> io::Result<Signal> {
    if signal_hook_registry::FORBIDDEN.contains(&kind.0) {
        return Err(refused(kind, "a program cannot, or must not, go on after it"));
    }
    let (pulse, watched) = Pulse::pair()?;
    let watched = Registered::new("signal", watched, Ready::NONE)?;
    let pending = Arc::new(AtomicBool::new(false));
    let id = handler::register(kind.0, pending.clone(), pulse).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidInput => refused(kind, "the system has no such signal"),
        _ => error,
    })?;
    Ok(Signal { kind, id, pending, watched })
}

fn refused(kind: SignalKind, why: &str) -> io::Error {
    let text = format!("cannot listen for {kind:?}: {why}");
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

/// Waits for control-C (SIGINT) once. To keep listening, use [`signal`]: what comes before the first poll of
/// this future, and after it has completed, is not noticed.
///
/// # Errors
/// As [`signal`].
///
/// # Panics
/// Outside a run.
///
/// # Cancellation
/// A checkpoint. Cancelled: nobody listens any more, yet the signal does not end the process.
pub async fn ctrl_c() -> io::Result<()> {
    signal(SignalKind::INTERRUPT)?.recv().await;
    Ok(())
}

/// A listener for one signal: see [`signal`]. As a `Stream` it never ends.
pub struct Signal {
    kind: SignalKind,
    id: SigId,
    pending: Arc<AtomicBool>,
    watched: Registered<Watched>,
}

impl Signal {
    /// Waits for the signal. Those that have come since the last call count as one.
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint. Cancelled: a signal that has come is there for the next call.
    pub async fn recv(&mut self) {
        self.watched.io(Direction::Read, RECV, |watched| take(watched, &self.pending)).await.expect(BROKEN);
    }
}

impl Stream for Signal {
    type Item = ();

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<()>> {
        ready!(self.watched.poll_io(cx, Direction::Read, RECV, |watched| { take(watched, &self.pending) }))
            .expect(BROKEN);
        Poll::Ready(Some(()))
    }
}

const RECV: &str = "Signal::recv";
const BROKEN: &str = "trioxide: a signal's own descriptor cannot be read";

fn take(watched: &Watched, pending: &AtomicBool) -> io::Result<Done<()>> {
    // Drained first: a pulse that comes after it brings an event of its own, and its flag is found now or then.
    watched.drain()?;
    if pending.swap(false, Ordering::AcqRel) { Ok(Done::more(())) } else { Err(io::ErrorKind::WouldBlock.into()) }
}

impl Drop for Signal {
    fn drop(&mut self) {
        signal_hook_registry::unregister(self.id);
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Signal").field(&self.kind).finish()
    }
}

#[allow(unsafe_code)]
mod handler {
    //! # Invariant of the unsafe block
    //! A handler does only what signal-safety(7) allows: a store to a lock-free atomic and one `write` (or
    //! `send`) to a non-blocking descriptor. It allocates nothing, takes no lock, cannot panic, and leaves
    //! `errno` as it was (`signal-hook-registry` restores it).

    use super::*;

    pub(super) fn register(signal: c_int, pending: Arc<AtomicBool>, pulse: Pulse) -> io::Result<SigId> {
        let handler = move || {
            pending.store(true, Ordering::Release);
            pulse.send();
        };
        // SAFETY: the handler is async-signal-safe (invariant at the top).
        unsafe { signal_hook_registry::register(signal, handler) }
    }
}
