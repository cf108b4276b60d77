//! A loop that would run for centuries, cut off after one second.
//!
//! `checkpoint` is where the loop can be cut: it lets other tasks run, and notices that the time is over. Every
//! operation of the library is such a point, so real code rarely calls it. Code between two of them is never cut.
//!
//! ```text
//! cargo run --example timeout
//! ```

use trioxide::prelude::*;

#[trioxide::main]
async fn main() {
    let outcome = move_on_after(Duration::from_secs(1), count_to(u64::MAX)).await;
    println!("completed task: {}", outcome.is_some());
}

async fn count_to(end: u64) {
    let mut done = 0;
    while done < end {
        checkpoint().await;
        done += 1;
    }
    println!("done: {done}");
}
