//! Decisions of the shell, pure: when to look, how often, when a window is open.
//!
//! Guards: no IO, no clock, no randomness: the present comes in as an argument. Deliberately not here: what an
//! answer means (`presence`).

pub mod backoff;
pub mod cadence;
pub mod civil;
pub mod quota;
pub mod window;
