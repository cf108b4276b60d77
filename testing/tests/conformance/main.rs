//! What Trio's own tests assert of its tools for tests, asserted here. The numbers are those of `docs/conformance.md`.

mod blocked;
mod checkpoints;
mod clock;
mod common;
mod order;
mod streams;
