//! 1 to 13: runs and the task tree.
