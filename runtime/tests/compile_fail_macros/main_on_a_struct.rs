#[trioxide::main]
struct Main;

fn main() {}
