//! From a file into a socket, without a copy where the system can: what stands behind `TcpStream::sendfile` and `UnixStream::sendfile`.
//!
//! Two ways take turns, piece by piece. What is in memory goes by the system; what is not would block the worker there, and is read on
//! a thread of the pool, then written. Both count each byte in the poll that has sent it.

use std::io;
use std::ops::Range;

use crate::addr::explain;
use crate::fs::File;
use crate::reactor::{Direction, Done, Registered, WriteEnd, send};
use crate::sys::{self, FromCache};

/// How much goes at once: little enough that what is in memory is sent in some ten microseconds, and that others have their turn.
const PIECE: u64 = 256 * 1024;

pub(crate) async fn sendfile(
    file: &File,
    rest: &mut Range<u64>,
    socket: &Registered<impl WriteEnd>,
    operation: &'static str,
) -> io::Result<u64> {
    socket.touch(Direction::Write, operation).await?;
    let held = socket.hold(Direction::Write, operation)?;
    let begin = rest.start;
    let mut by_system = socket.has_descriptor();
    while !rest.is_empty() {
        let (at, most) = (rest.start, (rest.end - rest.start).min(PIECE) as usize);
        if by_system {
            let sent = held.io(|socket| sys::send_from_cache(file.shared(), at, most, socket).map(Done::more));
            match sent.await? {
                FromCache::Sent(0) => break,
                FromCache::Sent(count) => {
                    rest.start += count as u64;
                    continue;
                }
                FromCache::NotThere => {}
                FromCache::Cannot => by_system = false,
            }
        }
        let piece = file.read_at(at, most).await.map_err(|error| explain("read the file at byte", at, error))?;
        if piece.is_empty() {
            break;
        }
        let mut left = &piece[..];
        while !left.is_empty() {
            let count = held.io(|socket| send(socket, left)).await?;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            // In the same poll: what has been sent is always counted.
            rest.start += count as u64;
            left = &left[count..];
        }
    }
    Ok(rest.start - begin)
}
