//! Reading and writing bytes, for every stream: what stands behind the public methods of TCP and Unix streams, pipes, …
//!
//! One reader and one writer at a time ([`Registered::sole`]).

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::task::{Context, Poll};

use super::readiness::{Direction, Ready};
use super::registered::{Done, Registered};
use crate::sys;

/// What bytes come out of, through a shared reference.
pub(crate) trait ReadEnd: sys::Handle {
    fn recv(&self, buf: &mut [u8]) -> io::Result<usize>;
    fn recv_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize>;
}

/// What bytes go into, through a shared reference.
pub(crate) trait WriteEnd: sys::Handle {
    fn send(&self, buf: &[u8]) -> io::Result<usize>;
    fn send_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize>;
}

impl<T: sys::Handle> ReadEnd for T
where
    for<'a> &'a T: Read,
{
    fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        Read::read(&mut &*self, buf)
    }

    fn recv_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        Read::read_vectored(&mut &*self, bufs)
    }
}

impl<T: sys::Handle> WriteEnd for T
where
    for<'a> &'a T: Write,
{
    fn send(&self, buf: &[u8]) -> io::Result<usize> {
        Write::write(&mut &*self, buf)
    }

    fn send_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        Write::write_vectored(&mut &*self, bufs)
    }
}

fn recv(io: &impl ReadEnd, buf: &mut [u8]) -> io::Result<Done<usize>> {
    Ok(Done::bytes(io.recv(buf)?, buf.len()))
}

fn recv_vectored(io: &impl ReadEnd, bufs: &mut [IoSliceMut<'_>]) -> io::Result<Done<usize>> {
    let asked = bufs.iter().map(|buf| buf.len()).sum();
    Ok(Done::bytes(io.recv_vectored(bufs)?, asked))
}

pub(crate) fn send(io: &impl WriteEnd, buf: &[u8]) -> io::Result<Done<usize>> {
    Ok(Done::bytes(io.send(buf)?, buf.len()))
}

fn send_vectored(io: &impl WriteEnd, bufs: &[IoSlice<'_>]) -> io::Result<Done<usize>> {
    let asked = bufs.iter().map(|buf| buf.len()).sum();
    Ok(Done::bytes(io.send_vectored(bufs)?, asked))
}

impl<T: sys::Handle> Registered<T> {
    pub(crate) async fn wait_ready(&self, direction: Direction, operation: &'static str) -> io::Result<()> {
        self.sole(direction, operation, |_| Ok(Done::more(()))).await
    }
}

impl<T: ReadEnd> Registered<T> {
    pub(crate) async fn read(&self, operation: &'static str, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return self.touch(Direction::Read, operation).await.map(|()| 0);
        }
        self.sole(Direction::Read, operation, |io| recv(io, buf)).await
    }

    pub(crate) async fn read_vectored(
        &self,
        operation: &'static str,
        bufs: &mut [IoSliceMut<'_>],
    ) -> io::Result<usize> {
        self.sole(Direction::Read, operation, |io| recv_vectored(io, bufs)).await
    }

    pub(crate) async fn read_exact(&self, operation: &'static str, buf: &mut [u8]) -> io::Result<()> {
        if buf.is_empty() {
            return self.touch(Direction::Read, operation).await;
        }
        let mut filled = self.read(operation, buf).await?;
        // The first piece is often all of it, and alone: only what takes several holds the direction over them.
        let mut held = None;
        let mut ended = filled == 0;
        while filled < buf.len() && !ended {
            let held = match &held {
                Some(held) => held,
                None => held.insert(self.hold(Direction::Read, operation)?),
            };
            let count = held.io(|io| recv(io, &mut buf[filled..])).await?;
            filled += count;
            ended = count == 0;
        }
        if filled == buf.len() {
            return Ok(());
        }
        let text = format!("the peer stopped sending after {filled} of {} bytes", buf.len());
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, text))
    }

    pub(crate) fn try_read(&self, operation: &'static str, buf: &mut [u8]) -> io::Result<usize> {
        self.try_io(Direction::Read, operation, |io| recv(io, buf))
    }

    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        operation: &'static str,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_io(cx, Direction::Read, operation, |io| recv(io, buf))
    }

    pub(crate) fn poll_read_vectored(
        &self,
        cx: &mut Context<'_>,
        operation: &'static str,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_io(cx, Direction::Read, operation, |io| recv_vectored(io, bufs))
    }
}

impl<T: WriteEnd> Registered<T> {
    pub(crate) async fn write(&self, operation: &'static str, buf: &[u8]) -> io::Result<usize> {
        self.sole(Direction::Write, operation, |io| send(io, buf)).await
    }

    pub(crate) async fn write_vectored(&self, operation: &'static str, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.sole(Direction::Write, operation, |io| send_vectored(io, bufs)).await
    }

    pub(crate) async fn write_all(&self, operation: &'static str, mut buf: &[u8]) -> io::Result<()> {
        if buf.is_empty() {
            return self.touch(Direction::Write, operation).await;
        }
        buf = rest(buf, self.write(operation, buf).await?)?;
        if buf.is_empty() {
            return Ok(());
        }
        let held = self.hold(Direction::Write, operation)?;
        while !buf.is_empty() {
            buf = rest(buf, held.io(|io| send(io, buf)).await?)?;
        }
        Ok(())
    }

    pub(crate) fn try_write(&self, operation: &'static str, buf: &[u8]) -> io::Result<usize> {
        self.try_io(Direction::Write, operation, |io| send(io, buf))
    }

    pub(crate) fn poll_write(
        &self,
        cx: &mut Context<'_>,
        operation: &'static str,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_io(cx, Direction::Write, operation, |io| send(io, buf))
    }

    pub(crate) fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        operation: &'static str,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_io(cx, Direction::Write, operation, |io| send_vectored(io, bufs))
    }
}

/// Ends one direction, or both, for this end's users; `shutdown` does so for the peer.
pub(crate) fn shut<T: sys::Handle>(
    inner: &Registered<T>,
    how: Shutdown,
    shutdown: impl FnOnce(&T) -> io::Result<()>,
) -> io::Result<()> {
    // First for our users: or else they would take what the system then says for the peer's end.
    inner.end(match how {
        Shutdown::Read => Ready::READ_GONE,
        Shutdown::Write => Ready::WRITE_GONE,
        Shutdown::Both => Ready::GONE,
    });
    shutdown(inner.get())
}

fn rest(buf: &[u8], written: usize) -> io::Result<&[u8]> {
    match written {
        0 => Err(io::ErrorKind::WriteZero.into()),
        _ => Ok(&buf[written..]),
    }
}
