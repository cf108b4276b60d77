use trioxide_runtime::{CancelReason, Cancelled};

fn main() {
    let reason = CancelReason::from("I say so");
    let _ = Cancelled { reason };
}
