//! A key-value store that keeps each value on three nodes, and a simulation that looks for an update which it loses.
//!
//! ```text
//! cargo run --release --example replicated_store             # 10,000 seeds, each another run; none loses anything
//! cargo run --release --example replicated_store -- --bug    # with a bug: the seed that finds it, and how to run that again
//! TRIOXIDE_SEED=… cargo run --example replicated_store -- --bug   # that one run, event by event
//! ```
//!
//! | file | |
//! | --- | --- |
//! | `store` | the store itself: knows nothing of simulations |
//! | `world` | three hosts on a simulated network, clients on each, and bad luck; and what must hold |
//!
//! `docs/testing.md` walks through it.

mod store;
mod world;

use clap::Parser;
use trioxide_testing::Sweep;

/// Looks for an update that a replicated store loses.
#[derive(Parser)]
struct Options {
    /// Takes a node that does not answer to be down, and does not wait for it any more: the bug.
    #[arg(long)]
    bug: bool,
    /// How many seeds to try.
    #[arg(long, default_value_t = 10_000)]
    seeds: u64,
}

fn main() {
    let Options { bug, seeds } = Options::parse();
    Sweep::new(0..seeds).run(async || world::run(bug).await);
    println!("no update is lost");
}
