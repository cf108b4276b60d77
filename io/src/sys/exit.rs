//! The end of a child process, as something that the reactor can watch.
//!
//! Linux has the pidfd, which is readable once the process has ended. Elsewhere, and where the kernel is too old for it or
//! a sandbox forbids it, a thread waits for the process (without taking its status) and pulses.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::thread;

use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use super::{Pulse, Watched};

/// Readable once the process has ended.
#[derive(Debug)]
pub(crate) enum Exit {
    #[cfg(all(target_os = "linux", not(trioxide_portable)))]
    Pidfd(std::os::fd::OwnedFd),
    Thread(Watched),
}

impl Exit {
    /// Of a child whose status nobody has taken yet.
    pub(crate) fn of(child: Pid) -> io::Result<Exit> {
        #[cfg(all(target_os = "linux", not(trioxide_portable)))]
        match rustix::process::pidfd_open(child, rustix::process::PidfdFlags::NONBLOCK) {
            Ok(pidfd) => return Ok(Exit::Pidfd(pidfd)),
            // Not there, or not allowed. ESRCH: it has ended, and the system has dropped its status: the thread sees that at once.
            Err(Errno::NOSYS | Errno::PERM | Errno::INVAL | Errno::SRCH) => {}
            Err(error) => return Err(error.into()),
        }
        Exit::by_thread(child)
    }

    fn by_thread(child: Pid) -> io::Result<Exit> {
        let (pulse, watched) = Pulse::pair()?;
        thread::Builder::new().name("trioxide-wait".into()).spawn(move || {
            // An error (there is no such child) is news, too: whoever is woken asks for the status and hears of it.
            let ended = || waitid(WaitId::Pid(child), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
            while matches!(ended(), Err(Errno::INTR)) {}
            pulse.send();
        })?;
        Ok(Exit::Thread(watched))
    }

    /// To be called before one looks whether the process has ended.
    pub(crate) fn drain(&self) -> io::Result<()> {
        match self {
            #[cfg(all(target_os = "linux", not(trioxide_portable)))]
            Exit::Pidfd(_) => Ok(()),
            Exit::Thread(watched) => watched.drain(),
        }
    }
}

impl AsFd for Exit {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            #[cfg(all(target_os = "linux", not(trioxide_portable)))]
            Exit::Pidfd(pidfd) => pidfd.as_fd(),
            Exit::Thread(watched) => watched.as_fd(),
        }
    }
}
