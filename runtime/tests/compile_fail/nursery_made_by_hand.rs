use trioxide_runtime::Nursery;

fn main() {
    let _nursery = Nursery::<()> {};
}
