//! Child processes for tests of what concerns the whole process: this test binary once more, with one case to play.
//!
//! The child says what happens on its standard error, a line each, begun with `@`; the parent waits for the lines. The case is a test named `child`, which
//! does nothing unless it finds the name of a case in the environment.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(unsafe_code)]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{ChildStderr, Command, Stdio};

const CASE: &str = "TRIOXIDE_CHILD_CASE";

/// In the test named `child`: the case to play, if this process is a child.
pub(crate) fn case() -> Option<String> {
    let case = std::env::var(CASE).ok()?;
    // Who starts us may have them ignored, as background jobs of shells have.
    disposition(libc::SIGINT, libc::SIG_DFL);
    disposition(libc::SIGTERM, libc::SIG_DFL);
    Some(case)
}

/// Says to the parent that something has happened.
pub(crate) fn say(what: &str) {
    eprintln!("@{what}");
}

/// Sets what a signal does, and gives what it did.
pub(crate) fn disposition(signal: i32, handler: libc::sighandler_t) -> libc::sighandler_t {
    // SAFETY: a default disposition, or a handler that only stores to an atomic.
    unsafe { libc::signal(signal, handler) }
}

/// What a signal does now.
pub(crate) fn disposition_now(signal: i32) -> libc::sighandler_t {
    // SAFETY: zeroed is a valid value of that plain C struct, and no new action is given.
    unsafe {
        let mut now: libc::sigaction = std::mem::zeroed();
        assert_eq!(libc::sigaction(signal, std::ptr::null(), &raw mut now), 0);
        now.sa_sigaction
    }
}

/// A child process; killed when dropped.
pub(crate) struct Child {
    process: std::process::Child,
    said: BufReader<ChildStderr>,
    log: String,
}

impl Child {
    /// Starts this binary again to play `case`, which the test `test` (its full path) takes up.
    pub(crate) fn start(test: &str, case: &str) -> Self {
        let mut process = Command::new(std::env::current_exe().expect("the path of this binary"))
            .args(["--exact", test, "--nocapture", "--test-threads=1"])
            .env(CASE, case)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("this binary can be started again");
        let said = BufReader::new(process.stderr.take().expect("piped"));
        Self { process, said, log: String::new() }
    }

    pub(crate) fn send(&self, signal: i32) {
        let process = i32::try_from(self.process.id()).expect("a process id");
        // SAFETY: kill(2) asks nothing of its caller. The child has not been waited for, so the number is still its.
        assert_eq!(unsafe { libc::kill(process, signal) }, 0);
    }

    /// Waits until the child says just this.
    #[track_caller]
    pub(crate) fn expect(&mut self, what: &str) {
        match self.line() {
            Some(line) if line == what => {}
            other => panic!("expected {what:?}, the child said {other:?}; all of it:\n{}", self.log),
        }
    }

    /// Gives the child a line to read.
    pub(crate) fn tell(&mut self) {
        self.process.stdin.as_mut().expect("piped").write_all(b"\n").expect("the child reads");
    }

    fn line(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            if self.said.read_line(&mut line).expect("the child writes text") == 0 {
                return None;
            }
            self.log.push_str(&line);
            if let Some(said) = line.trim_end().strip_prefix('@') {
                return Some(said.to_owned());
            }
        }
    }

    /// Waits for the end; it must say nothing more before. The exit code, or else the signal, negative.
    #[track_caller]
    pub(crate) fn end(mut self) -> i32 {
        if let Some(more) = self.line() {
            panic!("the child also said {more:?}; all of it:\n{}", self.log);
        }
        let status = self.process.wait().expect("it can be waited for");
        let ended = status.code().unwrap_or_else(|| -status.signal().unwrap_or(0));
        if ended > 0 {
            eprintln!("the child said:\n{}", self.log);
        }
        ended
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
