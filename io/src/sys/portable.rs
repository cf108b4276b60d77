//! Every system that `polling` knows, with its own wait and wake-up.
//!
//! Where there is an edge mode (epoll, kqueue) a descriptor is registered once for both directions. Elsewhere
//! (event ports, poll, IOCP) an event disarms the descriptor, and it is asked for again when a task has to wait.
//!
//! # Invariant of the unsafe block
//! `polling` wants a descriptor to be deleted before it is closed. `Selector::add` is called only for
//! the descriptor of a `Registered`, which owns it, gives out only shared references, and lets go of it only
//! through `Selector::delete` or `Selector::close`; both delete it first.

use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use polling::{AsRawSource, AsSource, Event, PollMode, Poller};
use socket2::{Domain, Protocol, Socket, Type};

use super::FromCache;
use crate::reactor::{Direction, Ready};

/// A short read proves nothing here: not every system reports the end of the stream apart.
pub(crate) const SHORT_MEANS_DRAINED: bool = false;

/// Some systems do so; not all.
pub(crate) const NODELAY_IS_HANDED_DOWN: bool = false;

/// What the reactor can watch.
pub(crate) trait Handle: AsSource + AsHandle {}
impl<T: AsSource + AsHandle> Handle for T {}

#[cfg(unix)]
pub(crate) use std::os::fd::AsFd as AsHandle;
#[cfg(windows)]
pub(crate) use std::os::windows::io::AsSocket as AsHandle;

#[derive(Debug)]
pub(crate) struct Selector {
    poller: Poller,
    edge: bool,
}

impl Selector {
    pub(crate) fn new() -> io::Result<Selector> {
        let poller = Poller::new()?;
        let edge = poller.supports_edge() && !cfg!(trioxide_one_shot);
        Ok(Selector { poller, edge })
    }

    pub(crate) fn add(&self, io: &impl Handle, key: usize) -> io::Result<()> {
        let (interest, mode) =
            if self.edge { (Event::all(key), PollMode::Edge) } else { (Event::none(key), PollMode::Oneshot) };
        // SAFETY: the descriptor is deleted before it is closed (invariant at the top).
        unsafe { self.poller.add_with_mode(raw(io), interest, mode) }
    }

    /// Asks for the next event of the directions in `wanted`.
    pub(crate) fn arm(&self, io: &impl Handle, key: usize, wanted: Ready) -> io::Result<()> {
        if self.edge {
            return Ok(());
        }
        let interest = Event::new(key, wanted.is(Direction::Read), wanted.is(Direction::Write));
        self.poller.modify(io, interest)
    }

    /// Whether an event disarms its descriptor.
    pub(crate) fn is_one_shot(&self) -> bool {
        !self.edge
    }

    pub(crate) fn delete(&self, io: &impl Handle) -> io::Result<()> {
        self.poller.delete(io)
    }

    pub(crate) fn close(&self, io: impl Handle) {
        // It was registered and is open, so there is nothing to report; it is closed in any case.
        let _ = self.poller.delete(&io);
        drop(io);
    }

    pub(crate) fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        events.0.clear();
        self.poller.wait(&mut events.0, timeout)?;
        Ok(())
    }

    pub(crate) fn wake(&self) {
        self.poller.notify().expect("trioxide: the reactor cannot be woken");
    }
}

#[cfg(unix)]
fn raw(io: &impl Handle) -> impl AsRawSource {
    use std::os::fd::AsRawFd;
    AsHandle::as_fd(io).as_raw_fd()
}

#[cfg(windows)]
fn raw(io: &impl Handle) -> impl AsRawSource {
    use std::os::windows::io::AsRawSocket;
    AsHandle::as_socket(io).as_raw_socket()
}

#[derive(Debug)]
pub(crate) struct Events(polling::Events);

impl Events {
    pub(crate) fn new() -> Events {
        Events(polling::Events::new())
    }

    /// Gives each event's key and what it says.
    pub(crate) fn drain(&mut self, mut each: impl FnMut(usize, Ready)) {
        for event in self.0.iter() {
            let mut ready = Ready::NONE;
            if event.readable {
                ready = ready.and(Ready::READ);
            }
            if event.writable {
                ready = ready.and(Ready::WRITE);
            }
            if event.is_interrupt() {
                ready = ready.and(Ready::CLOSED);
            }
            if event.is_err() == Some(true) {
                ready = ready.and(Ready::BOTH);
            }
            each(event.key, ready);
        }
        self.0.clear();
    }
}

/// Something that a signal handler may call, and that makes the reactor report it as readable.
#[cfg(unix)]
#[derive(Debug)]
pub(crate) struct Pulse(std::os::unix::net::UnixStream);

#[cfg(unix)]
impl Pulse {
    /// The end that pulses, and the one that the reactor watches.
    pub(crate) fn pair() -> io::Result<(Pulse, Watched)> {
        let (pulse, watched) = std::os::unix::net::UnixStream::pair()?;
        pulse.set_nonblocking(true)?;
        watched.set_nonblocking(true)?;
        Ok((Pulse(pulse), Watched(watched)))
    }

    /// Async-signal-safe: one `send`. When the pair is full there is a pulse to be found already.
    pub(crate) fn send(&self) {
        let _ = io::Write::write(&mut &self.0, &[1]);
    }
}

#[cfg(unix)]
#[derive(Debug)]
pub(crate) struct Watched(std::os::unix::net::UnixStream);

#[cfg(unix)]
impl Watched {
    /// Takes out what the pulses have put in, so that the next one is an event again.
    pub(crate) fn drain(&self) -> io::Result<()> {
        let mut bytes = [0; 64];
        loop {
            match io::Read::read(&mut &self.0, &mut bytes) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(unix)]
impl std::os::fd::AsFd for Watched {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A new TCP socket, non-blocking.
pub(crate) fn socket(domain: Domain) -> io::Result<Socket> {
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Takes a connection that has arrived.
pub(crate) fn accept(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (stream, peer) = listener.accept()?;
    stream.set_nonblocking(true)?;
    Ok((stream, peer))
}

/// What is in memory and what is not, not every system says.
pub(crate) fn send_from_cache(_: &File, _: u64, _: usize, _: &impl Handle) -> io::Result<FromCache> {
    Ok(FromCache::Cannot)
}

/// Not every system has a call for many.
pub(crate) fn send_many(socket: &UdpSocket, messages: &[(&[u8], Option<SocketAddr>)]) -> io::Result<usize> {
    super::as_many(messages.iter(), |(message, to)| {
        match to {
            Some(to) => socket.send_to(message, to),
            None => socket.send(message),
        }
        .map(drop)
    })
}

/// As `send_many`.
pub(crate) fn recv_many<'a>(
    socket: &UdpSocket,
    bufs: impl Iterator<Item = &'a mut [u8]>,
    got: &mut Vec<(usize, SocketAddr)>,
) -> io::Result<()> {
    super::as_many(bufs, |buf| socket.recv_from(buf).map(|message| got.push(message))).map(drop)
}
