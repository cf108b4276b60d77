#[trioxide::main]
fn main() {
    println!("hello");
}
