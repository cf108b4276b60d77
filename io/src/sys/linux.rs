//! Linux: `polling` makes the epoll descriptor; registration and wait go to it directly.
//!
//! Why not through `polling` all the way:
//! - its wait costs five system calls, since it keeps a timerfd and a one-shot eventfd of its own up to date;
//! - it cannot ask for `EPOLLRDHUP`. Without that an edge that brings the last bytes and the end of the stream
//!   together cannot be told from one that brings bytes only, and a short read could not be taken as
//!   "drained".
//!
//! # Invariants
//! 1. `Poller::wait` and `Poller::notify` are never called: `notify`'s flag is cleared in `wait` only.
//! 2. Nobody reads the wake-up eventfd. Each write to it is a new edge, and edges that come before the next wait
//!    are one event.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use polling::Poller;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::io::{Errno, ReadWriteFlags};
use rustix::net::SocketFlags;
use socket2::{Domain, Protocol, Socket, Type};

use super::FromCache;
use crate::reactor::Ready;

/// A short read or write has reached the end of what the system had. (tcp(7), epoll(7) question 9.)
pub(crate) const SHORT_MEANS_DRAINED: bool = true;

/// A connection has the listener's `TCP_NODELAY`, which saves a call for each.
pub(crate) const NODELAY_IS_HANDED_DOWN: bool = true;

/// The key of the wake-up; the table gives it to nobody.
const WAKE: usize = usize::MAX - 1;

/// How many events one wait brings at most; the others come with the next.
const EVENTS_PER_WAIT: usize = 512;

/// What the reactor can watch.
pub(crate) trait Handle: AsFd {}
impl<T: AsFd> Handle for T {}

#[derive(Debug)]
pub(crate) struct Selector {
    poller: Poller,
    waker: OwnedFd,
}

impl Selector {
    pub(crate) fn new() -> io::Result<Selector> {
        let poller = Poller::new()?;
        let waker = new_eventfd()?;
        epoll::add(poller.as_fd(), &waker, EventData::new_u64(WAKE as u64), EventFlags::IN | EventFlags::ET)?;
        Ok(Selector { poller, waker })
    }

    pub(crate) fn add(&self, io: &impl Handle, key: usize) -> io::Result<()> {
        let data = EventData::new_u64(key as u64);
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        match epoll::add(self.poller.as_fd(), io, data, flags) {
            // A duplicate of a descriptor that was closed here (see `close`) has come back under its number.
            Err(Errno::EXIST) => epoll::modify(self.poller.as_fd(), io, data, flags)?,
            other => other?,
        }
        Ok(())
    }

    /// Edges are reported without being asked for.
    pub(crate) fn arm(&self, _: &impl Handle, _: usize, _: Ready) -> io::Result<()> {
        Ok(())
    }

    pub(crate) fn is_one_shot(&self) -> bool {
        false
    }

    pub(crate) fn delete(&self, io: &impl Handle) -> io::Result<()> {
        Ok(epoll::delete(self.poller.as_fd(), io)?)
    }

    /// Closing the descriptor takes it out of epoll, which saves a call. Should a duplicate live on,
    /// its events come with a key that the table does not know any more.
    pub(crate) fn close(&self, io: impl Handle) {
        drop(io);
    }

    pub(crate) fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = timeout.map(whole_milliseconds);
        let mut space = [const { MaybeUninit::uninit() }; EVENTS_PER_WAIT];
        let (came, _) = epoll::wait(self.poller.as_fd(), &mut space[..], timeout.as_ref())?;
        events.list.extend(came.iter().filter_map(|event| {
            let key = event.data.u64() as usize;
            (key != WAKE).then(|| (key, ready(event.flags)))
        }));
        Ok(())
    }

    pub(crate) fn wake(&self) {
        count_up(&self.waker);
    }
}

/// `epoll_wait` counts in milliseconds; rounding down would bring the worker back before the deadline, to
/// spin until it. A time-out of more than 24 days ends early, which is harmless.
fn whole_milliseconds(timeout: Duration) -> Timespec {
    let millis = timeout.as_nanos().div_ceil(1_000_000).min(i32::MAX as u128) as i64;
    Timespec { tv_sec: millis / 1000, tv_nsec: (millis % 1000 * 1_000_000) as _ }
}

/// The events of the last wait, with those of the reactor itself left out.
#[derive(Debug)]
pub(crate) struct Events {
    list: Vec<(usize, Ready)>,
}

impl Events {
    pub(crate) fn new() -> Events {
        Events { list: Vec::with_capacity(EVENTS_PER_WAIT) }
    }

    /// Gives each event's key and what it says.
    pub(crate) fn drain(&mut self, mut each: impl FnMut(usize, Ready)) {
        for (key, ready) in self.list.drain(..) {
            each(key, ready);
        }
    }
}

fn ready(flags: EventFlags) -> Ready {
    let mut ready = Ready::NONE;
    if flags.contains(EventFlags::IN) {
        ready = ready.and(Ready::READ);
    }
    if flags.contains(EventFlags::OUT) {
        ready = ready.and(Ready::WRITE);
    }
    if flags.contains(EventFlags::RDHUP) {
        ready = ready.and(Ready::READ_CLOSED);
    }
    if flags.contains(EventFlags::HUP) {
        ready = ready.and(Ready::CLOSED);
    }
    if flags.contains(EventFlags::ERR) {
        // Whoever tries next, either way, gets the error.
        ready = ready.and(Ready::BOTH);
    }
    ready
}

/// Something that a signal handler may call, and that makes the reactor report it as readable.
#[derive(Debug)]
pub(crate) struct Pulse(OwnedFd);

impl Pulse {
    /// The end that pulses, and the one that the reactor watches.
    pub(crate) fn pair() -> io::Result<(Pulse, Watched)> {
        let watched = new_eventfd()?;
        Ok((Pulse(watched.try_clone()?), Watched(watched)))
    }

    /// Async-signal-safe: one `write`.
    pub(crate) fn send(&self) {
        count_up(&self.0);
    }
}

#[derive(Debug)]
pub(crate) struct Watched(OwnedFd);

impl Watched {
    /// Each pulse is an edge; there is nothing to read.
    pub(crate) fn drain(&self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for Watched {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn new_eventfd() -> io::Result<OwnedFd> {
    Ok(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)
}

/// One more in an eventfd that nobody reads: it is full after 2^64 - 2 of them, which is never, so
/// there is no error to handle.
fn count_up(eventfd: &OwnedFd) {
    let _ = rustix::io::write(eventfd, &1_u64.to_ne_bytes());
}

/// A new TCP socket, non-blocking from the start.
pub(crate) fn socket(domain: Domain) -> io::Result<Socket> {
    Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP))
}

/// Takes a connection that has arrived.
pub(crate) fn accept(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (fd, peer) = rustix::net::acceptfrom_with(listener, flags)?;
    let peer = peer.ok_or(Errno::AFNOSUPPORT).and_then(SocketAddr::try_from)?;
    Ok((TcpStream::from(fd), peer))
}

/// Sends a piece of a file from memory. `sendfile` would wait for the disk, however non-blocking the socket is; so the first and the last
/// byte are asked for first, with the flag by which a read does not wait. (What the system reads ahead lies between.)
pub(crate) fn send_from_cache(file: &File, at: u64, count: usize, to: &impl Handle) -> io::Result<FromCache> {
    // Who wants all of a file asks for more than there is.
    let there = file.metadata()?.len().saturating_sub(at);
    let count = usize::try_from(there).map_or(count, |there| there.min(count));
    for at in [at, at + count.saturating_sub(1) as u64] {
        match rustix::io::preadv2(file, &mut [IoSliceMut::new(&mut [0])], at, ReadWriteFlags::NOWAIT) {
            Ok(1) if count > 0 => {}
            Ok(0) if count == 0 => return Ok(FromCache::Sent(0)),
            // Longer or shorter than it was just now, or a device, which tells no length: who reads it finds out.
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => return Ok(FromCache::NotThere),
            // A file system that does not know the flag, a file without positions, no file at all: who reads it will be told.
            Err(_) => return Ok(FromCache::Cannot),
        }
    }
    match rustix::fs::sendfile(to, file, Some(&mut { at }), count) {
        Ok(count) => Ok(FromCache::Sent(count)),
        Err(Errno::INVAL | Errno::NOSYS) => Ok(FromCache::Cannot),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_round_up_and_stay_in_range() {
        let millis = |timeout| {
            let timespec = whole_milliseconds(timeout);
            timespec.tv_sec * 1000 + timespec.tv_nsec / 1_000_000
        };
        assert_eq!(millis(Duration::ZERO), 0);
        assert_eq!(millis(Duration::from_nanos(1)), 1);
        assert_eq!(millis(Duration::from_millis(7)), 7);
        assert_eq!(millis(Duration::from_micros(7_001)), 8);
        assert_eq!(millis(Duration::MAX), i64::from(i32::MAX));
    }

    /// This very program is in memory, as far as it is being run.
    #[test]
    fn what_is_in_memory_goes_by_the_system_and_the_rest_is_left_to_others() {
        let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
        let program = File::open(std::env::current_exe().unwrap()).unwrap();
        let knows_the_flag =
            rustix::io::preadv2(&program, &mut [IoSliceMut::new(&mut [0])], 0, ReadWriteFlags::NOWAIT).is_ok();
        match send_from_cache(&program, 1, 3, &near).unwrap() {
            FromCache::Sent(3) if knows_the_flag => {
                let mut got = [0; 3];
                io::Read::read_exact(&mut &far, &mut got).unwrap();
                assert_eq!(&got, b"ELF");
            }
            FromCache::Cannot if !knows_the_flag => {}
            _ => panic!("knows the flag: {knows_the_flag}"),
        }
        // Of a piece that goes beyond the end that goes which is there; of what has no pages nothing does.
        let length = program.metadata().unwrap().len();
        assert!(
            knows_the_flag || matches!(send_from_cache(&program, length - 1, 2, &near).unwrap(), FromCache::Cannot)
        );
        if knows_the_flag {
            // So it is in memory.
            std::os::unix::fs::FileExt::read_exact_at(&program, &mut [0; 1], length - 1).unwrap();
            assert!(matches!(send_from_cache(&program, length - 1, 2, &near).unwrap(), FromCache::Sent(1)));
            assert!(matches!(send_from_cache(&program, length, 2, &near).unwrap(), FromCache::Sent(0)));
            assert!(matches!(send_from_cache(&program, length + 1, usize::MAX, &near).unwrap(), FromCache::Sent(0)));
        }
        let made_up = File::open("/proc/self/status").unwrap();
        assert!(matches!(send_from_cache(&made_up, 0, 5, &near).unwrap(), FromCache::Cannot));
    }
}
