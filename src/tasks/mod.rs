//! The long-running loops of the daemon.
//!
//! Guards: the database is the queue between tasks; channels carry only wake-ups and requests of the operator; every
//! task ends when it is stopped. Not here: starting and supervising them (`app`).

pub mod alerts;
pub mod alerts_database;
pub mod alerts_webhook;
pub mod database_monitor;
pub mod dispatcher;
pub mod heartbeat;
pub mod maintenance;
pub mod operator;
pub mod poller;
pub mod push;
pub mod watchdog;
