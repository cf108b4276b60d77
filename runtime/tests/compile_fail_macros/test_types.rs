// As `#[trioxide::test]` writes it: a test itself is not compiled here.
use trioxide::testing::{Harness, with_fixture};

fn main() {
    Harness::new().workers("a few").run(async |_| ());
    Harness::new().run(async |_| 7);
    Harness::new().run(async |bench| with_fixture(bench, async |_: &mut u32| ()).await);
}
