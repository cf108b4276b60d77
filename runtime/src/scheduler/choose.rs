//! The seam for simulations: somebody else chooses what the one worker does next.
//!
//! A runtime that was built with a [`Choose`] has one worker, and a loop of its own (`worker/chosen`): everything that could go first is laid out, and the
//! choice is made from outside, so that the same choices make the same run. Calls of `blocking` run on that thread, too. Nothing of this is
//! on the way of other runtimes.

use std::any::Any;

use crate::task::TaskId;
use crate::watch::TaskTree;

/// Something that could go on now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Candidate {
    /// A task that is spawned or woken.
    Task(TaskId),
    /// The closure of a call of [`blocking`](crate::blocking), by the number of the call in its runtime.
    Blocking(u64),
}

/// Makes the choices of a runtime with one worker. For simulations; not part of the interface.
///
/// It is asked by the thread that runs the runtime, under no lock of it. A panic of it becomes the panic of the run.
pub trait Choose: Send + Sync + 'static {
    /// Which of `ready` goes next, as an index. They stand in the order in which they were woken, but for those that were passed over. Never empty.
    fn next(&self, ready: &[Candidate]) -> usize;

    /// Which of `due` timers, all of which are, fires next, as an index; at least two.
    fn timer(&self, due: usize) -> usize;

    /// How many operations that could go on at once the task may do in the poll that follows; `usual` is the setting of the runtime.
    fn budget(&self, usual: u32) -> u32;

    /// Which of so many branches of a combinator in the running task is polled first, as an index; at least two.
    fn branch(&self, branches: usize) -> usize;

    /// Nothing can go on any more, and there is no timer. What is returned becomes the panic of the run, which is cancelled by it.
    fn stuck(&self, tree: &TaskTree) -> Box<dyn Any + Send>;

    /// It is stuck, and has been cancelled: what waits is shielded, and cannot be ended. The process is aborted after this.
    fn hopeless(&self, tree: &TaskTree);

    /// The run waits for the world outside: a driver is installed, and nothing else is left.
    fn waits_outside(&self);
}
