//! Decides when to poll, when to retry and when to send: pure rules without IO, clock, async or randomness.
//!
//! Guards: the same input always gives the same output; spread and jitter are hashes. Not here: who is in which meeting
//! (`presence`), carrying out a decision (`tasks`).

pub mod backoff;
pub mod batch;
pub mod cadence;
pub mod circuit;
pub mod civil;
pub mod confirm;
pub mod delivery;
pub mod failure_policy;
pub mod liveness;
pub mod mass_absence;
pub mod operator_action;
pub mod pace;
pub mod poll_time;
pub mod quota;
pub mod replay;
pub mod robot;
pub mod send_rate;
pub mod sweep;
pub mod webhook_alert;
pub mod window;
