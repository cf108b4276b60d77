//! A child of a plain nursery owns what it uses.
use trioxide_runtime::{checkpoint, nursery, run};

fn main() {
    run(async {
        let text = String::from("on the parent's stack");
        nursery(async |n| {
            drop(n.spawn(async {
                checkpoint().await;
                println!("{text}");
            }));
        })
        .await;
    });
}
