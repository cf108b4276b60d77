//! The simulated network: that it carries what real ones do, each of its faults, and that a seed decides.

mod common;

mod datagrams;
mod faults;
mod hosts;
mod storms;
mod suites;
