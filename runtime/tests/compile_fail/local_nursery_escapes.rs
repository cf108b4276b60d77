use std::convert::Infallible;

use trioxide_runtime::{LocalNursery, local_nursery, run};

fn main() {
    run(async {
        let mut escaped = None;
        {
            let borrowed = String::from("lives as long as the block");
            local_nursery(async |n: LocalNursery<Infallible>| {
                n.spawn(async { println!("{borrowed}") });
                escaped = Some(n);
            })
            .await;
        }
        drop(escaped);
    });
}
