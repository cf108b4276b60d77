//! Feeds readers, codecs and addresses with anything, for as long as one likes; see `tests/fuzz/checks.rs` for what must come of it.
//!
//! ```sh
//! cargo run --release -p trioxide-io --example fuzz -- 60        # for a minute, from a seed of its own
//! cargo run --release -p trioxide-io --example fuzz -- 60 1234   # the same cases as another run with that seed
//! ```
//!
//! It ends with 1 as soon as something fails, and says which check, with which seed, on which smallest case.

#[path = "../tests/fuzz/checks.rs"]
mod checks;

use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use indicatif::{ProgressBar, ProgressStyle};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Cases between two looks at the clock.
const BATCH: u32 = 200;

fn main() -> ExitCode {
    let arguments: Option<Vec<u64>> = std::env::args().skip(1).map(|argument| argument.parse().ok()).collect();
    let (seconds, first) = match arguments.as_deref() {
        Some([seconds]) => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            (*seconds, now.as_secs() << 20)
        }
        Some([seconds, seed]) => (*seconds, *seed),
        _ => {
            eprintln!("usage: fuzz SECONDS [SEED]");
            return ExitCode::from(2);
        }
    };
    let style = ProgressStyle::with_template("{bar:30} {elapsed} of {len} s  {msg}").expect("it is well-formed");
    let bar = ProgressBar::new(seconds).with_style(style);
    let (began, mut cases) = (Instant::now(), 0_u64);
    for seed in first.. {
        for check in checks::ALL {
            if began.elapsed() >= Duration::from_secs(seconds) {
                bar.finish_and_clear();
                println!("{cases} cases of {} checks, seeds {first} to {seed}: all well", checks::ALL.len());
                return ExitCode::SUCCESS;
            }
            bar.set_position(began.elapsed().as_secs());
            bar.set_message(format!("{cases} cases; seed {seed}, {}", check.name));
            let config = Config { cases: BATCH, failure_persistence: None, ..Config::default() };
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&seed.to_le_bytes());
            let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
            if let Err(failed) = (check.run)(&mut TestRunner::new_with_rng(config, random)) {
                bar.finish_and_clear();
                println!("{}, seed {seed}: {failed}", check.name);
                return ExitCode::FAILURE;
            }
            cases += u64::from(BATCH);
        }
    }
    unreachable!("seeds do not end")
}
