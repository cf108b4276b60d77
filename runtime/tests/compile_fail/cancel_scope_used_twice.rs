//! A cancel scope runs one future.
use trioxide_runtime::{CancelScope, run};

fn main() {
    run(async {
        let scope = CancelScope::new();
        let _ = scope.run(async {}).await;
        let _ = scope.run(async {}).await;
    });
}
