//! Log lines, health and metrics of the daemon.
//!
//! Guards: no log line and no reason has a secret or a URL. Not here: showing them (`web`, `cli`).

pub mod health;
mod limit;
pub mod log;
pub mod metrics;
pub mod push;
pub mod settings;
