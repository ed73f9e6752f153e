//! What the daemon says about itself: log lines, and whether it is well.
//!
//! Guards: neither a secret nor a URL stands in a log line or in a reason. Deliberately not here: who asks for it
//! (`web`, `cli`).

pub mod health;
mod limit;
pub mod log;
pub mod metrics;
pub mod settings;
