//! Measures how late things are while other tasks compute. `--help` lists the options.

use std::process::ExitCode;

fn main() -> ExitCode {
    trioxide_benches::latency::cli::main()
}
