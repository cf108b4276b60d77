//! A child of `nursery_with` borrows from what the nursery owns, not from the body, which may end first.
use trioxide_runtime::{checkpoint, nursery_with, run};

fn main() {
    run(nursery_with((), async |s| {
        let text = String::from("on the body's stack");
        let borrowed = &text;
        drop(s.spawn(async move {
            checkpoint().await;
            println!("{borrowed}");
        }));
    }));
}
