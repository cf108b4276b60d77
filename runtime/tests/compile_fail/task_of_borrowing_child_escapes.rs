//! Nor can a handle whose value borrows.
use trioxide_runtime::{nursery_with, run};

fn main() {
    let mut kept = None;
    run(nursery_with(String::new(), async |s| {
        let env = s.env();
        kept = Some(s.spawn(async move { Ok::<&str, std::convert::Infallible>(env) }));
    }));
}
