//! Child processes.
//!
//! ```text
//! Command ─▶ spawn ─▶ Child: pipes, and the Process ─▶ wait            (yours to wait for; killed when it is dropped)
//!         └▶ run, output, status, run_started ─▶ the process has ended when they have
//! ```
//!
//! As a task ends before its nursery does, a process ends before the call that runs it does, also when that is cancelled: it is
//! sent SIGTERM, has five seconds (see [`Command::grace`]), is killed with SIGKILL, and its status is taken in any case, so
//! that no zombie stays. A [`Child`] that is dropped is killed at once. For a process that outlives this one use
//! [`std::process::Command`].
//!
//! | file | duty |
//! | --- | --- |
//! | `command` | `Command`: what to start, and how |
//! | `running` | `Child` and `Process`: started, until its status is taken |
//! | `run` | from start to end in one call, and what a cancel does |
//! | `error` | what went wrong: `NotStarted`, `Failed`, `StatusLost` |
//!
//! The end of a process comes through the reactor: see `sys/exit`.

mod command;
mod error;
mod run;
mod running;

pub use command::Command;
pub use error::{Failed, NotStarted, StatusLost};
pub use run::Trouble;
pub use running::{Child, Process};
pub use std::process::{ExitStatus, Output, Stdio};
