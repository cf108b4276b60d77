//! The error of a child has no way into that of the nursery.
use trioxide_runtime::{nursery, run};

fn main() {
    let _ = run(nursery(async |n| {
        drop(n.spawn(async { "7".parse::<u8>() }));
        Ok::<(), std::io::Error>(())
    }));
}
