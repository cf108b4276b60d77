//! Listeners that are open when the program begins: from systemd (socket activation), or from the program before it.
//!
//! # Invariant of the unsafe block
//! The descriptors from 3 on, as many as `LISTEN_FDS` says, are this process's if `LISTEN_PID` names it: who has started it has opened
//! them for it, and nothing else in it knows of them. They are taken once.
#![allow(unsafe_code)]

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::sockopt::{socket_acceptconn, socket_domain, socket_type};
use rustix::net::{AddressFamily, SocketType};

use crate::{TcpListener, UdpSocket, UnixListener};

/// The first descriptor, as sd_listen_fds(3) says.
const FIRST: RawFd = 3;

/// What was open already when this program began, in the order of the one who has opened it: `LISTEN_FDS`, `LISTEN_PID` and
/// `LISTEN_FDNAMES`, as systemd's socket units set them, and [`Command::hand_over`](crate::process::Command::hand_over). Empty if
/// there is nothing. The first call takes it; later ones find nothing.
///
/// ```no_run
/// use trioxide_io::{TcpListener, inherited};
/// # async fn example() -> std::io::Result<()> {
/// let listener = match inherited()?.pop() {
///     Some(given) => given.tcp_listener()?,
///     None => TcpListener::bind("127.0.0.1:8080").await?,
/// };
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// `InvalidData` if the variables make no sense; the system's.
pub fn inherited() -> io::Result<Vec<Inherited>> {
    let variable = |name| std::env::var(name).ok();
    let mine = variable("LISTEN_PID").is_some_and(|pid| pid == std::process::id().to_string());
    let Some(count) = variable("LISTEN_FDS").filter(|_| mine) else { return Ok(Vec::new()) };
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::Relaxed) {
        return Ok(Vec::new());
    }
    let count: u16 =
        count.parse().map_err(|_| invalid(format!("LISTEN_FDS is `{count}`, and not a number of descriptors")))?;
    let names = variable("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':').filter(|name| !name.is_empty()).map(str::to_owned);
    (FIRST..FIRST + RawFd::from(count))
        .map(|fd| {
            // SAFETY: the invariant at the top; only looked at, before it is owned.
            let open = fcntl_setfd(unsafe { BorrowedFd::borrow_raw(fd) }, FdFlags::CLOEXEC);
            open.map_err(|error| invalid(format!("LISTEN_FDS is {count}, but descriptor {fd} is not open: {error}")))?;
            // SAFETY: the invariant at the top: it is open, and nobody else owns it.
            let fd = unsafe { OwnedFd::from_raw_fd(fd) };
            Ok(Inherited { fd, name: names.next() })
        })
        .collect()
}

/// Something that was open already: see [`inherited`].
#[derive(Debug)]
pub struct Inherited {
    fd: OwnedFd,
    name: Option<String>,
}

impl Inherited {
    /// The name that it was given (systemd's `FileDescriptorName`).
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// As a TCP listener.
    ///
    /// # Errors
    /// `InvalidData` if it is something else; the system's.
    ///
    /// # Panics
    /// Outside a run.
    pub fn tcp_listener(self) -> io::Result<TcpListener> {
        self.check("a TCP listener", SocketType::STREAM, &[AddressFamily::INET, AddressFamily::INET6], true)?;
        TcpListener::from_std(self.fd.into())
    }

    /// As a listener on a Unix socket.
    ///
    /// # Errors
    /// As [`tcp_listener`](Inherited::tcp_listener).
    ///
    /// # Panics
    /// Outside a run.
    pub fn unix_listener(self) -> io::Result<UnixListener> {
        self.check("a listener on a Unix socket", SocketType::STREAM, &[AddressFamily::UNIX], true)?;
        UnixListener::from_std(self.fd.into())
    }

    /// As a UDP socket.
    ///
    /// # Errors
    /// As [`tcp_listener`](Inherited::tcp_listener).
    ///
    /// # Panics
    /// Outside a run.
    pub fn udp_socket(self) -> io::Result<UdpSocket> {
        self.check("a UDP socket", SocketType::DGRAM, &[AddressFamily::INET, AddressFamily::INET6], false)?;
        UdpSocket::from_std(self.fd.into())
    }

    /// As it is.
    pub fn into_fd(self) -> OwnedFd {
        self.fd
    }

    fn check(&self, wanted: &str, kind: SocketType, families: &[AddressFamily], listens: bool) -> io::Result<()> {
        let is_one = || -> rustix::io::Result<bool> {
            Ok(socket_type(&self.fd)? == kind
                && families.contains(&socket_domain(&self.fd)?)
                && (!listens || socket_acceptconn(&self.fd)?))
        };
        match is_one() {
            Ok(true) => Ok(()),
            _ => Err(invalid(format!("{self} is not {wanted}"))),
        }
    }
}

impl AsFd for Inherited {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl fmt::Display for Inherited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use std::os::fd::AsRawFd;
        write!(f, "descriptor {}", self.fd.as_raw_fd())?;
        match &self.name {
            Some(name) => write!(f, " (`{name}`), which was open when the program began,"),
            None => f.write_str(", which was open when the program began,"),
        }
    }
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}
