//! Seeing what a run does.
//!
//! | file | duty |
//! | --- | --- |
//! | `present` | the run that a runtime has under way |

mod present;

pub(crate) use present::Present;
