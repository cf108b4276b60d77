use std::convert::Infallible;

use trioxide_runtime::{LocalNursery, local_nursery, run};

fn main() {
    run(local_nursery(async |n: LocalNursery<Infallible>| {
        let of_the_body = String::from("gone before the child");
        n.spawn(async { println!("{of_the_body}") });
    }));
}
