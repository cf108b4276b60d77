//! A test that takes too long.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use trioxide_runtime::{Observer, ScopeHandle};

/// A thread that waits for the end of a run, and cancels it if that does not come.
pub(super) struct Hang {
    /// Dropped when the run has ended.
    running: Option<Sender<()>>,
    /// Its value is the report, if it was too long.
    thread: Option<JoinHandle<Option<String>>>,
}

impl Hang {
    pub(super) fn watch(observer: Observer, scope: ScopeHandle, timeout: Duration, grace: Duration) -> Self {
        let (running, ended) = channel();
        let thread = thread::Builder::new().name("trioxide-test-watch".to_owned());
        let thread = thread.spawn(move || wait(&ended, &observer, &scope, timeout, grace));
        let thread =
            thread.unwrap_or_else(|error| panic!("trioxide: cannot start the thread that watches a test: {error}"));
        Self { running: Some(running), thread: Some(thread) }
    }

    /// The run has ended. What is to be said if it took too long.
    pub(super) fn end(mut self) -> Option<String> {
        self.join()
    }

    fn join(&mut self) -> Option<String> {
        drop(self.running.take());
        self.thread.take()?.join().ok()?
    }
}

impl Drop for Hang {
    /// The run has panicked.
    fn drop(&mut self) {
        self.join();
    }
}

fn wait(
    ended: &Receiver<()>,
    observer: &Observer,
    scope: &ScopeHandle,
    timeout: Duration,
    grace: Duration,
) -> Option<String> {
    let took_too_long = |limit| ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout);
    if !took_too_long(timeout) {
        return None;
    }
    let report = format!(
        "trioxide: the test has not ended after {timeout:?}, its time-out. What it was at:\n{}",
        tree(observer)
    );
    scope.cancel("the time-out of the test has passed");
    if took_too_long(grace) {
        let mut text = report;
        let _ = writeln!(
            text,
            "It was cancelled, and has not ended {grace:?} after that: something is shielded, or keeps its thread busy. So the process is aborted. What is left:\n{}",
            tree(observer)
        );
        let _ = std::io::stderr().write_all(text.as_bytes()); // Past what captures the output of tests, for that is lost now.
        std::process::abort();
    }
    Some(report)
}

fn tree(observer: &Observer) -> String {
    observer.task_tree().map_or_else(|| "(nothing runs)\n".to_owned(), |tree| tree.to_string())
}
