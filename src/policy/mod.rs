//! Rules the operator sets, as pure decisions: when to look, when to send, to whom, when to give up.
//!
//! Guards: no IO, no clock, no randomness; whoever calls brings the time. Deliberately not here: who is in which
//! meeting (`presence`), doing what was decided (`tasks`).

pub mod delivery;
pub mod routing;
pub mod send_rate;
