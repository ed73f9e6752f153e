//! When to call, and how often: decisions without a clock, without IO and without randomness.

pub mod backoff;
pub mod quota;
