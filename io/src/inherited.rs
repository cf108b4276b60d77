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
    let [pid, count, names] = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"].map(variable);
    let told = told(std::process::id(), pid.as_deref(), count.as_deref(), names.as_deref());
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if matches!(&told, Ok(told) if told.is_empty()) || TAKEN.swap(true, Ordering::Relaxed) {
        return Ok(Vec::new());
    }
    let told = told?;
    let count = told.len();
    (FIRST..)
        .zip(told)
        .map(|(fd, name)| {
            // SAFETY: the invariant at the top; only looked at, before it is owned.
            let open = fcntl_setfd(unsafe { BorrowedFd::borrow_raw(fd) }, FdFlags::CLOEXEC);
            open.map_err(|error| invalid(format!("LISTEN_FDS is {count}, but descriptor {fd} is not open: {error}")))?;
            // SAFETY: the invariant at the top: it is open, and nobody else owns it.
            let fd = unsafe { OwnedFd::from_raw_fd(fd) };
            Ok(Inherited { fd, name })
        })
        .collect()
}

/// What the variables say to process `me`: a name, or none, for each descriptor.
fn told(me: u32, pid: Option<&str>, count: Option<&str>, names: Option<&str>) -> io::Result<Vec<Option<String>>> {
    let (Some(pid), Some(count)) = (pid, count) else { return Ok(Vec::new()) };
    if pid.parse() != Ok(me) {
        return Ok(Vec::new());
    }
    let number = count.parse::<u16>();
    let number = number.map_err(|_| invalid(format!("LISTEN_FDS is `{count}`, and not a number of descriptors")))?;
    // One without a name has nothing between its colons: the others keep their places.
    let names = names.unwrap_or_default().split(':').map(|name| (!name.is_empty()).then(|| name.to_owned()));
    Ok(names.chain(std::iter::repeat(None)).take(number.into()).collect())
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn said(pid: &str, count: &str, names: Option<&str>) -> io::Result<Vec<Option<String>>> {
        told(7, Some(pid), Some(count), names)
    }

    fn owned(names: &[Option<&str>]) -> Vec<Option<String>> {
        names.iter().map(|name| name.map(str::to_owned)).collect()
    }

    #[test]
    fn names_keep_their_places() {
        assert_eq!(said("7", "2", Some("http:admin")).unwrap(), owned(&[Some("http"), Some("admin")]));
        assert_eq!(said("7", "3", Some("http::admin")).unwrap(), owned(&[Some("http"), None, Some("admin")]));
        assert_eq!(said("7", "2", Some("http")).unwrap(), owned(&[Some("http"), None]), "too few");
        assert_eq!(said("7", "1", Some("http:admin")).unwrap(), owned(&[Some("http")]), "too many");
        assert_eq!(said("7", "2", None).unwrap(), owned(&[None, None]));
    }

    #[test]
    fn what_is_for_another_process_or_not_there_is_nothing_and_nonsense_is_named() {
        assert_eq!(said("8", "2", None).unwrap(), []);
        assert_eq!(said("8", "two", None).unwrap(), [], "it is not ours to judge");
        assert_eq!(told(7, None, Some("2"), None).unwrap(), []);
        assert_eq!(told(7, Some("7"), None, None).unwrap(), []);
        for nonsense in ["two", "", "-1", "65536"] {
            let error = said("7", nonsense, None).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            assert_eq!(error.to_string(), format!("LISTEN_FDS is `{nonsense}`, and not a number of descriptors"));
        }
    }

    proptest! {
        /// Anything in the variables: as many as the number says, or nothing, or an error; and nothing that is not in the text.
        #[test]
        fn anything_may_stand_in_the_variables(pid in "[0-9a ]{0,3}|7", count in "[0-9x-]{0,4}", names in "[a-c:]{0,12}") {
            match said(&pid, &count, Some(&names)) {
                Ok(told) if pid.parse() == Ok(7) => {
                    prop_assert_eq!(told.len(), count.parse::<usize>().unwrap());
                    prop_assert!(told.iter().flatten().all(|name| !name.is_empty() && names.contains(name.as_str())));
                }
                Ok(told) => prop_assert!(told.is_empty()),
                Err(_) => prop_assert!(count.parse::<u16>().is_err()),
            }
        }
    }
}
