//! What Trio's own tests assert, by the numbers of the conformance list: a test for behaviour 14 is named `c014_…`.
//!
//! `docs/conformance.md` is the table of these tests; what cannot occur here stands in `cannot.txt` with the reason.

#[path = "../common/mod.rs"]
mod common;
#[cfg(unix)]
#[path = "../common/process.rs"]
mod process;

mod basics;
mod instruments;
mod misc;
mod nursery;
mod reasons;
mod run;
mod scopes;
mod scopes_more;
#[cfg(unix)]
mod signals;
mod start;
mod system;
mod threads;
mod threads_context;
mod timeouts;
mod tree;
