//! Measures how costs grow with tasks, nurseries, scopes, timers and workers, and draws it. `--help` lists the options.

use std::process::ExitCode;

fn main() -> ExitCode {
    trioxide_benches::growth::main()
}
