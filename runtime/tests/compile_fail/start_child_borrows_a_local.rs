use std::convert::Infallible;

use trioxide_runtime::{Nursery, Started, nursery, run};

fn main() {
    run(nursery(async |n: Nursery<Infallible>| {
        let port = 8080;
        let _ = n
            .start(async |started: Started<u16>| started.set(*&port))
            .await;
    }));
}
