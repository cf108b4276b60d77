//! A socket that is the system's or a network's, and the calls that both have.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{self, Shutdown, SocketAddr};

use super::{DatagramSocket, ListenerSocket, StreamOptions, StreamSocket};
use crate::sys;

/// A socket of the system or of a network.
pub(crate) enum Socket<S, N: ?Sized> {
    System(S),
    Network(Box<N>),
}

pub(crate) type Stream = Socket<net::TcpStream, dyn StreamSocket>;
pub(crate) type Listener = Socket<net::TcpListener, dyn ListenerSocket>;
pub(crate) type Datagrams = Socket<net::UdpSocket, dyn DatagramSocket>;

impl<S, N: ?Sized> Socket<S, N> {
    /// The system's, for what only that can do.
    pub(crate) fn system(&self, operation: &'static str) -> io::Result<&S> {
        match self {
            Socket::System(socket) => Ok(socket),
            Socket::Network(_) => Err(not_there(operation)),
        }
    }

    pub(crate) fn into_system(self, operation: &'static str) -> io::Result<S> {
        match self {
            Socket::System(socket) => Ok(socket),
            Socket::Network(_) => Err(not_there(operation)),
        }
    }
}

fn not_there(operation: &'static str) -> io::Error {
    let text = format!("trioxide: `{operation}` needs a socket of the system, and this one is on a simulated network");
    io::Error::new(io::ErrorKind::Unsupported, text)
}

#[cfg(unix)]
impl<S: std::os::fd::AsFd, N: ?Sized> std::os::fd::AsFd for Socket<S, N> {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        match self.system("as_fd") {
            Ok(socket) => socket.as_fd(),
            Err(error) => panic!("{error}"),
        }
    }
}

#[cfg(windows)]
impl<S: std::os::windows::io::AsSocket, N: ?Sized> std::os::windows::io::AsSocket for Socket<S, N> {
    fn as_socket(&self) -> std::os::windows::io::BorrowedSocket<'_> {
        match self.system("as_socket") {
            Ok(socket) => socket.as_socket(),
            Err(error) => panic!("{error}"),
        }
    }
}

impl<S: fmt::Debug, N: fmt::Debug + ?Sized> fmt::Debug for Socket<S, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Socket::System(socket) => fmt::Debug::fmt(socket, f),
            Socket::Network(socket) => fmt::Debug::fmt(socket, f),
        }
    }
}

impl Read for &Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::System(socket) => (&*socket).read(buf),
            Socket::Network(socket) => socket.receive(buf, false),
        }
    }

    fn read_vectored(&mut self, bufs: &mut [io::IoSliceMut<'_>]) -> io::Result<usize> {
        match self {
            Socket::System(socket) => (&*socket).read_vectored(bufs),
            Socket::Network(socket) => {
                let mut all = vec![0; bufs.iter().map(|buf| buf.len()).sum()];
                let count = socket.receive(&mut all, false)?;
                let mut left = &all[..count];
                bufs.iter_mut().try_for_each(|buf| left.read(buf).map(drop))?;
                Ok(count)
            }
        }
    }
}

impl Write for &Stream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Socket::System(socket) => (&*socket).write(buf),
            Socket::Network(socket) => socket.send(buf),
        }
    }

    fn write_vectored(&mut self, bufs: &[io::IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Socket::System(socket) => (&*socket).write_vectored(bufs),
            Socket::Network(socket) => {
                let mut all = Vec::with_capacity(bufs.iter().map(|buf| buf.len()).sum());
                bufs.iter().for_each(|buf| all.extend_from_slice(buf));
                socket.send(&all)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream {
    pub(crate) fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::System(socket) => socket.peek(buf),
            Socket::Network(socket) => socket.receive(buf, true),
        }
    }

    pub(crate) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match self {
            Socket::System(socket) => socket.shutdown(how),
            Socket::Network(socket) => socket.shutdown(how),
        }
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Socket::System(socket) => socket.local_addr(),
            Socket::Network(socket) => Ok(socket.local_addr()),
        }
    }

    pub(crate) fn peer_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Socket::System(socket) => socket.peer_addr(),
            Socket::Network(socket) => Ok(socket.peer_addr()),
        }
    }

    /// Reads or sets an option, by `system` or by `network`.
    pub(crate) fn option<R>(
        &self,
        system: impl FnOnce(&net::TcpStream) -> io::Result<R>,
        network: impl FnOnce(&mut StreamOptions) -> R,
    ) -> io::Result<R> {
        match self {
            Socket::System(socket) => system(socket),
            Socket::Network(socket) => {
                let mut options = socket.options();
                let result = network(&mut options);
                socket.set_options(options);
                Ok(result)
            }
        }
    }

    /// Receives into memory that need not be initialised: the first bytes, as many as are returned, are afterwards.
    #[cfg(any(feature = "hyper", feature = "tokio-io"))]
    pub(crate) fn receive_uninit(&self, buf: &mut [std::mem::MaybeUninit<u8>]) -> io::Result<usize> {
        match self {
            Socket::System(socket) => socket2::SockRef::from(socket).recv(buf),
            Socket::Network(socket) => {
                let mut bytes = vec![0; buf.len()];
                let count = socket.receive(&mut bytes, false)?;
                for (to, byte) in buf.iter_mut().zip(&bytes[..count]) {
                    to.write(*byte);
                }
                Ok(count)
            }
        }
    }
}

impl Listener {
    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Socket::System(socket) => socket.local_addr(),
            Socket::Network(socket) => Ok(socket.local_addr()),
        }
    }
}

impl Datagrams {
    pub(crate) fn connect(&self, peer: SocketAddr) -> io::Result<()> {
        match self {
            Socket::System(socket) => socket.connect(peer),
            Socket::Network(socket) => socket.connect(peer),
        }
    }

    pub(crate) fn send(&self, datagram: &[u8]) -> io::Result<usize> {
        match self {
            Socket::System(socket) => socket.send(datagram),
            Socket::Network(socket) => socket.send(datagram, None),
        }
    }

    pub(crate) fn send_to(&self, datagram: &[u8], to: SocketAddr) -> io::Result<usize> {
        match self {
            Socket::System(socket) => socket.send_to(datagram, to),
            Socket::Network(socket) => socket.send(datagram, Some(to)),
        }
    }

    pub(crate) fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::System(socket) => socket.recv(buf),
            Socket::Network(socket) => socket.receive(buf, false).map(|(count, _)| count),
        }
    }

    pub(crate) fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        match self {
            Socket::System(socket) => socket.recv_from(buf),
            Socket::Network(socket) => socket.receive(buf, false),
        }
    }

    pub(crate) fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        match self {
            Socket::System(socket) => socket.peek_from(buf),
            Socket::Network(socket) => socket.receive(buf, true),
        }
    }

    pub(crate) fn send_many(&self, messages: &[(&[u8], Option<SocketAddr>)]) -> io::Result<usize> {
        match self {
            Socket::System(socket) => sys::send_many(socket, messages),
            Socket::Network(socket) => {
                sys::as_many(messages.iter(), |(message, to)| socket.send(message, *to).map(drop))
            }
        }
    }

    pub(crate) fn recv_many<'a>(
        &self,
        bufs: impl Iterator<Item = &'a mut [u8]>,
        got: &mut Vec<(usize, SocketAddr)>,
    ) -> io::Result<()> {
        match self {
            Socket::System(socket) => sys::recv_many(socket, bufs, got),
            Socket::Network(socket) => {
                sys::as_many(bufs, |buf| socket.receive(buf, false).map(|message| got.push(message))).map(drop)
            }
        }
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Socket::System(socket) => socket.local_addr(),
            Socket::Network(socket) => Ok(socket.local_addr()),
        }
    }

    pub(crate) fn peer_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Socket::System(socket) => socket.peer_addr(),
            Socket::Network(socket) => socket.peer_addr().ok_or_else(|| io::ErrorKind::NotConnected.into()),
        }
    }
}
