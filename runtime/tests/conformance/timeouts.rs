//! 162 to 169: time-outs.
