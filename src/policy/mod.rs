//! When to look, when to try again, whom to tell: decisions without IO, clock, async or randomness.
//!
//! Guards: what is computed here from the same input is the same for ever; spread and jitter are hashes.
//! Deliberately not here: who is in which meeting (`presence`), carrying a decision out (`tasks`).
//! Decisions of the shell, pure: when to look, how often, when a window is open.
//!
//! Guards: no IO, no clock, no randomness: the present comes in as an argument. Deliberately not here: what an
//! answer means (`presence`).

pub mod backoff;
pub mod cadence;
pub mod civil;
pub mod delivery;
pub mod pace;
pub mod quota;
pub mod send_rate;
pub mod quota;
pub mod window;
