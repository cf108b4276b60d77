//! What the `compare` command and the criterion benches share: the rows, the runtimes they run on, and the measuring.
//!
//! Read in this order: [`rows`] says what is timed, [`contenders`] where it runs, [`measure`] what one repetition costs,
//! [`session`] in which order the repetitions run and [`runner`] in which processes, [`counts`] what is counted besides, [`goals`] what the
//! figures are to be, [`report`], [`table`], [`chart`] and [`json`] what is made of them, [`cli`] how to ask.
//! Apart from these, [`latency`]: how late things are while others compute; [`idle`]: what a runtime costs that does nothing;
//! [`growth`]: how costs grow with the number of tasks, scopes, timers and workers; and [`locked`]: where the locked instructions stand.

pub mod allocations;
pub mod chart;
pub mod cli;
pub mod contenders;
pub mod counts;
pub mod goals;
pub mod growth;
pub mod idle;
pub mod json;
pub mod latency;
pub mod locked;
pub mod machine;
pub mod marks;
pub mod measure;
pub mod open_files;
#[cfg(feature = "peers")]
pub mod peers;
pub mod report;
pub mod rows;
pub mod runner;
pub mod session;
pub mod statistics;
pub mod table;
