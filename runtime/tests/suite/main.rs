//! What the core promises, a file for each part. One binary: so it links in seconds.

#[path = "../common/mod.rs"]
mod common;

mod after_turn;
mod blocking;
mod blocking_scope;
mod combine;
mod conditions;
mod deadlock;
mod errors;
mod fairness;
mod groups;
mod held_panics;
mod hogs;
mod limited;
mod limiter;
mod local_nursery;
mod local_wakes;
mod locals;
mod p1_no_orphans;
mod p2_no_silent_errors;
mod p3_cancellation;
mod p3_deadlines;
mod p4_cleanup;
mod p5_checkpoints;
mod p6_parallel_borrowed;
mod parallel;
mod portal;
mod quiet;
mod regressions;
mod regressions_panics;
mod regressions_torture;
mod scheduler;
mod scope_ends;
mod seeing;
mod services;
mod stall;
mod start;
mod tasks;
mod token;
mod watchdog;
