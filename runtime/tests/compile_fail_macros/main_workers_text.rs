#[trioxide::main(workers = "four")]
async fn main() {}
