//! pigeonhole
