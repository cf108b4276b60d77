//! A process from its start to its end in one call; and what a cancel does to it.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use trioxide_runtime::{Started, finally, move_on_after, race, try_join};

use super::error::Failed;
use super::{Child, Command, Process};
use crate::pipe::{Receiver, Sender};

pub(super) type OnCancel = Box<dyn FnOnce(Process) -> Ended + Send>;
pub(super) type Report = Box<dyn Fn(Trouble<'_>) + Send + Sync>;
type Ended = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// What a command reports. It has dealt with it already: the hook only tells somebody.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Trouble<'a> {
    /// The process did not end within the grace after SIGTERM, and was killed.
    Killed {
        /// The program.
        program: &'a str,
        /// The number of the process.
        id: u32,
        /// How long it had.
        grace: Duration,
    },
    /// [`Command::on_cancel`], or sending SIGTERM, has failed, and the process was killed.
    CancelFailed {
        /// The program.
        program: &'a str,
        /// The number of the process.
        id: u32,
        /// With what.
        error: &'a io::Error,
    },
}

impl fmt::Display for Trouble<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Killed { program, id, grace } => {
                write!(f, "`{program}` (process {id}) was killed: it did not end within {grace:?} after SIGTERM")
            }
            Trouble::CancelFailed { program, id, error } => {
                write!(f, "`{program}` (process {id}) was killed, for it could not be asked to end: {error}")
            }
        }
    }
}

impl Command {
    /// Runs it to its end. What is a pipe ([`capture`](Command::capture)) is collected; [`input`](Command::input) is written to
    /// its standard input, which else is empty.
    ///
    /// It ends when the process has ended *and* the captured pipes have: a background process that holds such a pipe open is waited
    /// for.
    ///
    /// # Errors
    /// [`NotStarted`](super::NotStarted) inside; [`Failed`] inside if the status is not 0, with what was captured;
    /// [`StatusLost`](super::StatusLost); the system's.
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint. Cancelled: the process is sent SIGTERM, and SIGKILL after the [grace](Command::grace), and its end is waited
    /// for; what it has written is lost. If something else than a scope drops the future, the process is killed.
    pub async fn run(self) -> io::Result<Output> {
        let program = self.std.get_program().to_string_lossy().into_owned();
        Failed::check(program, self.run_to_end(Started::ignored(), true).await?)
    }

    /// As [`run`](Command::run), captures standard output and standard error, and takes any status for a success. The name is std's.
    ///
    /// # Errors
    /// As [`run`](Command::run), without [`Failed`].
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// As [`run`](Command::run).
    pub async fn output(self) -> io::Result<Output> {
        self.capture().run_to_end(Started::ignored(), true).await
    }

    /// As [`run`](Command::run), and gives the status, whatever it is. The name is std's.
    ///
    /// # Errors
    /// As [`run`](Command::run), without [`Failed`].
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// As [`run`](Command::run).
    pub async fn status(self) -> io::Result<ExitStatus> {
        Ok(self.run_to_end(Started::ignored(), true).await?.status)
    }

    /// As [`run`](Command::run), for [`Nursery::start`](trioxide_runtime::Nursery::start): `started` is given the process and its
    /// pipes, which are yours then. A status other than 0 is the error of this child, and so the nursery's.
    ///
    /// ```
    /// use trioxide_io::process::{Command, Stdio};
    /// use trioxide_runtime::{nursery, run};
    /// # run(async {
    /// nursery(async |n| {
    ///     let cat = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped());
    ///     let mut child = n.start(|started| cat.run_started(started)).await.unwrap();
    ///     child.stdin.take().unwrap().write_all(b"meow").await?;
    ///     let mut buf = [0; 4];
    ///     child.stdout.take().unwrap().read_exact(&mut buf).await?;
    ///     Ok::<_, std::io::Error>(()) // its input has ended, so `cat` ends
    /// })
    /// .await
    /// .unwrap();
    /// # });
    /// ```
    ///
    /// # Errors
    /// As [`run`](Command::run).
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// As [`run`](Command::run).
    pub async fn run_started(self, started: Started<Child>) -> io::Result<()> {
        let program = self.std.get_program().to_string_lossy().into_owned();
        Failed::check(program, self.run_to_end(started, false).await?).map(drop)
    }

    async fn run_to_end(mut self, started: Started<Child>, collects: bool) -> io::Result<Output> {
        if self.stdin_is_default {
            self.std.stdin(Stdio::null());
        }
        let ending = Ending { on_cancel: self.on_cancel.take(), grace: self.grace };
        let report = std::mem::replace(&mut self.report, Box::new(|_| {}));
        let input = self.input.take();
        let mut child = self.spawn().await?;
        let process = child.process().clone();
        let stdin = child.stdin.take_if(|_| collects || input.is_some());
        let (stdout, stderr) = match collects {
            true => (child.stdout.take(), child.stderr.take()),
            false => (None, None),
        };
        started.set(child);
        let body = async {
            let fed = feed(stdin, input.as_deref().unwrap_or_default());
            let (_, stdout, stderr, status) = try_join!(fed, collect(stdout), collect(stderr), process.wait())?;
            Ok(Output { status, stdout, stderr })
        };
        finally(body, ending.make_sure(&process, &report)).await
    }
}

async fn feed(stdin: Option<Sender>, input: &[u8]) -> io::Result<()> {
    let Some(stdin) = stdin else { return Ok(()) };
    match stdin.write_all(input).await {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

async fn collect(pipe: Option<Receiver>) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    if let Some(pipe) = pipe {
        let mut piece = vec![0; 64 * 1024];
        loop {
            match pipe.read(&mut piece).await? {
                0 => break,
                count => all.extend_from_slice(&piece[..count]),
            }
        }
    }
    Ok(all)
}

/// How a process is ended that has not ended by itself.
struct Ending {
    on_cancel: Option<OnCancel>,
    grace: Duration,
}

impl Ending {
    /// Nothing to do if it has ended, which it has unless its call was cancelled or a pipe has failed.
    async fn make_sure(self, process: &Process, report: &Report) {
        if !matches!(process.try_status(), Ok(None)) {
            return;
        }
        let (program, id) = (&*process.program(), process.id());
        // Only a lost status can be the error of a wait here, and then the process has ended.
        let ended = async { process.wait().await.map(drop).or(Ok(())) };
        let asked = match self.on_cancel {
            Some(end) => race!(end(process.clone()), ended),
            None => match process.terminate() {
                Ok(()) if move_on_after(self.grace, process.wait()).await.is_some() => Ok(()),
                Ok(()) => {
                    report(Trouble::Killed { program, id, grace: self.grace });
                    process.kill()
                }
                error => error,
            },
        };
        if let Err(error) = &asked {
            report(Trouble::CancelFailed { program, id, error });
            // It is a child of ours that has not ended; should the system refuse all the same, then waiting is what is left.
            let _ = process.kill();
        }
        let _ = process.wait().await;
    }
}
