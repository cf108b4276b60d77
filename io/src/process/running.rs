//! A process that was started, until its status is taken.
//!
//! # Invariants
//! 1. Only `Inner` takes the status of its process, under its lock. So while that is held and the status is not taken, the
//!    number is this process's, and a signal goes to no other.
//! 2. The status is taken in any case: by who waits, or when the last handle goes.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::ops::Deref;
use std::process::ExitStatus;
use std::sync::Arc;
use std::thread;

use parking_lot::Mutex;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use super::error::StatusLost;
use crate::pipe::{Receiver, Sender};
use crate::reactor::{Direction, Done, Ready, Registered};
use crate::signal::SignalKind;
use crate::sys::Exit;

/// A process that was started, and the pipes to it. When it is dropped, and no clone of its [`Process`] is left, the process is
/// killed.
///
/// ```
/// use trioxide_io::process::{Command, Stdio};
/// # trioxide_runtime::run(async {
/// let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().await?;
/// let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
/// stdin.write_all(b"there and back").await?;
/// drop(stdin); // the end of its input
/// let mut buf = [0; 32];
/// let count = stdout.read(&mut buf).await?;
/// assert_eq!(&buf[..count], b"there and back");
/// assert!(child.wait().await?.success());
/// # Ok::<_, std::io::Error>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct Child {
    /// Its standard input, if that is a pipe. It comes to the end when this is dropped.
    pub stdin: Option<Sender>,
    /// Its standard output, if that is a pipe.
    pub stdout: Option<Receiver>,
    /// Its standard error, if that is a pipe of its own.
    pub stderr: Option<Receiver>,
    pub(super) process: Process,
}

impl Child {
    pub(super) fn new(mut started: Started, merged: Option<io::PipeReader>) -> io::Result<Child> {
        // Until the end of this function `started` owns the process, and kills it if something fails.
        let child = &mut started.child;
        let stdin = child.stdin.take().map(|pipe| Sender::from_fd(pipe.into())).transpose()?;
        let stdout = match merged {
            Some(pipe) => Some(pipe.into()),
            None => child.stdout.take().map(Into::into),
        };
        let stdout = stdout.map(Receiver::from_fd).transpose()?;
        let stderr = child.stderr.take().map(|pipe| Receiver::from_fd(pipe.into())).transpose()?;
        let ended = Registered::new("Command::spawn", Exit::of(started.pid)?, Ready::READ)?;
        let process = Process(Arc::new(Inner { ended, started: Mutex::new(started) }));
        Ok(Child { stdin, stdout, stderr, process })
    }

    /// A handle of the process, without the pipes.
    pub fn process(&self) -> &Process {
        &self.process
    }
}

impl Deref for Child {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

/// A handle of a process that was started. Clones are of the same process; with the last of them (and of the [`Child`]) it is
/// killed, if it has not ended.
#[derive(Clone)]
pub struct Process(Arc<Inner>);

struct Inner {
    ended: Registered<Exit>,
    started: Mutex<Started>,
}

impl Process {
    /// The number that the system has given it.
    pub fn id(&self) -> u32 {
        self.0.started.lock().child.id()
    }

    /// Waits until it has ended, and gives its status. Any number of tasks may wait, again and again.
    ///
    /// # Errors
    /// [`StatusLost`] inside, if somebody else has taken the status, or the program ignores SIGCHLD.
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint. Cancelled: nothing has happened, and the process goes on.
    pub async fn wait(&self) -> io::Result<ExitStatus> {
        let look = |exit: &Exit| {
            exit.drain()?;
            match self.0.started.lock().status()? {
                Some(status) => Ok(Done::more(status)),
                None => Err(io::ErrorKind::WouldBlock.into()),
            }
        };
        self.0.ended.io(Direction::Read, "Process::wait", look).await
    }

    /// Its status, or `None` while it runs. Not a checkpoint.
    ///
    /// # Errors
    /// As [`wait`](Process::wait).
    pub fn try_status(&self) -> io::Result<Option<ExitStatus>> {
        self.0.started.lock().status()
    }

    /// Asks it to end (SIGTERM). One that has ended is left alone. Not a checkpoint.
    ///
    /// # Errors
    /// The system's, such as `PermissionDenied` for a process that has become another user's.
    pub fn terminate(&self) -> io::Result<()> {
        self.signal(SignalKind::TERMINATE)
    }

    /// Ends it (SIGKILL). One that has ended is left alone. Not a checkpoint.
    ///
    /// # Errors
    /// As [`terminate`](Process::terminate).
    pub fn kill(&self) -> io::Result<()> {
        self.0.started.lock().signal(Signal::KILL)
    }

    /// Sends it a signal. One that has ended is left alone. Not a checkpoint.
    ///
    /// # Errors
    /// `InvalidInput` for a number that is no signal's; else as [`terminate`](Process::terminate).
    pub fn signal(&self, kind: SignalKind) -> io::Result<()> {
        match Signal::from_named_raw(kind.as_raw()) {
            Some(signal) => self.0.started.lock().signal(signal),
            None => {
                let text = format!("cannot send {kind:?}: the system has no such signal");
                Err(io::Error::new(io::ErrorKind::InvalidInput, text))
            }
        }
    }

    pub(super) fn program(&self) -> String {
        self.0.started.lock().program.clone()
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let started = self.0.started.lock();
        f.debug_struct("Process").field("program", &started.program).field("id", &started.pid).finish_non_exhaustive()
    }
}

/// Owns a process: invariant 2.
pub(super) struct Started {
    child: std::process::Child,
    pid: Pid,
    program: String,
    /// It has ended and its status is lost: the number may be another process's.
    is_lost: bool,
}

impl Started {
    pub(super) fn new(child: std::process::Child, program: &OsStr) -> Started {
        let pid = Pid::from_child(&child);
        Started { child, pid, program: program.to_string_lossy().into_owned(), is_lost: false }
    }

    /// Takes the status, if it has ended; std's child keeps it.
    fn status(&mut self) -> io::Result<Option<ExitStatus>> {
        if self.is_lost {
            return Err(StatusLost::of(&self.program));
        }
        self.child.try_wait().map_err(|error| {
            self.is_lost = Errno::from_io_error(&error) == Some(Errno::CHILD);
            if self.is_lost { StatusLost::of(&self.program) } else { error }
        })
    }

    fn signal(&mut self, signal: Signal) -> io::Result<()> {
        match self.status() {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Ok(kill_process(self.pid, signal)?),
            Err(error) if StatusLost::is(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if !matches!(self.status(), Ok(None)) {
            return;
        }
        let pid = self.pid;
        // It is ours and has not ended, so this cannot fail, unless it has become another user's: then it is only waited for.
        let _ = kill_process(pid, Signal::KILL);
        // The end may take its time, and a drop must not.
        let reaper = thread::Builder::new()
            .name("trioxide-reap".into())
            .spawn(move || while matches!(waitpid(Some(pid), WaitOptions::empty()), Err(Errno::INTR)) {});
        if reaper.is_err() {
            let _ = self.child.wait();
        }
    }
}
