//! Two children add up numbers, on any two workers, and borrow one vector for their results.
//!
//! A child of `nursery` owns what it uses, because it may run on another thread. `nursery_with` takes what the children
//! are to borrow, and keeps it until the last of them has ended. They get it shared; so what they write is an atomic.
//!
//! ```text
//! cargo run --example nursery_sum
//! ```

use std::convert::Infallible;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use trioxide::prelude::*;

#[trioxide::main]
async fn main() {
    let results = vec![AtomicU64::new(0), AtomicU64::new(0)];

    let sum = nursery_with(results, async |s| {
        let results = s.env(); // a borrow that children may use: nothing is cloned, nothing is counted
        let children = [s.spawn(add_up(0..100, &results[0])), s.spawn(add_up(100..200, &results[1]))];
        for child in children {
            child.await.expect("nobody cancels the children");
        }
        Ok::<u64, Infallible>(results.iter().map(|result| result.load(Ordering::Relaxed)).sum())
    })
    .await;

    match sum {
        Ok(sum) => println!("sum: {sum}"),
        Err(error) => println!("no sum: {error}"),
    }
}

async fn add_up(numbers: Range<u64>, result: &AtomicU64) {
    for number in numbers {
        result.fetch_add(number, Ordering::Relaxed);
        checkpoint().await; // so that the two take turns even on one worker
    }
}
