//! What `nursery_with` lends cannot be taken out of it.
use trioxide_runtime::{nursery_with, run};

fn main() {
    let text: Result<&str, trioxide_runtime::NurseryError<std::io::Error>> =
        run(nursery_with(String::new(), async |s| Ok(s.env().as_str())));
    drop(text);
}
