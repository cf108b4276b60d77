//! Counts the locked instructions that an operation of a row executes, and says where they stand. `--help` lists the options.

use std::process::ExitCode;

use trioxide_benches::allocations::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> ExitCode {
    trioxide_benches::locked::main()
}
