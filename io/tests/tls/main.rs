//! TLS: what Trio's own tests assert of it (by number), certificates that are wrong, and peers that misbehave.
#![cfg(unix)]

mod certificates;
mod common;
#[cfg(feature = "hyper")]
mod hyper_io;
mod storms;
mod streams;
