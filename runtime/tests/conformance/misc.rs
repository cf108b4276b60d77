//! 95 to 102: what else the core does.
