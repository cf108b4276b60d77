//! TLS: what Trio's own tests assert of it (by number), certificates that are wrong, and peers that misbehave.
#![cfg(unix)]

mod certificates;
mod common;
mod streams;
