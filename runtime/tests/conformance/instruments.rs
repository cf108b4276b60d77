//! 127 to 131: instruments.
