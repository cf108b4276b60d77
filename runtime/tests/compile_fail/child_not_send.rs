//! A child runs on any worker, so it cannot hold an `Rc` across a suspension.
use std::rc::Rc;
use trioxide_runtime::{checkpoint, nursery, run};

fn main() {
    run(nursery(async |n| {
        drop(n.spawn(async {
            let local = Rc::new(());
            checkpoint().await;
            drop(local);
        }));
    }));
}
