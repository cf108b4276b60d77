use trioxide_runtime::Started;

async fn child(started: Started<u8>) {
    started.set(1);
    started.set(2);
}

fn main() {
    trioxide_runtime::run(child(Started::ignored()));
}
