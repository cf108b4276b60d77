//! 30 to 43: `start`.
