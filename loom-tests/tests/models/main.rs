//! The models, in one executable: so the long ones run beside each other.
#![cfg(loom)]
#![allow(clippy::arc_with_non_send_sync)] // The threads of a model take turns.

mod after;
mod cancel;
mod extras;
mod idle;
mod limiter;
mod nursery;
mod portal;
mod sentry;
mod shield;
mod start;
mod state;
mod sync;
mod timer;
mod token;
mod whole;
