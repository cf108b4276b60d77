//! Counts how often an idle runtime wakes up. `--help` lists the options.

use std::process::ExitCode;

fn main() -> ExitCode {
    trioxide_benches::idle::main()
}
