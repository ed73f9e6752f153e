//! Everything put together: from a validated config to a running daemon, and to its end.
//!
//! Guards: no task outlives `run`; the first task that ends without being asked to ends the whole with a failure; what is
//! known is written down before the process ends. Deliberately not here: what the tasks do (`tasks`, `web`, `control`).

pub mod build;
mod condition;
mod control;
pub mod daemon;
pub mod reload;
pub mod signals;
pub mod supervise;
pub mod upkeep;
