//! Runs each row on trioxide, tokio and smol in turn and prints the medians side by side. `--help` lists the options.

use std::process::ExitCode;

use trioxide_benches::allocations::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> ExitCode {
    trioxide_benches::cli::main()
}
