//! 14 to 29: nurseries.
