//! What to start, and how.

use std::ffi::OsStr;
use std::fmt;
use std::future::Future;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use trioxide_runtime::blocking;

use super::error::NotStarted;
use super::run::{OnCancel, Report, Trouble};
use super::running::{Child, Process, Started};

/// How long a process has between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(5);

/// A program to run, with its arguments. The names are those of [`std::process::Command`], which it is made of
/// (`Command::from`, for what is missing here).
///
/// ```
/// use trioxide_io::process::Command;
/// # trioxide_runtime::run(async {
/// let output = Command::new("tr").args(["a-z", "A-Z"]).input("hello").capture().run().await?;
/// assert_eq!(output.stdout, b"HELLO");
/// # Ok::<_, std::io::Error>(())
/// # }).unwrap();
/// ```
#[must_use = "a command does nothing until it is spawned or run"]
pub struct Command {
    pub(super) std: std::process::Command,
    pub(super) input: Option<Vec<u8>>,
    /// Nothing was said of its standard input.
    pub(super) stdin_is_default: bool,
    merge: bool,
    pub(super) grace: Duration,
    pub(super) on_cancel: Option<OnCancel>,
    pub(super) report: Report,
}

impl Command {
    /// Runs `program`, a path or a name that is looked up in `PATH`, without arguments and in the environment of this process.
    pub fn new(program: impl AsRef<OsStr>) -> Command {
        std::process::Command::new(program).into()
    }

    /// Runs `program`, and gives it a listener (or any other descriptor), which it finds with [`inherited`](crate::inherited()), or with
    /// systemd's `sd_listen_fds`. Both processes may accept until this one stops; so the next version of a server takes over, and no
    /// connection is refused meanwhile.
    ///
    /// The program's standard input is empty. A shell (`sh`) puts things in place and then becomes the program, which so has the number
    /// that is announced to it; that a program does not exist shows as status 127.
    ///
    /// ```no_run
    /// use trioxide_io::TcpListener;
    /// use trioxide_io::process::Command;
    /// # async fn example(listener: TcpListener) -> std::io::Result<()> {
    /// let next = Command::hand_over(std::env::current_exe()?, &listener)?.spawn().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The system's, if it has no descriptor for a duplicate.
    pub fn hand_over(program: impl AsRef<OsStr>, listener: &impl AsFd) -> io::Result<Command> {
        let script = "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$@\" 3<&0 </dev/null";
        let listener = listener.as_fd().try_clone_to_owned()?;
        Ok(Command::new("sh").args(["-c", script, "sh"]).arg(program).stdin(listener))
    }

    /// One more argument. No shell reads it: it arrives as it is.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Command {
        self.std.arg(arg);
        self
    }

    /// More arguments.
    pub fn args(mut self, args: impl IntoIterator<Item: AsRef<OsStr>>) -> Command {
        self.std.args(args);
        self
    }

    /// Sets a variable of its environment.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Command {
        self.std.env(name, value);
        self
    }

    /// Takes a variable out of its environment.
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Command {
        self.std.env_remove(name);
        self
    }

    /// Its environment is empty, but for what is set from here on.
    pub fn env_clear(mut self) -> Command {
        self.std.env_clear();
        self
    }

    /// Where it runs.
    pub fn current_dir(mut self, dir: impl AsRef<Path>) -> Command {
        self.std.current_dir(dir);
        self
    }

    /// Its standard input. Without a word of it: that of this process for [`spawn`](Command::spawn), nothing for
    /// [`run`](Command::run) and its kin.
    pub fn stdin(mut self, stdin: impl Into<Stdio>) -> Command {
        self.std.stdin(stdin);
        self.stdin_is_default = false;
        self.input = None;
        self
    }

    /// Its standard output. Without a word of it: that of this process.
    pub fn stdout(mut self, stdout: impl Into<Stdio>) -> Command {
        self.std.stdout(stdout);
        self.merge = false;
        self
    }

    /// Its standard error. Without a word of it: that of this process.
    pub fn stderr(mut self, stderr: impl Into<Stdio>) -> Command {
        self.std.stderr(stderr);
        self.merge = false;
        self
    }

    /// A pipe for standard output and standard error together, in the order in which they are written: the child's `stdout`.
    pub fn stderr_to_stdout(mut self) -> Command {
        self.merge = true;
        self
    }

    /// Pipes for standard output and standard error: [`run`](Command::run) collects what comes out of them.
    pub fn capture(self) -> Command {
        self.stdout(Stdio::piped()).stderr(Stdio::piped())
    }

    /// What [`run`](Command::run) and its kin write to its standard input, which ends then. A program that reads only a part
    /// of it, or closes it, is no error.
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Command {
        self = self.stdin(Stdio::piped());
        self.input = Some(bytes.into());
        self
    }

    /// How long it has after SIGTERM until it is killed, when a call that runs it is cancelled. Five seconds of the run's clock
    /// without a word of it.
    pub fn grace(mut self, grace: Duration) -> Command {
        self.grace = grace;
        self
    }

    /// What is done in place of SIGTERM and SIGKILL when a call that runs it is cancelled: `end` shall make the process end. It is
    /// itself cancelled when the process has ended; should it end before, the process is waited for; should it fail, that is
    /// reported, and the process is killed. Trio's `deliver_cancel`.
    pub fn on_cancel<Fut>(mut self, end: impl FnOnce(Process) -> Fut + Send + 'static) -> Command
    where
        Fut: Future<Output = io::Result<()>> + Send + 'static,
    {
        self.on_cancel = Some(Box::new(|process| Box::pin(end(process))));
        self
    }

    /// What is called with each [`Trouble`], in place of writing it to standard error.
    pub fn report(mut self, report: impl Fn(Trouble<'_>) + Send + Sync + 'static) -> Command {
        self.report = Box::new(report);
        self
    }

    /// Starts it, and gives the [`Child`], which is yours to wait for. [`run`](Command::run) is for the usual case.
    ///
    /// The system may have to read the program from a slow disk, so this is done on a thread of the pool.
    ///
    /// # Errors
    /// [`NotStarted`] inside, with the program's name: it does not exist, may not be run, there are no descriptors or processes
    /// left.
    ///
    /// # Panics
    /// Outside a run.
    ///
    /// # Cancellation
    /// A checkpoint. Cancelled: nothing has been started; a process that is just being started is waited for, and delivered.
    pub async fn spawn(mut self) -> io::Result<Child> {
        let merged = if self.merge { Some(self.join_outputs()?) } else { None };
        let std = self.std;
        let started = blocking(move || start(std)).await?;
        Child::new(started, merged)
    }

    fn join_outputs(&mut self) -> io::Result<io::PipeReader> {
        let (reader, writer) = io::pipe()?;
        self.std.stdout(writer.try_clone()?).stderr(writer);
        Ok(reader)
    }
}

fn start(mut command: std::process::Command) -> io::Result<Started> {
    match command.spawn() {
        Ok(child) => Ok(Started::new(child, command.get_program())),
        Err(cause) => Err(NotStarted::of(&command, cause)),
    }
}

/// With what std offers beside: user and group, a process group of its own, a closure before the program begins.
impl From<std::process::Command> for Command {
    fn from(std: std::process::Command) -> Command {
        let report: Report = Box::new(|trouble| eprintln!("{trouble}"));
        Command { std, input: None, stdin_is_default: true, merge: false, grace: GRACE, on_cancel: None, report }
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.std.fmt(f)
    }
}
