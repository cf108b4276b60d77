//! How many descriptors the process may have.

/// Raises the limit to what the system lets it be, and says what that is; `None` where there is no such limit.
#[cfg(unix)]
pub fn raise_limit() -> Option<u64> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};

    let (now, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("getrlimit on oneself cannot fail");
    if now == most || setrlimit(Resource::RLIMIT_NOFILE, most, most).is_ok() {
        return Some(most);
    }
    Some(now)
}

/// There is no such limit.
#[cfg(not(unix))]
pub fn raise_limit() -> Option<u64> {
    None
}
