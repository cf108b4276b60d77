//! 81 to 94: what stands in for system tasks and the token.
