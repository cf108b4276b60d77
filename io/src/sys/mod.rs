//! The system calls, one implementation for each way of waiting.
//!
//! | | Linux | elsewhere |
//! | --- | --- | --- |
//! | registration | `epoll_ctl`, once, edge-triggered | `polling`: once if there is an edge mode, else one-shot |
//! | wait | `epoll_wait` on the poller's descriptor | `Poller::wait` |
//! | wake-up | an eventfd of our own, edge-triggered, never read | `Poller::notify` |
//! | accept | `accept4`, close-on-exec and non-blocking at once | `accept` and two more calls |
//! | a file to a socket | `sendfile` of what is in memory | never at once: it is read and written |
//! | many datagrams | `sendmmsg`, `recvmmsg` | one after the other |
//! | pulse (a signal handler's) | an eventfd, never read | a socket pair, drained |
//! | end of a process | a pidfd | a thread in `waitid`, which pulses: `exit` |
//!
//! Each implementation offers `Selector`, `Events`, `Handle`, `Pulse`, `socket`, `accept`, `send_from_cache`, `send_many`, `recv_many`, `SHORT_MEANS_DRAINED`
//! and `NODELAY_IS_HANDED_DOWN`, so that nothing outside this folder asks which system it is on. Built with
//! `--cfg trioxide_portable` Linux takes the other column too, and with `--cfg trioxide_one_shot` beside it
//! the one-shot way: the tests then run them.

#[cfg(all(target_os = "linux", not(trioxide_portable)))]
mod datagrams;
#[cfg(all(target_os = "linux", not(trioxide_portable)))]
pub(crate) use datagrams::{recv_many, send_many};
#[cfg(all(target_os = "linux", not(trioxide_portable)))]
mod linux;
#[cfg(all(target_os = "linux", not(trioxide_portable)))]
pub(crate) use linux::*;

#[cfg(not(all(target_os = "linux", not(trioxide_portable))))]
#[allow(unsafe_code)]
mod portable;
#[cfg(not(all(target_os = "linux", not(trioxide_portable))))]
pub(crate) use portable::*;

#[cfg(unix)]
mod exit;
#[cfg(unix)]
pub(crate) use exit::Exit;

/// What became of a piece of a file that was to go from memory to a socket.
#[cfg_attr(any(not(target_os = "linux"), trioxide_portable), allow(dead_code, reason = "only `Cannot` there"))]
pub(crate) enum FromCache {
    /// So many bytes were sent; none: the file ends here.
    Sent(usize),
    /// Not all of it is in memory.
    NotThere,
    /// Neither this piece nor another.
    Cannot,
}

/// Reads at a position.
#[cfg(unix)]
pub(crate) fn read_at(file: &std::fs::File, buf: &mut [u8], at: u64) -> std::io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buf, at)
}

/// Reads at a position, and moves the file there.
#[cfg(windows)]
pub(crate) fn read_at(file: &std::fs::File, buf: &mut [u8], at: u64) -> std::io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buf, at)
}

/// Does `one` for each item until it fails, and says how many it did. An error only if that was the first: whoever goes on with the rest
/// meets it again.
pub(crate) fn as_many<T>(
    items: impl Iterator<Item = T>,
    mut one: impl FnMut(T) -> std::io::Result<()>,
) -> std::io::Result<usize> {
    let mut done = 0;
    for item in items {
        match one(item) {
            Ok(()) => done += 1,
            Err(error) if done == 0 => return Err(error),
            Err(_) => break,
        }
    }
    Ok(done)
}
