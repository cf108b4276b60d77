//! What the `compare` command and the criterion benches share: the rows, the runtimes they run on, and the measuring.
//!
//! Read in this order: [`rows`] says what is timed, [`contenders`] where it runs, [`measure`] what one repetition costs,
//! [`session`] in which order the repetitions run, [`report`], [`table`], [`chart`] and [`json`] what is made of them, [`cli`] how to ask.
//! Apart from these, [`latency`]: how late things are while others compute.

pub mod allocations;
pub mod chart;
pub mod cli;
pub mod contenders;
pub mod json;
pub mod latency;
pub mod machine;
pub mod marks;
pub mod measure;
pub mod report;
pub mod rows;
pub mod session;
pub mod statistics;
pub mod table;
