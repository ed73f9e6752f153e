//! Decisions of the shell, pure: when to look, when a window is open.
//!
//! Guards: no IO, no clock, no randomness: the present comes in as an argument. Deliberately not here: what an
//! answer means (`presence`).

pub mod cadence;
pub mod civil;
pub mod window;
//! When to call, and how often: decisions without a clock, without IO and without randomness.

pub mod backoff;
pub mod quota;
