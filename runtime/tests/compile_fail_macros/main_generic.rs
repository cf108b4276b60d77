#[trioxide::main]
async fn main<T>() {}
