//! The scope of `nursery_with` cannot be kept for later.
use trioxide_runtime::{nursery_with, run};

fn main() {
    let mut kept = None;
    run(nursery_with(String::new(), async |s| {
        kept = Some(s);
    }));
}
