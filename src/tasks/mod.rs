//! The shell in motion: what runs for as long as the daemon does.
//!
//! Guards: the database is the queue between tasks, channels carry wake-ups and requests of the operator only; every task
//! ends when told to. Deliberately not here: who starts and supervises them (`app`).

pub mod alerts;
pub mod alerts_database;
pub mod alerts_webhook;
pub mod dispatcher;
pub mod janitor;
pub mod operator;
pub mod poller;
pub mod pulse;
pub mod sentry;
pub mod watchdog;
