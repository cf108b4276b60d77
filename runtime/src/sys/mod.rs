//! What only the operating system can do.

#[cfg(all(unix, not(loom)))]
mod unix;
#[cfg(all(unix, not(loom)))]
pub(crate) use unix::{die_by, install, name, raise, start, take, uninstall};
