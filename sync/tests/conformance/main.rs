//! What Trio's own tests assert of waiting, locks and channels, asserted here. The numbers are those of `docs/conformance.md`.

#[path = "../suite/common.rs"]
mod common;

mod channels;
mod limits;
mod locks;
mod lots;
