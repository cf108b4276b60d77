//! Runtimes of other kinds beside trioxide: what they gain by giving something up. Feature `peers`.
//!
//! - **may** has stacks instead of futures, and runs them on `N` threads.
//! - **monoio, compio** keep a task on the thread where it was spawned: no steals, no atomics, and no second core unless the program shares
//!   its work out itself. So their rows use one thread, but for `tcp_echo`, where each of `N` threads has its share of the connections.
//! - **rayon** has closures that may borrow and may not wait: only fork and join.
//!
//! They run the rows that they can; a row that one has not got is `None` here. Each builds its runtime for each repetition, before
//! the clock starts.

mod local;
mod may_rows;
mod rayon_rows;

use crate::contenders::Contender;
use crate::measure::Sample;
use crate::rows::Scale;

/// One repetition with a number of workers.
pub type Repeat = fn(usize, Scale) -> Sample;

/// How `contender` does the row `name`.
#[must_use]
pub fn repeat(contender: Contender, name: &str) -> Option<Repeat> {
    match contender {
        Contender::May => may_rows::repeat(name),
        #[cfg(unix)]
        Contender::Monoio => local::on_monoio::repeat(name),
        Contender::Compio => local::on_compio::repeat(name),
        Contender::Rayon => rayon_rows::repeat(name),
        _ => None,
    }
}
