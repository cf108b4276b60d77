//! The body returns `()`, so the children cannot fail.
use trioxide_runtime::{nursery, run};

fn main() {
    run(nursery(async |n| {
        drop(n.spawn(async { "7".parse::<u8>() }));
    }));
}
