//! 74 to 80: the reasons of cancels.
