//! What only the operating system can do.

#[cfg(all(any(target_os = "linux", target_os = "android"), not(loom)))]
mod coarse;
#[cfg(all(unix, not(loom)))]
mod unix;
#[cfg(all(any(target_os = "linux", target_os = "android"), not(loom)))]
pub(crate) use coarse::is_far;
#[cfg(all(unix, not(loom)))]
pub(crate) use unix::{die_by, install, name, raise, start, take, uninstall};

/// Where there is no clock that costs less.
#[cfg(not(all(any(target_os = "linux", target_os = "android"), not(loom))))]
pub(crate) fn is_far(_moment: std::time::Instant) -> bool {
    false
}
