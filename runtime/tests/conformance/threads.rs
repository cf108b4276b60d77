//! 170 to 190: threads.
