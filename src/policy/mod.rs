//! When to look, when to try again, whom to tell: decisions without IO, clock, async or randomness.
//!
//! Guards: what is computed here from the same input is the same for ever; spread and jitter are hashes.
//! Deliberately not here: who is in which meeting (`presence`), carrying a decision out (`tasks`).

pub mod backoff;
pub mod batch;
pub mod by_hand;
pub mod cadence;
pub mod circuit;
pub mod civil;
pub mod confirm;
pub mod delivery;
pub mod liveness;
pub mod look;
pub mod mass_absence;
pub mod pace;
pub mod quota;
pub mod reaction;
pub mod replay;
pub mod robot;
pub mod send_rate;
pub mod sweep;
pub mod webhook_alert;
pub mod window;
