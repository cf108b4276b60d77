//! The reactor: waits for all descriptors of a runtime at once.
//!
//! # System calls (Linux)
//! Counted with `strace -c` on `examples/count_syscalls.rs`, which says how. The last column is this crate built with
//! `--cfg trioxide_portable`: registration, wait and wake-up all through `polling` 3.11, edge-triggered.
//!
//! | what | here | through `polling` |
//! | --- | --- | --- |
//! | a wait (for an event, or a sleep until a deadline) | `epoll_wait` | 5 |
//! | a wake-up by another thread | `write` there, `epoll_wait` here | 6 |
//! | echo of a message on one connection | `epoll_wait`, `recv`, `send` | 8 |
//! | accept and close, clients queueing up | `accept4`, `close` | 6 |
//! | accept and close, each waited for | the same, `epoll_wait`, and an `accept4` that finds nobody | 12 |
//! | connect, accept, close both ends | 10 | 21 |
//!
//! So there is no timerfd, no `epoll_ctl` for a wait, no read of the wake-up, no `recv` only to be told
//! "would block" after a short one, no call to make an accepted socket non-blocking or to set its
//! `TCP_NODELAY`, and none to take a socket out of epoll before it is closed. mio needs as many for a wait
//! and for a wake-up as this does.
//!
//! # The flow: readiness → reactor → waker
//! 1. A socket is entered once, for both directions, when it is made ([`Registered`]); one that was accepted, when somebody has to wait for it.
//! 2. A worker with nothing to do calls [`Driver::wait`]; the events it brings are only stored.
//! 3. [`Driver::dispatch`] finds each event's [`Source`] by its key, adds the event to what is known of the
//!    descriptor, and wakes who waits for it.
//! 4. The woken task tries its system call, and goes on until the system says "would block".
//!
//! | file | duty |
//! | --- | --- |
//! | `readiness` | what is known of one descriptor, in one word |
//! | `source` | that word, and the wakers of those who wait |
//! | `table` | from an event's key to the source |
//! | `registered` | a descriptor with its registration; tries operations; one at a time, or many |
//! | `bytes` | reading and writing, for every kind of stream |
//! | `sys`, beside this folder | the system calls |
//!
//! # Locks
//! In this order, and nothing is woken or dropped under the last two: `batch` (wait and dispatch; the
//! runtime never calls them from two threads at once), a source's waiters, `table`. A source that was closed meanwhile may go, with its
//! wakers, under `batch`, as others are woken there: what they drop never asks for that.

mod bytes;
mod readiness;
mod registered;
mod source;
mod table;

pub(crate) use bytes::{WriteEnd, send, shut};
pub(crate) use readiness::{Direction, Ready};
pub(crate) use registered::{Done, Registered};
pub(crate) use source::Source;

use std::io;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use parking_lot::Mutex;
use trioxide_runtime::lowlevel::{self, Driver};

use crate::sys;
use table::Table;

/// The driver of a runtime that has opened a socket. Made by [`Reactor::current`].
#[derive(Debug)]
pub(crate) struct Reactor {
    selector: sys::Selector,
    table: Mutex<Table>,
    batch: Mutex<Batch>,
}

#[derive(Debug)]
struct Batch {
    events: sys::Events,
    /// Both empty between two calls of `dispatch`, and kept for their memory.
    found: Vec<(Arc<Source>, Ready)>,
    wakers: Vec<Waker>,
}

impl Reactor {
    /// The reactor of the current runtime, made at the first call.
    ///
    /// # Panics
    /// Outside a run, naming `operation`.
    pub(crate) fn current(operation: &'static str) -> io::Result<Arc<Reactor>> {
        lowlevel::driver(operation, Reactor::new)
    }

    fn new() -> io::Result<Reactor> {
        Ok(Reactor {
            selector: sys::Selector::new()?,
            table: Mutex::new(Table::new()),
            batch: Mutex::new(Batch { events: sys::Events::new(), found: Vec::new(), wakers: Vec::new() }),
        })
    }

    /// Whoever waits must do so where this reactor is driven; elsewhere it would wait for ever.
    fn check_current(&self, operation: &'static str) -> io::Result<()> {
        if lowlevel::is_driven_here(self) {
            return Ok(());
        }
        Err(io::Error::other(format!(
            "`{operation}` in another runtime than the one in which this was opened; open it in the run that uses it"
        )))
    }

    /// Registers a descriptor, and gives its key.
    fn enter(&self, io: &impl sys::Handle, source: &Arc<Source>) -> io::Result<usize> {
        let key = self
            .table
            .lock()
            .insert(source.clone())
            .ok_or_else(|| io::Error::other("the reactor's table of descriptors is full"))?;
        // The key is in the table before the system knows it: an event may come at once.
        if let Err(error) = self.selector.add(io, key) {
            self.remove(key);
            return Err(error);
        }
        Ok(key)
    }

    /// Somebody waits: the descriptor is registered if it is not, and a one-shot system is asked for the next event. What is ready already is told at once.
    fn arm(
        &self,
        io: &impl sys::Handle,
        source: &Arc<Source>,
        key: &mut Option<usize>,
        wanted: Ready,
    ) -> io::Result<()> {
        let key = match *key {
            Some(key) => key,
            None => *key.insert(self.enter(io, source)?),
        };
        self.selector.arm(io, key, wanted)
    }

    fn remove(&self, key: usize) {
        let removed = self.table.lock().remove(key);
        drop(removed);
    }
}

impl Driver for Reactor {
    fn wait(&self, timeout: Option<Duration>) {
        let mut batch = self.batch.lock();
        match self.selector.wait(&mut batch.events, timeout) {
            Ok(()) => {}
            // A signal: its handler has done its work; the worker looks round as after any wake-up.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // The descriptors are ours and open, so this is a bug here; going on would spin without a word.
            Err(error) => panic!("trioxide: the reactor cannot wait for events: {error}"),
        }
    }

    fn dispatch(&self) {
        let mut batch = self.batch.lock();
        let Batch { events, found, wakers } = &mut *batch;
        {
            let table = self.table.lock();
            events.drain(|key, ready| found.extend(table.get(key).map(|source| (source.clone(), ready))));
        }
        for (source, ready) in found.drain(..) {
            source.event(ready, self.selector.is_one_shot(), wakers);
        }
        for waker in wakers.drain(..) {
            waker.wake();
        }
    }

    fn wake(&self) {
        self.selector.wake();
    }

    fn may_wake(&self) -> bool {
        self.table.lock().len() != 0
    }
}

impl Drop for Reactor {
    fn drop(&mut self) {
        debug_assert_eq!(self.table.get_mut().len(), 0, "a registration keeps its reactor alive");
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::task::Context;

    use super::readiness::Look;
    use super::source::Place;
    use super::*;

    #[test]
    fn who_is_registered_late_is_told_of_what_came_before() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (io, _) = listener.accept().unwrap();
        peer.write_all(b"!").unwrap();
        let reactor = Reactor::new().unwrap();
        let source = Arc::new(Source::new(Ready::NONE));
        assert!(!reactor.may_wake(), "nobody has waited");
        let mut cx = Context::from_waker(Waker::noop());
        let arm = |key: &mut Option<usize>, wanted| reactor.arm(&io, &source, key, wanted);
        assert!(source.poll_ready(&mut cx, Direction::Read, &mut Place::Slot, arm).is_pending());
        assert!(reactor.may_wake());
        reactor.wait(None);
        reactor.dispatch();
        assert!(matches!(source.look(Direction::Read, true), Look::Ready(_)));
        reactor.remove(source.take_key().unwrap());
        reactor.selector.delete(&io).unwrap();
    }
}
