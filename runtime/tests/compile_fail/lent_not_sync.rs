//! Children on other threads share what is lent.
use std::cell::Cell;
use trioxide_runtime::{nursery_with, run};

fn main() {
    run(nursery_with(Cell::new(0), async |s| s.set(1)));
}
