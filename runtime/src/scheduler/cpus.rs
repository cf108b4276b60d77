//! How many workers a runtime has by default.

/// The processors that this process may really use: its affinity and its cgroup's quota counted in; at least one.
pub(crate) fn usable() -> usize {
    num_cpus::get().max(1)
}
