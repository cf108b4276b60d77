//! The body of a nursery returns a bare value.
use trioxide_runtime::{Nursery, nursery, run};

fn main() {
    run(nursery(async |_: Nursery<std::io::Error>| 7));
}
