//! 44 to 73: cancel scopes.
