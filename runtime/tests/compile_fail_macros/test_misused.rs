#[trioxide::test]
fn not_async() {}

#[trioxide::test]
async fn with_a_parameter(number: u32) {}

#[trioxide::test]
#[test]
async fn a_test_twice() {}

fn main() {}
