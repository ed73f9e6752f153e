//! When to look, when to try again, whom to tell: decisions without IO, clock, async or randomness.
//!
//! Guards: what is computed here from the same input is the same for ever; spread and jitter are hashes.
//! Deliberately not here: carrying a decision out (`tasks`).

pub mod pace;
//! When to call, and how often: decisions without a clock, without IO and without randomness.

pub mod backoff;
pub mod quota;
//! Rules the operator sets, as pure decisions: when to look, when to send, to whom, when to give up.
//!
//! Guards: no IO, no clock, no randomness; whoever calls brings the time. Deliberately not here: who is in which
//! meeting (`presence`), doing what was decided (`tasks`).

pub mod delivery;
pub mod routing;
//! Decisions of the shell, pure: when to look, when a window is open.
//!
//! Guards: no IO, no clock, no randomness: the present comes in as an argument. Deliberately not here: what an
//! answer means (`presence`).

pub mod cadence;
pub mod civil;
pub mod window;
