//! What a sweep tells of the seed that fails: this binary once more, as a child process that fails.

use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use trioxide_runtime::{checkpoint, nursery, shield, sleep_forever};
use trioxide_testing::{Schedule, Simulation, Sweep, sweep};

const CASE: &str = "TRIOXIDE_CHILD_CASE";

/// An update is lost.
async fn racy() {
    let counter = Arc::new(AtomicUsize::new(0));
    nursery(async |n| {
        for name in ["one", "other"] {
            let counter = counter.clone();
            n.task(name).spawn(async move {
                let read = counter.load(Relaxed);
                checkpoint().await;
                counter.store(read + 1, Relaxed);
            });
        }
    })
    .await;
    assert_eq!(counter.load(Relaxed), 2, "an update is lost");
}

/// The child: plays the case that the environment names, if any.
#[test]
fn child() {
    match std::env::var(CASE).as_deref() {
        Ok("racy") => sweep(0..1000, racy),
        Ok("deep") => {
            let simulation = Simulation::new().schedule(Schedule::Pct { depth: 4 });
            Sweep::new(0..100_000).simulation(simulation).threads(2).run(racy);
        }
        Ok("unsteady") => {
            static RUNS: AtomicUsize = AtomicUsize::new(0);
            sweep(0..10, async || assert_ne!(RUNS.fetch_add(1, Relaxed), 3));
        }
        Ok("hopeless") => sweep(0..1, async || shield(sleep_forever()).await),
        Ok(other) => panic!("no such case: {other}"),
        Err(_) => {}
    }
}

fn play(case: &str, seed: Option<&str>) -> Output {
    let mut command = child_with(case);
    if let Some(seed) = seed {
        command.env("TRIOXIDE_SEED", seed);
    }
    command.output().unwrap()
}

/// As `cargo test` runs it, whatever runs this.
fn child_with(case: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child", "--nocapture"]).env(CASE, case);
    for variable in ["TRIOXIDE_SEED", "NEXTEST", "NEXTEST_BINARY_ID"] {
        command.env_remove(variable);
    }
    command
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What stands between two texts.
fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let at = text.find(before).unwrap_or_else(|| panic!("no {before:?} in {text}")) + before.len();
    text[at..].split(after).next().unwrap()
}

#[test]
fn the_seed_that_fails_is_told_and_replayed_by_what_was_told() {
    let output = play("racy", None);
    let text = told(&output);
    assert!(!output.status.success());
    let command = between(&text, "to run it again: ", "\n");
    assert!(command.ends_with("-- --exact child --nocapture"), "{command}");
    let seed = between(command, "TRIOXIDE_SEED=", " ");

    let trace = std::fs::read_to_string(between(&text, "its trace: ", "\n")).unwrap();
    assert!(trace.starts_with(&format!("seed {}, schedule ", seed.split('/').next().unwrap())), "{trace}");
    assert!(trace.contains("#1 \"one\" is polled") && trace.contains("#2 \"other\" has ended"), "{trace}");

    let again = play("racy", Some(seed));
    assert!(!again.status.success());
    let text = told(&again);
    assert!(text.contains(&trace), "the same trace as before: {text}\n{trace}");
    assert!(text.contains("an update is lost"), "{text}");
}

/// Each test has a process of its own there, and is found by the filters of nextest.
#[test]
fn under_nextest_the_command_is_one_of_nextest() {
    let mut command = child_with("racy");
    let text = told(&command.env("NEXTEST", "1").env("NEXTEST_BINARY_ID", "crate::tests").output().unwrap());
    let command = between(&text, "to run it again: ", "\n");
    let package = env!("CARGO_PKG_NAME");
    let told = format!(" cargo nextest run -p {package} -E 'binary_id(=crate::tests) & test(=child)' --no-capture");
    assert!(command.starts_with("TRIOXIDE_SEED=") && command.ends_with(&told), "{command}");
}

#[test]
fn a_schedule_with_fewer_changes_is_found() {
    let text = told(&play("deep", None));
    let seed = between(&text, "TRIOXIDE_SEED=", " ");
    assert!(["pct1", "pct2", "pct3"].iter().any(|pct| seed.ends_with(pct)), "{text}");
    let again = told(&play("deep", Some(seed)));
    assert!(again.contains("an update is lost"), "{again}");
}

#[test]
fn a_seed_that_does_not_fail_passes() {
    let steady = (0..1000).find(|&seed| {
        let simulation = Simulation::new().seed(seed).schedule(Schedule::BySeed);
        simulation.record(racy).outcome().is_ok()
    });
    let output = play("racy", Some(&steady.unwrap().to_string()));
    assert!(output.status.success(), "{}", told(&output));
}

#[test]
fn what_fails_once_and_then_not_again_is_told() {
    let text = told(&play("unsteady", None));
    assert!(text.contains("has failed, and then not again"), "{text}");
}

/// It cannot be cancelled, and a run does not return before its tasks have ended.
#[test]
fn a_deadlock_in_a_shield_ends_the_process_and_tells_why() {
    let output = play("hopeless", None);
    let text = told(&output);
    assert!(!output.status.success());
    assert!(text.contains("with seed 0 is stuck in what is shielded") && text.contains("shield"), "{text}");
    assert!(text.contains("TRIOXIDE_SEED=0"), "{text}");
}

#[test]
fn a_seed_that_is_none_is_refused() {
    let text = told(&play("racy", Some("seventeen")));
    assert!(text.contains("TRIOXIDE_SEED=seventeen names no run"), "{text}");
}
