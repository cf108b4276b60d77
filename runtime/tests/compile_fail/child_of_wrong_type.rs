//! A child returns a bare value.
use trioxide_runtime::{nursery, run};

fn main() {
    run(nursery(async |n| {
        drop(n.spawn(async { 7 }));
    }));
}
