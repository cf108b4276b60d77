//! trioxide
