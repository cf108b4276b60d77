//! The texts of what goes wrong.

use std::any::Any;

use trioxide_runtime::TaskTree;

use super::director::Settings;
use super::trace::Trace;

/// A run has failed: how to run it again.
pub(super) fn failed(settings: &Settings, panic: &(dyn Any + Send)) -> String {
    let replay = settings.replay();
    format!(
        "trioxide: the simulation with seed {} (schedule {}) failed: {}\nto run it again: {}",
        settings.seed,
        settings.schedule.resolve(settings.seed),
        text(panic),
        replay.command()
    )
}

pub(super) fn text(panic: &(dyn Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text,
        _ => "a panic without a text",
    }
}

pub(super) fn stuck(tree: &TaskTree, traced: bool) -> String {
    let hint = if traced { "" } else { "\n(`Simulation::traced(true)` shows what each task waits for.)" };
    format!(
        "trioxide: deadlock: nothing in the simulation can go on any more, and no timer is left; other threads do not take part. What waits:\n{tree}{hint}"
    )
}

pub(super) fn hopeless(settings: &Settings, tree: &TaskTree, trace: &Trace) -> String {
    format!(
        "trioxide: the simulation with seed {} is stuck in what is shielded, so that it cannot be ended. What waits:\n{tree}\nto run it again: {}\n{}",
        settings.seed,
        settings.replay().command(),
        trace.tail(50)
    )
}

pub(super) fn endless(steps: u64) -> String {
    format!(
        "trioxide: the simulation has not ended after {steps} steps; if it would, give it more by `Simulation::max_steps`"
    )
}

pub(super) fn leaked(leak: &'static str) -> String {
    format!(
        "trioxide: the simulation is not made from its seed alone: {leak}; keep all of the program inside the simulation, with fakes for what is outside"
    )
}

pub(super) fn not_deterministic(settings: &Settings, parting: &str) -> String {
    format!(
        "trioxide: two runs of the simulation with seed {} differ: the program takes something from outside (the order of a `HashMap`, real time, \
         a static that keeps its value). Both begin\n{parting}",
        settings.seed
    )
}
