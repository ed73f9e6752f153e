//! When to look, when to try again, whom to tell: decisions without IO, clock, async or randomness.
//!
//! Guards: what is computed here from the same input is the same for ever; spread and jitter are hashes.
//! Deliberately not here: carrying a decision out (`tasks`).

pub mod pace;
