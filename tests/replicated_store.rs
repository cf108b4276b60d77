//! The example `replicated_store`: a sweep finds its bug, and the seed finds it again; without the bug nothing is lost.

#[path = "../examples/replicated_store/store.rs"]
mod store;
#[path = "../examples/replicated_store/world.rs"]
mod world;

use trioxide_testing::{Simulation, Sweep};

fn run(seed: u64, bug: bool) -> (Option<String>, u64) {
    let simulated = Simulation::new().seed(seed).record(async || world::run(bug).await);
    let hash = simulated.trace().hash();
    (simulated.into_outcome().err().map(|panic| *panic.downcast::<String>().unwrap()), hash)
}

#[test]
fn the_bug_is_found_and_found_again() {
    let lost = |seed: &u64| run(*seed, true).0.is_some();
    let seed = (0..1000).find(lost).expect("a seed that loses an update");
    let (told, hash) = run(seed, true);
    assert!(told.as_ref().unwrap().starts_with("an update is lost: "), "{told:?}");
    assert_eq!(run(seed, true), (told, hash));
    assert_eq!(run(seed, false).0, None, "it is the bug");
    Simulation::new().seed(seed).check(async || world::run(false).await);
}

#[test]
fn without_the_bug_nothing_is_lost() {
    Sweep::new(0..100).run(async || world::run(false).await);
}
