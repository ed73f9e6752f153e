//! Connects everything: from a validated config to a running daemon, and to its stop.
//!
//! Guards: no task outlives `run`; the first task that ends unexpectedly stops the daemon with a failure; results are
//! written before the process ends. Not here: the work of the tasks (`tasks`, `web`, `control`).

pub mod build;
mod control_handler;
pub mod daemon;
pub mod maintenance;
mod page_actions;
pub mod reload;
pub mod signals;
mod status;
pub mod supervise;
